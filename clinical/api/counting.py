"""How many rows a list has: exactly up to 100,000, and without counting again what has not changed since.

A count is remembered in this process with the snapshot that it was counted in. It holds for as long as no transaction
outside that snapshot has changed rows of the table (`row_changes`, filled by triggers): one look at an index, and
never a row too old.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

from clinical import replica
from clinical.api import statements
from clinical.replica import connection

EXACT_UP_TO = 100_000
REMEMBERED = 2_000
SECONDS = 60.0  # row_changes keeps its rows for an hour: clinical/models and analytics/marts.py

# A snapshot says nothing of its own transaction: that looks visible to it as soon as a later one has ended.
HAS_CHANGED = """
SELECT EXISTS (
    SELECT FROM row_changes
    WHERE table_name = ANY (%s) AND xid >= pg_snapshot_xmin(%s::pg_snapshot)
      AND NOT pg_visible_in_snapshot(xid, %s::pg_snapshot)
) OR EXISTS (
    SELECT FROM row_changes WHERE table_name = ANY (%s) AND xid = pg_current_xact_id_if_assigned()
)
"""


@dataclass(frozen=True)
class Count:
    rows: int
    is_estimate: bool
    snapshot: str
    counted_at: float


_remembered: "OrderedDict[tuple[str, Hashable], Count]" = OrderedDict()
_lock = Lock()


def count(rows: Callable[[], "QuerySet[Any]"], what: Hashable, tables: Sequence[str], now: str | None) -> Count:
    """Of a queryset over these tables; `what` names it among all others: it need not be made to be known.

    `now` is a snapshot that this request has seen already. While it is the one of the count, nobody has written,
    unless it is this transaction itself.
    """
    if replica.is_reading():
        return counted(rows())  # its snapshots cannot be compared
    key = (connection.settings_dict["NAME"], what)
    known = _remembered.get(key)
    if known and time.monotonic() - known.counted_at < SECONDS:
        if known.snapshot == now and not connection.in_atomic_block:
            return known
        if not _has_changed(tables, known.snapshot):
            _remember(key, replace(known, snapshot=now or known.snapshot))
            return known
    found = counted(rows())
    _remember(key, found)
    return found


def _remember(key: tuple[str, Hashable], found: Count) -> None:
    with _lock:
        _remembered[key] = found
        _remembered.move_to_end(key)
        if len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)


def _has_changed(tables: Sequence[str], snapshot: str) -> bool:
    return bool(statements.fetch(HAS_CHANGED, [[*tables], snapshot, snapshot, [*tables]])[0][0])


def counted(rows: "QuerySet[Any]") -> Count:
    try:
        sql, params = rows.order_by().values("pk").query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:  # Django sees that there are none
        return Count(0, False, "", 0.0)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), pg_current_snapshot()::text FROM ({sql} LIMIT {EXACT_UP_TO + 1}) AS counted",  # noqa: S608
            params,
        )
        number, snapshot = cursor.fetchone()
    is_estimate = number > EXACT_UP_TO
    if is_estimate:
        number = max(number, estimated(rows))
    return Count(number, is_estimate, snapshot, time.monotonic())


def estimated(rows: "QuerySet[Any]") -> int:
    """How many PostgreSQL expects.

    It cannot know how much a policy of row-level security leaves and guesses; the same guess of the whole table, whose
    rows are known roughly, tells by how much it is wrong.
    """
    model = rows.model
    expected, of_all = _expected(rows), _expected(model._base_manager.all())
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)", [f'"{model._meta.db_table}"'])
        (in_all,) = cursor.fetchone() or (0,)
    return int(expected * in_all / of_all) if in_all > of_all > 0 else int(expected)


def _expected(rows: "QuerySet[Any]") -> float:
    sql, params = rows.order_by().values("pk").query.get_compiler(connection=connection).as_sql()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        (plan,) = cursor.fetchone()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return float(plan[0]["Plan"]["Plan Rows"])
