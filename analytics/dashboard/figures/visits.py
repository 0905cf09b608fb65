"""Visits of patients who may be counted, in the user's reach, from the rows themselves: for less than whole states."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet, Value

from analytics.dashboard.selection import Reach
from clinical.api.events import HasCondition
from clinical.models import TriageVisit
from clinical.replica import connection
from clinical.values import LAGOS


def visits(reach: Reach, first: date, last: date) -> "QuerySet[Any]":
    """Of these days; their instants are asked for too, since it is those that an index knows."""
    begin, end = (datetime.combine(day, time(), LAGOS) for day in (first, last + timedelta(days=1)))
    found = TriageVisit.objects.present().unrestricted().inside(reach.scope)
    found = found.filter(event_on__range=(first, last), visited_at__gte=begin, visited_at__lt=end)
    selection = reach.selection
    if selection.facility_id:
        found = found.filter(facility_id=selection.facility_id)
    if selection.state:
        found = found.filter(facility__state=selection.state)
    if selection.condition:
        found = found.filter(HasCondition(Value(selection.condition)))
    return found.order_by()


def counted(sql: str, rows: "QuerySet[Any]", *params: Any) -> list[Any]:
    """A query over these rows, which stand in it as {rows}."""
    inner, known = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(sql.format(rows=inner), [*known, *params])
        return list(cursor.fetchall())
