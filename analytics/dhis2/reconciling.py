"""The sheet that proves a month: what is sent and what is not, beside what the marts say. All differences are 0."""

from collections import Counter
from datetime import date
from typing import NamedTuple

from django.db.models import Sum

from analytics.dhis2.mapping import CONDITION, Cell, Target
from analytics.dhis2.report import Report
from analytics.models import ConditionAnalysis, TriageTrend
from clinical.api.exports import as_csv
from clinical.months import next_month
from clinical.replica import connection

ALL = "all"
FOLD = "SELECT name, lower(name COLLATE pg_c_utf8) FROM unnest(%s::text[]) AS name"
RECORDS = """
SELECT count(*) FROM scoped.fct_medical_records
WHERE record_date >= %s AND record_date < %s AND (%s = '' OR facility_state = %s)
"""


class Line(NamedTuple):
    """One figure. `mart` is read from the relation that is named, by a way of its own."""

    metric: str
    age_group: str
    sex: str
    sent: int
    unmapped_facilities: int
    unmapped_cells: int
    total: int
    mart: int
    difference: int
    relation: str


def lines(report: Report) -> list[Line]:
    """Conditions by age group and sex, as their mart is; visits and records as a whole, as theirs are."""
    known = _of_conditions(report) | _of_events(report)
    sent, homeless, placeless = _parts(report)
    found = []
    for cell, (relation, mart) in known.items():
        there, no_unit, no_place = (
            sum(part[one] for one in _within(cell, part)) for part in (sent, homeless, placeless)
        )
        total = there + no_unit + no_place
        found.append(Line(*cell, there, no_unit, no_place, total, mart, total - mart, relation))
    return found


def _within(cell: Cell, part: Counter[Cell]) -> list[Cell]:
    return [one for one in part if one.metric == cell.metric] if cell.age_group == ALL else [cell]


def _parts(report: Report) -> tuple[Counter[Cell], Counter[Cell], Counter[Cell]]:
    """From the bodies themselves: what is sent, not what was meant to be."""
    back = {target: cell for cell, target in report.mapping.targets.items()}
    sent: Counter[Cell] = Counter()
    for one in report.sets:
        for value in one.body["dataValues"]:
            sent[back[Target(value["dataElement"], value["categoryOptionCombo"])]] += int(value["value"])
    homeless: Counter[Cell] = Counter()
    for facility in report.unmapped:
        homeless.update(report.counts[facility])
    return sent, homeless, report.unmapped_cells


def _of_conditions(report: Report) -> dict[Cell, tuple[str, int]]:
    lines = ConditionAnalysis.objects.filter(month=report.month)
    lines = lines.filter(state=report.state) if report.state else lines
    sums = lines.order_by().values_list("condition", "age_group", "sex").annotate(Sum("occurrence_count"))
    rows = [*sums]
    with connection.cursor() as cursor:  # which name is equal to which, only the database says
        cursor.execute(FOLD, [[*{*report.mapping.conditions, *(row[0] for row in rows)}]])
        folded = dict(cursor.fetchall())
    names = {folded[name]: name for name in report.mapping.conditions}
    known = {cell: ("condition_analysis", 0) for cell in report.mapping.targets if cell.metric.startswith(CONDITION)}
    for condition, age_group, sex, count in rows:
        if name := names.get(folded[condition]):
            known[Cell(CONDITION + name, age_group, sex)] = ("condition_analysis", int(count))
    return known


def _of_events(report: Report) -> dict[Cell, tuple[str, int]]:
    first, end = report.month, next_month(report.month)
    days = TriageTrend.objects.filter(state=report.state or "ALL", day__gte=first, day__lt=end)
    visits = days.aggregate(visits=Sum("total_visits"), critical=Sum("critical_count"))
    return {
        Cell("visits", ALL, ALL): ("triage_trends", int(visits["visits"] or 0)),
        Cell("critical_visits", ALL, ALL): ("triage_trends", int(visits["critical"] or 0)),
        Cell("records", ALL, ALL): ("fct_medical_records", _records(first, end, report.state)),
    }


def _records(first: date, end: date, state: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(RECORDS, [first, end, state, state])
        return int(cursor.fetchone()[0])


def sheet(report: Report) -> str:
    return as_csv(Line._fields, lines(report))
