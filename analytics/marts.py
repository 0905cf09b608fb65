"""Refreshing the marts: which are stale, in what order, one process at a time, no reader ever waiting.

A mart is stale exactly where a transaction that its snapshot does not see has changed rows of its tables
(`row_changes`, filled by triggers), or a new day has begun in Lagos. No clock decides, so nothing is missed that was
being written while the mart was read.
"""

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.db import DatabaseError, DataError, connection, transaction
from django.utils import timezone

from analytics import shares
from analytics.history import MartRefresh, MartState
from analytics.relations import MARTS, RELATIONS, Kind, Relation
from clinical import replica
from clinical.api import statements
from clinical.locks import alone
from clinical.terms import counting
from ingestion import failpoints
from ingestion.models import ExcludedRows, IngestBatch, IngestRun

LOCK = 7_340_211  # of this database, for whoever refreshes
WORK_MEM = "256MB"  # one sort or hash of a nation's rows; one refresh runs at a time
LOCK_TIMEOUT = "10s"
KEPT = "1 hour"  # of row_changes; the counts of the API look back a minute
READS = {mart.name: mart.reads for mart in MARTS}
Why = MartRefresh.Why
Status = MartRefresh.Status


ELSEWHERE = "The marts are being refreshed by another process; there is nothing to do here."


class AlreadyRunning(Exception):
    """Another process refreshes the marts at this moment."""


class UnknownMart(Exception):
    """There is no mart of that name."""


@dataclass(frozen=True)
class Outcome:
    """What became of one mart; `status` is `fresh` where there was nothing to do."""

    mart: str
    status: str
    why: str = ""
    rows: int | None = None
    seconds: float = 0.0
    error: str = ""


# --- How far they are

# One line per mart. `why` is empty where the mart is fresh. A snapshot sees neither what is beyond its end nor what was
# being written at its time; each is one step into the index (LIMIT). Where any row outside the snapshot would do,
# PostgreSQL hopes to meet one soon, and reads an hour of changes in vain wherever all is fresh.
STATES = """
SELECT s.mart, s.as_of, s.rows, s.has_failed,
    CASE
        WHEN s.system <> %s THEN 'restored'
        WHEN s.has_failed THEN 'failed'
        WHEN EXISTS (
            SELECT FROM unnest(s.reads) AS base (name)
            CROSS JOIN LATERAL (
                SELECT xid FROM row_changes WHERE table_name = base.name ORDER BY xid DESC LIMIT 1
            ) AS newest
            WHERE newest.xid >= pg_snapshot_xmax(s.snapshot::pg_snapshot)
        ) OR EXISTS (
            SELECT FROM unnest(s.reads) AS base (name)
            CROSS JOIN pg_snapshot_xip(s.snapshot::pg_snapshot) AS writing (xid)
            CROSS JOIN LATERAL (
                SELECT FROM row_changes WHERE table_name = base.name AND xid = writing.xid LIMIT 1
            ) AS change
        ) THEN 'inputs'
        WHEN s.lagos_day <> staging.lagos_today() THEN 'day'
        ELSE ''
    END AS why
FROM mart_states s
"""


@dataclass(frozen=True)
class State:
    mart: str
    as_of: datetime
    rows: int
    has_failed: bool
    why: str

    @property
    def is_stale(self) -> bool:
        return bool(self.why)


def states() -> dict[str, State]:
    """How far each mart is that has ever been refreshed; one query, cheap enough for every answer."""
    server = replica.connection.settings_dict
    system = _system(server["HOST"], server["PORT"])
    return {row[0]: State(*row) for row in statements.fetch(STATES, [system])}


@cache
def _system(host: str, port: str) -> int:
    """The server's identity, asked once per process: PostgreSQL reads it from a file each time."""
    with replica.connection.cursor() as cursor:
        cursor.execute("SELECT system_identifier FROM pg_control_system()")
        (found,) = cursor.fetchone()
    return int(found)


def freshness(*names: str, known: dict[str, State] | None = None) -> tuple[datetime | None, bool]:
    """(as_of, stale) of an answer made of these relations: as old as the oldest. A view is always of now.

    None where one of them was never refreshed. `known` are the states, where somebody has asked for them.
    """
    kinds = {relation.name: relation.kind for relation in RELATIONS}
    asked = [name for name in names if kinds[name] == Kind.MATERIALIZED]
    if not asked:
        return timezone.now(), False
    known = states() if known is None else known
    found = [known.get(name) for name in asked]
    if not all(found):
        return None, True
    return min(state.as_of for state in found if state), any(state.is_stale for state in found if state)


def have_seen(run: IngestRun | None, *names: str) -> bool:
    """Whether a run is over, and each of these marts holds what it loaded."""
    if run is None or run.finished_at is None:
        return False
    known = states()
    found = [known.get(name) for name in names]
    return all(state and (state.as_of >= run.finished_at or not state.is_stale) for state in found)


# --- Refreshing


def refresh(*, only: Collection[str] = (), is_forced: bool = False, say: Any = None) -> list[Outcome]:
    """Refreshes what is stale (all, where forced) among `only`, or all marts; what fails does not stop the others.

    A stale mart that one of `only` is made of is refreshed before it; where that fails, both keep their rows, so that
    the two never contradict each other. `say(outcome)` is called after each.
    """
    unknown = set(only) - {mart.name for mart in MARTS}
    if unknown:
        raise UnknownMart(f"There is no mart {', '.join(sorted(unknown))}; known: {', '.join(m.name for m in MARTS)}.")
    asked = set(only) or {mart.name for mart in MARTS}
    outcomes: list[Outcome] = []
    with alone(LOCK, AlreadyRunning(ELSEWHERE)):
        _close_left_behind()
        _look_at_new_tables()
        for mart in _and_below(asked):
            failed = {one.mart for one in outcomes if one.status == Status.FAILED}
            outcome = _brought_up(mart, is_forced and mart.name in asked, failed)
            outcomes.append(outcome)
            if say:
                say(outcome)
        _forget_changes()
        ExcludedRows.objects.fold()
    return outcomes


# Tables of which PostgreSQL has never seen a row, after a first load or a restore: it takes what is neither deleted nor
# restricted for one row, and the marts of a million events for loops in loops. Autovacuum would look a minute later.
UNSEEN = """
SELECT name FROM unnest(%s) AS name
WHERE NOT EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = 'public' AND s.tablename = name)
"""


def _look_at_new_tables() -> None:
    tables = sorted(frozenset().union(*(mart.reads for mart in MARTS)))
    with connection.cursor() as cursor:
        cursor.execute(UNSEEN, [tables])
        for (table,) in cursor.fetchall():
            cursor.execute(f"ANALYZE {table}")


def _and_below(names: Collection[str]) -> list[Relation]:
    """These marts and those that they are made of, in the order of their dependencies."""
    wanted = set(names)
    for mart in reversed(MARTS):
        if mart.name in wanted:
            wanted.update(mart.depends_on)
    return [mart for mart in MARTS if mart.name in wanted]


def _brought_up(mart: Relation, is_forced: bool, failed: set[str]) -> Outcome:
    state = states().get(mart.name)
    why = Why.FORCED if is_forced else Why.FIRST if state is None else state.why
    if not why:
        return Outcome(mart.name, "fresh", rows=state.rows if state else None)
    record = MartRefresh.objects.create(mart=mart.name, started_at=timezone.now(), why=why)
    started = time.monotonic()
    upstream = failed & set(mart.depends_on)
    try:
        if upstream:
            raise _UpstreamFailed(f"It is made of {', '.join(sorted(upstream))}, which failed.")
        if "term_texts" in mart.reads:
            counting.bring_up()
        rows = _refreshed(mart, record)
    except (DatabaseError, _UpstreamFailed) as error:
        return _failed(mart, record, error, time.monotonic() - started)
    return Outcome(mart.name, Status.DONE, why, rows, time.monotonic() - started)


class _UpstreamFailed(Exception):
    pass


SNAPSHOT = """
SELECT pg_current_snapshot()::text, clock_timestamp(), staging.lagos_today(), system_identifier
FROM pg_control_system()
"""


def _refreshed(mart: Relation, record: MartRefresh) -> int:
    """In one transaction: the snapshot is taken first, so what the rows hold is at least what it says.

    A mart that is made of another is no further than that one: what has been written between the two refreshes makes
    both stale. Where it reads other tables besides, and that one lacks nothing, it is as far as it is itself.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for setting, value in (("work_mem", WORK_MEM), ("lock_timeout", LOCK_TIMEOUT)):
            cursor.execute("SELECT set_config(%s, %s, true)", [setting, value])
        # A concurrent refresh goes through a temporary table; the loads of the same session want this much for theirs.
        with suppress(DataError), transaction.atomic():
            cursor.execute("SELECT set_config('temp_buffers', '64MB', true)")
        cursor.execute(SNAPSHOT)
        snapshot, as_of, lagos_day, system = cursor.fetchone()
        batch_id = IngestBatch.objects.loaded().order_by("-id").values_list("id", flat=True).first()
        cursor.execute("SELECT relispopulated FROM pg_class WHERE oid = %s::regclass", [mart.table])
        how = "CONCURRENTLY" if cursor.fetchone()[0] else ""
        cursor.execute(f"REFRESH MATERIALIZED VIEW {how} {mart.table}")
        failpoints.at("mid_refresh")
        cursor.execute(f"SELECT count(*) FROM {mart.table}")  # noqa: S608  # a name of our own
        (rows,) = cursor.fetchone()
        # In this transaction: whoever sees its as_of sees whose rows the batches brought (analytics/trust.py).
        shares.count_new()
        now = {"as_of": as_of, "snapshot": snapshot, "system": system, "lagos_day": lagos_day}
        lacking = [
            state.mart
            for state in states().values()
            if state.mart in mart.depends_on and (state.is_stale or READS[state.mart] >= mart.reads)
        ]
        below = MartState.objects.filter(mart__in=lacking).order_by("as_of")
        now = below.values(*now).first() or now
        state = now | {"rows": rows, "reads": sorted(mart.reads), "has_failed": False}
        MartState.objects.update_or_create(mart=mart.name, defaults=state)
        done = {"status": Status.DONE, "as_of": now["as_of"], "rows": rows, "batch_id": batch_id}
        MartRefresh.objects.filter(pk=record.pk).update(finished_at=timezone.now(), **done)
    return int(rows)


def _failed(mart: Relation, record: MartRefresh, error: Exception, seconds: float) -> Outcome:
    """The error's class alone: its text may hold a row."""
    said = str(error) if isinstance(error, _UpstreamFailed) else f"{type(error.__cause__ or error).__name__}; {KEEPS}"
    MartRefresh.objects.filter(pk=record.pk).update(status=Status.FAILED, finished_at=timezone.now(), error=said)
    MartState.objects.filter(mart=mart.name).update(has_failed=True)
    return Outcome(mart.name, Status.FAILED, record.why, None, seconds, said)


KEEPS = "it keeps its rows; the next refresh tries again."


def _close_left_behind() -> None:
    """Whoever holds the lock knows that nobody else is at work: what is `running` was left by a dead process."""
    MartRefresh.objects.filter(status=Status.RUNNING).update(
        status=Status.FAILED, finished_at=timezone.now(), error=f"Its process ended; {KEEPS}"
    )


FORGET = """
DELETE FROM row_changes c
WHERE (
    c.at < clock_timestamp() - %s::interval
    AND NOT EXISTS (SELECT FROM mart_states s WHERE NOT pg_visible_in_snapshot(c.xid, s.snapshot::pg_snapshot))
) OR (
    c.xid >= pg_snapshot_xmax(pg_current_snapshot()) AND c.xid IS DISTINCT FROM pg_current_xact_id_if_assigned()
)
"""


def _forget_changes() -> None:
    """Changes that every mart has seen, and that no count looks back to any more.

    And those of transactions that are still to come here: a dump has brought them from another server, and no
    snapshot of this one would ever see them.
    """
    with connection.cursor() as cursor:
        cursor.execute(FORGET, [KEPT])
