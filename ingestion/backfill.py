"""History as batches: archived objects by the metadata on them, and files of a folder of this machine.

They take the same way as the night's files; where they stand among them, their business dates decide.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from ingestion import objects, sources
from ingestion.models import IngestBatch, IngestRun, Kind, Status
from ingestion.sources import Headers

KEYS_AT_ONCE = 1000


class NoDate(Exception):
    """A local file whose name and folders hold no date, where none was given for all."""


def from_archive(run: IngestRun, first: date | None, last: date | None) -> list[IngestBatch]:
    """Registers the archived objects whose business date lies between the two, both included."""
    new = [
        _archived(run, obj, origin)
        for obj, origin in sources.list_archive(settings.S3_ARCHIVE_PREFIX)
        if _is_between(origin.business_date, first, last) and objects.dataset_of(origin.original_key)
    ]
    return _register(run, new)


def from_folder(
    run: IngestRun, folder: Path, first: date | None, last: date | None, business_date: date | None
) -> list[IngestBatch]:
    """Registers the folder's files of known datasets. Raises NoDate for one without a date of its own."""
    new = [batch for path in _files(folder) if (batch := _local(run, folder, path, business_date))]
    return _register(run, [batch for batch in new if _is_between(batch.business_date, first, last)])


def is_local(batch: IngestBatch) -> bool:
    return not batch.bucket


def open_local(batch: IngestBatch) -> tuple[BinaryIO, Headers]:
    return Path(batch.object_key).open("rb"), Headers(size=batch.size, md5=None)


def _is_between(day: date, first: date | None, last: date | None) -> bool:
    return (first is None or first <= day) and (last is None or day <= last)


def _archived(run: IngestRun, obj: sources.S3Object, origin: sources.Custody) -> IngestBatch:
    key, prefix = origin.original_key, settings.S3_INPUT_PREFIX
    return IngestBatch(
        kind=Kind.BACKFILL,
        run=run,
        bucket=settings.S3_BUCKET_NAME,
        object_key=obj.key,
        etag=obj.etag,
        version_id=obj.version_id,
        last_modified=origin.last_modified,
        size=obj.size,
        folder=objects.folder_of(key, prefix),
        source=objects.source_of(key, prefix),
        dataset=objects.dataset_of(key),
        business_date=origin.business_date,
    )


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _local(run: IngestRun, folder: Path, path: Path, business_date: date | None) -> IngestBatch | None:
    key = path.relative_to(folder).as_posix()
    dataset = objects.dataset_of(key)
    if dataset is None:
        return None
    facts = path.stat()
    modified = datetime.fromtimestamp(facts.st_mtime, UTC)
    day = business_date or objects.named_date(key, "", modified)
    if day is None:
        raise NoDate(f"{path.name} has no date in its name or folders: say which with --business-date.")
    return IngestBatch(
        kind=Kind.BACKFILL,
        run=run,
        object_key=str(path.resolve()),
        etag=f"{facts.st_size}-{facts.st_mtime_ns}",
        last_modified=modified,
        size=facts.st_size,
        folder=objects.folder_of(key, ""),
        source=objects.source_of(key, ""),
        dataset=dataset,
        business_date=day,
    )


def _register(run: IngestRun, batches: list[IngestBatch]) -> list[IngestBatch]:
    """What is registered already is left as it is, unless it never got to an end; a person's run counts anew."""
    IngestBatch.objects.bulk_create(batches, ignore_conflicts=True, batch_size=1000)
    for start in range(0, len(batches), KEYS_AT_ONCE):
        keys = [batch.object_key for batch in batches[start : start + KEYS_AT_ONCE]]
        same = IngestBatch.objects.filter(object_key__in=keys, parent=None)
        same.filter(status__in=(Status.DISCOVERED, Status.FAILED)).update(
            run=run, status=Status.DISCOVERED, reasons=[], attempts=0
        )
        left = IngestBatch.objects.claimable().filter(object_key__in=keys, parent=None).exclude(run=run)
        IngestBatch.objects.filter(pk__in=[*left.values_list("pk", flat=True)]).update(run=run)
    return [*IngestBatch.objects.filter(run=run)]
