"""What every step of one load shares: the batch, its staged rows, and the questions that all datasets ask of them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import DataError, connection, transaction
from django.db.models import BooleanField, Count, Exists, F, Func, Max, OuterRef, QuerySet, TextField, Value, Window

from clinical.keyed import Hashes, hashes
from clinical.locks import OF_LOADS, WHOLE_DATASET
from ingestion import staging
from ingestion.datasets import Dataset
from ingestion.models import IngestBatch
from ingestion.outages import NOTICE_DEAD_PEER
from ingestion.rows import Delivery
from ingestion.staging import Stopped
from ingestion.upsert import upsert

LOCKS_CONTENT, LOCKS_DATASET = (
    0x6D6D,
    OF_LOADS,
)  # the first keys of our advisory locks, beside that of ingestion/runs.py
MOST_LOCKS = 200  # the server's table of locks has room for thousands, for all sessions together
LOCK_TIMEOUT = "60s"
LONGEST_LOAD = "30min"  # to wait for another one


@dataclass
class Load:
    """One batch on its way into the tables; lives as long as the transaction that holds its staging tables."""

    batch: IngestBatch
    dataset: Dataset
    delivery: Delivery
    stage: Any  # the staging model of the dataset
    folder_state: str | None
    is_replay: bool
    is_snapshot: bool  # events stored under any day are the same events
    looked_at: datetime  # what a parent that this load could not see yet will bear, or a later instant
    is_look: bool = False  # nothing will be written: nobody is waited for, and nobody waits
    has_repetitions: bool = True  # no two events of the file have the same content, where false
    is_older: bool = False  # a newer delivery of the dataset is loaded already
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> "QuerySet[Any, Any]":
        return QuerySet(self.stage)

    @property
    def good(self) -> "QuerySet[Any, Any]":
        """The rows that still go on: neither refused nor collapsed into a later one."""
        return self.rows.filter(~Exists(Stopped.objects.filter(line=OuterRef("line"))))

    @cached_property
    def hashes(self) -> Hashes:
        """Also for the database, which finds their key in a table of this load: no text of a statement shows it."""
        found = hashes()
        staging.copy(staging.IndexKey, ("line", "key"), iter([f"1\t\\x{found.key.hex()}\r\n".encode()]))
        return found

    def stop(self, rows: "QuerySet[Any, Any]", reason: str | None) -> int:
        """Refuses the rows for a reason, or (None) collapses them."""
        stopped = upsert(Stopped, rows, {"line": "line", "reason": Value(reason, TextField())})
        if stopped:
            staging.analyze(Stopped)
        return stopped

    def warn(self, warning: str, count: int) -> None:
        if count:
            self.delivery.warnings[warning] += count


class IsDistinct(Func):
    """True where two values differ, null being a value like any other."""

    template = "(%(expressions)s)"
    arg_joiner = " IS DISTINCT FROM "
    output_field = BooleanField()
    arity = 2


def prepare_session(batch: IngestBatch) -> None:
    """What this transaction needs: room to sort, no JIT, and the mark by which triggers know a load from a person."""
    with connection.cursor() as cursor:
        cursor.execute(NOTICE_DEAD_PEER)
        cursor.execute(
            "SELECT set_config('medilink.batch', %s, true), set_config('work_mem', '128MB', true),"
            " set_config('jit', 'off', true), set_config('lock_timeout', %s, true)",
            [str(batch.pk), LONGEST_LOAD],
        )
        # A session that has used temporary tables before (the refresh of a mart does) is bound to what it had then;
        # that is slower, and no reason not to load.
        with suppress(DataError), transaction.atomic():
            cursor.execute("SELECT set_config('temp_buffers', '64MB', true)")


def lock_content(dataset: Dataset, sha256: str | None) -> None:
    """Of the same bytes delivered twice, the second one waits here until it can see what became of the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCKS_CONTENT, f"{dataset} {sha256}"])


def lock_dataset(load: Load) -> None:
    """No other load of the dataset merges from here on until this one is committed."""
    if load.is_look:
        return
    _lock("pg_advisory_xact_lock", load, [WHOLE_DATASET])
    _wait_no_longer()


def lock_whole(dataset: Dataset) -> None:
    """For whoever takes rows of the dataset back: no load of it merges until this transaction is over."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, %s)", [LOCKS_DATASET + [*Dataset].index(dataset), WHOLE_DATASET]
        )


def lock_facilities(load: Load, facility_ids: set[int]) -> None:
    """No other load of the dataset that speaks of these facilities merges from here on.

    What is looked up next can therefore not be overtaken: a row that another load is about to write would be met by
    the unique constraint alone, and what this one says about it would be lost.
    """
    if load.is_look:
        return None
    if len(facility_ids) > MOST_LOCKS:
        return lock_dataset(load)
    _lock("pg_advisory_xact_lock_shared", load, [WHOLE_DATASET])
    _lock("pg_advisory_xact_lock", load, sorted({facility_id % 2**31 for facility_id in facility_ids}))
    return _wait_no_longer()


def _lock(function: str, load: Load, keys: list[int]) -> None:
    """In ascending order, as everybody takes them: nobody can wait in a circle."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {function}(%s, key) FROM unnest(%s::int[]) key",  # noqa: S608  one of two names above
            [LOCKS_DATASET + [*Dataset].index(load.dataset), keys],
        )


def _wait_no_longer() -> None:
    """Waiting for other loads is over; who else holds a lock for longer than this is not one of us."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])


def end_session() -> None:
    """Whoever writes next in this transaction is a person again."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('medilink.batch', '', true)")


def is_known() -> Exists:
    """That a staged row meets a stored one."""
    return Exists(staging.Known.objects.filter(line=OuterRef("line")))


def meet(load: Load, rows: "QuerySet[Any, Any]", row_id: str) -> None:
    """Notes the stored row that each of `rows` meets; rows that meet one already keep it."""
    if upsert(
        staging.Known,
        rows.filter(~is_known(), **{f"{row_id}__isnull": False}),
        {"line": "line", "row_id": row_id},
        ignore_conflicts=True,
    ):
        staging.analyze(staging.Known)


def insert(load: Load, model: Any, rows: "QuerySet[Any, Any]", columns: Mapping[str, Any]) -> int:
    """Writes new rows, which the staged ones meet from now on. Left out: what somebody has written since the look."""
    inserted = upsert(model, rows, columns, ignore_conflicts=True, noted_in=staging.Known)
    if inserted:
        staging.analyze(staging.Known)
    staging.analyze_grown(model, inserted)
    return inserted


def collapse(load: Load, rows: "QuerySet[Any, Any]", partition: Sequence[Any], conflict: Mapping[str, Any]) -> None:
    """Of rows that are equal in `partition` the last line stays; where they conflict, none of them.

    `conflict` is one window function over the partition under a name, true where its rows contradict one another.
    """
    if not rows.values(*partition).annotate(n=Count("line")).filter(n__gt=1).exists():
        return
    groups = rows.annotate(last=Window(Max("line"), partition_by=[*partition]), **conflict)
    (is_conflict,) = conflict
    load.stop(groups.filter(**{is_conflict: True}), "DUP_IN_FILE_CONFLICT")
    load.stop(groups.filter(last__gt=F("line")), None)
