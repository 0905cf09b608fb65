"""What the report of one night says of the nation or of one state: figures and sentences, and no person.

It reads what the API gives an analyst, who sees no small numbers: whoever gets the mail sees no more than that.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count, DecimalField, F, FloatField, Q, Sum
from django.db.models.functions import Cast
from django.urls import reverse

from analytics import checks, disclosure, metrics, trust
from analytics.dashboard.cells import UNDER, parts, shown
from analytics.facility_signals import FacilitySignal
from analytics.history import CheckRun
from analytics.models import FacilityDimension, FacilityPerformance, SuppressedConditionAnalysis, TriageTrend
from analytics.monitor_results import MonitorResult
from analytics.wording import json_pct, plural
from clinical.access import Access, Grant, Role, Scope
from clinical.api import statements
from clinical.api.exports import json_of
from clinical.geography import in_words
from clinical.months import last_month
from ingestion import nights
from ingestion.models import STOPPED, IngestBatch, IngestRun, RejectedRow
from ingestion.nights import Outcome
from ingestion.refusals import CODES

RELATIONS = ("triage_trends", "condition_analysis", "facility_performance", "dim_facilities")
WEEK, MONTH = 7, 30
CURVE = 28  # days
TOP, NAMED, REASONS = 5, 8, 3
COUNTED_UP_TO = 10_000
READING = ("total_visits", "critical_pct", "new_patients", "reporting_pct", "occurrence_count")
Facts = dict[str, Any]


class NotReady(Exception):
    """The marts were never filled: there is nothing to report."""


class Day(NamedTuple):
    visits: int
    critical: int
    mean: float | None


@dataclass
class Night:
    """One night, and what is looked up once for the reports of all its places."""

    on: date

    @property
    def last(self) -> date:
        """The last whole day."""
        return self.on - timedelta(days=1)

    @cached_property
    def run(self) -> IngestRun | None:
        return IngestRun.objects.nightly().filter(night_on=self.on).first()

    @cached_property
    def checks(self) -> CheckRun | None:
        return checks.whole_runs().order_by("-id").first()

    @cached_property
    def days(self) -> dict[str, dict[date, Day]]:
        """By state, and ALL; as many days as two months need."""
        first = self.last - timedelta(days=2 * MONTH - 1)
        lines = TriageTrend.objects.filter(day__range=(first, self.last)).values_list(
            "state", "day", "total_visits", "critical_count", Cast("ma_7_day_visits", FloatField())
        )
        found: dict[str, dict[date, Day]] = defaultdict(dict)
        for state, day, *counts in lines:
            found[state][day] = Day(*counts)
        return found

    @cached_property
    def new_patients(self) -> dict[str, Counter[date]]:
        """By state and day."""
        found: dict[str, Counter[date]] = defaultdict(Counter)
        for state, day, count in statements.fetch(NEW, [self.last - timedelta(days=2 * MONTH - 1), self.on]):
            for place in (state, ""):
                found[place][day] += count
        return found

    @cached_property
    def reporting(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(facilities, reported) by state and LGA; the same facilities as in analytics/trust.py."""
        known = FacilityDimension.objects.filter(last_activity_date__gte=trust.A_YEAR_AGO).values("state", "lga_name")
        active = Count("pk", filter=Q(is_active_last_30_days=True))
        counts = known.annotate(known=Count("pk"), reported=active).values_list(
            "state", "lga_name", "known", "reported"
        )
        return {(state, lga or ""): (facilities, reported) for state, lga, facilities, reported in counts}


NEW = """
SELECT f.state, (p.created_at AT TIME ZONE 'Africa/Lagos')::date AS day, count(*)
FROM staging.stg_patients p JOIN facilities f ON f.id = p.facility_id
WHERE p.created_at >= %s::timestamp AT TIME ZONE 'Africa/Lagos'
  AND p.created_at < %s::timestamp AT TIME ZONE 'Africa/Lagos'
GROUP BY 1, 2
"""


def of(night: Night, state: str = "") -> Facts:
    """All of it, ready for JSON. Raises NotReady before there is anything."""
    scope = Scope(states=frozenset([state])) if state else Scope(is_national=True)
    reader = Access((Grant(Role.ANALYST, state),))
    as_of, is_stale, told = trust.of(RELATIONS, reader, state or None)
    if as_of is None:
        raise NotReady
    delivered = _delivered(night, state, scope)
    level, words = _verdict(night.run, delivered)
    query = f"?state={state.replace(' ', '+')}" if state else ""
    return {
        "night": f"{night.on}",
        "last_day": f"{night.last}",
        "state": state,
        "place": in_words(state),
        "as_of": as_of.isoformat(),
        "stale": is_stale,
        "verdict": {"level": level, "words": words},
        "delivered": delivered,
        "waits": _waits(scope),
        "figures": _figures(night, state),
        "curve": _curve(night, state),
        "conditions": _conditions(night, state),
        "silent": _silent(state, scope),
        "places": _lgas(night, state) if state else _states(night),
        "quality": _quality(night, scope),
        "trust": json.loads(json_of(told)),
        "reading": [[one.label, f"{one.meaning}. {one.caveat}".strip()] for one in map(metrics.metric, READING)],
        "link": f"{settings.SITE_URL.rstrip('/')}{reverse('dashboard')}{query}",
    }


# --- Did the night work?

OF_STATE = """
SELECT count(DISTINCT b.id), coalesce(sum(r.rows), 0)::bigint
FROM ingest_batches b JOIN facility_shares s ON s.batch_id = b.id
CROSS JOIN unnest(s.facilities, s.rows) AS r (facility_id, rows) JOIN facilities f ON f.id = r.facility_id
WHERE b.run_id = %s AND f.state = %s
"""


def _delivered(night: Night, state: str, scope: Scope) -> Facts:
    """Of a state its part: files of the whole country say nothing of one state but by their events and refusals."""
    if night.run is None:
        return {"files": 0, "written": 0, "refused": 0, "stopped": 0}
    batches = IngestBatch.objects.filter(run=night.run, parent=None)
    stopped = batches.inside(scope).aggregate(stopped=nights.STOPPED_FILES)
    if state:
        ((files, written),) = statements.fetch(OF_STATE, [night.run.pk, state])
        refused = RejectedRow.objects.inside(scope).filter(batch__run=night.run).count()
        return {"files": files, "written": written, "refused": refused} | stopped
    sums = batches.aggregate(**nights.SUMS)
    refused = sums.pop("rejected")
    return sums | {"written": sums["inserted"] + sums["updated"], "refused": refused} | stopped


# A level (good, look, bad), and the words.
NO_RUN = "bad", "There was no run this night; the figures hold what had been loaded before."
NOT_FINISHED = "bad", "The run of this night was not finished when this was written."
VERDICTS = {
    Outcome.QUEUED: NOT_FINISHED,
    Outcome.RUNNING: NOT_FINISHED,
    Outcome.BROKEN_OFF: ("bad", "The run broke off; what it had not loaded is still due."),
    Outcome.STOPPED: ("bad", "The night worked, but {stopped} {are} for a decision."),
    Outcome.OVER_PROMISE: ("look", "The night worked, but {refused_pct:.1f} % of the rows were refused."),
    Outcome.NOTHING_NEW: ("look", "The night worked; nothing new was delivered."),
    Outcome.WORKED: ("good", "The night worked."),
}


def _verdict(run: IngestRun | None, delivered: Facts) -> tuple[str, str]:
    if run is None:
        return NO_RUN
    refused, stopped = delivered["refused"], delivered["stopped"]
    rows = delivered.get("rows_read") or delivered["written"] + refused
    sums = {"files": delivered["files"], "stopped": stopped, "rows_read": rows, "rejected": refused}
    level, words = VERDICTS[nights.outcome(run, sums)]
    are = "file was stopped and waits" if stopped == 1 else "files were stopped and wait"
    return level, words.format(stopped=stopped, are=are, refused_pct=nights.refused_pct(refused, rows))


def _waits(scope: Scope) -> list[Facts]:
    open_rows = RejectedRow.objects.inside(scope).filter(state=RejectedRow.State.OPEN).order_by()
    counts = {
        "files stopped": IngestBatch.objects.inside(scope).filter(status__in=STOPPED).count(),
        "refused rows to correct": open_rows[:COUNTED_UP_TO].count(),
        "silent facilities": FacilitySignal.objects.inside(scope).open().count(),
    }
    return [{"what": what, "count": count, "is_more": count == COUNTED_UP_TO} for what, count in counts.items()]


# --- Figures


def _share(critical: int, visits: int) -> float | str | None:
    """What is small is hidden, and with it the share that would tell it."""
    return UNDER if shown(critical, is_clear=False) is None else json_pct(critical, visits)


def _change(now: Any, before: Any, *, is_share: bool = False) -> float | None:
    """In percent, of shares in points; none where one of them is unknown or hidden."""
    if not isinstance(now, int | float) or not isinstance(before, int | float):
        return None
    return round(now - before, 1) if is_share else json_pct(now - before, before)


def _figures(night: Night, state: str) -> list[Facts]:
    days = night.days.get(state or "ALL", {})
    # The calendar of the mart begins with the first visit of all: before that nothing is known.
    begin = min(days, default=None)
    new = night.new_patients.get(state, Counter())
    visits, shares, patients = [], [], []
    for first, last in _windows(night):
        inside = [day for on, day in days.items() if first <= on <= last]
        is_known = begin is not None and begin <= first
        visits.append(sum(day.visits for day in inside) if is_known else None)
        shares.append(_share(sum(day.critical for day in inside), visits[-1] or 0) if is_known else None)
        patients.append(sum(count for on, count in new.items() if first <= on <= last))
    rows = (("total_visits", visits, False), ("critical_pct", shares, True), ("new_patients", patients, False))
    return [_figure(name, values, is_share=is_share) for name, values, is_share in rows]


def _figure(name: str, values: list[Any], *, is_share: bool) -> Facts:
    week, week_before, month, month_before = values
    return {
        "name": name,
        "label": metrics.metric(name).label,
        "is_share": is_share,
        "week": week,
        "week_before": week_before,
        "week_change": _change(week, week_before, is_share=is_share),
        "month": month,
        "month_before": month_before,
        "month_change": _change(month, month_before, is_share=is_share),
    }


def _windows(night: Night) -> list[tuple[date, date]]:
    found = []
    for days in (WEEK, MONTH):
        for back in (0, days):
            last = night.last - timedelta(days=back)
            found.append((last - timedelta(days=days - 1), last))
    return found


def _curve(night: Night, state: str) -> list[Facts]:
    days = night.days.get(state or "ALL", {})
    chosen = [night.last - timedelta(days=back) for back in reversed(range(CURVE))]
    known = [(on, days[on]) for on in chosen if on in days]
    return [{"day": f"{on}", "visits": day.visits, "mean": day.mean} for on, day in known]


def _conditions(night: Night, state: str) -> list[Facts]:
    """Of the month of the last day so far, and of the one before; lines of small numbers are left out of the sums."""
    month, before = night.last.replace(day=1), last_month(night.last)
    lines = SuppressedConditionAnalysis.objects.filter(month__in=(month, before))
    if state:
        lines = lines.filter(state=state)
    sums = lines.values("condition").annotate(
        now=Sum("occurrence_count", filter=Q(month=month)),
        before=Sum("occurrence_count", filter=Q(month=before)),
        hidden=Count("condition", filter=Q(suppressed=True)),
        level=Cast(
            Sum(F("avg_triage_level") * F("occurrence_count"), output_field=DecimalField())
            / Sum("occurrence_count", output_field=DecimalField()),
            FloatField(),
        ),
    )
    top = sums.filter(now__gt=0).order_by("-now", "condition")[:TOP]
    return [
        {
            "condition": one["condition"],
            "month": f"{month}",
            "now": int(one["now"]),
            "before": int(one["before"]) if one["before"] is not None else None,
            "is_least": bool(one["hidden"]),
            "level": round(one["level"], 2),
        }
        for one in top
    ]


def _silent(state: str, scope: Scope) -> Facts:
    signals = FacilitySignal.objects.inside(scope).open().exclude(kind=FacilitySignal.Kind.VOLUME_HIGH)
    named = [
        {
            "name": signal.facility.name,
            "where": ", ".join(
                filter(None, (signal.facility.lga_name, "" if state else in_words(signal.facility.state)))
            ),
            "kind": signal.get_kind_display(),
            "since": f"{signal.began_on}",
        }
        for signal in signals.select_related("facility").worst_first()[:NAMED]
    ]
    return {"count": signals.count(), "named": named}


# --- By place


def _states(night: Night) -> list[Facts]:
    reporting: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for (state, _), counts in night.reporting.items():
        reporting[state] = [sum(pair) for pair in zip(reporting[state], counts, strict=True)]
    first, middle = night.last - timedelta(days=2 * WEEK - 1), night.last - timedelta(days=WEEK - 1)
    lines = []
    for state in sorted({*reporting, *night.days} - {"ALL"}):
        days = night.days.get(state, {})
        now = [day for on, day in days.items() if on >= middle]
        before = sum(day.visits for on, day in days.items() if first <= on < middle)
        lines.append((state, sum(day.visits for day in now), before, sum(day.critical for day in now)))
    critical = parts([line[-1] for line in lines], is_clear=False)
    return [
        _place(
            in_words(state),
            visits,
            _change(visits, before),
            UNDER if few is None else json_pct(few, visits),
            reporting[state],
        )
        for (state, visits, before, _), few in zip(lines, critical, strict=True)
    ]


def _lgas(night: Night, state: str) -> list[Facts]:
    """What the figures of the state tell is the sum of these, and of the critical ones among them."""
    found = FacilityPerformance.objects.filter(state=state).values("lga_name").order_by("lga_name")
    sums = found.annotate(visits=Sum("visits_30d"), critical=Sum("critical_visits_30d"))
    counts = sums.values_list("lga_name", "visits", "critical")
    lines = [(lga, int(visits), int(critical)) for lga, visits, critical in counts]
    told = parts([visits for _, visits, _ in lines], is_clear=False)
    cells, totals, _, _ = disclosure.table([(critical, visits - critical) for _, visits, critical in lines])
    places = []
    for (lga, *_), visits, of_lga, total in zip(lines, told, cells, totals, strict=True):
        is_few = visits is None or total.suppressed
        critical = None if is_few else of_lga[0].count
        share = UNDER if critical is None else json_pct(critical, visits)
        reporting = night.reporting.get((state, lga or ""), (0, 0))
        places.append(_place(lga or "No LGA known", UNDER if is_few else visits, None, share, reporting))
    return places


def _place(name: str, visits: Any, change: float | None, critical: Any, reporting: Iterable[int]) -> Facts:
    facilities, reported = reporting
    return {
        "name": name,
        "visits": visits,
        "change": change,
        "critical_pct": critical,
        "facilities": facilities,
        "reported": reported,
    }


# --- How good is what was delivered


def _quality(night: Night, scope: Scope) -> list[str]:
    """Sentences: of the data checks, of the monitors of sources, and why rows were refused this night."""
    said = []
    if run := night.checks:
        whole = run.passed + run.failed
        said.append(f"{run.failed} of {whole} data checks fail." if run.failed else f"All {whole} data checks passed.")
    if monitors := _monitors(night, scope):
        said.append(monitors)
    if night.run:
        refused = RejectedRow.objects.inside(scope).filter(batch__run=night.run).order_by()
        for code, count in refused.frequent_codes(REASONS):
            entry = CODES.get(code)
            said.append(f"{count:,} times: {entry.meaning if entry else code}")
    return said


def _monitors(night: Night, scope: Scope) -> str:
    """Of the last day that was watched by then; nothing where none of the place was."""
    watched = MonitorResult.objects.inside(scope).filter(day__lte=night.on)
    last = watched.order_by("-day").values("day")[:1]
    judged = watched.filter(day=last).exclude(verdict__in=MonitorResult.NOT_SAID)
    unusual = sorted(judged.alarming(), key=lambda one: (-one.beyond, one.pk))
    count = judged.count()
    if not unusual:
        return f"All {plural(count, 'measure')} of what sources sent are as usual." if count else ""
    worst = unusual[0]
    sources = len({(one.source, one.dataset) for one in unusual})
    return (
        f"{len(unusual):,} of {plural(count, 'measure')} of what sources sent are unlike the usual, at"
        f" {plural(sources, 'source')}; the worst: {worst.measured}, {worst.get_verdict_display()}, of {worst.source}."
    )
