"""What is usual, from what was: medians and median deviations, so that bad days in the baseline do little harm.

Pure arithmetic. The day that is judged is never part of its own baseline; None where too few days are known.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from math import asin, pi, sin, sqrt
from statistics import median
from typing import NamedTuple

WIDTH = 4.5  # robust standard deviations on either side; see tests/analytics/test_monitors.py for what it costs
TO_SIGMA = 1.4826
FEW_SAMPLES = 1.15  # deviations from a median of the few days themselves are too small by this much
SAME_WEEKDAYS, LEAST_WEEKDAYS, LEAST_DAYS = 8, 4, 10
LEAST_ROWS = 20  # of a share: fewer say nothing
RELATIVE = 0.05  # what is off by less than a few times this is nobody's business
SHARE = 0.02
GRACE = 12.0  # hours

Shares = Mapping[str, float]


class Band(NamedTuple):
    low: float
    high: float
    days: int


def volume(history: Mapping[date, int], day: date) -> Band | None:
    """Rows on a day: against the same weekday, with the deviations of all weekdays together.

    On the scale of square roots, on which counts vary alike whether they are large or small.
    """
    by_weekday: dict[int, list[float]] = {}
    for known in sorted(history, reverse=True):
        of_weekday = by_weekday.setdefault(known.weekday(), [])
        if len(of_weekday) < SAME_WEEKDAYS:
            of_weekday.append(sqrt(history[known]))
    same = by_weekday.get(day.weekday(), [])
    if len(same) < LEAST_WEEKDAYS:
        return None
    centre = median(same)
    off = [abs(root - median(roots)) for roots in by_weekday.values() if len(roots) > 2 for root in roots]
    scale = max(FEW_SAMPLES * TO_SIGMA * median(off), 0.5, RELATIVE / 2 * centre)
    return Band(max(0.0, centre - WIDTH * scale) ** 2, (centre + WIDTH * scale) ** 2, len(same))


def share(history: Sequence[float], rows: int) -> Band | None:
    """A share of rows, on the scale of angles; the band is wider for few rows."""
    if len(history) < LEAST_DAYS or rows < LEAST_ROWS:
        return None
    angles = [asin(sqrt(one)) for one in history]
    centre = median(angles)
    deviation = FEW_SAMPLES * TO_SIGMA * median(abs(angle - centre) for angle in angles)
    scale = max(deviation, 1 / (2 * sqrt(rows)), SHARE)
    low, high = max(0.0, centre - WIDTH * scale), min(pi / 2, centre + WIDTH * scale)
    return Band(sin(low) ** 2, sin(high) ** 2, len(history))


def hours(gaps: Sequence[float]) -> Band | None:
    """Since something came last: the second longest pause known (the longest may be an outage) and half a day."""
    if len(gaps) < LEAST_DAYS // 2:
        return None
    return Band(0.0, sorted(gaps)[-2] + GRACE, len(gaps))


def distance(one: Shares, other: Shares) -> float:
    """Total variation: the share of rows that would have to be of another value to make them alike."""
    return sum(abs(one.get(key, 0.0) - other.get(key, 0.0)) for key in {*one, *other}) / 2


def usual(history: Sequence[Shares]) -> dict[str, float]:
    keys = {key for shares in history for key in shares}
    medians = {key: median(shares.get(key, 0.0) for shares in history) for key in keys}
    total = sum(medians.values()) or 1.0
    return {key: value / total for key, value in medians.items()}


def spread(history: Sequence[tuple[Shares, int]], rows: int) -> tuple[dict[str, float], Band] | None:
    """The usual shares, and how far from them a day of so many rows may be."""
    if len(history) < LEAST_DAYS or rows < LEAST_ROWS:
        return None
    centre = usual([shares for shares, _ in history])
    far = [distance(shares, centre) for shares, _ in history]
    chance = _by_chance(centre, rows)
    # A day of few rows is farther away by chance alone: it is measured against days made as small.
    grown = [one * max(1.0, sqrt(of / rows)) for one, (_, of) in zip(far, history, strict=True)]
    middle = max(median(grown), chance)
    deviation = FEW_SAMPLES * TO_SIGMA * median(abs(one - middle) for one in grown)
    high = middle + WIDTH * max(deviation, chance / 2, SHARE / 2)
    return centre, Band(0.0, min(1.0, high), len(history))


def _by_chance(shares: Shares, rows: int) -> float:
    return sum(sqrt(2 * one * (1 - one) / (pi * rows)) for one in shares.values()) / 2
