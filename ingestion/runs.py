"""One pass over what is due: discover, load in order, try waiting rows again, put bytes away.

Any number may be started at once, late or twice: the lock lets one through, and the batches say what is left to do.
"""

import logging
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import zip_longest
from typing import Any

from django.conf import settings
from django.db import DatabaseError, Error, OperationalError, connection, transaction
from django.db.models import Count, Exists, Max, OuterRef, Q, Sum
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from clinical.locks import need_own_session
from ingestion import (
    backfill,
    claims,
    discovery,
    failpoints,
    keeping,
    lanes,
    outages,
    replay,
    reports,
    sources,
    stages,
)
from ingestion.corrections import returned
from ingestion.datasets import Dataset
from ingestion.lanes import WAITS, Crew, Group
from ingestion.models import LEASE, LOADED, STOPPED, IngestBatch, IngestBatchQuerySet, IngestRun, Kind, Status
from ingestion.pipeline import Report
from ingestion.reading import Ahead

logger = logging.getLogger(__name__)

DONE, STOPPED_SOME, USAGE, AWAY, ALREADY_RUNNING, REFUSED_SOME = 0, 1, 2, 69, 75, 3
LOCKS_RUNS = 0x6D6C  # the first key of our advisory locks: "ml"
RECONNECTS = 5
IDS_AT_ONCE = 10_000
ALONE = Crew()


class AlreadyRunning(Exception):
    """Another run has this bucket and prefix."""


@dataclass
class Outcome:
    """What a run did; its exit code speaks of this run alone."""

    reports: list[Report] = field(default_factory=list)

    def exit_code(self) -> int:
        if any(report.is_stopped for report in self.reports):
            return STOPPED_SOME
        return REFUSED_SOME if any(report.has_own_refusals for report in self.reports) else DONE


Watch = Callable[[Report], None]
Foresee = Callable[[int, int], None]
Find = Callable[[IngestRun], list[IngestBatch]]


def request(kind: str, **columns: object) -> IngestRun:
    """A run to be carried out later, by whoever gets its id."""
    return IngestRun.objects.create(kind=kind, **columns)


def carry_out(
    run: IngestRun,
    *,
    find: Find | None = None,
    is_dry: bool = False,
    watch: Watch = lambda report: None,
    foresee: Foresee = lambda files, size: None,
    crew: Crew = ALONE,
) -> Outcome:
    """Finds what is due (by default in the input) and loads it; `watch` is told of each batch as it ends, `foresee`
    before of how many files and bytes there are.

    A database that goes away is waited for, a minute at a time, and the run goes on where its batches stand. Raises
    AlreadyRunning, StorageError or the database's OperationalError. Whatever it raises, the run's row says that it
    broke off.
    """
    with stages.of_run(run.pk):
        return _to_its_end(run, find or in_input(), is_dry, watch, foresee, crew)


def _to_its_end(run: IngestRun, find: Find, is_dry: bool, watch: Watch, foresee: Foresee, crew: Crew) -> Outcome:
    outcome = Outcome()
    began_at = IngestRun.objects.values_list(Now(), flat=True).get(pk=run.pk)

    def tell(report: Report) -> None:
        outcome.reports.append(report)
        watch(report)

    try:
        for tries_left in reversed(range(RECONNECTS)):
            try:
                _carry_out(run, find, is_dry, tell, foresee, crew)
                break
            except Error as error:
                is_hopeless = is_dry or connection.in_atomic_block or not tries_left or not outages.is_lost(error)
                if is_hopeless or not outages.wait_for_database():
                    if type(error) is DatabaseError:  # those above us expect a server that is away to be called so
                        raise OperationalError("The connection broke.") from error
                    raise
                logger.warning("Run %s: the database was away and is back; going on", run.pk)
        for batch in _untold(run, began_at, outcome):
            tell(Report(batch))
    except Exception as error:
        _break_off(run, error, is_dry)
        raise
    _end(run, outcome, is_dry)
    return outcome


def _untold(run: IngestRun, began_at: datetime, outcome: Outcome) -> IngestBatchQuerySet:
    """What ended while the connection was away to those who would have told it."""
    ended = IngestBatch.objects.filter(run=run, parent=None, finished_at__gte=began_at)
    ended = ended.exclude(status__in=lanes.UNFINISHED)
    return ended.exclude(pk__in=[report.batch.pk for report in outcome.reports]).order_by("finished_at")


def _carry_out(run: IngestRun, find: Find, is_dry: bool, tell: Watch, foresee: Foresee, crew: Crew) -> None:
    prefix = run.prefix or settings.S3_INPUT_PREFIX
    mine = IngestRun.objects.filter(pk=run.pk)

    def renew() -> None:
        mine.update(lease_until=Now() + LEASE)
        claims.end_expired()  # one that is paused may hold the lock that a lane of ours waits for

    with _alone(prefix), claims.heartbeat(renew):
        mine.update(
            status=IngestRun.State.RUNNING,
            started_at=Now(),
            finished_at=None,
            lease_until=Now() + LEASE,
            **lanes.CLOSED,
        )
        if not is_dry and not connection.in_atomic_block:
            claims.wait_for_the_dead()
        with _dry(is_dry):
            _pass(run, prefix, find, is_dry, tell, foresee, crew)


def _pass(run: IngestRun, prefix: str, find: Find, is_dry: bool, tell: Watch, foresee: Foresee, crew: Crew) -> None:
    if not is_dry:
        keeping.keep_pending()
    _revive(run, prefix)
    for batch in find(run):
        if batch.status == Status.REJECTED:
            tell(Report(batch))
    failpoints.at("after_list")
    found = _of_run(run, prefix).aggregate(files=Count("pk"), size=Coalesce(Sum("size"), 0))
    foresee(found["files"], found["size"])
    # A second look finds what was overwritten while the first files were being loaded.
    for _look in (1, 2):
        is_overwritten = False
        for report in _load_due(run, prefix, is_dry, crew):
            is_overwritten |= report.batch.reasons == ["OBJECT_OVERWRITTEN"]
            tell(report)
        if is_dry or not is_overwritten:
            break
        IngestRun.objects.filter(pk=run.pk).update(**lanes.CLOSED)
        find(run)
    for batch in replay.retry_waiting(run, stages=[0, 1, 2]):
        tell(Report(batch))


def in_input(business_date: date | None = None) -> Find:
    """What lies in the input under the run's prefix or keys; `business_date` in place of what names and folders say."""

    def find(run: IngestRun) -> list[IngestBatch]:
        prefix, keys = run.prefix or settings.S3_INPUT_PREFIX, run.keys or None
        return discovery.discover(prefix, run=run, kind=run.kind, keys=keys, business_date=business_date)

    return find


def _load_due(run: IngestRun, prefix: str, is_dry: bool, crew: Crew) -> Iterator[Report]:
    """Facilities, patients and then, once the patients who waited for a facility have been tried again, events."""
    are_parents_done = False
    batches = _of_run(run, prefix)
    # What is delivered from here on is for the next run: its patients may belong to a group that is closed already.
    batches = batches.filter(pk__lte=batches.aggregate(last=Max("pk"))["last"] or 0)
    groups = _groups(batches)
    with Ahead(0 if is_dry else crew.threads - 1) as ahead:
        for group, after in zip_longest(groups, groups[1:]):
            ahead.begin(after.of(batches).in_version_order()[: crew.threads] if after else ())
            if group.stage == Dataset.TRIAGE_VISITS.stage and not are_parents_done:
                yield from (Report(again) for again in replay.retry_waiting(run, stages=[1]))
                are_parents_done = True
            _open(run, group, batches, is_dry)
            yield from lanes.load(run, group, crew, is_dry=is_dry, ahead=ahead)


def _of_run(run: IngestRun, prefix: str) -> IngestBatchQuerySet:
    """What it has to load: what is its own, or whatever is due."""
    if run.kind in (Kind.BACKFILL, Kind.REPLAY):
        return IngestBatch.objects.claimable().filter(run=run)
    return due(prefix, run.keys)


def _groups(batches: IngestBatchQuerySet) -> list[Group]:
    found = batches.order_by().values_list("dataset", "business_date").distinct()
    return sorted(
        {Group(Dataset(dataset).stage, day) for dataset, day in found if dataset}, key=lambda g: (g.stage, g.day)
    )


def _open(run: IngestRun, group: Group, batches: IngestBatchQuerySet, is_dry: bool) -> None:
    """Makes the group's due batches those of the run; the events that have to wait for their patients are put safe."""
    due_now = group.of(batches)
    waiting = [*_waiting(due_now)] if group.stage == Dataset.TRIAGE_VISITS.stage else []
    for batch in waiting:
        _wait(batch, is_dry)
    ready = [*due_now.exclude(pk__in=[batch.pk for batch in waiting]).values_list("pk", flat=True)]
    for chunk in _chunks(ready):
        mine = IngestBatch.objects.filter(pk__in=chunk)
        mine.filter(status=Status.DISCOVERED).update(run=run, reasons=[])
        mine.filter(status=Status.LOADING).update(run=run)


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    return (ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE))


def due(prefix: str, keys: Collection[str] = ()) -> IngestBatchQuerySet:
    """What the database says is to be loaded now: never loaded yet, or left by a dead worker."""
    batches = IngestBatch.objects.claimable().filter(
        bucket=settings.S3_BUCKET_NAME, parent=None, object_key__startswith=prefix
    )
    return batches.filter(object_key__in=keys) if keys else batches


def is_anything_due(prefix: str) -> bool:
    """That a run would load something; events that are known to wait are no reason for one."""
    found = due(prefix)
    return found.exclude(reasons=[WAITS]).exists() or found.exclude(pk__in=_waiting(found).values("pk")).exists()


def _revive(run: IngestRun, prefix: str) -> None:
    """A run that a person starts counts attempts anew and takes failed batches along, but not what is gone."""
    if run.kind != Kind.MANUAL:
        return
    failed = IngestBatch.objects.filter(bucket=settings.S3_BUCKET_NAME, parent=None, object_key__startswith=prefix)
    failed = failed.filter(status=Status.FAILED).exclude(reasons__overlap=["OBJECT_GONE"])
    failed = failed.filter(object_key__in=run.keys) if run.keys else failed
    failed.update(status=Status.DISCOVERED, reasons=[], attempts=0)
    due(prefix, run.keys).filter(status=Status.DISCOVERED).update(attempts=0)


# --- Events wait for their patients


def _waiting(batches: IngestBatchQuerySet) -> IngestBatchQuerySet:
    """The events among them that wait: while a patients file of their folder is stopped and no later delivery of it
    has loaded, for a day at most."""
    patients = IngestBatch.objects.filter(dataset=Dataset.PATIENTS, parent=None)
    # LastModified has whole seconds; of two deliveries in one, the later one was found later.
    is_later = Q(last_modified__gt=OuterRef("last_modified"))
    is_later |= Q(last_modified=OuterRef("last_modified"), pk__gt=OuterRef("pk"))
    # Numbers in its name do not tell a source; so that night's files of other folders may be of another sender.
    is_its_own = Q(folder=OuterRef("folder")) | Q(business_date__gt=OuterRef("business_date"))
    later = patients.filter(is_later & is_its_own, bucket=OuterRef("bucket"), source=OuterRef("source"))
    later = later.filter(status__in=(*LOADED, Status.DUPLICATE))
    stopped = patients.filter(~Exists(later), status__in=STOPPED).exclude(evidence__has_key=returned.EVIDENCE)
    events = batches.exclude(dataset__in=(Dataset.FACILITIES, Dataset.PATIENTS)).filter(release_as=None)
    return events.filter(
        Exists(stopped.filter(bucket=OuterRef("bucket"), folder=OuterRef("folder"))),
        discovered_at__gt=timezone.now() - settings.INGEST_PARENT_WAIT,
    )


def _wait(batch: IngestBatch, is_dry: bool) -> None:
    """The bytes are put safe, because the app will overwrite them."""
    IngestBatch.objects.filter(pk=batch.pk, status=Status.DISCOVERED).update(reasons=[WAITS])
    if not is_dry:
        try:
            keeping.keep(batch)
        except sources.StorageError as error:
            logger.warning("Batch %s waits and is not put safe yet: %s", batch.pk, type(error).__name__)


# --- The run itself


@contextmanager
def _alone(prefix: str) -> Iterator[None]:
    """A lock that ends with the connection, however this process ends."""
    key = zlib.crc32(f"{settings.S3_BUCKET_NAME}/{prefix}".encode()) - 2**31
    need_own_session()
    with connection.cursor() as cursor:
        cursor.execute(outages.NOTICE_DEAD_PEER)
    if not _try_lock(key):
        _end_holder(prefix, key)
        if not _try_lock(key):
            raise AlreadyRunning("Another run is at work on this prefix; this one has nothing to do.")
    try:
        yield
    finally:
        # Where the connection is gone the lock is gone, too.
        if connection.connection and not connection.connection.closed:
            with suppress(Error), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCKS_RUNS, key])


def _try_lock(key: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCKS_RUNS, key])
        return bool(cursor.fetchone()[0])


def _end_holder(prefix: str, key: int) -> None:
    """Ends the session that has the lock where no run of the prefix is alive by its lease: its process is paused."""
    same = ["", prefix] if prefix == settings.S3_INPUT_PREFIX else [prefix]
    alive = IngestRun.objects.filter(status=IngestRun.State.RUNNING, prefix__in=same, lease_until__gt=Now())
    for pause in (1.0, 0.0):  # it may have the lock and be about to write its lease
        if alive.exists():
            return
        time.sleep(pause)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid = %s AND objid = %s AND pid <> pg_backend_pid()"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LOCKS_RUNS, key % 2**32],
        )


def is_at_work(prefix: str = "") -> bool:
    """That a run has this prefix at the moment, or is about to."""
    prefix = prefix or settings.S3_INPUT_PREFIX
    key = zlib.crc32(f"{settings.S3_BUCKET_NAME}/{prefix}".encode()) - 2**31
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            [LOCKS_RUNS, key % 2**32],
        )
        has_lock = bool(cursor.fetchone()[0])
    waiting = IngestRun.objects.filter(kind=Kind.MANUAL, status=IngestRun.State.QUEUED)
    same = ["", prefix] if prefix == settings.S3_INPUT_PREFIX else [prefix]
    return has_lock or waiting.filter(prefix__in=same).exists()


@contextmanager
def _dry(is_dry: bool) -> Iterator[None]:
    """The same run with the same verdicts, in one transaction that is never committed."""
    if not is_dry:
        yield
        return
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _end(run: IngestRun, outcome: Outcome, is_dry: bool) -> None:
    if is_dry and not run.is_dry:
        run.delete()
        return
    state = {
        DONE: IngestRun.State.DONE,
        REFUSED_SOME: IngestRun.State.SOME_ROWS_REFUSED,
        STOPPED_SOME: IngestRun.State.SOME_FILES_STOPPED,
    }[outcome.exit_code()]
    IngestRun.objects.filter(pk=run.pk).update(
        status=state, finished_at=Now(), **lanes.CLOSED, report=_told(outcome) if is_dry else []
    )


def _told(outcome: Outcome) -> list[dict[str, Any]]:
    """What a dry run has to say, since it leaves no batches behind."""
    return [reports.as_dict(report.batch) | {"batch_id": None} for report in outcome.reports]


def _break_off(run: IngestRun, error: Exception, is_dry: bool) -> None:
    """Of an error that is none of ours only the class is told: its text may hold a patient's data."""
    if isinstance(error, AlreadyRunning | sources.StorageError | backfill.NoDate):
        said = str(error)
    elif outages.is_of_the_server(error):
        said = outages.told(error)
    else:
        said = f"It broke off unexpectedly ({type(error).__name__}); start it again."
    rows = IngestRun.objects.filter(pk=run.pk)
    try:
        if is_dry and not run.is_dry:
            rows.delete()
        else:
            if isinstance(error, AlreadyRunning):  # a message that came twice: the run is in good hands
                rows = rows.exclude(status=IngestRun.State.RUNNING, lease_until__gt=Now())
            rows.update(status=IngestRun.State.BROKEN_OFF, finished_at=Now(), error=said[:500])
    except Error:
        logger.warning("Run %s broke off and cannot be written to", run.pk)
