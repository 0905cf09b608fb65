"""NEWS2, qSOFA, shock index and mean arterial pressure.

What is missing makes a score a range: the least and the most that it can be. Two values of one sign do the same.

NEWS2 is reproduced from: Royal College of Physicians. National Early Warning Score (NEWS) 2: Standardising the
assessment of acute-illness severity in the NHS. Updated report of a working party. London: RCP, 2017. It is made for
people of 16 and over who are not pregnant. Scale 2 of saturation only where a clinician has set it; no text here says
so, and what is stored is by scale 1. qSOFA: Singer et al., JAMA 2016;315:801-810, for adults.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from pathlib import Path

from clinical.scores.inputs import Inputs, Value
from clinical.vitals.signs import AIR, OXYGEN

VERSION = 1  # to be raised with every change of a formula or a band: visits are then scored again


class Name(StrEnum):
    NEWS2 = "NEWS2"
    QSOFA = "qSOFA"
    SHOCK_INDEX = "shock index"
    MEAN_PRESSURE = "MAP"


ADULT = {Name.NEWS2: 16, Name.QSOFA: 18}  # years; nobody younger has this score
INPUTS = {
    Name.NEWS2: ("respiration", "saturation", "oxygen", "systolic", "pulse", "response", "temperature"),
    Name.QSOFA: ("respiration", "systolic", "response"),
    Name.SHOCK_INDEX: ("pulse", "systolic"),
    Name.MEAN_PRESSURE: ("systolic", "diastolic"),
}
RED = 3  # points of one input of NEWS2
HUNDREDTH = Decimal("0.01")

Range = tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class Score:
    """Between `minimum` and `maximum`, which are one where nothing is missing; None where it cannot be said at all.

    `reds` are the inputs that have three points of NEWS2 for certain.
    """

    name: Name
    minimum: Decimal | None
    maximum: Decimal | None
    missing: tuple[str, ...] = ()
    reds: tuple[str, ...] = ()


def _bands() -> dict[tuple[str, str], list[tuple[str, int]]]:
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    with Path(__file__).with_name("bands.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            found.setdefault((line["score"], line["input"]), []).append((line["from"], int(line["points"])))
    return found


BANDS = _bands()
# Numbers from a bound on; words as they are.
NUMBERS = {
    key: [(Decimal(start), points) for start, points in bands]
    for key, bands in BANDS.items()
    if bands[0][0][0].isdigit()
}
WORDS = {key: dict(bands) for key, bands in BANDS.items() if key not in NUMBERS}


def points(score: str, of: str, value: Value) -> int:
    if isinstance(value, str):
        return WORDS[score, of][value]
    return next(points for start, points in reversed(NUMBERS[score, of]) if value >= start)


def _range(score: str, of: str, values: Iterable[Value]) -> Range:
    """Of all that was written; where nothing was, of all that could be."""
    found = [points(score, of, value) for value in values] or [points for _, points in BANDS[score, of]]
    return Decimal(min(found)), Decimal(max(found))


def _sum(ranges: Iterable[Range]) -> Range:
    lows, highs = zip(*ranges, strict=True)
    return sum(lows, Decimal()), sum(highs, Decimal())


def _missing(name: Name, inputs: Inputs) -> tuple[str, ...]:
    return tuple(one for one in INPUTS[name] if one not in inputs)


def news2(inputs: Inputs, scale: int = 1) -> Score:
    """`scale` 2 where a clinician has set it, for hypercapnic respiratory failure; what breathes then counts twice."""
    ranges = {one: _range(Name.NEWS2, one, inputs.get(one, ())) for one in INPUTS[Name.NEWS2]}
    if scale != 1:
        ranges["saturation"] = _second_scale(inputs)
    low, high = _sum(ranges.values())
    reds = tuple(one for one, (least, _) in ranges.items() if least >= RED)
    return Score(Name.NEWS2, low, high, _missing(Name.NEWS2, inputs), reds)


def _second_scale(inputs: Inputs) -> Range:
    breathed = inputs.get("oxygen") or (AIR, OXYGEN)
    ranges = [_range(Name.NEWS2, f"saturation 2 {one}", inputs.get("saturation", ())) for one in breathed]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def qsofa(inputs: Inputs) -> Score:
    """Altered mentation is anything but alert, or a coma scale below 15: either of them says it."""
    missing = _missing(Name.QSOFA, inputs)
    said = [_range(Name.QSOFA, one, inputs[one]) for one in ("response", "coma") if one in inputs]
    mentation = (max(low for low, _ in said), max(high for _, high in said)) if said else (Decimal(0), Decimal(1))
    rest = [_range(Name.QSOFA, one, inputs.get(one, ())) for one in ("respiration", "systolic")]
    low, high = _sum([*rest, mentation])
    return Score(Name.QSOFA, low, high, tuple(one for one in missing if one != "response" or not said))


def _computed(name: Name, inputs: Inputs) -> Score:
    """Of one pair of numbers; without one of them there is nothing to say."""
    missing = _missing(name, inputs)
    if missing:
        return Score(name, None, None, missing)
    first, second = INPUTS[name]
    found = [_formula(name, Decimal(a), Decimal(b)) for a in inputs[first] for b in inputs[second]]
    return Score(name, min(found), max(found))


def _formula(name: Name, first: Decimal, second: Decimal) -> Decimal:
    value = first / second if name == Name.SHOCK_INDEX else (first + 2 * second) / 3
    return value.quantize(HUNDREDTH, ROUND_HALF_UP)


def all_scores(inputs: Inputs, age: int) -> list[Score]:
    """Of which anything at all is known, and which are made for this age in years."""
    scores = []
    for name, names in INPUTS.items():
        if age < ADULT.get(name, 0) or not (set(names) & set(inputs) or (name == Name.QSOFA and "coma" in inputs)):
            continue
        scores.append(_of(name, inputs))
    return scores


def _of(name: Name, inputs: Inputs) -> Score:
    if name == Name.NEWS2:
        return news2(inputs)
    return qsofa(inputs) if name == Name.QSOFA else _computed(name, inputs)
