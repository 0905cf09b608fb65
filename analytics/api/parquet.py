"""`format=parquet` of a mart: row groups written as rows are read, so that memory stays flat. Needs the extra
`analytics` (pyarrow), which is looked for only where somebody asks.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from importlib.util import find_spec
from itertools import islice
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from clinical.api.rendering import JSON
from clinical.api.resource import Row

GROUP = 10_000  # rows that are in memory at a time


class Parquet(JSON):
    """Only lists of marts have it; a refusal comes as JSON all the same."""

    media_type = "application/vnd.apache.parquet"
    format = "parquet"


def is_installed() -> bool:
    return find_spec("pyarrow") is not None


class _Sent(io.RawIOBase):
    """pyarrow's file: keeps what was written until it is taken."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def write(self, part: Any) -> int:
        self.parts.append(bytes(part))
        self.at += len(part)
        return len(part)

    def taken(self) -> bytes:
        whole = b"".join(self.parts)
        self.parts.clear()
        return whole


def write(
    model: type[models.Model],
    comments: Mapping[str, str],
    metadata: Mapping[str, str],
    columns: Sequence[str],
    rows: Iterable[Row],
) -> Iterator[bytes]:
    """The file, a row group at a time; columns have their comments, the file `metadata` (as_of among it)."""
    import pyarrow as pa  # an extra
    from pyarrow import parquet

    schema = pa.schema(
        [pa.field(name, _type(pa, model, name), metadata={"comment": comments.get(name, "")}) for name in columns],
        metadata=dict(metadata),
    )
    rows, sent = iter(rows), _Sent()
    with parquet.ParquetWriter(sent, schema, compression="zstd") as writer:
        while group := [*islice(rows, GROUP)]:
            values = [[_plain(row.get(name)) for row in group] for name in columns]
            arrays = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=GROUP)
            yield sent.taken()
    yield sent.taken()


def _plain(value: Any) -> Any:
    """Decimals are numbers here as in JSON."""
    return float(value) if isinstance(value, Decimal) else value


def _type(pa: Any, model: type[models.Model], name: str) -> Any:
    field = next((field for field in model._meta.concrete_fields if field.name == name), None)
    if isinstance(field, ArrayField):
        return pa.list_(pa.string())
    kinds = (
        (models.BooleanField, pa.bool_()),
        (models.IntegerField, pa.int64()),
        (models.DecimalField, pa.float64()),
        (models.DateTimeField, pa.timestamp("us", tz="UTC")),
        (models.DateField, pa.date32()),
    )
    if field is None:
        return pa.int64()  # birth_year, all that stands in for a masked column
    return next((type_ for kind, type_ in kinds if isinstance(field, kind)), pa.string())
