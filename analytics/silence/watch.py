"""Judging a day and keeping what was found: once for each day in effect, however often it is started."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from django.db import connection, transaction
from django.utils import timezone

from analytics.facility_signals import FacilitySignal, WatchedDay
from analytics.silence import facts
from analytics.silence.judgement import SILENT, Came, Facts, Ints, Judgement, Verdict, judge
from clinical.models import Facility
from clinical.values import LAGOS

LOCK = 7_340_213  # of this database, for whoever stores a day
SHOWN = 28  # days of `recent`
CATCH_UP = 7  # days at most that are judged after nights without a watch
Kind, State = FacilitySignal.Kind, FacilitySignal.State
KINDS = {
    Verdict.NO_FILE: Kind.NO_FILE,
    Verdict.EMPTY_FILE: Kind.EMPTY_FILE,
    Verdict.SAME_FILE: Kind.SAME_FILE,
    Verdict.VOLUME_LOW: Kind.VOLUME_LOW,
    Verdict.VOLUME_HIGH: Kind.VOLUME_HIGH,
}
COUNTED = {
    "in_order": Verdict.IN_ORDER,
    "too_new": Verdict.TOO_NEW,
    "not_due": Verdict.NOT_DUE,
    "stopped": Verdict.STOPPED,
    "holiday": Verdict.HOLIDAY,
    "together": Verdict.TOGETHER,
}
FOUND = (
    *("kind", "began_on", "last_on", "last_rows_on", "observed", "expected_low", "expected_high", "over_days"),
    *("baseline_days", "rows_amiss", "recent"),
)


@dataclass(frozen=True)
class Watched:
    """What a day looked like; `signals` are those that are silent on it, not all of them stored."""

    day: WatchedDay
    signals: list[FacilitySignal]
    is_stored: bool


def yesterday() -> date:
    """In Lagos: the last day whose files have all had their time."""
    return timezone.now().astimezone(LAGOS).date() - timedelta(days=1)


def due(watched: date | None) -> list[date]:
    """Every day since the last one that was watched, up to yesterday; yesterday again, if it was watched already."""
    last = yesterday()
    first = min(last, max(watched + timedelta(days=1), last - timedelta(days=CATCH_UP - 1))) if watched else last
    return [first + timedelta(days=after) for after in range((last - first).days + 1)]


def nightly() -> None:
    for day in due(WatchedDay.objects.order_by("-day").values_list("day", flat=True).first()):
        watch(day)


def watch(day: date) -> Watched:
    """Judges the day and stores it, unless a later one was stored already: history is told, not rewritten."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        ids, known = facts.read(day)
        present = np.isin(ids, [*Facility.objects.present().values_list("pk", flat=True)])
        judgement = judge(known)
        watched = _told(day, judgement.verdict[present])
        found = {signal.facility_id: signal for signal in _signals(ids, known, judgement) if present[_at(ids, signal)]}
        is_stored = not WatchedDay.objects.filter(day__gt=day).exists()
        if is_stored:
            _store(watched, found, {*ids[(judgement.verdict == Verdict.IN_ORDER) & present].tolist()})
            WatchedDay.objects.filter(day=day).delete()
            watched.save(force_insert=True)
    return Watched(watched, [*found.values()], is_stored)


def _at(ids: Ints, signal: FacilitySignal) -> int:
    return int(np.searchsorted(ids, signal.facility_id))


def _told(day: date, verdict: Ints) -> WatchedDay:
    counts = {name: int((verdict == which).sum()) for name, which in COUNTED.items()}
    silent = int((verdict >= SILENT).sum())
    return WatchedDay(day=day, watched_at=timezone.now(), facilities=len(verdict), silent=silent, **counts)


def _signals(ids: Ints, known: Facts, judgement: Judgement) -> Iterator[FacilitySignal]:
    """One, not stored, for each facility that is silent on the last day."""
    delivered = known.rows > 0
    last_rows = len(known.days) - 1 - delivered[:, ::-1].argmax(1)
    for at in np.flatnonzero(judgement.verdict >= SILENT):
        recent = zip(known.rows[at, -SHOWN:].tolist(), known.came[at, -SHOWN:].tolist(), strict=True)
        yield FacilitySignal(
            facility_id=int(ids[at]),
            kind=KINDS[Verdict(judgement.verdict[at])],
            began_on=known.days[judgement.began[at]],
            last_on=known.days[-1],
            last_rows_on=known.days[last_rows[at]] if delivered[at].any() else None,
            observed=int(judgement.observed[at]),
            expected_low=int(judgement.low[at]),
            expected_high=int(np.ceil(judgement.high[at])),
            over_days=int(judgement.over_days[at]),
            baseline_days=int(judgement.baseline_days[at]),
            rows_amiss=round(float(judgement.amiss[at])),
            recent=[None if came == Came.NOTHING else rows for rows, came in recent],
        )


def _store(watched: WatchedDay, found: dict[int, FacilitySignal], in_order: set[int]) -> None:
    """Ends what is over, goes on with what is known, opens what is new. Of whom nothing was said, nothing changes."""
    day = watched.day
    earlier = FacilitySignal.objects.unsettled().select_for_update()
    over = [signal for signal in earlier if signal.facility_id in in_order or _is_another(signal, found)]
    for signal in over:
        signal.state, signal.over_on = State.OVER, day
    FacilitySignal.objects.bulk_update(over, ["state", "over_on"], batch_size=1_000)
    FacilitySignal.objects.filter(state=State.MUTED, muted_until__lte=day).update(state=State.OPEN, muted_until=None)
    # One that this very day had ended, judged for the second time, is silent after all.
    again = FacilitySignal.objects.filter(over_on=day, facility__in=found)
    known = {s.facility_id: s for s in [*again, *FacilitySignal.objects.unsettled()] if _goes_on(s, found)}
    for signal in known.values():
        for name in FOUND:
            setattr(signal, name, getattr(found[signal.facility_id], name))
        if signal.state == State.OVER:
            signal.state, signal.over_on = State.OPEN, None
    FacilitySignal.objects.bulk_update(known.values(), [*FOUND, "state", "over_on"], batch_size=1_000)
    new = [signal for facility, signal in found.items() if facility not in known]
    FacilitySignal.objects.bulk_create(new, batch_size=1_000)


def _is_another(signal: FacilitySignal, found: dict[int, FacilitySignal]) -> bool:
    """Too many rows after too few are news; a missing file after an empty one is the same silence."""
    return signal.facility_id in found and not _goes_on(signal, found)


def _goes_on(signal: FacilitySignal, found: dict[int, FacilitySignal]) -> bool:
    now = found.get(signal.facility_id)
    return now is not None and (now.kind == Kind.VOLUME_HIGH) == (signal.kind == Kind.VOLUME_HIGH)
