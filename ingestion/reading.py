"""A batch's bytes as rows that COPY takes: fetched, verified, parsed and checked. In its turn, or ahead of it.

Touches no table: whoever reads ahead needs no claim, and what it has read is thrown away where somebody else loads it.
"""

import errno
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Self

from django.conf import settings

from ingestion import backfill, failpoints, keeping, reader, rows, rules, sources, stages
from ingestion.models import IngestBatch
from ingestion.reader import Fetched
from ingestion.records import Chunk, Records, records
from ingestion.rows import Delivery
from ingestion.rulebook import Rulebook

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROOM = 1.1  # of an object's size: what its way through the temporary folder takes
AHEAD_BYTES = 256 * 1024**2  # a larger file takes its time anyway, and the temporary folder is not ours alone
SPOOL_BLOCK = 1 << 18


class NoRoom(sources.StorageUnavailable):
    """The temporary folder cannot hold the file; the batch stays due."""


@dataclass(frozen=True)
class Reading:
    """`blocks` can be taken once; `delivery` counts what they hold. Closing it frees the disk."""

    fetched: Fetched
    records: Records
    delivery: Delivery
    blocks: Iterator[bytes]
    spool: BinaryIO | None = None  # of the blocks, where they were read ahead

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.fetched.spool.close()
        if self.spool:
            self.spool.close()


def fetch(batch: IngestBatch) -> Fetched:
    """The bytes on local disk, judged. Raises what S3 raises, or NoRoom."""
    if shutil.disk_usage(tempfile.gettempdir()).free < ROOM * min(batch.size, settings.INGEST_MAX_BYTES):
        raise NoRoom("The temporary folder has no room for the file.")
    body, headers = backfill.open_local(batch) if backfill.is_local(batch) else keeping.open_batch(batch)
    try:
        with body:
            is_gzip = batch.object_key.lower().endswith(".gz")
            return reader.fetch(body, headers, is_gzip=is_gzip, max_bytes=settings.INGEST_MAX_BYTES)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise NoRoom("The temporary folder has no room for the file.") from None


def read(batch: IngestBatch, fetched: Fetched, rulebook: Rulebook) -> Reading:
    """Each block is read and checked when it is asked for. Raises FileRefused, and so may the blocks."""
    found = records(fetched, batch.kind_of_rows)
    delivery = Delivery(batch.kind_of_rows, batch.last_modified, rulebook)
    blocks = rows.staged(delivery, rows.delivered(found.header), _with_failpoints(found))
    return Reading(fetched, found, delivery, blocks)


def _with_failpoints(found: Records) -> Iterator[Chunk]:
    for chunk in found.chunks():
        yield chunk
        failpoints.at("mid_copy")


class Ahead:
    """Reads what comes next while PostgreSQL still merges what comes first. Best effort; for no thread, nothing."""

    def __init__(self, spare_threads: int) -> None:
        self._most_files = 4 if spare_threads else 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._begun: dict[int, Future[Reading | None]] = {}
        self._before: dict[int, Future[Reading | None]] = {}  # of the group that is being loaded

    def begin(self, batches: Iterable[IngestBatch]) -> None:
        """Those of the next group. What nobody has taken of the group that is over is thrown away."""
        _throw_away(self._before)
        self._before, self._begun = self._begun, {}
        for batch in batches:
            if len(self._begun) < self._most_files and batch.size < AHEAD_BYTES:
                self._begun[batch.pk] = self._pool.submit(copy_context().run, _read_ahead, batch, rules.in_force(batch))

    def take(self, batch: IngestBatch) -> Reading | None:
        """What was read of it, by the rules that are still in force; None where it has to be read now."""
        begun = self._before.pop(batch.pk, None) or self._begun.pop(batch.pk, None)
        reading = None if begun is None or begun.cancel() else begun.result()
        if reading and reading.delivery.rulebook != rules.in_force(batch):
            with reading:
                return None
        return reading

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        _throw_away(self._before | self._begun)


def _throw_away(begun: dict[int, "Future[Reading | None]"]) -> None:
    for one in begun.values():
        if not one.cancel() and (reading := one.result()):
            with reading:
                pass


def _read_ahead(batch: IngestBatch, rulebook: Rulebook) -> Reading | None:
    """None for whatever goes wrong: it will go wrong again in its turn, and be dealt with there."""
    with stages.of_batch(batch.pk), stages.stage(stages.READING_AHEAD, batch.dataset or "", batch.pk):
        return _read_now(batch, rulebook)


def _read_now(batch: IngestBatch, rulebook: Rulebook) -> Reading | None:
    fetched, spool = None, None
    try:
        fetched = fetch(batch)
        if fetched.decoded_bytes > AHEAD_BYTES:
            raise NoRoom("Too large to be read ahead of its turn.")
        reading = read(batch, fetched, rulebook)
        spool = tempfile.TemporaryFile()  # noqa: SIM115  closed with the reading
        spool.writelines(reading.blocks)
        spool.seek(0)
        blocks = iter(partial(spool.read, SPOOL_BLOCK), b"")
        return Reading(fetched, reading.records, reading.delivery, blocks, spool)
    except Exception:
        for file in (fetched and fetched.spool, spool):
            if file:
                file.close()
        return None
