"""The way of a batch's bytes: from the input to the archive, or to the held prefix while somebody has to decide.

Copy, verify, and only then delete that one version and record it. What is interrupted is taken up by the next call.
It decides nothing about a batch: the status, read anew each time, says where the bytes belong.
"""

import logging
from datetime import timedelta
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from ingestion import failpoints, objects, sources
from ingestion.models import SETTLED, STOPPED, IngestBatch, IngestBatchQuerySet, Status
from ingestion.sources import Body, Headers, ObjectChanged, ObjectGone, S3Object, StorageError

logger = logging.getLogger(__name__)

STAY = ["UNKNOWN_DATASET", "OBJECT_GONE"]
WAITS = ["WAITS_FOR_PATIENTS"]
# The worker that loaded the batch may still hold the bytes that the input has lost, and be about to keep them.
PATIENCE = timedelta(hours=1)


def pending() -> IngestBatchQuerySet:
    """Batches whose bytes are not where they belong. Replays and local files have none in the bucket."""
    settled = Q(status__in=SETTLED, archived_at=None) & ~Q(status=Status.DISCARDED, reasons__overlap=STAY)
    stopped = Q(status__in=STOPPED) & ~Q(reasons__overlap=STAY)
    waiting = Q(status=Status.DISCOVERED, reasons=WAITS)
    unsafe = Q(held_key=None) & ~Q(object_key__startswith=settings.S3_ARCHIVE_PREFIX)
    return IngestBatch.objects.filter(
        settled | ((stopped | waiting) & unsafe), parent=None, bucket=settings.S3_BUCKET_NAME
    )


def keep_pending() -> int:
    """How many were brought where they belong. What fails is left for the next run and does not stop the others."""
    kept = 0
    for batch in pending().in_version_order():
        try:
            keep(batch)
            kept += 1
        except StorageError as error:
            logger.warning("The bytes of batch %s are not safe yet (%s).", batch.pk, type(error).__name__)
    return kept


def keep(batch: IngestBatch, local: BinaryIO | None = None) -> None:
    """Brings the bytes where the stored status wants them; `batch` is brought up to date.

    `local` are the bytes as delivered, for where the input has been overwritten. Raises StorageError; then the batch
    stays pending. May be called again, by anybody, at any time.
    """
    found = pending().filter(pk=batch.pk).first()
    if found is None:
        return
    try:
        _keep(found, local)
    except (ObjectChanged, ObjectGone):
        if not _give_up(found):
            raise
    batch.refresh_from_db(fields=["status", "reasons", "held_key", "archive_key", "archived_at"])


def open_batch(batch: IngestBatch) -> tuple[Body, Headers]:
    """The held copy where there is one, else the pinned object in the input."""
    held = _held_copy(batch) if batch.held_key else None
    try:
        return sources.open_object(held or _delivered(batch))
    except (ObjectChanged, ObjectGone):
        # A worker may have died between the safe copy and its record.
        if held or not (held := _held_copy(batch)):
            raise
    return sources.open_object(held)


def _keep(batch: IngestBatch, local: BinaryIO | None) -> None:
    is_history = batch.object_key.startswith(settings.S3_ARCHIVE_PREFIX)
    if batch.status not in SETTLED:
        name = objects.held_key(settings.S3_HELD_PREFIX, batch.business_date, batch.pk, batch.object_key)
        _move(batch, [_delivered(batch)], name, local, "held_key")
    elif is_history:
        _record(batch, [], archive_key=batch.object_key)
    else:
        name = objects.archive_key(settings.S3_ARCHIVE_PREFIX, batch.business_date, batch.object_key)
        held = _held_copy(batch)
        _move(batch, [*filter(None, [held]), _delivered(batch)], name, local, "archive_key")


def _move(batch: IngestBatch, origins: list[S3Object], name: str, local: BinaryIO | None, field: str) -> None:
    """From the first of the origins; then all of them are deleted."""
    metadata = sources.custody(_delivered(batch), batch.business_date, batch.sha256, batch.pk)
    try:
        key = _put(batch, origins[0], name, metadata, local)
    except sources.DestinationTaken:  # a moment ago, by a file of the same name from another folder
        key = _put(batch, origins[0], name, metadata, local)
    failpoints.at("after_archive_copy")
    _record(batch, origins, **{field: key})


def _put(batch: IngestBatch, origin: S3Object, name: str, metadata: dict[str, str], local: BinaryIO | None) -> str:
    key, is_free = sources.safe_key(_candidates(batch, name), metadata)
    sources.put_safe(origin, key, metadata, local, is_free=is_free)
    return key


def _record(batch: IngestBatch, origins: list[S3Object], **keys: str) -> None:
    """Deletes the origins and records the copy, if the batch is still what it was when copying began.

    The row stays locked meanwhile: nobody can take it up again between the last look at it and the delete.
    """
    changes: dict[str, Any] = dict(keys)
    if "archive_key" in keys:
        changes |= {"held_key": None, "archived_at": Now()}
    if batch.status == Status.LOADED:
        changes["status"] = Status.ARCHIVED
    with transaction.atomic():
        mine = _unchanged(batch)
        if mine.select_for_update(skip_locked=True).first() is None:
            return
        for origin in origins:
            sources.delete(origin)
        failpoints.at("after_delete")
        mine.update(**changes)


def _give_up(batch: IngestBatch) -> bool:
    """The bytes are neither in the input nor held: whoever loaded or stopped the batch had time to keep them."""
    lost: dict[str, Any] = {"archived_at": Now()} if batch.status in SETTLED else {"reasons": [*batch.reasons, STAY[1]]}
    is_lost = _unchanged(batch).filter(finished_at__lt=Now() - PATIENCE).update(**lost) == 1
    if is_lost:
        logger.warning("The bytes of batch %s are lost: overwritten or deleted before they were kept.", batch.pk)
    return is_lost


def _unchanged(batch: IngestBatch) -> IngestBatchQuerySet:
    return pending().filter(pk=batch.pk, status=batch.status, held_key=batch.held_key)


def _candidates(batch: IngestBatch, name: str) -> tuple[str, str]:
    """What could not be read to its end has no hash; the ETag tells its bytes as well."""
    return name, objects.alternative_key(name, batch.sha256 or batch.etag)


def _delivered(batch: IngestBatch) -> S3Object:
    return S3Object(batch.object_key, batch.etag, batch.version_id, batch.last_modified, batch.size)


def _held_copy(batch: IngestBatch) -> S3Object | None:
    """Also one that is not recorded; then its custody has to prove that it is this batch's."""
    name = objects.held_key(settings.S3_HELD_PREFIX, batch.business_date, batch.pk, batch.object_key)
    if not batch.held_key and not sources.is_anything_under(name.rpartition("/")[0] + "/"):
        return None
    for key in (batch.held_key,) if batch.held_key else _candidates(batch, name):
        found = sources.head(key)
        if found and found.object.size == batch.size and (key == batch.held_key or _proves(found, batch)):
            return found.object
    return None


def _proves(found: sources.Head, batch: IngestBatch) -> bool:
    origin = sources.from_custody(found)
    return origin is not None and (origin.original_key, origin.etag, origin.batch_id) == (
        batch.object_key,
        batch.etag,
        str(batch.pk),
    )
