"""Watching a day and keeping what was seen: once for each day in effect, however often it is started."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import pairwise

from django.db import connection, transaction

from analytics.monitor_results import MonitorResult
from analytics.monitors import facts, judgement
from analytics.monitors.facts import Delivered, Seen, Series
from analytics.monitors.judgement import Band
from analytics.silence.calendar import is_holiday
from analytics.silence.watch import due
from clinical.values import LAGOS

LOCK = 7_340_215
WEEKS = timedelta(days=56)  # that volume and freshness look back on
MONTH = timedelta(days=28)  # that shares look back on; a source of which nothing came for so long is gone
YOUNG = timedelta(days=14)
Verdict = MonitorResult.Verdict
History = dict[tuple[Series, str], list[MonitorResult]]


def nightly() -> None:
    for day in due(MonitorResult.objects.order_by("-day").values_list("day", flat=True).first()):
        watch(day)


def watch(day: date) -> list[MonitorResult]:
    """Judges the day and stores what it found, unless a later day is stored: history is told, not rewritten."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        found = [*_judged(day)]
        if not MonitorResult.objects.filter(day__gt=day).exists():
            MonitorResult.objects.filter(day=day).delete()
            MonitorResult.objects.bulk_create(found, batch_size=2_000)
    return found


def _judged(day: date) -> Iterator[MonitorResult]:
    known = facts.deliveries(day - WEEKS, day)
    living = {series: days for series, days in known.items() if max(days) >= day - MONTH}
    earlier = _history(day)
    for series, days in living.items():
        for result in _of_batches(days, day):
            yield _told(result, series, days, day)
    for seen in facts.rows_of(day):
        if seen.series in living and seen.among >= judgement.LEAST_ROWS:
            yield _told(
                _of_rows(seen, earlier.get((seen.series, seen.measure), [])), seen.series, living[seen.series], day
            )


def _told(result: MonitorResult, series: Series, days: dict[date, Delivered], day: date) -> MonitorResult:
    """Of which series it is; nothing is said of a young one, nor on a day that explains itself."""
    result.day, (result.source, result.dataset) = day, series
    result.folder = days[max(days)].folder
    if result.verdict in (Verdict.LOW, Verdict.HIGH):
        today = days.get(day)
        if min(days) > day - YOUNG:
            result.verdict = Verdict.LEARNING
        elif (today and today.is_waiting) or (is_holiday(day) and result.measure in ("volume", "freshness")):
            result.verdict = Verdict.NOT_JUDGED
    return result


def _of_batches(days: dict[date, Delivered], day: date) -> Iterator[MonitorResult]:
    first = min(days)
    since = [first + timedelta(days=n) for n in range((day - first).days)]
    rows = {one: days[one].rows if one in days else 0 for one in since}
    today = days.get(day)
    count = today.rows if today else 0
    yield _result("volume", count, count, judgement.volume(rows, day))
    arrivals = sorted(_arrived(at, one.last_at) for at, one in days.items())
    gaps = [_hours(late, early) for early, late in pairwise(arrivals)]
    end = datetime.combine(day + timedelta(days=1), time(), LAGOS)
    age = max(0.0, _hours(end, arrivals[-1]))
    yield _result("freshness", age, count, judgement.hours(gaps))
    if today and count >= judgement.LEAST_ROWS:
        before = [
            one.refused / one.rows
            for at, one in days.items()
            if day - MONTH <= at < day and one.rows >= judgement.LEAST_ROWS
        ]
        yield _result("refused", today.refused / count, count, judgement.share(before, count))


def _arrived(day: date, at: datetime) -> datetime:
    """The noon of its day for what was delivered much earlier or later: a back-fill says nothing of usual pauses."""
    noon = datetime.combine(day, time(12), LAGOS)
    return at if abs(at - noon) <= timedelta(days=2) else noon


def _of_rows(seen: Seen, earlier: Sequence[MonitorResult]) -> MonitorResult:
    if seen.shares is None:
        band = judgement.share([one.value for one in earlier], seen.among)
        return _result(seen.measure, seen.value, seen.among, band)
    found = judgement.spread([(one.shares or {}, one.among) for one in earlier], seen.among)
    centre, band = found or ({}, None)
    value = judgement.distance(seen.shares, centre) if found else 0.0
    result = _result(seen.measure, value, seen.among, band)
    result.shares = {key: round(one, 5) for key, one in sorted(seen.shares.items())}
    return result


def _result(measure: str, value: float, among: int, band: Band | None) -> MonitorResult:
    if band is None:
        return MonitorResult(measure=measure, value=value, among=among, verdict=Verdict.LEARNING)
    verdict = Verdict.LOW if value < band.low else Verdict.HIGH if value > band.high else Verdict.IN_ORDER
    low, high, days = band
    return MonitorResult(
        measure=measure, value=value, among=among, low=low, high=high, baseline_days=days, verdict=verdict
    )


def _hours(late: datetime, early: datetime) -> float:
    return (late - early).total_seconds() / 3600


def _history(day: date) -> History:
    """What was seen in rows, in the four weeks before."""
    found: History = {}
    rows = MonitorResult.objects.filter(day__gte=day - MONTH, day__lt=day).exclude(
        measure__in=("volume", "freshness", "refused")
    )
    for one in rows.order_by().only("source", "dataset", "measure", "value", "among", "shares").iterator(10_000):
        found.setdefault(((one.source, one.dataset), one.measure), []).append(one)
    return found
