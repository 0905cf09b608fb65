"""What stood on a line of a delivered file, read from wherever its bytes are kept now. Writes nothing."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from ingestion import backfill, keeping, reader, rows, sources
from ingestion.models import IngestBatch
from ingestion.reader import Fetched
from ingestion.records import records


def lines_of(batch: IngestBatch, lines: Iterable[int]) -> dict[int, dict[str, object]]:
    """Of each of these lines of the batch's file the cells by column, as they are kept with a refused row.

    Raises what S3 raises: StorageError where the bytes cannot be had.
    """
    fetched = fetch(batch)
    with fetched.spool:
        found = records(fetched, batch.kind_of_rows)
        header = rows.delivered(found.header)
        return {line: rows.as_kept(header, cells) for line, cells in found.pick(sorted(set(lines)))}


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
