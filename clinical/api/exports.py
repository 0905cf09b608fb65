"""A whole list as a file: CSV for spreadsheets, NDJSON for programs, row after row from a cursor of the server.

One snapshot, flat memory. It runs in a transaction of its own under a longer time limit than a page has, and holds its
user's only place: with the transaction the place is free again, however that ends.
"""

import csv
import io
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework.exceptions import Throttled

from clinical import row_security
from clinical.audit.reads import Parts

ROWS = 2_000
LINES = 500  # of a block that is sent
LARGE = 16_384  # bytes of a part that is a block by itself
SECONDS = 3_600
PLACE = 7_340_218  # of pg_locks: the exports, each user's own
COME_AGAIN = 30  # seconds
EXCEL = "\ufeff"  # the mark by which it knows UTF-8
# What a spreadsheet would run as a formula, in either width; a number or a phone in E.164 is neither. It gets an
# apostrophe more than it has, so that taking one away gives back every cell.
RUNS = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
HARMLESS = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
Row = dict[str, Any]


OPTIONS = orjson.OPT_UTC_Z


def json_of(value: Any, option: int = OPTIONS) -> bytes:
    """Instants end in Z, decimals are numbers."""
    return orjson.dumps(value, default=float, option=option)


def as_csv(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A whole table that is small enough to be held."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([as_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def as_cell(value: Any) -> Any:
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
    yield EXCEL + writer.writerow(columns)
    for row in rows:
        flat = _flat(row)
        yield writer.writerow([as_cell(flat.get(column)) for column in columns])


def _flat(row: Row) -> Row:
    """An object inside a row becomes columns of its own."""
    flat: Row = {}
    for name, value in row.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def _ndjson(_columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    for row in rows:
        yield json_of(row, OPTIONS | orjson.OPT_APPEND_NEWLINE)


Write = Callable[[Sequence[str], Iterable[Row]], Iterator[Any]]
# None where only the list itself knows how (Parquet, of marts: analytics/api/mart.py).
FORMATS: dict[str, tuple[str, Write | None]] = {
    "csv": ("text/csv; charset=utf-8", _csv),
    "ndjson": ("application/x-ndjson", _ndjson),
}


def stream(
    kind: str,
    name: str,
    columns: Sequence[str],
    rows: "QuerySet[Any]",
    represent: Callable[[Any], Row],
    user_id: int,
    parts: Parts | None = None,
    write: Write | None = None,
) -> StreamingHttpResponse:
    """All rows, each as `represent` makes it of what the queryset gives; `parts` notes them before they are sent."""
    content_type, usual = FORMATS[kind]
    write = write or usual
    assert write
    is_ours = not connection.in_atomic_block
    found = _read(rows, user_id)
    next(found)  # the place is taken, or refused, before an answer begins
    if parts:
        parts.open(by_itself=is_ours)
    sent = found if parts is None else _noted(found, parts)
    response = StreamingHttpResponse(
        _blocks(write(columns, map(represent, sent))),
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}.{kind}"'},
    )
    response._resource_closers.append(found.close)  # type: ignore[attr-defined]  # also where nobody reads on
    return response


def _read(rows: "QuerySet[Any]", user_id: int) -> Generator[Any, None, None]:
    """Nothing first, once it has its place; then the rows."""
    with only_one(user_id), connection.cursor() as cursor:
        row_security.say(cursor)  # the rows are read once the request is over, but still for who asked
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(SECONDS * 1000)])
        yield None
        # Behind a pooler Django would fetch all at once; but this transaction keeps its session.
        yield from rows._iterator(use_chunked_fetch=True, chunk_size=ROWS)  # type: ignore[attr-defined]


@contextmanager
def only_one(user_id: int) -> Iterator[None]:
    """A transaction in which this user exports; Throttled where another one does so already."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [PLACE, user_id % 2**31])
        if not cursor.fetchone()[0]:
            raise Throttled(COME_AGAIN, "Another export of yours is still running.")
        yield


def _noted(rows: Iterator[Any], parts: Parts) -> Iterator[Any]:
    try:
        while part := [*islice(rows, ROWS)]:
            parts.sent(part)
            yield from part
    finally:
        parts.close()


def _blocks(lines: Iterator[Any]) -> Iterator[bytes]:
    """Lines put together, since each block of a response has its price."""
    block: list[bytes] = []
    for line in lines:
        block.append(line if isinstance(line, bytes) else line.encode())
        if len(block) == LINES or len(line) > LARGE:
            yield b"".join(block)
            block.clear()
    yield b"".join(block)
