"""An invented year of deliveries in which it is known what went wrong: to measure the watch by.

300 facilities by themselves or in the file of their state, with weekdays, seasons, growth, holidays (also such as no
calendar knows), openings and closures; and planted incidents of each kind. It knows nothing of how they are judged.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial

import numpy as np

from analytics.silence import facts
from analytics.silence.calendar import is_holiday
from analytics.silence.judgement import Bools, Came, Facts, Floats, Ints, Verdict

FIRST_DAY = date(2025, 1, 1)
STATES = 12
MOONS = (89, 156, 157, 247)  # days of the year: Eid al-Fitr, Eid al-Adha, Mawlid
OPENED, CLOSED, ALONE = 0.10, 0.04, 0.4  # shares of facilities
SETTLED_AFTER = 14  # days, after which a steward knows that a facility is closed and watches it no longer
WEEKS = (  # how busy a facility is from Monday to Sunday, and how many facilities are so
    (0.5, (1.15, 1.05, 1.0, 1.0, 0.95, 0.0, 0.0)),
    (0.25, (1.1, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0)),
    (0.25, (1.1, 1.0, 1.0, 1.0, 1.0, 0.7, 0.6)),
)


@dataclass
class Year:
    """`labels` say what is wrong, a Verdict or 0.

    `watched` is false before a facility opens and after its closure is settled; `sizes` are rows a day.
    """

    facts: Facts
    labels: Ints
    watched: Bools
    sizes: Floats


@dataclass
class _Plan:
    chance: np.random.Generator
    days: list[date]
    sources: int
    source_of: Ints
    is_open: Bools  # by facility and day: it works on that day
    activity: Floats  # rows to expect
    labels: Ints
    came: Ints  # by source and day
    waits: Bools
    factor: Floats
    taken: Bools = field(init=False)

    def __post_init__(self) -> None:
        self.taken = np.zeros(self.is_open.shape, bool)


def invent(seed: int = 1, facilities: int = 300, length: int = 365) -> Year:
    chance = np.random.default_rng(seed)
    days = [FIRST_DAY + timedelta(days=n) for n in range(length)]
    alone = chance.random(facilities) < ALONE
    source_of = np.where(alone, STATES + np.arange(facilities), chance.integers(0, STATES, facilities))
    sizes = np.clip(np.exp(chance.normal(np.log(18), 1.0, facilities)), 0.7, 250)
    opens, closes = _lives(chance, facilities, length)
    is_open, activity = _activity(chance, days, sizes, opens, closes)
    sources = STATES + facilities
    plan = _Plan(
        *(chance, days, sources, source_of, is_open, activity),
        labels=np.zeros(is_open.shape, np.int64),
        came=np.full((sources, length), Came.ROWS, np.int64),
        waits=np.zeros((sources, length), bool),
        factor=np.ones(is_open.shape),
    )
    _close(plan, opens, closes, alone)
    _plant_in_files(plan)
    _plant_in_volumes(plan)
    watched = np.arange(length) >= opens[:, None]
    watched &= np.arange(length) < (closes + SETTLED_AFTER)[:, None]
    return Year(_facts(plan), plan.labels, watched, sizes)


def _lives(chance: np.random.Generator, facilities: int, length: int) -> tuple[Ints, Ints]:
    opens, closes = np.zeros(facilities, np.int64), np.full(facilities, 10 * length)
    is_new, ends = chance.random(facilities) < OPENED, chance.random(facilities) < CLOSED
    opens[is_new] = chance.integers(length // 8, length * 3 // 4, is_new.sum())
    closes[ends & ~is_new] = chance.integers(length // 2, length - 10, (ends & ~is_new).sum())
    return opens, closes


def _activity(
    chance: np.random.Generator, days: list[date], sizes: Floats, opens: Ints, closes: Ints
) -> tuple[Bools, Floats]:
    facilities, length = len(sizes), len(days)
    kinds = chance.choice(len(WEEKS), facilities, p=[share for share, _ in WEEKS])
    weekdays = np.array([day.weekday() for day in days])
    usual = np.array([busy for _, busy in WEEKS])[kinds] * np.exp(chance.normal(0, 0.08, (facilities, 7)))
    week = usual[:, weekdays]
    at = np.arange(length)
    peak, swing = chance.integers(0, 365, (facilities, 1)), chance.uniform(0, 0.3, (facilities, 1))
    season = 1 + swing * np.cos(2 * np.pi * (at - peak) / 365)
    growth = (1 + chance.uniform(-0.2, 0.5, (facilities, 1))) ** (at / 365)
    first_weeks = np.clip((at - opens[:, None] + 7) / 28, 0.25, 1)
    off = np.array([is_holiday(day) for day in days])
    moons = np.isin(at, MOONS)
    holiday = np.where(off, chance.uniform(0.05, 0.7, (facilities, 1)), 1.0)
    holiday = holiday * np.where(moons, chance.uniform(0.05, 0.6, (facilities, 1)), 1.0)
    lives = (at >= opens[:, None]) & (at < closes[:, None])
    course = season * growth * holiday * np.where(opens[:, None] > 0, first_weeks, 1)
    return (week > 0) & lives, sizes[:, None] * week * course * lives


def _close(plan: _Plan, opens: Ints, closes: Ints, alone: Bools) -> None:
    """Who sends a file alone sends none on days off; after a closure nothing is due that did not come before."""
    length = len(plan.days)
    for facility in np.flatnonzero(alone):
        plan.came[plan.source_of[facility], ~plan.is_open[facility]] = Came.NOTHING
    kind = np.where(alone, Verdict.NO_FILE, Verdict.VOLUME_LOW)
    for facility in np.flatnonzero(closes < length):
        after = range(closes[facility], min(closes[facility] + SETTLED_AFTER, length))
        due = [at for at in after if plan.is_open[facility, at - 7 * (1 + (at - closes[facility]) // 7)]]
        plan.labels[facility, due] = kind[facility]
        plan.taken[facility, max(0, closes[facility] - 30) :] = True
    plan.taken |= np.arange(length) < opens[:, None]


def _spells(plan: _Plan, per_year: float, longest: int, shortest: int = 1) -> list[range]:
    """Some spans of days of one sender."""
    length = len(plan.days)
    starts = plan.chance.integers(0, length, plan.chance.poisson(per_year * length / 365))
    return [range(start, min(length, start + plan.chance.integers(shortest, longest + 1))) for start in starts]


def _plant(plan: _Plan, facilities: Ints, span: range) -> bool:
    """Takes the span for one incident, a week apart from any other."""
    around = slice(max(0, span.start - 7), span.stop + 7)
    if plan.taken[facilities, around].any():
        return False
    plan.taken[facilities, span.start : span.stop] = True
    return True


def _plant_in_files(plan: _Plan) -> None:
    kinds = (
        (Verdict.NO_FILE, Came.NOTHING, 1.5, 10),
        (Verdict.EMPTY_FILE, Came.EMPTY, 1.2, 4),
        (Verdict.SAME_FILE, Came.SAME, 1.2, 4),
    )
    for source in np.unique(plan.source_of):
        its = np.flatnonzero(plan.source_of == source)
        for label, came, per_year, longest in kinds:
            for span in filter(partial(_plant, plan, its), _spells(plan, per_year, longest)):
                days = [at for at in span if plan.came[source, at] == Came.ROWS]
                plan.came[source, days] = came
                plan.factor[its[:, None], days] = 0
                _label(plan, its, days, label)
        for span in filter(partial(_plant, plan, its), _spells(plan, 1.5, 2)):  # held: no incident of the facility
            plan.waits[source, span.start : span.stop] = True
            plan.factor[its, span.start : span.stop] = 0


def _plant_in_volumes(plan: _Plan) -> None:
    for facility in range(len(plan.is_open)):
        for label, low, high, per_year, shortest, longest in (
            (Verdict.VOLUME_LOW, 0.0, 0.3, 1.2, 2, 21),
            (Verdict.VOLUME_HIGH, 2.5, 5.0, 1.0, 1, 7),
        ):
            its = np.array([facility])
            for span in filter(partial(_plant, plan, its), _spells(plan, per_year, longest, shortest)):
                plan.factor[facility, span.start : span.stop] = plan.chance.uniform(low, high)
                _label(plan, its, [*span], label)


def _label(plan: _Plan, facilities: Ints, days: list[int], label: Verdict) -> None:
    """On days on which the facilities work: on others nobody would miss anything."""
    for at in days:
        if not is_holiday(plan.days[at]):
            plan.labels[facilities[plan.is_open[facilities, at]], at] = label


def _facts(plan: _Plan) -> Facts:
    """Counts vary more than a Poisson law says, by a tenth to a third of their mean."""
    spread = plan.chance.uniform(8, 60, (len(plan.activity), 1))
    mean = plan.activity * plan.factor * plan.chance.gamma(spread, 1 / spread, plan.activity.shape)
    rows = plan.chance.poisson(mean)
    rows[plan.came[plan.source_of] != Came.ROWS] = 0
    alone = plan.source_of >= STATES
    without = (rows == 0) & alone[:, None] & (plan.came[plan.source_of] == Came.ROWS)
    plan.came[plan.source_of[np.nonzero(without)[0]], np.nonzero(without)[1]] = Came.EMPTY  # nobody came that day
    plan.labels[without & (plan.labels == Verdict.VOLUME_LOW)] = Verdict.EMPTY_FILE
    facility, column = np.nonzero(rows)
    lines = np.stack([facility, plan.source_of[facility], column, rows[facility, column]])
    return facts.of_sources(plan.days, lines, plan.came, plan.waits)
