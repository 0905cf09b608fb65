"""How often the watch is right: precision and recall by kind over an invented year, judged as every night judges."""

from dataclasses import dataclass
from statistics import median

import numpy as np

from analytics.silence.judgement import Bools, Ints, Verdict, judge
from analytics.silence.year import Year

APART = 7  # days: what is wrong again later than this is another incident
OF_FILES = (Verdict.NO_FILE, Verdict.EMPTY_FILE, Verdict.SAME_FILE)
OF_VOLUMES = (Verdict.VOLUME_LOW, Verdict.VOLUME_HIGH)
SMALL = 12.0  # rows a day

Span = tuple[int, int, int]  # facility, first day, last day


@dataclass(frozen=True)
class Line:
    """One kind: of files by facility and day, of volumes by incident, since no single day of those can be known."""

    kind: str
    by: str
    found: int
    missed: int
    right: int
    wrong: int
    days_to_see: float | None = None

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.found / max(1, self.found + self.missed)


@dataclass(frozen=True)
class Score:
    """`too_new_pct` of all facility-days and `unjudged_pct` of those on which something was wrong."""

    lines: list[Line]
    too_new_pct: float
    unjudged_pct: float
    false_per_facility_year: float


def verdicts(year: Year) -> Ints:
    """Each day judged as in its own night: by its window alone, and nothing after it."""
    return np.stack([judge(year.facts.until(at)).verdict for at in range(len(year.facts.days))], axis=1)


def score(year: Year, verdict: Ints, *, sizes: tuple[float, float] = (0, np.inf)) -> Score:
    """Of facilities with so many rows a day. Days on which a facility is too new are no misses; they are told apart."""
    chosen = (year.sizes >= sizes[0]) & (year.sizes < sizes[1])
    watched = year.watched[chosen]
    labels = np.where(watched, year.labels[chosen], 0)
    said = np.where(watched, verdict[chosen], Verdict.NOT_DUE)
    is_new = said == Verdict.TOO_NEW
    lines = [_of_days(kind, labels, said, is_new) for kind in OF_FILES]
    lines += [_of_incidents(kind, labels, said, is_new) for kind in OF_VOLUMES]
    false = sum(line.wrong for line in lines)
    return Score(
        lines,
        100 * is_new.sum() / max(1, watched.sum()),
        100 * (is_new & (labels > 0)).sum() / max(1, (labels > 0).sum()),
        false / max(1, watched.sum()) * 365,
    )


def _of_days(kind: Verdict, labels: Ints, said: Ints, is_new: Bools) -> Line:
    true, told = (labels == kind) & ~is_new, said == kind
    found = int((true & told).sum())
    return Line(kind.name, "day", found, int((true & ~told).sum()), found, int((told & ~true).sum()))


def _of_incidents(kind: Verdict, labels: Ints, said: Ints, is_new: Bools) -> Line:
    true, told = (labels == kind) & ~is_new, said == kind
    incidents, alarms = _spans(true), _spans(told)
    seen = [told[at, first : last + 1] for at, first, last in incidents]
    found = [days for days in seen if days.any()]
    # An alarm may end late: what it adds up reaches back. Its facility's own empty file is the same trouble.
    is_wrong = true | (labels == Verdict.EMPTY_FILE) if kind == Verdict.VOLUME_LOW else true
    right = sum(bool(is_wrong[at, max(0, first - APART // 2) : last + 1].any()) for at, first, last in alarms)
    delay = median(int(days.argmax()) for days in found) if found else None
    return Line(kind.name, "incident", len(found), len(seen) - len(found), right, len(alarms) - right, delay)


def _spans(wrong: Bools) -> list[Span]:
    spans = []
    for facility in np.flatnonzero(wrong.any(1)):
        days = np.flatnonzero(wrong[facility])
        for part in np.split(days, np.flatnonzero(np.diff(days) > APART) + 1):
            spans.append((int(facility), int(part[0]), int(part[-1])))
    return spans
