"""What lies in the input and was never registered: one batch for each object version that is due.

It lists, registers and puts in order. It claims nothing, and reads no object's bytes but the first of unknown names.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime
from functools import partial
from itertools import chain, groupby, takewhile

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from ingestion import objects, sources
from ingestion.corrections import returned
from ingestion.datasets import Dataset
from ingestion.models import IngestBatch, IngestRun, Status
from ingestion.sources import S3Object

CHUNK = 1_000  # objects per round of SQL
SPREADSHEET, HEAD = (".csv", ".tsv", ".txt"), 16_384  # what a spreadsheet may call a text, and the bytes of a header


def discover(
    prefix: str,
    *,
    run: IngestRun | None,
    kind: str,
    keys: Collection[str] | None = None,
    business_date: date | None = None,
) -> list[IngestBatch]:
    """Registers what is due under the prefix, or of `keys` alone, and returns the new batches in load order.

    Unknown names are among them, rejected already. Where two discover at once for one run, both may get the same
    batch: claiming it decides.
    """
    new = partial(_new_batch, prefix=prefix, run=run, kind=kind, override=business_date)
    found: list[IngestBatch] = []
    for chunk in _chunks(_list_input(prefix, keys)):
        found += _register([new(obj, older) for obj, older in _due(chunk)])
    return in_load_order(found)


def in_load_order(batches: Iterable[IngestBatch]) -> list[IngestBatch]:
    """Facilities, patients, then events; inside by the version order of deliveries. Unknown names come last."""
    return sorted(batches, key=_load_order)


def _load_order(batch: IngestBatch) -> tuple[int, date, datetime, str, int]:
    stage = Dataset(batch.dataset).stage if batch.dataset else len(Dataset)
    return stage, batch.business_date, batch.last_modified, batch.object_key, batch.pk or 0


# --- Listing


def _list_input(prefix: str, keys: Collection[str] | None) -> Iterator[S3Object]:
    """Never our own copies: a prefix that spans archive or held objects would deliver them for ever.

    Nor a key with a NUL: PostgreSQL cannot store it, and one sender must not stop the others.
    """
    ours = (settings.S3_ARCHIVE_PREFIX, settings.S3_HELD_PREFIX, settings.S3_CORRECTIONS_PREFIX)
    listed = sources.due_candidates(prefix) if keys is None else chain.from_iterable(map(_list_key, sorted(set(keys))))
    return (obj for obj in listed if not obj.key.startswith(ours) and "\0" not in obj.key)


def _list_key(key: str) -> Iterator[S3Object]:
    """All versions of one key: a listing is sorted, so they come before the longer keys that begin alike."""
    return takewhile(lambda obj: obj.key == key, sources.due_candidates(key))


def _chunks(listed: Iterable[S3Object]) -> Iterator[list[S3Object]]:
    """About CHUNK objects each; the versions of one key stay together."""
    chunk: list[S3Object] = []
    for _key, versions in groupby(listed, key=lambda obj: obj.key):
        chunk += versions
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


# --- What is due


def _due(listed: list[S3Object]) -> list[tuple[S3Object, list[str]]]:
    """The versions to register, oldest first for each key, with the names of those that they rule out for ever.

    Newer than the last one seen is: neither seen, nor there already when the key was first seen. Instants do not tell
    it: they are whole seconds, and a slow upload bears the time at which it began.
    """
    met = _met(listed)
    known_keys = {key for key, _ in met} | _known_keys(listed)
    due: list[tuple[S3Object, list[str]]] = []
    for key, newest_first in groupby(listed, key=lambda obj: obj.key):
        unmet = [obj for obj in newest_first if (key, _name_of(obj)) not in met]
        if key in known_keys:
            due += [(obj, []) for obj in reversed(unmet)]
        else:
            older = [_name_of(obj) for obj in unmet if not obj.is_current]
            due += [(obj, older) for obj in unmet if obj.is_current]
    return due


def _met(listed: list[S3Object]) -> set[tuple[str, str]]:
    """(key, version name) of what has a batch, or was older when the first batch of its key was found."""
    batches = _batches_of(obj.key for obj in listed)
    seen = batches.filter(last_modified__in={obj.last_modified for obj in listed})
    versions = seen.values_list("object_key", "version_id", "etag", "last_modified")
    met = {(key, _version_name(version_id, etag, instant)) for key, version_id, etag, instant in versions}
    if _has_versions(listed):
        ruled_out = batches.exclude(older_versions=[])
        met |= {(key, older) for key, names in ruled_out.values_list("object_key", "older_versions") for older in names}
    return met


def _known_keys(listed: list[S3Object]) -> set[str]:
    if not _has_versions(listed):
        return set()  # there every object is the current one, and nothing else is asked of its key
    return set(_batches_of(obj.key for obj in listed).order_by().values_list("object_key", flat=True).distinct())


def _batches_of(keys: Iterable[str]) -> "QuerySet[IngestBatch]":
    return IngestBatch.objects.filter(parent=None, bucket=settings.S3_BUCKET_NAME, object_key__in=set(keys))


def _has_versions(listed: list[S3Object]) -> bool:
    return any(obj.version_id for obj in listed)


def _name_of(obj: S3Object) -> str:
    return _version_name(obj.version_id, obj.etag, obj.last_modified)


def _version_name(version_id: str | None, etag: str, last_modified: datetime) -> str:
    """One name per version of a key. Without versioning, and while it is suspended, S3 has the name `null` for all."""
    if version_id and version_id != "null":
        return version_id
    return f"null {etag} {last_modified.timestamp()}"


# --- Registering


def _new_batch(
    obj: S3Object, older: list[str], *, prefix: str, run: IngestRun | None, kind: str, override: date | None
) -> IngestBatch:
    base, dataset = _base(obj.key, prefix), objects.dataset_of(obj.key) or _dataset_of_correction(obj)
    batch = IngestBatch(
        kind=kind,
        run=run,
        bucket=settings.S3_BUCKET_NAME,
        object_key=obj.key,
        etag=obj.etag,
        version_id=obj.version_id,
        last_modified=obj.last_modified,
        size=obj.size,
        older_versions=older,
        folder=objects.folder_of(obj.key, base),
        source=objects.source_of(obj.key, base),
        dataset=dataset,
        business_date=override or objects.business_date(obj.key, base, obj.last_modified),
    )
    if dataset is None:
        batch.status, batch.reasons, batch.finished_at = Status.REJECTED, ["UNKNOWN_DATASET"], timezone.now()
    return batch


def _dataset_of_correction(obj: S3Object) -> Dataset | None:
    """Of a correction file that was saved under another name; the first bytes of unknown names are looked at once."""
    if not obj.key.lower().endswith(SPREADSHEET):
        return None
    try:
        body, _headers = sources.open_object(obj)
    except (sources.ObjectChanged, sources.ObjectGone):
        return None
    with body:
        return returned.dataset_of(body.read(HEAD))


def _base(key: str, prefix: str) -> str:
    """What folders and sources are counted from: the input prefix, so that a narrower `prefix` changes neither."""
    if key.startswith(settings.S3_INPUT_PREFIX):
        return str(settings.S3_INPUT_PREFIX)
    return prefix[: prefix.rfind("/") + 1]


def _register(batches: list[IngestBatch]) -> list[IngestBatch]:
    """Those of them that are stored now and were not before, as stored. Another one may be registering the same."""
    if not batches:
        return []
    IngestBatch.objects.bulk_create(batches, ignore_conflicts=True)
    wanted = {_identity(batch) for batch in batches}
    stored = _batches_of(batch.object_key for batch in batches).filter(
        run=batches[0].run, last_modified__in={batch.last_modified for batch in batches}
    )
    return [batch for batch in stored if _identity(batch) in wanted]


def _identity(batch: IngestBatch) -> tuple[str, str, str | None, datetime]:
    return batch.object_key, batch.etag, batch.version_id, batch.last_modified
