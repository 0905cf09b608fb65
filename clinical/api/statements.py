"""Queries whose text Django makes once: where only whole numbers change, they are put into the text made before.

To make it takes longer than to run it. Anything else goes through the queryset as usual.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

KNOWN = 1_000
MARK = 2**62  # and the numbers after it stand where a query's own numbers will


@dataclass(frozen=True)
class Statement:
    sql: str
    params: tuple[Any, ...]  # a mark where a number goes
    converters: dict[int, Any]

    def run(self, numbers: Sequence[int]) -> list[Sequence[Any]]:
        marked = range(MARK, MARK + len(numbers))
        params = [numbers[value - MARK] if value in marked else value for value in self.params]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            rows = cursor.fetchall()
        return [self._converted(row) for row in rows] if self.converters else rows

    def _converted(self, row: Sequence[Any]) -> Sequence[Any]:
        values = [*row]
        for position, (converters, expression) in self.converters.items():
            for convert in converters:
                values[position] = convert(values[position], expression, connection)
        return values


_known: "OrderedDict[Hashable, Statement]" = OrderedDict()
_lock = Lock()


def read(what: Hashable, numbers: Sequence[int], make: Callable[..., "QuerySet[Any]"]) -> list[Sequence[Any]]:
    """The rows of `make(*numbers)`, which is called only where `what` is met for the first time."""
    statement = _known.get(what)
    if statement is None:
        try:
            statement = _made(make(*range(MARK, MARK + len(numbers))))
        except EmptyResultSet:  # Django sees that nothing can be found
            return []
        with _lock:
            _known[what] = statement
            if len(_known) > KNOWN:
                _known.popitem(last=False)
    return statement.run(numbers)


def _made(rows: "QuerySet[Any]") -> Statement:
    compiler = rows.query.get_compiler(connection=connection)
    sql, params = compiler.as_sql()
    return Statement(sql, tuple(params), compiler.get_converters(expression for expression, *_ in compiler.select))
