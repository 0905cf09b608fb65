"""A whole list as a file: CSV for spreadsheets, NDJSON for programs, row after row from a cursor of the server.

One snapshot, flat memory. It runs in a transaction of its own under a longer time limit than a page has.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from clinical.audit.reads import Parts

ROWS = 2_000
LINES = 500  # of a block that is sent
SECONDS = 3_600
# What a spreadsheet would run as a formula. A number or a phone in E.164 is neither.
RUNS = re.compile(r"[=+\-@\t\r]")
HARMLESS = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
Row = dict[str, Any]


OPTIONS = orjson.OPT_UTC_Z


def json_of(value: Any, option: int = OPTIONS) -> bytes:
    """Instants end in Z, decimals are numbers."""
    return orjson.dumps(value, default=float, option=option)


def _plain(value: Any) -> Any:
    """A cell as a spreadsheet may have it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    elif isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and RUNS.match(value) and not HARMLESS.fullmatch(value):
        return f"'{value}"
    return value


class _Line:
    """csv.writer's file: gives back what was written."""

    def write(self, text: str) -> str:
        return text


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield "\ufeff" + writer.writerow(columns)  # the mark by which Excel knows UTF-8
    for row in rows:
        flat = _flat(row)
        yield writer.writerow([_plain(flat.get(column)) for column in columns])


def _flat(row: Row) -> Row:
    """An object inside a row becomes columns of its own."""
    flat: Row = {}
    for name, value in row.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def _ndjson(_columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    for row in rows:
        yield json_of(row, OPTIONS | orjson.OPT_APPEND_NEWLINE)


FORMATS: dict[str, tuple[str, Callable[[Sequence[str], Iterable[Row]], Iterator[Any]]]] = {
    "csv": ("text/csv; charset=utf-8", _csv),
    "ndjson": ("application/x-ndjson", _ndjson),
}


def stream(
    kind: str,
    name: str,
    columns: Sequence[str],
    rows: "QuerySet[Any]",
    represent: Callable[[Any], Row],
    parts: Parts | None = None,
) -> StreamingHttpResponse:
    """All rows, each as `represent` makes it of what the queryset gives; `parts` notes them before they are sent."""
    content_type, write = FORMATS[kind]
    blocks = _blocks(write(columns, map(represent, _read(rows) if parts is None else _noted(rows, parts))))
    return StreamingHttpResponse(
        blocks, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    )


def _read(rows: "QuerySet[Any]") -> Iterator[Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(SECONDS * 1000)])
        yield from rows.iterator(chunk_size=ROWS)


def _noted(rows: "QuerySet[Any]", parts: Parts) -> Iterator[Any]:
    parts.open()
    try:
        read = _read(rows)
        while part := [*islice(read, ROWS)]:
            parts.sent(part)
            yield from part
    finally:
        parts.close()


def _blocks(lines: Iterator[Any]) -> Iterator[bytes]:
    """Lines put together, since each block of a response has its price."""
    block: list[bytes] = []
    for line in lines:
        block.append(line if isinstance(line, bytes) else line.encode())
        if len(block) == LINES:
            yield b"".join(block)
            block.clear()
    yield b"".join(block)
