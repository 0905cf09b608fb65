"""Inside the database, by the server's own catalogue: what is off, invalid, missing, nearly full or left behind."""

from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.utils import timezone

from clinical.audit import partitions
from clinical.months import next_month
from medilink.doctor.checks import check
from medilink.doctor.findings import Finding, Gravity, Kind

EXTENSIONS = ("pg_trgm",)
CONNECTIONS_PCT, SEQUENCE_PCT = 80, 70
IDLE_MINUTES = 10
LOCK_SECONDS = 60
TRANSACTIONS = 1_000_000_000  # of about 2.1 thousand million; autovacuum begins to force itself at 200 million
DEAD, DEAD_PCT = 1_000_000, 30

INVALID = Kind(
    "index-invalid",
    Gravity.WARNING,
    "An index is invalid",
    "It was made or remade beside other work, and that broke off. Queries do not use it, writes still pay for it.",
    "Make it anew, beside other work.",
)
UNCHECKED = Kind(
    "constraint-unchecked",
    Gravity.WARNING,
    "A promise was never checked on older rows",
    "A migration broke off between adding a constraint and validating it.",
    "Validate it; where a row breaks it, the statement says so and changes nothing.",
)
EXTENSION = Kind(
    "extension-missing",
    Gravity.ERROR,
    "An extension of the database is missing",
    "Searching for people by a part of their name fails.",
    "Make it, as a user who may.",
)
MANY = Kind(
    "connections-many",
    Gravity.WARNING,
    "Nearly all connections of the database are taken",
    "At the limit whoever comes next is refused.",
    "Fewer web or worker processes, a larger max_connections, or pgbouncer; SCALE.md has the arithmetic.",
)
IDLE = Kind(
    "transaction-idle",
    Gravity.WARNING,
    "A session holds a transaction open and does nothing",
    "What it has locked others wait for, and no vacuum frees what has died since.",
    "End it, unless somebody knows what it does; ours end by themselves.",
)
LOCKS = Kind(
    "lock-held",
    Gravity.WARNING,
    "A long transaction makes others wait for its locks",
    "Pages and answers that need the table end in a timeout, and whoever loads or migrates waits.",
    "A load or a migration ends by itself: see how far it is. Somebody's psql or BI tool: end it.",
)
VACUUM = Kind(
    "vacuum-behind",
    Gravity.WARNING,
    "Autovacuum is far behind",
    "The table grows and its queries become slower.",
    "See whether a transaction is held open (transaction-idle) or autovacuum is off; then vacuum by hand, at any time.",
)
WRAP = Kind(
    "wraparound-near",
    Gravity.ERROR,
    "Transaction numbers are running out",
    "At 2.1 thousand million PostgreSQL takes no more changes until it is vacuumed by hand.",
    "End old transactions and prepared ones, then vacuum every table of the database that is named.",
    "vacuumdb --all --freeze --jobs 2",
)
MONTH = Kind(
    "audit-month-missing",
    Gravity.WARNING,
    "The audit has no partition for a coming month",
    "Its lines go into the default partition: none is lost, but they are slower to search.",
    "See whether the schedule's entry *Make the audit's months* runs; migrate makes the months too.",
    "manage.py migrate",
)
SEQUENCE = Kind(
    "sequence-near-end",
    Gravity.WARNING,
    "A sequence of numbers is running out",
    "At its end nothing can be added to the table.",
    "Make the column a bigint, with its sequence, while there is time.",
)


def _rows(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        return list(cursor.fetchall())


# Those that are being made at this moment are invalid as well.
BAD_INDEXES = """
SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text FROM pg_index i
WHERE NOT i.indisvalid AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = i.indrelid)
    AND EXISTS (SELECT FROM pg_class c WHERE c.oid = i.indexrelid AND c.relkind = 'i')
ORDER BY 1
"""


@check("database", INVALID)
def indexes_are_valid() -> Iterator[Finding]:
    for index, table in _rows(BAD_INDEXES):
        yield INVALID.seen(f"{index} of {table}.", command=f"REINDEX INDEX CONCURRENTLY {index};")


NOT_VALID = """
SELECT conname, conrelid::regclass::text FROM pg_constraint
WHERE NOT convalidated AND connamespace = 'public'::regnamespace ORDER BY 1
"""


@check("database", UNCHECKED)
def constraints_are_validated() -> Iterator[Finding]:
    for name, table in _rows(NOT_VALID):
        command = f"ALTER TABLE {table} VALIDATE CONSTRAINT {name};"
        yield UNCHECKED.seen(f"{name} of {table}.", command=command)


@check("database", EXTENSION)
def extensions_are_there() -> Iterator[Finding]:
    found = {name for (name,) in _rows("SELECT extname FROM pg_extension")}
    for name in EXTENSIONS:
        if name not in found:
            yield EXTENSION.seen(f"{name} is not there.", command=f"CREATE EXTENSION {name};")


CONNECTIONS = """
SELECT count(*), current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
FROM pg_stat_activity WHERE backend_type = 'client backend'
"""


@check("database", MANY)
def connections_are_left() -> Iterator[Finding]:
    ((taken, most),) = _rows(CONNECTIONS)
    if 100 * taken >= CONNECTIONS_PCT * most:
        yield MANY.seen(f"{taken} of {most} are taken.")


IDLERS = """
SELECT pid, coalesce(usename, '?'), round(extract(epoch FROM clock_timestamp() - state_change) / 60)
FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'
    AND state_change < clock_timestamp() - make_interval(mins => %s) ORDER BY state_change
"""


@check("database", IDLE)
def no_transaction_is_idle() -> Iterator[Finding]:
    for pid, user, minutes in _rows(IDLERS, IDLE_MINUTES):
        what = f"Process {pid} of {user}, for {minutes:.0f} minutes."
        yield IDLE.seen(what, command=f"SELECT pg_terminate_backend({pid});")


# A table that nobody may even read, or others who wait. Tables that it is just making are not seen from here.
HOLDERS = """
SELECT holder.pid, holder.usename, extract(epoch FROM clock_timestamp() - holder.xact_start) / 60,
    (
        SELECT string_agg(DISTINCT c.relname, ', ') FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
        WHERE l.pid = holder.pid AND l.granted AND l.mode = 'AccessExclusiveLock'
            AND c.relnamespace = 'public'::regnamespace
    ) AS closed,
    (
        SELECT count(*) FROM pg_stat_activity waits
        WHERE waits.wait_event_type = 'Lock' AND holder.pid = ANY (pg_blocking_pids(waits.pid))
    ) AS waiting
FROM pg_stat_activity holder
WHERE holder.datname = current_database() AND holder.pid <> pg_backend_pid()
    AND holder.xact_start < clock_timestamp() - make_interval(secs => %s)
"""


@check("database", LOCKS)
def no_lock_is_held_for_long() -> Iterator[Finding]:
    for pid, user, minutes, closed, waiting in _rows(HOLDERS, LOCK_SECONDS):
        if closed or waiting:
            what = f"Process {pid} of {user}, for {minutes:.0f} minutes; {waiting} wait for it"
            yield LOCKS.seen(
                f"{what}{f', {closed} cannot be read' if closed else ''}.",
                command=f"SELECT pg_terminate_backend({pid});",
            )


DEAD_ROWS = """
SELECT relid::regclass::text, n_dead_tup FROM pg_stat_user_tables
WHERE n_dead_tup > %s AND 100 * n_dead_tup > %s * (n_live_tup + n_dead_tup) ORDER BY n_dead_tup DESC
"""


@check("database", VACUUM)
def vacuum_keeps_up() -> Iterator[Finding]:
    for table, dead in _rows(DEAD_ROWS, DEAD, DEAD_PCT):
        yield VACUUM.seen(f"{table} has {dead:,} dead rows.", command=f"VACUUM (ANALYZE) {table};")


@check("database", WRAP)
def transaction_numbers_are_left() -> Iterator[Finding]:
    for name, age in _rows("SELECT datname, age(datfrozenxid) FROM pg_database ORDER BY 2 DESC"):
        if age > TRANSACTIONS:
            yield WRAP.seen(f"Of the database {name} {age:,} are used.")


@check("database", MONTH)
def audit_has_its_months() -> Iterator[Finding]:
    there, this = {month for _, month in partitions.months()}, timezone.now().date().replace(day=1)
    missing = [month for month in (this, next_month(this)) if month not in there]
    if missing:
        yield MONTH.seen("Missing: " + ", ".join(f"{month:%B %Y}" for month in missing) + ".")


SEQUENCES = """
SELECT format('%%I.%%I', schemaname, sequencename), floor(100.0 * last_value / max_value)::int FROM pg_sequences
WHERE last_value > max_value / 100 * %s AND NOT cycle ORDER BY 2 DESC
"""


@check("database", SEQUENCE)
def sequences_last() -> Iterator[Finding]:
    for name, pct in _rows(SEQUENCES, SEQUENCE_PCT):
        yield SEQUENCE.seen(f"{name} is at {pct} % of its range.")
