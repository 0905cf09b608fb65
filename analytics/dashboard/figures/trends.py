"""Visits over time: by day with the mean of a week, by week or month over longer times, by month for a condition."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone

from analytics.dashboard.figures.conditions import by
from analytics.dashboard.figures.figure import WHOLE_MONTHS, Column, Figure, axis, measured, withheld
from analytics.dashboard.figures.visits import visits
from analytics.dashboard.selection import Reach
from analytics.models import TriageTrend
from analytics.wording import pct, plural
from clinical.months import next_month

WIDTH, HEIGHT = 720, 220
LABELS = 5  # below the curve
STILL_COMING = timedelta(days=3)  # a night's delivery is of the days before it


@dataclass
class Point:
    """A day, or the week or month that begins with it."""

    day: date
    total: int
    critical: int
    mean: Decimal | None = None


def trends(reach: Reach) -> Figure:
    selection = reach.selection
    if selection.condition and reach.is_withheld:
        return withheld("visits", f"Visits naming {selection.condition}", [Column("Month"), measured("total_visits")])
    points = _of_condition(reach) if selection.condition else _steps(_days(reach), reach)
    total, critical = sum(p.total for p in points), sum(p.critical for p in points)
    columns = [
        Column(selection.step.capitalize()),
        measured("total_visits"),
        *([measured("ma_7_day_visits", 2)] if selection.step == "day" else []),
        measured("critical_count"),
        measured("critical_pct", 1),
    ]
    rows = [
        (
            p.day,
            p.total,
            *([p.mean] if selection.step == "day" else []),
            p.critical,
            pct(p.critical, p.total),
        )
        for p in points
    ]
    figure = Figure(
        "visits",
        f"Visits naming {selection.condition}" if selection.condition else "Visits over time",
        _says(reach, total, critical),
        columns,
        rows,
        ("condition_analysis" if selection.condition else "triage_trends",) if reach.is_of_states else (),
        template="analytics/dashboard/trend.html",
    )
    if selection.condition:
        figure.notes.append(WHOLE_MONTHS)
        if reach.is_of_states and not reach.is_clear:
            figure.notes.append("Lines of 1 to 7 visits are left out of these sums.")
    if selection.date_to >= timezone.localdate() - STILL_COMING:
        figure.notes.append("Of the last days not all has been delivered yet.")
    if total:
        figure.drawing = _drawing(points, selection.step)
    return figure


# --- The points


def _days(reach: Reach) -> list[Point]:
    first, last = reach.selection.date_from, reach.selection.date_to
    return _of_mart(reach, first, last) if reach.is_of_states else _of_rows(reach, first, last)


def _of_mart(reach: Reach, first: date, last: date) -> list[Point]:
    found = TriageTrend.objects.filter(day__range=(first, last)).filter(_states(reach)).order_by("day").values("day")
    sums = found.annotate(
        total=Sum("total_visits"), critical=Sum("critical_count"), mean=Sum("ma_7_day_visits")
    ).values_list("day", "total", "critical", "mean")
    return [Point(day, int(total), int(critical), mean) for day, total, critical, mean in sums]


def _states(reach: Reach) -> Q:
    whole = reach.scope.is_national and not reach.selection.state
    return Q(state="ALL") if whole else reach.states


def _of_rows(reach: Reach, first: date, last: date) -> list[Point]:
    """With the six days before, of which the first mean is made; days without a visit are 0."""
    from_ = first - timedelta(days=6)
    counted = (
        visits(reach, from_, last)
        .values("event_on")
        .annotate(total=Count("pk"), critical=Count("pk", filter=Q(triage_level__lte=2)))
        .values_list("event_on", "total", "critical")
    )
    by_day = {day: (total, critical) for day, total, critical in counted}
    totals = [by_day.get(from_ + timedelta(days=n), (0, 0)) for n in range((last - from_).days + 1)]
    if not by_day:
        return []
    return [
        Point(first + timedelta(days=n), *totals[n + 6], mean=_mean([total for total, _ in totals[n : n + 7]]))
        for n in range(reach.selection.days)
    ]


def _mean(totals: list[int]) -> Decimal:
    return (Decimal(sum(totals)) / 7).quantize(Decimal("0.01"), ROUND_HALF_UP)


def _steps(days: list[Point], reach: Reach) -> list[Point]:
    step = reach.selection.step
    if step == "day":
        return days
    found: dict[date, Point] = {}
    for point in days:
        begin = point.day.replace(day=1) if step == "month" else point.day - timedelta(days=point.day.weekday())
        one = found.setdefault(begin, Point(begin, 0, 0))
        one.total, one.critical = one.total + point.total, one.critical + point.critical
    return [*found.values()]


def _of_condition(reach: Reach) -> list[Point]:
    first, last = reach.selection.months
    if reach.is_of_states:
        by_month = by("month", reach)
    else:
        rows = visits(reach, *reach.selection.span).values(month=TruncMonth("event_on"))
        counts = rows.annotate(total=Count("pk"), critical=Count("pk", filter=Q(triage_level__lte=2))).values_list(
            "month", "total", "critical"
        )
        by_month = {month: (total, critical) for month, total, critical in counts}
    points = []
    while first <= last:
        points.append(Point(first, *by_month.get(first, (0, 0))))
        first = next_month(first)
    return points


# --- Its words


def _says(reach: Reach, total: int, critical: int) -> str:
    selection = reach.selection
    if not total:
        return f"No visits {_when(reach)} in {reach.place}."
    said = f"{plural(total, 'visit')} {_when(reach)} in {reach.place}"
    if selection.condition:
        return f"{said} name {selection.condition}; {_critical(total, critical)}."
    before = _before(reach)
    if before:
        said += f", {_change(total, before)} the {selection.days} days before"
    return f"{said}; {_critical(total, critical)}."


def _when(reach: Reach) -> str:
    selection = reach.selection
    if selection.condition:
        first, last = selection.months
        return f"of {first:%B %Y}" if first == last else f"of {first:%B %Y} to {last:%B %Y}"
    if selection.is_default_range:
        return f"in the last {selection.days} days"
    return f"from {selection.date_from:%-d %B %Y} to {selection.date_to:%-d %B %Y}"


def _change(total: int, before: int) -> str:
    change = 100 * (total - before) / before
    if abs(change) < 0.5:
        return "as many as in"
    if change > 300:
        return f"{total / before:,.0f} times as many as in"
    return f"{abs(change):,.0f} % {'more' if change > 0 else 'fewer'} than in"


def _critical(total: int, critical: int) -> str:
    return f"{pct(critical, total)} % were critical (level 1 or 2)"


def _before(reach: Reach) -> int:
    first, last = reach.selection.before
    if reach.is_of_states:
        found = TriageTrend.objects.filter(day__range=(first, last)).filter(_states(reach))
        return int(found.aggregate(total=Sum("total_visits"))["total"] or 0)
    return int(visits(reach, first, last).count())


# --- What is drawn without scripts


def _drawing(points: list[Point], step: str) -> dict[str, Any]:
    end, labels = axis(max(p.total for p in points))
    across = WIDTH / max(1, len(points) - 1)

    def curve(values: list[Any]) -> str:
        return " ".join(
            f"{n * across:.0f},{HEIGHT - HEIGHT * float(value) / end:.0f}"
            for n, value in enumerate(values)
            if value is not None
        )

    width = max(1.0, WIDTH / len(points) * 0.7)
    few = len(points) <= 40
    return {
        "step": step,
        "labels": labels,
        "days": _labels(points, step),
        "total": "" if few else curve([p.total for p in points]),
        "bars": [
            {
                "x": f"{n * WIDTH / len(points) + (WIDTH / len(points) - width) / 2:.1f}",
                "width": f"{width:.1f}",
                "y": f"{HEIGHT - HEIGHT * p.total / end:.1f}",
                "height": f"{HEIGHT * p.total / end:.1f}",
                "critical_y": f"{HEIGHT - HEIGHT * p.critical / end:.1f}",
                "critical": f"{HEIGHT * p.critical / end:.1f}",
            }
            for n, p in enumerate(points)
        ]
        if few
        else [],
        "mean": curve([p.mean for p in points]) if step == "day" and not few else "",
        "critical": "" if few else curve([p.critical for p in points]),
        "has_mean": step == "day",
    }


def _labels(points: list[Point], step: str) -> list[str]:
    shape = "%b %Y" if step == "month" else "%-d %b"
    last = len(points) - 1
    count = min(LABELS, len(points))
    return [f"{points[round(n * last / max(1, count - 1))].day:{shape}}" for n in range(count)]
