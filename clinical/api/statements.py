"""Queries whose text Django makes once, and PostgreSQL plans once per connection.

Where only whole numbers change, they are put into the text made before: to make it takes longer than to run it.
Anything else goes through the queryset as usual.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet
from psycopg2.extensions import AsIs

from clinical.replica import connection

KNOWN = 1_000
MARK = 2**62  # and the numbers after it stand where a query's own numbers will
PLACE = "\x01number\x01"


@dataclass(frozen=True)
class Statement:
    sql: str
    order: tuple[int, ...]  # which of the numbers goes into which place
    converters: dict[int, Any]

    def run(self, numbers: Sequence[int]) -> list[Sequence[Any]]:
        rows = fetch(self.sql, [numbers[place] for place in self.order])
        return [self._converted(row) for row in rows] if self.converters else rows

    def _converted(self, row: Sequence[Any]) -> Sequence[Any]:
        values = [*row]
        for position, (converters, expression) in self.converters.items():
            for convert in converters:
                values[position] = convert(values[position], expression, connection)
        return values


OFTEN = 3  # from then on a connection keeps the plan
MOST_PLANS = 200  # of one connection
_plans: "WeakKeyDictionary[Any, dict[str, int]]" = WeakKeyDictionary()  # per connection: how often, or below 0 a name


def fetch(sql: str, params: Sequence[Any]) -> list[Sequence[Any]]:
    """All rows of a query that is asked often with other values."""
    with connection.cursor() as cursor:
        number = _plan(sql, len(params))
        if number:
            values = f"({', '.join(['%s'] * len(params))})" if params else ""
            cursor.execute(f"EXECUTE medilink_{number} {values}", params)
        else:
            cursor.execute(sql if params else sql % (), params or None)
        return list(cursor.fetchall())


def _plan(sql: str, params: int) -> int:
    """The number of the prepared statement; 0 while it is asked too rarely, or where a pooler would lose it."""
    if connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        return 0
    known = _plans.setdefault(connection.connection, {})
    uses = known.get(sql, 0)
    if uses < 0:
        return -uses
    if uses < OFTEN or len(known) > MOST_PLANS:
        known[sql] = uses + 1
        return 0
    number = 1 + sum(value < 0 for value in known.values())
    places = sql % tuple(f"${place}" for place in range(1, params + 1))
    with connection.connection.cursor() as cursor:
        cursor.execute(f"PREPARE medilink_{number} AS {places}")
    known[sql] = -number
    return number


_known: "OrderedDict[Hashable, Statement]" = OrderedDict()
_lock = Lock()


def read(what: Hashable, numbers: Sequence[int], make: Callable[..., "QuerySet[Any]"]) -> list[Sequence[Any]]:
    """The rows of `make(*numbers)`, which is called only where `what` is met for the first time."""
    statement = _known.get(what)
    if statement is None:
        try:
            statement = _made(make(*range(MARK, MARK + len(numbers))), len(numbers))
        except EmptyResultSet:  # Django sees that nothing can be found
            return []
        with _lock:
            _known[what] = statement
            if len(_known) > KNOWN:
                _known.popitem(last=False)
    return statement.run(numbers)


def _made(rows: "QuerySet[Any]", count: int) -> Statement:
    """Only the numbers stay open: PostgreSQL would take any other value that comes later for a text."""
    compiler = rows.query.get_compiler(connection=connection)
    sql, params = compiler.as_sql()
    marked = range(MARK, MARK + count)
    order = tuple(value - MARK for value in params if isinstance(value, int) and value in marked)
    fixed = [AsIs(PLACE) if isinstance(value, int) and value in marked else value for value in params]
    with connection.cursor() as cursor:
        text = cursor.mogrify(sql, fixed).decode()
    converters = compiler.get_converters(expression for expression, *_ in compiler.select)
    return Statement(text.replace("%", "%%").replace(PLACE, "%s"), order, converters)
