"""Conditions that triage found likely: the most frequent, and of those the most severe."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum

from analytics.dashboard import cells
from analytics.dashboard.figures.figure import Column, Figure, measured, or_hidden, withheld
from analytics.dashboard.figures.visits import counted, visits
from analytics.dashboard.selection import Reach
from analytics.models import ConditionAnalysis, SuppressedConditionAnalysis
from analytics.wording import pct, plural
from clinical.api.filters import same_name

SHOWN = 15

SUMS = {
    "visits": Sum("occurrence_count"),
    "levels": Sum(F("occurrence_count") * F("avg_triage_level")),
    "critical": Sum("critical_count"),
    "hidden": Count("age_group", filter=Q(occurrence_count=None)),
}
# A visit that has a condition twice, in whatever spelling, counts once; the spelling is the most frequent one here.
FROM_ROWS = """
SELECT mode() WITHIN GROUP (ORDER BY spelling), count(*), avg(level)::numeric(3, 2), count(*) FILTER (WHERE level <= 2)
FROM (
    SELECT DISTINCT ON (v.id, lower(item COLLATE pg_c_utf8))
        lower(item COLLATE pg_c_utf8) AS key, item AS spelling, v.triage_level AS level
    FROM ({rows}) AS v CROSS JOIN unnest(v.conditions) AS item
) AS said GROUP BY key
"""


@dataclass
class Condition:
    name: str
    visits: cells.Count
    level: Decimal | None
    critical: cells.Count


def lines(reach: Reach) -> "QuerySet[Any]":
    """Of the mart, as the user is shown them, in the months and states of the selection."""
    first, last = reach.selection.months
    model: Any = ConditionAnalysis if reach.is_clear else SuppressedConditionAnalysis
    found = model.objects.filter(reach.states, month__range=(first, last)).order_by()
    return found.filter(same_name("condition")(reach.selection.condition)) if reach.selection.condition else found


def by(part: str, reach: Reach) -> dict[Any, tuple[int, int]]:
    """Visits with the chosen condition, and the critical ones among them, by month or state."""
    found: dict[Any, tuple[int, int]] = {}
    for line in reach.once("chosen", _chosen):
        count, critical = found.get(line[part], (0, 0))
        found[line[part]] = (count + int(line["visits"] or 0), critical + int(line["critical"] or 0))
    return found


def _chosen(reach: Reach) -> list[Any]:
    """Read once for all figures: a filter by name goes through every line of these months."""
    sums = lines(reach).values("condition", "month", "state")
    return [*sums.annotate(**SUMS)]


def conditions(reach: Reach) -> tuple[Figure, Figure]:
    """By frequency and by severity, over the whole months that the dates touch."""
    if reach.is_withheld:
        columns = [Column("Condition"), measured("occurrence_count")]
        return (
            withheld("conditions", "Conditions by frequency", columns),
            withheld("severity", "Conditions by severity", columns),
        )
    found, hidden = _of_mart(reach) if reach.is_of_states else (_of_rows(reach), 0)
    found.sort(key=lambda one: (-(one.visits or 0), one.name))
    notes = ["Of the whole months that the dates touch. Likely conditions of triage are no confirmed diagnoses."]
    if hidden:
        notes.append(f"{plural(hidden, 'line')} of 1 to 7 visits, or that would give one away, are left out.")
    relations = ("condition_analysis",) if reach.is_of_states else ()
    frequent, severe = _frequent(found, relations, notes, is_whole=not hidden), _severe(found, relations, notes)
    if hidden and not found:
        frequent.says = severe.says = (
            "Every number here is of 1 to 7 visits, or would give one away: none is shown to you."
        )
    return frequent, severe


def _of_mart(reach: Reach) -> tuple[list[Condition], int]:
    if reach.selection.condition:
        sums = reach.once("chosen", _chosen)
    else:
        sums = [*lines(reach).values("condition").annotate(**SUMS)]
    totals: dict[str, list[Any]] = {}
    for line in sums:
        total = totals.setdefault(line["condition"], [0, Decimal(0), 0])
        for n, name in enumerate(("visits", "levels", "critical")):
            total[n] += line[name] or 0
    found = [
        Condition(name, int(count), (levels / count).quantize(Decimal("0.01"), ROUND_HALF_UP), int(critical))
        for name, (count, levels, critical) in totals.items()
        if count
    ]
    return found, sum(line["hidden"] for line in sums)


def _of_rows(reach: Reach) -> list[Condition]:
    rows = visits(reach, *reach.selection.whole_months).values("id", "conditions", "triage_level")
    found = []
    for name, count, level, critical in counted(FROM_ROWS, rows):
        if reach.selection.condition and name.lower() != reach.selection.condition.lower():
            continue
        found.append(Condition(name, count, level, critical))
    return found


def _frequent(found: list[Condition], relations: tuple[str, ...], notes: list[str], *, is_whole: bool) -> Figure:
    top, others = found[:SHOWN], found[SHOWN:]
    total = sum(one.visits or 0 for one in found)
    rows: list[Any] = [
        (one.name, or_hidden(one.visits), pct(one.visits or 0, total), one.level, or_hidden(one.critical))
        for one in top
    ]
    if others:
        count = sum(one.visits or 0 for one in others)
        rows.append((f"{len(others)} others", count, pct(count, total), None, sum(one.critical or 0 for one in others)))
    says = "No condition was named."
    if top and top[0].visits:
        says = f"{top[0].name} was named most often, at {plural(top[0].visits, 'visit')}"
        says += f", {pct(top[0].visits, total)} % of "
        says += f"all mentions of {plural(len(found), 'condition')}." if is_whole else "the mentions that may be shown."
    elif top:
        says = "Every condition here was named at fewer than 8 visits."
    columns = (
        Column("Condition"),
        measured("occurrence_count"),
        measured("mentions_pct", 1),
        measured("condition_level", 2),
        measured("condition_critical"),
    )
    most = max((one.visits or 0 for one in top), default=0)
    bars = [_bar(one, one.visits, most, f"{one.visits or 0:,}") for one in top]
    drawing: dict[str, Any] = {"bars": bars, "unit": "visits"} if top else {}
    return Figure(
        "conditions",
        "Conditions by frequency",
        says,
        columns,
        rows,
        relations,
        drawing,
        [*notes],
        "analytics/dashboard/bars.html",
    )


def _severe(found: list[Condition], relations: tuple[str, ...], notes: list[str]) -> Figure:
    told = [one for one in found if (one.visits or 0) > cells.SMALL and one.level is not None]
    told.sort(key=lambda one: (one.level, -(one.visits or 0), one.name))
    rows = [(one.name, one.level, or_hidden(one.visits), or_hidden(one.critical)) for one in told[:SHOWN]]
    says = "No condition was named at 8 visits or more."
    if told:
        says = f"{told[0].name} came with the most severe levels, {told[0].level} on average (1 is the most severe)."
    columns = (
        Column("Condition"),
        measured("condition_level", 2),
        measured("occurrence_count"),
        measured("condition_critical"),
    )
    # The more severe, the longer: level 1 fills the row and level 5 leaves it empty.
    bars = [_bar(one, 5 - (one.level or 5), 4, f"{one.level}") for one in told[:SHOWN]]
    drawing: dict[str, Any] = {"bars": bars, "unit": "mean level"} if told else {}
    extra = [*notes, "Conditions of 8 visits and more."]
    return Figure(
        "severity",
        "Conditions by severity",
        says,
        columns,
        rows,
        relations,
        drawing,
        extra,
        "analytics/dashboard/bars.html",
    )


def _bar(one: Condition, value: Any, most: Any, told: str) -> dict[str, Any]:
    share = 100 * (value or 0) / most if most else 0
    return {
        "name": one.name,
        "told": told if one.visits is not None else cells.UNDER,
        "share": f"{share:.1f}",
        "is_hidden": one.visits is None,
    }
