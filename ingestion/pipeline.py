"""The story of one batch: claim, fetch, compare, stage, judge, publish, and its bytes to where they belong.

Whatever happens, the batch ends in a state that says so; data, refused rows, counts and state commit together.
"""

import logging
from collections import Counter
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Now

from ingestion import backfill, claims, keeping, load, reader, sources
from ingestion.claims import Claim
from ingestion.load import Held
from ingestion.models import MAX_ATTEMPTS, STOPPED, IngestBatch, Source, Status
from ingestion.reader import Fetched
from ingestion.records import records
from ingestion.refusals import FileRefused

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What became of a batch, for the run that asked. `has_own_refusals`: rows refused not only for want of parents."""

    batch: IngestBatch
    has_own_refusals: bool = False

    @property
    def is_stopped(self) -> bool:
        return self.batch.status in STOPPED


class _Duplicate(Exception):
    """The content is loaded already, by this batch."""

    def __init__(self, of: IngestBatch) -> None:
        super().__init__(of.pk)
        self.of = of


def ingest(batch_id: int, *, is_dry: bool = False) -> Report | None:
    """Loads the batch, or says in its row why not. None where somebody else has it or it is not due.

    Raises StorageUnavailable and the database's OperationalError: then the batch is due again.
    """
    while claim := claims.take(batch_id):
        try:
            with nullcontext() if is_dry else claims.heartbeat(claim):
                report = _attempt(claim, is_dry)
        except claims.ClaimLost:
            return None
        if report:
            return report
    batch = IngestBatch.objects.get(pk=batch_id)
    return Report(batch) if batch.status == Status.FAILED else None


def _attempt(claim: Claim, is_dry: bool) -> Report | None:
    """One attempt; None where it broke off for a reason that another attempt may not meet."""
    batch = IngestBatch.objects.get(pk=claim.batch_id)
    has_own_refusals = False
    with ExitStack() as stack:
        fetched: Fetched | None = None
        try:
            fetched = _fetch(batch, stack)
            has_own_refusals = _load(claim, batch, fetched)
        except FileRefused as refused:
            claims.settle(claim, Status.REJECTED, reasons=[refused.reason], **_content(fetched))
        except Held as held:
            claims.settle(claim, Status.HELD, reasons=held.reasons, evidence=held.evidence, **_content(fetched))
        except _Duplicate as same:
            claims.settle(claim, Status.DUPLICATE, duplicate_of=same.of, **_content(fetched))
        except sources.ObjectChanged:
            claims.settle(
                claim, Status.DISCARDED, reasons=["OBJECT_OVERWRITTEN"], archived_at=Now()
            )  # no bytes to keep
        except sources.ObjectGone:
            claims.settle(claim, Status.FAILED, reasons=["OBJECT_GONE"])
        except sources.StorageUnavailable:
            claims.give_back(claim, counts=False)
            raise
        except (OperationalError, InterfaceError, claims.ClaimLost):
            raise
        except Exception as error:
            if not _give_up(claim, error):
                return None
        batch.refresh_from_db()
        if not is_dry:
            _put_where_it_belongs(batch, fetched)
    return Report(batch, has_own_refusals)


def _give_up(claim: Claim, error: Exception) -> bool:
    """True where the attempts are used up. The error's text may hold a patient's data: only its class is told."""
    logger.error("Batch %s, attempt %s broke off: %s", claim.batch_id, claim.attempt, type(error).__name__)
    if claim.attempt < MAX_ATTEMPTS:
        claims.give_back(claim, counts=True)
        return False
    claims.settle(claim, Status.FAILED, reasons=[f"INTERNAL_ERROR:{type(error).__name__}"])
    return True


def _fetch(batch: IngestBatch, stack: ExitStack) -> Fetched:
    body, headers = backfill.open_local(batch) if backfill.is_local(batch) else keeping.open_batch(batch)
    with body:
        is_gzip = batch.object_key.lower().endswith(".gz")
        fetched = reader.fetch(body, headers, is_gzip=is_gzip, max_bytes=settings.INGEST_MAX_BYTES)
    return stack.enter_context(fetched)


def _content(fetched: Fetched | None) -> dict[str, Any]:
    return {"sha256": fetched.sha256} if fetched else {}


def _load(claim: Claim, batch: IngestBatch, fetched: Fetched) -> bool:
    """Publishes the file's rows; returns whether some were refused for their own content."""
    found = records(fetched, batch.kind_of_rows)  # its verdict on the file comes first
    _compare(batch, fetched)
    with transaction.atomic():
        staged = load.stage(
            batch, found.header, found.chunks(), lambda lines: records(fetched, batch.kind_of_rows).pick(lines)
        )
        has_own_refusals = load.judge(staged)
        counts = load.publish(staged)
        warnings = staged.delivery.warnings + Counter(f"HEADER_UNKNOWN_COLUMN:{column}" for column in found.unknown)
        if not counts["rows_read"]:
            warnings["EMPTY_DATA"] += 1
        claims.settle(
            claim, Status.LOADED, warnings=dict(warnings), blank=found.blank, evidence={}, **counts, **_content(fetched)
        )
    return has_own_refusals


def _compare(batch: IngestBatch, fetched: Fetched) -> None:
    """Raises _Duplicate or Held where the same content is loaded already and no steward has said what that means."""
    same = IngestBatch.objects.loaded().filter(dataset=batch.dataset, sha256=fetched.sha256, rows_read__gt=0)
    same = same.filter(parent=None).exclude(pk=batch.pk)
    if not batch.kind_of_rows.is_event:
        last = same.in_version_order().last()
        if last and not _is_a_return(batch, last):
            raise _Duplicate(last)
        return
    if again := same.filter(business_date=batch.business_date).first():
        raise _Duplicate(again)
    earlier = same.filter(business_date__lt=batch.business_date).in_version_order().last()
    is_answered = batch.release_as or Source.objects.filter(source=batch.source).exists()
    if earlier and not is_answered:
        evidence = {"same_content_as_batch": earlier.pk, "of": earlier.business_date.isoformat()}
        raise Held(["SAME_CONTENT_NEW_DATE"], evidence)


def _is_a_return(batch: IngestBatch, last: IngestBatch) -> bool:
    """That its source has said something else in between, so that the old content is news again."""
    said_last = max([last, *last.duplicates.all()], key=lambda b: (b.business_date, b.last_modified, b.object_key))
    between = IngestBatch.objects.loaded().filter(dataset=batch.dataset, source=batch.source, parent=None)
    between = between.exclude(sha256=last.sha256).newer_than(said_last)
    return between.exclude(pk__in=IngestBatch.objects.newer_than(batch).values("pk")).exists()


def _put_where_it_belongs(batch: IngestBatch, fetched: Fetched | None) -> None:
    """To the archive or to the held objects; what fails is tried again by each later run."""
    try:
        keeping.keep(batch, fetched.file if fetched else None)
    except sources.StorageError as error:
        logger.warning("Batch %s: its object is not put away yet: %s", batch.pk, type(error).__name__)
    batch.refresh_from_db()
