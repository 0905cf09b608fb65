"""What a scrape asks the database and the broker. Each part by itself: one that fails or is slow leaves the others."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection, connections, transaction
from django.utils import timezone

from analytics import marts
from clinical import row_security
from clinical.replica import ALIAS as REPLICA
from clinical.values import LAGOS
from ingestion.models import SETTLED, STOPPED, IngestBatch, Status
from medilink import health
from medilink.alerts import PENDING
from medilink.broker import REFUSED as REFUSED_MESSAGES
from medilink.broker import counters
from medilink.models import Backup
from medilink.monitoring import counts, work
from medilink.monitoring.families import Sample

logger = logging.getLogger(__name__)
PATIENCE_MS = 2000  # for a part: Prometheus itself waits for ten seconds
LONG = 0.05  # seconds; a part that takes longer is asked once in a while
REMEMBERED_FOR = 60  # seconds
QUEUES = ("celery",)

# Of a nation's batches of years, each once.
BATCHES = """
SELECT coalesce(dataset, ''), status, count(*), sum(inserted), sum(updated), sum(unchanged), sum(collapsed),
    sum(rejected), coalesce(sum(extract(epoch FROM finished_at - started_at)), 0),
    count(*) FILTER (WHERE finished_at IS NOT NULL AND started_at IS NOT NULL)
FROM ingest_batches GROUP BY dataset, status
"""
OUTCOMES = ("inserted", "updated", "unchanged", "collapsed", "rejected")
STOPPED_BATCHES = """
SELECT split_part(reason, ':', 1), count(*)
FROM ingest_batches, unnest(reasons) AS reason WHERE status IN ('rejected', 'held', 'failed')
GROUP BY split_part(reason, ':', 1)
"""
REFUSED = """
SELECT split_part(reason, ':', 1), sum(n) FROM (
    SELECT reasons, count(*) AS n FROM rejected_rows WHERE state = 'open' GROUP BY reasons
) AS alike, unnest(reasons) AS reason GROUP BY split_part(reason, ':', 1)
"""
LAST_GOOD = """
SELECT extract(epoch FROM now() - max(finished_at)) FROM ingest_runs WHERE status IN ('done', 'some_rows_refused')
"""
LAST_NIGHT = """
SELECT id, extract(epoch FROM finished_at - started_at) FROM ingest_runs
WHERE kind = 'nightly' AND night_on IS NOT NULL AND finished_at IS NOT NULL AND started_at IS NOT NULL
ORDER BY night_on DESC LIMIT 1
"""
ROWS_OF_A_RUN = """
SELECT outcome, coalesce(sum(n), 0) FROM (VALUES ('inserted'), ('updated'), ('unchanged'), ('collapsed'), ('rejected'))
    AS known (outcome) LEFT JOIN (
    SELECT name, n FROM ingest_batches, LATERAL (VALUES ('inserted', inserted), ('updated', updated),
        ('unchanged', unchanged), ('collapsed', collapsed), ('rejected', rejected)) AS counts (name, n)
    WHERE run_id = %s AND status IN ('loaded', 'archived')
) AS found ON name = outcome GROUP BY outcome
"""
TONIGHT = """
SELECT coalesce((
    SELECT finished_at IS NOT NULL AND status <> 'broken_off' FROM ingest_runs WHERE night_on = %s
), false)::int WHERE EXISTS (SELECT FROM ingest_runs WHERE night_on IS NOT NULL)
"""
BEAT = "SELECT extract(epoch FROM now() - max(last_run_at)) FROM django_celery_beat_periodictask"
REFRESHES = """
SELECT s.mart, last.seconds, (SELECT count(*) FILTER (WHERE status = 'failed') FROM (
    SELECT status FROM mart_refreshes r WHERE r.mart = s.mart ORDER BY id DESC LIMIT 20) AS recent)
FROM mart_states s LEFT JOIN LATERAL (
    SELECT extract(epoch FROM finished_at - started_at) AS seconds FROM mart_refreshes r
    WHERE r.mart = s.mart AND status = 'done' ORDER BY id DESC LIMIT 1
) AS last ON true
"""
ROW_CHANGES = "SELECT count(*) FROM (SELECT FROM row_changes LIMIT 100000) AS kept"
CONNECTIONS = """
SELECT usename, count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename IS NOT NULL GROUP BY usename
"""
SERVER = "SELECT pg_database_size(current_database()), current_setting('max_connections')::int"
PLACE = "SELECT pg_current_wal_flush_lsn()::text"
# Of a server that has done all that the primary has, the last transaction may be as old as it likes. What it has heard
# of does not say so: it hears nothing once the primary no longer reaches it.
BEHIND = """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL WHEN pg_last_wal_replay_lsn() >= %s::pg_lsn THEN 0
    ELSE extract(epoch FROM now() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())) END
"""
SEALED = "SELECT extract(epoch FROM now() - max(at)) FROM audit_seals"
ALERTS = "SELECT split_part(cause, ':', 1), count(*) FROM alerts WHERE closed_at IS NULL GROUP BY 1"

Part = Callable[[], Iterator[Sample]]


def collected() -> list[Sample]:
    """Of all parts, and of each whether it failed and what it took. Told to who may see the whole country."""
    found: list[Sample] = []
    known = _known()
    with row_security.lifted():
        for name, part in PARTS.items():
            begun, has_failed = time.perf_counter(), 0.0
            try:
                found += known[name] if name in known else _asked(name, part)
            except (Error, redis.RedisError, ImproperlyConfigured) as error:  # clinical/row_security.py, of a replica
                logger.warning("The part %s of the metrics failed: %s", name, type(error).__name__)
                has_failed = 1.0
            found.append(("medilink_scrape_errors", {"part": name}, has_failed))
            found.append(("medilink_scrape_seconds", {"part": name}, time.perf_counter() - begun))
    return found


def counted() -> dict[str, float]:
    try:
        with counters() as kept:
            return counts.counted(kept)
    except redis.RedisError:
        return {}


def _asked(name: str, part: Part) -> list[Sample]:
    begun = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(PATIENCE_MS)])
        found = [*part()]
    if name in REMEMBERED and time.perf_counter() - begun > LONG:
        _remember(name, found)
    return found


def _remember(name: str, found: list[Sample]) -> None:
    """What took long is not asked again for a minute, by any process."""
    told = json.dumps([(series, labels, float(value)) for series, labels, value in found])
    with suppress(redis.RedisError), counters() as kept:
        kept.set(_key(name), told, REMEMBERED_FOR)


def _known() -> dict[str, list[Sample]]:
    try:
        with counters() as kept:
            told = kept.mget([_key(name) for name in REMEMBERED])
    except redis.RedisError:
        return {}
    return {name: [tuple(one) for one in json.loads(text)] for name, text in zip(REMEMBERED, told, strict=True) if text}


def _key(name: str) -> str:
    return f"medilink:remembered:{connection.settings_dict['NAME']}:{name}"


def _fetched(query: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def _one(name: str, query: str, *parameters: Any) -> Iterator[Sample]:
    """Nothing where it is null."""
    for (value,) in _fetched(query, *parameters):
        if value is not None:
            yield name, {}, value


def _build() -> Iterator[Sample]:
    version = str(settings.SPECTACULAR_SETTINGS["VERSION"])
    python = ".".join(map(str, sys.version_info[:3]))
    yield "medilink_build_info", {"version": version, "revision": settings.REVISION, "python": python}, 1
    yield "medilink_migrations_pending", {}, len(health.pending())


def _nights() -> Iterator[Sample]:
    yield from _one("medilink_last_good_run_age_seconds", LAST_GOOD)
    yield from _one("medilink_tonight_finished", TONIGHT, timezone.now().astimezone(LAGOS).date())
    for run, seconds in _fetched(LAST_NIGHT):
        yield "medilink_last_night_seconds", {}, seconds
        for outcome, rows in _fetched(ROWS_OF_A_RUN, run):
            yield "medilink_last_night_rows", {"outcome": outcome}, rows
    yield from _one("medilink_beat_age_seconds", BEAT)


def _batches() -> Iterator[Sample]:
    loaded: dict[str, list[Any]] = {}
    for dataset, status, number, *sums in _fetched(BATCHES):
        yield "medilink_batches", {"dataset": dataset, "status": status}, number
        if status in ("loaded", "archived"):
            before = loaded.get(dataset, [0] * len(sums))
            loaded[dataset] = [a + b for a, b in zip(before, sums, strict=True)]
    for dataset, (*rows, seconds, number) in loaded.items():
        for outcome, count in zip(OUTCOMES, rows, strict=True):
            yield "medilink_rows_total", {"dataset": dataset, "outcome": outcome}, count
        yield "medilink_load_seconds_sum", {"dataset": dataset}, seconds
        yield "medilink_load_seconds_count", {"dataset": dataset}, number


def _stopped() -> Iterator[Sample]:
    for reason, number in _fetched(STOPPED_BATCHES):
        yield "medilink_stopped_batches", {"reason": reason}, number
    late = IngestBatch.objects.filter(parent=None, finished_at__lt=timezone.now() - PENDING)
    safe = late.filter(status__in=STOPPED, held_key=None).exclude(reasons__overlap=["OBJECT_GONE"])
    unkept = late.filter(status__in={*SETTLED} - {Status.ARCHIVED}, archived_at=None)  # by the index, past most of all
    yield "medilink_objects_waiting", {"what": "archive"}, unkept.count()
    yield "medilink_objects_waiting", {"what": "safe_place"}, safe.count()


def _refused() -> Iterator[Sample]:
    for reason, number in _fetched(REFUSED):
        yield "medilink_open_rejected_rows", {"reason": reason}, number


def _marts() -> Iterator[Sample]:
    now = timezone.now()
    for state in marts.states().values():
        labels = {"mart": state.mart}
        yield "medilink_mart_age_seconds", labels, max(0.0, (now - state.as_of).total_seconds())
        yield "medilink_mart_stale", labels, state.is_stale
        yield "medilink_mart_failed", labels, state.has_failed
        yield "medilink_mart_rows", labels, state.rows
    for mart, seconds, failures in _fetched(REFRESHES):
        if seconds is not None:
            yield "medilink_mart_refresh_seconds", {"mart": mart}, seconds
        yield "medilink_mart_recent_failures", {"mart": mart}, failures
    yield from _one("medilink_row_changes", ROW_CHANGES)


def _database() -> Iterator[Sample]:
    for role, number in _fetched(CONNECTIONS):
        yield "medilink_database_connections", {"role": role}, number
    for size, most in _fetched(SERVER):
        yield "medilink_database_bytes", {}, size
        yield "medilink_database_max_connections", {}, most


def _replica() -> Iterator[Sample]:
    """Of a server that was promoted nobody knows how far it is from ours: an error of this part, and no figure."""
    if REPLICA in connections:
        ((place,),) = _fetched(PLACE)
        with connections[REPLICA].cursor() as cursor:
            cursor.execute(BEHIND, [place])
            (seconds,) = cursor.fetchone()
        if seconds is None:
            raise ImproperlyConfigured("DATABASE_REPLICA_URL names a server that follows nobody.")
        yield "medilink_replica_lag_seconds", {}, seconds


def _kept() -> Iterator[Sample]:
    if last := Backup.last_good():
        yield "medilink_last_backup_age_seconds", {}, (timezone.now() - last).total_seconds()
    yield from _one("medilink_audit_seal_age_seconds", SEALED)
    for kind, number in _fetched(ALERTS):
        yield "medilink_open_alerts", {"kind": kind}, number


def _broker() -> Iterator[Sample]:
    """That it is away is told; then the rest of it is absent."""
    try:
        with counters() as kept:
            yield from [*_of_broker(kept)]
    except redis.RedisError:
        yield "medilink_broker_up", {}, 0


def _of_broker(kept: "redis.Redis") -> Iterator[Sample]:
    memory: Any = kept.info("memory")
    yield "medilink_broker_up", {}, 1
    yield "medilink_broker_bytes", {}, memory["used_memory"]
    yield "medilink_broker_max_bytes", {}, memory.get("maxmemory", 0)
    for queue in QUEUES:
        yield "medilink_queue_length", {"queue": queue}, float(kept.llen(queue))
        yield "medilink_queue_oldest_seconds", {"queue": queue}, _waiting(kept.lindex(queue, -1))
    yield "medilink_unacknowledged_messages", {}, float(kept.hlen("unacked"))
    yield "medilink_refused_messages_total", {}, float(kept.get(REFUSED_MESSAGES) or 0)
    yield "medilink_workers_alive", {}, counts.workers_alive(kept)
    yield "medilink_http_requests_in_flight", {}, counts.in_flight(kept)


def _waiting(oldest: Any) -> float:
    """Of a message that says when it was queued; one that is none of ours says nothing."""
    try:
        return max(0.0, time.time() - float(json.loads(oldest)["headers"][work.QUEUED_AT])) if oldest else 0.0
    except (ValueError, KeyError, TypeError):
        return 0.0


PARTS: dict[str, Part] = {
    "build": _build,
    "nights": _nights,
    "batches": _batches,
    "stopped": _stopped,
    "refused": _refused,
    "marts": _marts,
    "database": _database,
    "replica": _replica,
    "kept": _kept,
    "broker": _broker,
}
REMEMBERED = ("batches", "stopped", "refused", "database")
