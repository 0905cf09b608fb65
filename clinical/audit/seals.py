"""A chain of digests over what has been committed to the audit and to the changes of rows: nothing is changed unseen.

A seal covers all lines of the transactions between two horizons, below which none is running any more: whatever
commits later, and in whatever order, belongs to a later seal. Where a database is restored into another cluster,
transactions are counted anew there; its lines form an era of their own, told apart by their ids.
"""

from typing import Any, NamedTuple

from django.db import connection, transaction

from clinical.audit.deeds import set_local, unhurried
from clinical.models import AuditSeal

LOCK = 7_340_219
NEVER = 2**63 - 1  # the horizon of an era that is over
EVENTS, REVISIONS = AuditSeal.Of.EVENTS.value, AuditSeal.Of.REVISIONS.value
WHENEVER = ("-infinity", "infinity")

# A line as its digest sees it. Both tables are read as UTC and ISO dates, wherever the server stands.
LINES = {
    EVENTS: 'ROW(id, at, xid, actor_id, roles, action, outcome, purpose, "table", object_id, patient_ids, rows,'
    " batch_id, route, request_id, address, details)",
    REVISIONS: 'ROW(id, at, xid, "table", object_id, digest_of_content(was, salt), digest_of_content(became, salt),'
    " event_id, batch_id, role)",
}
# By month and by the last of the given horizons that a line's transaction has reached.
STRETCHES = """
SELECT month, reached, count(*), range_agg(int8range(id, id, '[]'))::text,
       sha256(string_agg(digest, ''::bytea ORDER BY id))
FROM (
    SELECT id, date_trunc('month', at AT TIME ZONE 'UTC')::date AS month,
           width_bucket(xid, %(horizons)s::bigint[]) AS reached, sha256(convert_to({line}::text, 'UTF8')) AS digest
    FROM {table}
    WHERE id > %(above)s AND id <= %(until)s AND xid >= %(first)s AND xid < %(last)s
      AND at >= %(begins)s AND at < %(ends)s
) lines GROUP BY month, reached ORDER BY month, reached
"""
DIGEST = """sha256(convert_to(concat_ws('|', encode(before, 'hex'), "table", month, cluster, above_id, from_xid, to_xid,
    ids, rows, encode(content, 'hex')), 'UTF8'))"""
KEEP = f"""
INSERT INTO audit_seals ("table", month, cluster, above_id, from_xid, to_xid, ids, rows, content, before, digest)
SELECT *, {DIGEST} FROM (
    SELECT %(table)s::varchar AS "table", %(month)s::date AS month, %(cluster)s::bigint AS cluster,
           %(above)s::bigint AS above_id, %(from)s::bigint AS from_xid, %(to)s::bigint AS to_xid,
           %(ids)s::int8multirange AS ids, %(rows)s::int AS rows, %(content)s::bytea AS content,
           %(before)s::bytea AS before
) seal RETURNING digest
"""  # noqa: S608  our own
NOW = """
SELECT (pg_control_system()).system_identifier, pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""
ERAS = """
SELECT above_id, coalesce(max(to_xid) FILTER (WHERE to_xid < %s), 0), max(upper(ids)) - 1,
       (array_agg(cluster ORDER BY id DESC))[1], coalesce(bool_or(to_xid = %s), false)
FROM audit_seals WHERE "table" = %s GROUP BY above_id ORDER BY above_id
"""


class Era(NamedTuple):
    """Of one table, while its transactions were counted by one cluster: ids in (above, until]."""

    above: int
    until: int
    horizon: int  # up to which its transactions are sealed
    last_id: int  # of those
    cluster: int
    is_closed: bool


class Stretch(NamedTuple):
    """The lines of one month, of the transactions from one horizon to the next."""

    month: Any
    start: int
    rows: int
    ids: str
    content: bytes


def now() -> tuple[int, int, int]:
    """(the cluster, the oldest transaction that is running, the next one that will begin)"""
    with connection.cursor() as cursor:
        cursor.execute(NOW)
        cluster, oldest, following = cursor.fetchone()
    return cluster, oldest, following


def eras(table: str) -> list[Era]:
    """Of what is sealed; the last one goes on."""
    with connection.cursor() as cursor:
        cursor.execute(ERAS, [NEVER, NEVER, table])
        found = cursor.fetchall()
    ends = [*(above for above, *_ in found[1:]), NEVER][: len(found)]
    return [Era(above, end, *rest) for (above, *rest), end in zip(found, ends, strict=True)]


def head() -> str:
    """The last digest of the chain, in hexadecimal; empty where nothing is sealed."""
    last = AuditSeal.objects.order_by("-id").values_list("digest", flat=True).first()
    return bytes(last).hex() if last else ""


def stretches(
    table: str, era: Era, horizons: list[int], last: int = NEVER, span: tuple[str, str] = WHENEVER
) -> list[Stretch]:
    """Of the transactions from the first of these horizons on, with their digests as they are now."""
    known: dict[str, Any] = {
        "horizons": horizons,
        "above": era.above,
        "until": era.until,
        "first": horizons[0],
        "last": last,
    }
    with connection.cursor() as cursor:
        sql = STRETCHES.format(line=LINES[table], table=table)
        cursor.execute(sql, known | {"begins": span[0], "ends": span[1]})
        found = cursor.fetchall()
    return [
        Stretch(month, horizons[reached - 1], rows, ids, bytes(content)) for month, reached, rows, ids, content in found
    ]


def read_alike() -> None:
    """Until the end of the transaction lines are read as when they were sealed."""
    for name, value in (("timezone", "UTC"), ("datestyle", "ISO, YMD"), ("work_mem", "128MB")):
        set_local(name, value)


@transaction.atomic
def seal() -> int:
    """Seals what has been committed since; returns how many lines. One process at a time, the others leave early."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
    with unhurried():
        read_alike()
        return sum(map(_seal, (EVENTS, REVISIONS)))


def _seal(table: str) -> int:
    cluster, horizon, _ = now()
    known = eras(table)
    if not known:
        return _keep(table, Era(0, NEVER, 0, 0, cluster, False), horizon)
    era = known[-1]
    if era.cluster == cluster and horizon >= era.horizon:
        return _keep(table, era, horizon)
    # Restored into another cluster. What the old one had committed and not sealed is either below the last id, and
    # closes its era, or above it, and is sealed with what has been written here since.
    closed = 0 if era.is_closed else _keep(table, era._replace(until=era.last_id), NEVER)
    return closed + _keep(table, Era(era.last_id, NEVER, 0, 0, cluster, False), horizon)


def _keep(table: str, era: Era, horizon: int) -> int:
    """Writes a seal for each month that has lines between the era's horizon and this one."""
    rows, before = 0, bytes.fromhex(head())
    for found in stretches(table, era, [era.horizon], horizon):
        known: dict[str, Any] = {
            "table": table,
            "cluster": era.cluster,
            "above": era.above,
            "from": era.horizon,
            "to": horizon,
        }
        with connection.cursor() as cursor:
            cursor.execute(KEEP, known | found._asdict() | {"before": before})
            (before,) = cursor.fetchone()
        rows += found.rows
    return rows
