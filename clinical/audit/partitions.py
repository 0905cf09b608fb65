"""The months of the audit: made before they begin, dropped when they have been kept for long enough.

Only the tables' owner can do either: a worker or a command, never the site.
"""

from datetime import date

from django.db import connection, transaction
from django.utils import timezone

from clinical.audit.deeds import note
from clinical.months import next_month

AHEAD = 2  # months that wait for their lines; what finds none falls into the default partition, and is lost nowhere
YEARS = 6  # 45 CFR 164.316(b)(2); Nigeria's law names no shorter time

_MONTHS = """
SELECT c.relname, to_date(substring(c.relname FROM '[0-9]{4}_[0-9]{2}$'), 'YYYY_MM')
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'audit_events'::regclass AND c.relname ~ '_[0-9]{4}_[0-9]{2}$' ORDER BY 2
"""
_OWED = """
SELECT month::date FROM (
    SELECT generate_series(date_trunc('month', now() AT TIME ZONE 'UTC'),
        date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => %s), interval '1 month') AS month
    UNION SELECT DISTINCT date_trunc('month', at AT TIME ZONE 'UTC') FROM audit_events_default
) owed ORDER BY month
"""


def first_kept(today: date | None = None) -> date:
    """The month of which the last day is not yet old enough."""
    today = today or timezone.now().date()
    return today.replace(year=today.year - YEARS, day=1)


def months() -> list[tuple[str, date]]:
    """(partition, month), the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS)
        return list(cursor.fetchall())


def make_ahead() -> int:
    """Makes the months that are owed, of lines in the default partition too; returns how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_OWED, [AHEAD])
        owed, made = cursor.fetchall(), 0
        for (month,) in owed:
            cursor.execute("SELECT make_audit_month(%s)", [month])
            made += cursor.fetchone()[0]
    return made


def index_closed() -> list[str]:
    """Gives the months that are over the index by which a patient is found; returns which are new.

    Not the present one: its lines would each pay for fifty entries, and to read a month through takes seconds.
    """
    made, today = [], timezone.now().date()
    for name, month in months():
        if next_month(month) >= today:
            break
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NULL", [f"{name}_patients"])
            (is_new,) = cursor.fetchone()
            if is_new:
                table, index = connection.ops.quote_name(name), connection.ops.quote_name(f"{name}_patients")
                cursor.execute(f"CREATE INDEX {index} ON {table} USING gin (patient_ids)")
                made.append(name)
    return made


def expired(today: date | None = None) -> list[tuple[str, date]]:
    return [(name, month) for name, month in months() if month < first_kept(today)]


def drop_expired(today: date | None = None) -> list[str]:
    """Drops the months that are older than six years, each with a line of the audit; returns their names."""
    dropped = []
    for name, month in expired(today):
        with transaction.atomic(), connection.cursor() as cursor:
            partition = connection.ops.quote_name(name)
            cursor.execute(f"SELECT count(*) FROM {partition}")  # noqa: S608  a partition's name
            (rows,) = cursor.fetchone()
            note(None, "drop", "audit_events", rows=rows, month=month.isoformat(), why="retention")
            cursor.execute(f"DROP TABLE {partition}")
        dropped.append(name)
    return dropped
