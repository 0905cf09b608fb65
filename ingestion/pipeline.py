"""The story of one batch: claim, fetch, compare, stage, judge, publish, and its bytes to where they belong.

Whatever happens, the batch ends in a state that says so; data, refused rows, counts and state commit together.
"""

import logging
import time
from collections import Counter
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now

from clinical import audit
from ingestion import claims, failpoints, keeping, load, outages, reading, rules, sources, stages
from ingestion.claims import Claim
from ingestion.corrections import returned
from ingestion.load import Held
from ingestion.models import MAX_ATTEMPTS, STOPPED, ExcludedRows, IngestBatch, Source, Status
from ingestion.reader import Fetched
from ingestion.reading import Ahead, Reading
from ingestion.refusals import FileRefused

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What became of a batch, for the run that asked."""

    batch: IngestBatch

    @property
    def has_own_refusals(self) -> bool:
        """That rows were refused not only for want of parents."""
        return self.batch.refused_own > 0

    @property
    def is_stopped(self) -> bool:
        return self.batch.status in STOPPED


class _Duplicate(Exception):
    """The content is loaded already, by this batch."""

    def __init__(self, of: IngestBatch) -> None:
        super().__init__(of.pk)
        self.of = of


def ingest(batch_id: int, *, is_dry: bool = False, ahead: Ahead | None = None) -> Report | None:
    """Loads the batch, or says in its row why not. None where somebody else has it or it is not due.

    `ahead` may have read it already. Raises StorageUnavailable and the database's OperationalError: then the batch is
    due again.
    """
    with stages.of_batch(batch_id):
        return _ingest(batch_id, is_dry, ahead)


def _ingest(batch_id: int, is_dry: bool, ahead: Ahead | None) -> Report | None:
    pauses = outages.pauses()
    passing = 0
    while claim := claims.take(batch_id):
        failpoints.at("after_claim")
        try:
            with nullcontext() if is_dry else claims.heartbeat(partial(claims.renew, claim)):
                report = _attempt(claim, is_dry, ahead)
        except claims.ClaimLost:
            return None
        except OperationalError as error:
            passing += 1
            if connection.in_atomic_block or not outages.is_passing(error) or passing == outages.TRIES:
                raise
            logger.warning("Batch %s: refused for the sake of another transaction; again", batch_id)
            time.sleep(next(pauses))
            continue
        if report:
            return report
    batch = IngestBatch.objects.get(pk=batch_id)
    return Report(batch) if batch.status == Status.FAILED else None


def _attempt(claim: Claim, is_dry: bool, ahead: Ahead | None) -> Report | None:
    """One attempt; None where it broke off for a reason that another attempt may not meet."""
    batch = IngestBatch.objects.get(pk=claim.batch_id)
    with ExitStack() as stack:
        fetched: Fetched | None = None
        try:
            was_read = ahead.take(batch) if ahead else None
            if was_read:
                stack.enter_context(was_read)
            if was_read:
                fetched = was_read.fetched
            else:
                with _stage(stages.FETCHING, batch):
                    fetched = stack.enter_context(reading.fetch(batch))
            if returned.is_one(fetched):
                _take_back(claim, batch, fetched)
            else:
                _load(claim, batch, was_read or reading.read(batch, fetched, rules.in_force(batch)))
        except FileRefused as refused:
            claims.settle(
                claim, Status.REJECTED, reasons=[refused.reason], evidence=_told(fetched), **_content(fetched)
            )
        except Held as held:
            with transaction.atomic():
                claims.settle(claim, Status.HELD, reasons=held.reasons, evidence=held.evidence, **_content(fetched))
                ExcludedRows.objects.hold(batch, held.places)
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
        except claims.ClaimLost:
            raise
        except Exception as error:
            if outages.is_lost(error):
                raise  # and the attempt counts: a file may be what the server dies of
            if outages.is_nobodys_fault(error):
                if not connection.in_atomic_block:
                    claims.give_back(claim, counts=False)
                raise
            if not _give_up(claim, error):
                return None
        batch.refresh_from_db()
        if not is_dry:
            _put_where_it_belongs(batch, fetched)
    return Report(batch)


def _give_up(claim: Claim, error: Exception) -> bool:
    """True where the attempts are used up. The error's text may hold a patient's data: only its class is told."""
    logger.error("Batch %s, attempt %s broke off: %s", claim.batch_id, claim.attempt, type(error).__name__)
    if claim.attempt < MAX_ATTEMPTS:
        claims.give_back(claim, counts=True)
        return False
    claims.settle(claim, Status.FAILED, reasons=[f"INTERNAL_ERROR:{type(error).__name__}"])
    return True


def _stage(name: str, batch: IngestBatch) -> AbstractContextManager[None]:
    return stages.stage(name, batch.dataset or "", batch.pk)


def _content(fetched: Fetched | None) -> dict[str, Any]:
    return {"sha256": fetched.sha256} if fetched else {}


def _load(claim: Claim, batch: IngestBatch, read: Reading) -> None:
    """Publishes the file's rows."""
    fetched, found = read.fetched, read.records
    with transaction.atomic():
        load.lock_content(batch.kind_of_rows, fetched.sha256)
        earlier = _repeated(batch, fetched)
        with _stage(stages.READING, batch):
            staged = load.stage(batch, found.header, read.delivery, read.blocks, found.pick, is_look=bool(earlier))
        if earlier:  # only now it is known whose rows they are
            evidence = {"same_content_as_batch": earlier.pk, "of": earlier.business_date.isoformat()}
            raise Held(["SAME_CONTENT_NEW_DATE"], evidence, load.places_of(staged))
        with _stage(stages.RESOLVING, batch):
            refused_own = load.judge(staged)
        with _stage(stages.MERGING, batch):
            counts = load.publish(staged)
        warnings = staged.delivery.warnings + Counter(f"HEADER_UNKNOWN_COLUMN:{column}" for column in found.unknown)
        if not counts["rows_read"]:
            warnings["EMPTY_DATA"] += 1
        claims.settle(
            claim,
            Status.LOADED,
            warnings=dict(warnings),
            blank=found.blank,
            refused_own=refused_own,
            evidence={},
            **counts,
            **_content(fetched),
        )
        audit.note(None, "load", "ingest_batches", batch.pk, rows=counts["rows_read"], **_changed(counts))
        failpoints.at("mid_audit")
    failpoints.at("after_commit")


def _changed(counts: dict[str, Any]) -> dict[str, Any]:
    return {name: counts[name] for name in ("inserted", "updated") if counts.get(name)}


def _take_back(claim: Claim, batch: IngestBatch, fetched: Fetched) -> None:
    """A correction file: its rows are counted by their replays, so it counts none itself."""
    with transaction.atomic():
        told, unknown = returned.take(batch, fetched)
        warnings = {f"HEADER_UNKNOWN_COLUMN:{column}": 1 for column in unknown}
        evidence = {returned.EVIDENCE: told}
        claims.settle(claim, Status.LOADED, warnings=warnings, evidence=evidence, **_content(fetched))
        audit.note(None, "load", "ingest_batches", batch.pk, corrections=True)
        failpoints.at("mid_audit")
    failpoints.at("after_commit")


def _told(fetched: Fetched | None) -> dict[str, Any]:
    """The mark of a correction file that is refused: nobody waits for it as for a file of patients."""
    return {returned.EVIDENCE: {}} if fetched and returned.is_one(fetched) else {}


def _repeated(batch: IngestBatch, fetched: Fetched) -> IngestBatch | None:
    """Raises _Duplicate where the same content is loaded already. Returns the batch of an earlier day with it where no
    steward has said what that means."""
    same = IngestBatch.objects.loaded().filter(dataset=batch.dataset, sha256=fetched.sha256, rows_read__gt=0)
    same = same.filter(parent=None).exclude(pk=batch.pk)
    if not batch.kind_of_rows.is_event:
        last = same.in_version_order().last()
        if last and not _is_a_return(batch, last):
            raise _Duplicate(last)
        return None
    if again := same.filter(business_date=batch.business_date).first():
        raise _Duplicate(again)
    earlier = same.filter(business_date__lt=batch.business_date).in_version_order().last()
    is_answered = batch.release_as or Source.objects.filter(source=batch.source).exists()
    return None if is_answered else earlier


def _is_a_return(batch: IngestBatch, last: IngestBatch) -> bool:
    """That its source has said something else in between, so that the old content is news again."""
    said_last = max([last, *last.duplicates.all()], key=lambda b: (b.business_date, b.last_modified, b.object_key))
    between = IngestBatch.objects.loaded().filter(dataset=batch.dataset, source=batch.source, parent=None)
    between = between.exclude(sha256=last.sha256).newer_than(said_last)
    return between.exclude(pk__in=IngestBatch.objects.newer_than(batch).values("pk")).exists()


def _put_where_it_belongs(batch: IngestBatch, fetched: Fetched | None) -> None:
    """To the archive or to the held objects; what fails is tried again by each later run."""
    try:
        with _stage(stages.ARCHIVING, batch):
            keeping.keep(batch, fetched.file if fetched else None)
    except sources.StorageError as error:
        logger.warning("Batch %s: its object is not put away yet: %s", batch.pk, type(error).__name__)
    batch.refresh_from_db()
