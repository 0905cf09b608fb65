"""Whether a facility is silent on a day: a pure function of what came on that day and in the twelve weeks before.

A facility is compared with itself on the same weekday of the eight weeks before. The day itself is never part of what
it is measured by, nor are public holidays, days on which something was wrong already, and days whose file waits for a
steward. With fewer than four comparable days it is too new to judge, and nothing is said.

Every facility is judged at once, day after day through the window, so that the days of an earlier incident are known
when a later one is judged. Nothing is remembered between two calls: the same facts give the same answer.
"""

from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.silence.calendar import is_holiday

WINDOW = 84  # days before the judged one
WEEKS = 8  # back to which the same weekday counts
COMPARABLE = 4  # days at least, before anything is said
DUE = 0.75  # of the comparable days on which a file came: on such weekdays one is expected
DUE_ROWS = 0.2  # of the facility, on average: who never works on Sundays misses nothing in a state's Sunday file
FILE_ROWS = 9  # of everybody in a file: with fewer, one without rows may be chance
OUTLYING = 3.0  # standard deviations
LOOKBACKS = (1, 2, 3, 5, 8, 14, 21)  # days over which rows are added up: a small clinic's quiet takes days to show
LOW, HIGH = 0.5, 2.0  # times the usual, before a volume is off
STILL_LOW, STILL_HIGH = 0.75, 1.5  # of the judged day: what was off last week and is not today is over
UNLIKELY_LOW, UNLIKELY_HIGH = 3.1, 3.8  # and so many standard deviations; counts have a longer tail upwards
# Counts vary more than a Poisson law says, by this share of their mean, until the facility's own days say otherwise.
USUAL_SPREAD, ITS_WEIGHT = 0.08, 14
TRIMMED, OF_THE_REST = 0.9, 0.62  # the mean square of the lower nine tenths is 0.62 of that of all (normal residuals)
MASKED_FOR = 28  # days: a volume that stays off for longer is taken for the new usual
TOGETHER_SHARE, TOGETHER_AT_LEAST, TOGETHER_ROWS = 0.5, 20, 3.0  # of facilities that expect so many rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Came(IntEnum):
    """What a source, or the best of a facility's usual sources, delivered on a day."""

    NOTHING = 0
    EMPTY = 1
    SAME = 2  # the bytes of the delivery before
    ROWS = 3  # of this facility or of others


class Verdict(IntEnum):
    """The first are no statement on the facility, IN_ORDER is one, and the rest are what is wrong."""

    TOO_NEW = 0
    NOT_DUE = 1  # it does not send on this weekday, or has no rhythm
    HOLIDAY = 2
    STOPPED = 3  # a file of its sources waits for a steward
    TOGETHER = 4  # quiet, and so are most others: a holiday that no calendar knows, or a cause that they share
    IN_ORDER = 5
    NO_FILE = 6
    EMPTY_FILE = 7
    SAME_FILE = 8
    VOLUME_LOW = 9
    VOLUME_HIGH = 10


SILENT = Verdict.NO_FILE  # and what is above it
OF_NO_ROWS = ((Came.NOTHING, Verdict.NO_FILE), (Came.EMPTY, Verdict.EMPTY_FILE), (Came.SAME, Verdict.SAME_FILE))


@dataclass(frozen=True)
class Facts:
    """A line per facility, a column per day; the last day is the one to judge."""

    days: list[date]
    rows: Ints  # events of the facility in the files of the day
    file_rows: Ints  # events of everybody in the files of its usual sources
    came: Ints  # of Came
    waits: Bools  # a file of one of its usual sources is held, rejected, failed or not loaded yet

    def until(self, column: int) -> "Facts":
        """The facts as they were when that day was the last one."""
        part = slice(max(0, column - WINDOW), column + 1)
        return Facts(
            self.days[part], self.rows[:, part], self.file_rows[:, part], self.came[:, part], self.waits[:, part]
        )


@dataclass(frozen=True)
class Judgement:
    """Of the last day, an entry per facility. `observed` and `expected` cover the last `over_days` days."""

    verdict: Ints
    usual: Floats  # of the last day alone
    observed: Ints
    expected: Floats
    low: Floats
    high: Floats
    over_days: Ints
    baseline_days: Ints
    began: Ints  # the column of the first day of what is wrong now
    amiss: Floats  # rows that are missing since then, or too many


@dataclass
class _Walk:
    """What is known of the days that have been judged already."""

    facts: Facts
    usable: Bools  # days that later ones may be compared with
    expected: Floats
    measured: Bools  # days on which rows came and were expected
    added_up: Bools  # the same, without what lies before the end of an incident
    began: Ints
    kind: Ints
    amiss: Floats
    spread: Floats = field(default_factory=lambda: np.empty(0))


def judge(facts: Facts) -> Judgement:
    facilities, days = facts.rows.shape
    walk = _Walk(
        facts,
        np.zeros((facilities, days), bool),
        np.zeros((facilities, days)),
        np.zeros((facilities, days), bool),
        np.zeros((facilities, days), bool),
        np.full(facilities, -1),
        np.zeros(facilities, np.int64),
        np.zeros(facilities),
    )
    first = np.where((facts.rows > 0).any(1), (facts.rows > 0).argmax(1), days)
    learning = min(7 * COMPARABLE, days - 1)  # nothing can be said of these; later days are compared with them
    works = np.array([not is_holiday(day) for day in facts.days[:learning]], bool)
    walk.usable[:, :learning] = (np.arange(learning) >= first[:, None]) & ~facts.waits[:, :learning] & works
    for column in range(learning, days - 1):
        _judge_day(walk, column, first)
    return _judge_day(walk, days - 1, first)


def _judge_day(walk: _Walk, t: int, first: Ints) -> Judgement:
    facts = walk.facts
    rows, came = facts.rows[:, t], facts.came[:, t]
    walk.spread = _spread(walk, t)
    usual, baseline_days, is_due, is_full = _usual(walk, t)
    walk.expected[:, t] = usual
    off = is_holiday(facts.days[t])
    # A small clinic's own file may well be without rows; then it counts like one in which the clinic is not named.
    is_counted = is_due & ((came == Came.ROWS) | (came == Came.EMPTY) & ~is_full)
    walk.measured[:, t] = walk.added_up[:, t] = is_counted & ~facts.waits[:, t] & (not off)
    verdict = np.where(is_due, Verdict.IN_ORDER, Verdict.NOT_DUE)
    for delivered, said in OF_NO_ROWS:
        verdict[is_due & ~is_counted & (came == delivered)] = said
    over, seen, expected = _volume(walk, t, verdict, baseline_days)
    verdict[(verdict == Verdict.VOLUME_LOW) & (came == Came.EMPTY)] = Verdict.EMPTY_FILE
    verdict[is_due & facts.waits[:, t] & ((verdict >= SILENT) | (rows <= LOW * usual))] = Verdict.STOPPED
    verdict[baseline_days < COMPARABLE] = Verdict.TOO_NEW
    if off:
        verdict[verdict >= Verdict.STOPPED] = Verdict.HOLIDAY
    together = _is_together(verdict, rows, came, usual, is_due & (not off))
    if together:
        verdict[(verdict == Verdict.VOLUME_LOW) | (verdict == Verdict.EMPTY_FILE)] = Verdict.TOGETHER
        walk.measured[:, t] = walk.added_up[:, t] = False
    _follow(walk, t, verdict, np.abs(usual - rows), np.abs(expected - seen), over)
    lasting = (verdict >= Verdict.VOLUME_LOW) & (t - walk.began >= MASKED_FOR)
    wrong = (verdict >= SILENT) & ~lasting
    walk.usable[:, t] = (t >= first) & ~wrong & ~facts.waits[:, t] & (not off) & (not together)
    margin = 2 * np.sqrt(walk.spread * expected)
    low, high = np.maximum(0, expected - margin), expected + margin
    began, amiss = walk.began.copy(), walk.amiss.copy()
    return Judgement(verdict, usual, seen, expected, low, high, over, baseline_days, began, amiss)


def _usual(walk: _Walk, t: int) -> tuple[Floats, Ints, Bools, Bools]:
    """Of that weekday, and not of day t itself: the rows to expect, how many days say so, whether a file is due, and
    whether that file has many rows.

    The mean, because the median of a small clinic's counts is coarse; counts far above the median are cut down to it.
    """
    back = [t - 7 * week for week in range(1, WEEKS + 1) if t >= 7 * week]
    usable = walk.usable[:, back]
    delivered = usable & (walk.facts.came[:, back] != Came.NOTHING)
    days, files = usable.sum(1), delivered.sum(1)
    counts = walk.facts.rows[:, back]
    median = _median(counts, delivered, files)
    margin = OUTLYING * np.sqrt(walk.spread * np.maximum(median, 1))
    within = np.clip(counts, (median - margin)[:, None], (median + margin)[:, None])
    usual = np.where(delivered, within, 0).sum(1) / np.maximum(files, 1)
    is_due = (days >= COMPARABLE) & (files >= DUE * days) & (usual >= DUE_ROWS)
    if not (walk.facts.came[:, t] == Came.EMPTY).any():
        return usual, days, is_due, np.zeros(len(days), bool)
    return usual, days, is_due, _median(walk.facts.file_rows[:, back], delivered, files) >= FILE_ROWS


def _median(counts: Ints, counted: Bools, how_many: Ints) -> Floats:
    """By line, of those that count; 0 where there is none."""
    if not counts.shape[1]:
        return np.zeros(len(counts))
    ordered = np.sort(np.where(counted, counts, np.iinfo(np.int64).max), axis=1)
    lines, last = np.arange(len(counts)), np.maximum(how_many - 1, 0)
    middle = (ordered[lines, last // 2] + ordered[lines, (last + 1) // 2]) / 2
    return np.where(how_many > 0, middle, 0.0)


def _spread(walk: _Walk, t: int) -> Floats:
    """Variance over mean, from how far the facility's days were from what was expected of them, without the worst."""
    past = slice(max(0, t - 7 * WEEKS), t)
    known = walk.measured[:, past] & walk.usable[:, past] & (walk.expected[:, past] > 0)
    expected = np.where(known, walk.expected[:, past], 1)
    squares = np.where(known, (walk.facts.rows[:, past] - expected) ** 2 / expected, np.inf)
    squares.sort(axis=1)
    days = known.sum(1)
    kept = np.floor(days * TRIMMED).astype(np.int64)
    sums = np.cumsum(np.where(np.isfinite(squares), squares, 0), axis=1)
    total = np.where(kept > 0, sums[np.arange(len(days)), np.maximum(kept, 1) - 1] if sums.shape[1] else 0, 0)
    own = total / np.maximum(kept, 1) / OF_THE_REST
    level = walk.facts.rows[:, past].sum(1) / np.maximum((walk.facts.rows[:, past] > 0).sum(1), 1)
    return np.maximum(1, ((1 + USUAL_SPREAD * level) * ITS_WEIGHT + own * days) / (ITS_WEIGHT + days))


def _volume(walk: _Walk, t: int, verdict: NDArray[Any], baseline_days: Ints) -> tuple[Ints, Ints, Floats]:
    """Marks volumes that are off; returns the days that each line's counts cover, the rows seen and those expected.

    The fewest days that show it are told.
    """
    rows, usual = walk.facts.rows[:, t], walk.expected[:, t]
    over, seen, expected = np.ones(len(rows), np.int64), rows.copy(), usual.copy()
    open_ = walk.measured[:, t].copy()
    for days in LOOKBACKS:
        past = slice(max(0, t - days + 1), t + 1)
        measured = walk.added_up[:, past]
        came = (walk.facts.rows[:, past] * measured).sum(1)
        due = (walk.expected[:, past] * measured).sum(1)
        # What is expected is not known exactly either, and over weeks each weekday's error counts more than once.
        doubt = max(1, days / 7) / np.maximum(baseline_days, 1)
        deviation = _deviation(came, due, walk.spread * (1 + doubt))
        low = open_ & (deviation <= -UNLIKELY_LOW) & (came <= LOW * due) & (rows <= STILL_LOW * usual)
        high = open_ & (deviation >= UNLIKELY_HIGH) & (came >= HIGH * due) & (rows >= STILL_HIGH * usual)
        found = low | high
        verdict[low], verdict[high] = Verdict.VOLUME_LOW, Verdict.VOLUME_HIGH
        over[found], seen[found], expected[found] = days, came[found], due[found]
        open_ &= ~found
    return over, seen, expected


def _deviation(seen: Ints, expected: Floats, spread: Floats) -> Floats:
    """In standard deviations; the signed root of the Poisson deviance, which holds for small counts too."""
    mean = np.maximum(expected, 1e-9)
    side = np.sign(seen - mean)
    count = np.maximum(seen - 0.5 * side, 1e-9)  # continuity
    deviance = 2 * (count * np.log(count / mean) - (count - mean))
    return np.where(np.sign(count - mean) == side, side * np.sqrt(np.maximum(deviance, 0) / spread), 0.0)


def _is_together(verdict: NDArray[Any], rows: Ints, came: Ints, usual: Floats, is_due: Bools) -> bool:
    """That files came and most facilities are quiet in them. A day without files is never excused."""
    asked = is_due & (usual >= TOGETHER_ROWS) & ((came == Came.ROWS) | (came == Came.EMPTY))
    quiet = asked & ((came == Came.EMPTY) | (rows <= LOW * usual)) & (verdict != Verdict.STOPPED)
    return bool(asked.sum() >= TOGETHER_AT_LEAST and quiet.sum() >= TOGETHER_SHARE * asked.sum())


def _follow(walk: _Walk, t: int, verdict: NDArray[Any], today: Floats, added_up: Floats, over: Ints) -> None:
    """Since when it is so, and what that has cost. Days of which nothing is said neither end it nor add to it."""
    wrong = verdict >= SILENT
    # A missing file after an empty one is the same silence; too many rows after too few are not.
    is_same = (walk.kind == Verdict.VOLUME_HIGH) == (verdict == Verdict.VOLUME_HIGH)
    goes_on = wrong & is_same & (walk.began >= 0)
    begins = wrong & ~goes_on
    walk.began[begins] = np.maximum(0, t - over[begins] + 1)
    walk.amiss[begins] = added_up[begins]
    walk.amiss[goes_on] += today[goes_on]
    walk.kind[wrong] = verdict[wrong]
    ends = verdict == Verdict.IN_ORDER
    walk.added_up[ends & (walk.began >= 0), :t] = False
    walk.began[ends], walk.kind[ends], walk.amiss[ends] = -1, 0, 0
