"""What stood on a line of a delivered file, read from wherever its bytes are kept now. Writes nothing."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from typing import Any, NamedTuple

from django.conf import settings

from ingestion import backfill, keeping, reader, rows, sources
from ingestion.models import IngestBatch
from ingestion.reader import Fetched
from ingestion.records import Chunk, Records, records

ROWS_PER_CHUNK = 2000


class Part(StrEnum):
    """What of a file a physical line belongs to."""

    HEADER = "header"
    BLANK = "blank"
    RECORD = "record"
    NONE = "none"


class Place(NamedTuple):
    """Where a line is; of a record, the line on which it starts and its cells."""

    part: Part
    start: int = 0
    raw: dict[str, Any] | None = None


def lines_of(batch: IngestBatch, lines: Iterable[int]) -> dict[int, dict[str, object]]:
    """Of each of these lines of the batch's file the cells by column, as they are kept with a refused row.

    Raises what S3 raises: StorageError where the bytes cannot be had.
    """
    with opened(batch) as found:
        header = rows.delivered(found.header)
        return {line: rows.as_kept(header, cells) for line, cells in found.pick(sorted(set(lines)))}


def find(batch: IngestBatch, line: int) -> Place:
    """Raises StorageError where the bytes cannot be had, FileRefused where they are not the dataset's CSV."""
    with opened(batch) as found:
        if line <= found.header_line:
            part = Part.HEADER if line == found.header_line else Part.BLANK if line > 0 else Part.NONE
            return Place(part)
        start, cells, is_followed = _record_before(found, line)
        if cells and line <= start + _line_ends(cells):
            return Place(Part.RECORD, start, rows.as_kept(rows.delivered(found.header), cells))
        return Place(Part.BLANK if is_followed or line <= found.last_line else Part.NONE)


def _record_before(found: Records, line: int) -> tuple[int, list[str], bool]:
    """The last record that starts at or before the line, and whether another one follows it."""
    start, cells = 0, []
    for chunk in found.chunks():
        if index := bisect_right(chunk.lines, line):
            start, cells = chunk.lines[index - 1], chunk.rows[index - 1]
        if index < len(chunk.lines):
            return start, cells, True
    return start, cells, False


def _line_ends(cells: list[str]) -> int:
    return sum(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in cells)


def chunks_of(found: Records, lines: Sequence[int]) -> Iterator[Chunk]:
    """The records that start on these lines, which are in ascending order."""
    picked = found.pick(lines)
    while block := [*islice(picked, ROWS_PER_CHUNK)]:
        yield Chunk([line for line, _ in block], [cells for _, cells in block], frozenset())


@contextmanager
def opened(batch: IngestBatch) -> Iterator[Records]:
    fetched = fetch(batch)
    with fetched.spool:
        yield records(fetched, batch.kind_of_rows)


def fetch(batch: IngestBatch) -> Fetched:
    """The file's bytes: from the archive, or from where they wait to be archived."""
    body, headers = _open(batch)
    with body:
        is_gzip = batch.object_key.lower().endswith(".gz")
        return reader.fetch(body, headers, is_gzip=is_gzip, max_bytes=settings.INGEST_MAX_BYTES)


def _open(batch: IngestBatch) -> tuple[Any, reader.Headers]:
    if backfill.is_local(batch):
        return backfill.open_local(batch)
    if not batch.archive_key:
        return keeping.open_batch(batch)
    found = sources.head(batch.archive_key)
    if found is None:
        raise sources.ObjectGone("The archived object is gone.")
    return sources.open_object(found.object)
