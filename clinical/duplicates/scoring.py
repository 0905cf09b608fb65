"""How probable it is that two rows are one: a weight for each field, in bits, whose sum is the score.

After Fellegi and Sunter, with two rivals of "the same" instead of one: two *strangers*, who share things by chance,
and two *relatives*, who share the last name, the phone, and twins the birthday too. The score is what speaks against
the rival that explains the pair better; 0 is as probable as not, and each further bit doubles the odds. The numbers
are set by judgement and tried on invented people (`manage.py measure_duplicates`), never fitted to patients.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from math import asin, cos, log2, radians, sin, sqrt
from typing import NamedTuple

from rapidfuzz.distance import OSA

from clinical.duplicates import names, places
from clinical.duplicates.names import Called, Level
from clinical.duplicates.places import At

VERSION = 1  # a change of any number or rule below is a new one: then all rows are searched again
THRESHOLDS = {"patients": 0.5, "facilities": 0.0}  # from here on a pair is shown to stewards


class Part(NamedTuple):
    """What one field says. The words name no value of a person."""

    field: str
    agreement: str
    weight: float


@dataclass(frozen=True)
class Verdict:
    score: float
    parts: tuple[Part, ...]

    @property
    def evidence(self) -> list[dict[str, object]]:
        return [part._asdict() | {"weight": round(part.weight, 2)} for part in self.parts]


class Odds(NamedTuple):
    """How often an agreement is met among pairs of one person, of relatives, of strangers."""

    same: float
    relative: float
    stranger: float


def judge(said: Iterable[tuple[str, str, Odds]]) -> Verdict:
    """Against the rival that explains all of it better. Field by field the rivals are never mixed."""
    said = [*said]
    against = min(
        ([log2(odds.same / getattr(odds, rival)) for _, _, odds in said] for rival in ("relative", "stranger")), key=sum
    )
    parts = (Part(field, agreement, weight) for (field, agreement, _), weight in zip(said, against, strict=True))
    return Verdict(sum(against), tuple(parts))


# --- Patients


class Person(NamedTuple):
    """A patient, as far as it is compared."""

    id: int
    called: Called
    dob: date
    is_estimated: bool
    sex: str
    phone: str | None
    number: str | None


@dataclass(frozen=True)
class Crowd:
    """What is usual where the two are: how often a name is met in their state, how many hold a phone number."""

    patients: int  # of the facility
    people: int  # of the state, whose names were counted
    first_names: dict[str, int]  # by names.key
    last_names: dict[str, int]
    holders: dict[str, int]  # of a phone number, at this facility
    today: date

    def share(self, counts: dict[str, int], *called: str) -> float:
        """How often a stranger has the more frequent of the names. Where few people are known, one in 150."""
        count = max(counts.get(names.key(name), 0) for name in called)
        return (count + 2) / (self.people + 300)


# A person is registered twice about once in thirty; and has about one relative at the facility.
TWICE = 0.03
# P(agreement | same, relatives, strangers); where the last is None it is how often the name is met.
_FIRST = {
    Level.SAME: (0.70, 0.02, None),
    Level.VARIANT: (0.09, 0.01, None),
    Level.CLOSE: (0.09, 0.012, 0.012),
    Level.PART: (0.04, 0.012, 0.015),
    Level.SHORT: (0.04, 0.006, 0.006),
    Level.INITIAL: (0.03, 0.003, 0.003),
    Level.NEAR: (0.02, 0.04, 0.03),
    Level.DIFFERENT: (0.008, 0.90, 0.95),
}
_LAST = {
    Level.SAME: (0.74, 0.80, None),
    Level.VARIANT: (0.08, 0.06, None),
    Level.CLOSE: (0.08, 0.03, 0.012),
    Level.PART: (0.04, 0.03, 0.015),
    Level.SHORT: (0.02, 0.01, 0.006),
    Level.INITIAL: (0.03, 0.03, 0.003),
    Level.NEAR: (0.02, 0.03, 0.03),
    Level.DIFFERENT: (0.004, 0.20, 0.95),
}
GROWN = 16
RENAMED = Odds(0.02, 0.20, 0.95)  # a grown woman, who may have married
CROSSED = Odds(0.05, 0.03, 0.12)  # in the north a son is often called by his father's name


def patients(one: Person, other: Person, crowd: Crowd) -> Verdict:
    return judge(_patient_evidence(one, other, crowd))


def _patient_evidence(one: Person, other: Person, crowd: Crowd) -> Iterable[tuple[str, str, Odds]]:
    chance = TWICE / max(crowd.patients, 50)
    yield "before looking", f"any two of {max(crowd.patients, 50):,} patients", Odds(chance, chance / TWICE, 1)
    agreement = names.compare_people(one.called, other.called)
    first_names, last_names = [one.called.first, other.called.first], [one.called.last, other.called.last]
    if agreement.is_crossed:
        first_names, last_names = [one.called.first, other.called.last], [one.called.last, other.called.first]
        yield "order of names", "first and last name changed places", CROSSED
    first = crowd.share(crowd.first_names, *first_names)
    last = crowd.share(crowd.last_names, *last_names)
    yield "first name", _how_rare(agreement.first, first), _odds(_FIRST[agreement.first], first)
    if agreement.last == Level.DIFFERENT and _may_have_married(one, other, crowd.today):
        yield "last name", "different, as after a wedding", RENAMED
    else:
        yield "last name", _how_rare(agreement.last, last), _odds(_LAST[agreement.last], last)
    yield ("date of birth", *_dob(one, other))
    if "Unknown" not in (one.sex, other.sex):
        is_same = one.sex == other.sex
        yield "sex", "the same" if is_same else "different", Odds(0.98, 0.5, 0.5) if is_same else Odds(0.02, 0.5, 0.5)
    if one.phone and other.phone:
        yield ("phone", *_phone(one.phone, other.phone, crowd))
    if one.number and other.number:
        is_same = one.number == other.number
        odds = Odds(0.3, 0.001, 0.001) if is_same else Odds(0.7, 0.999, 0.999)
        yield "patient number", "the same" if is_same else "different", odds


def _may_have_married(one: Person, other: Person, today: date) -> bool:
    return "M" not in (one.sex, other.sex) and max(one.dob, other.dob).year <= today.year - GROWN


def _odds(of: tuple[float, float, float | None], share: float) -> Odds:
    same, relative, stranger = of
    return Odds(same, relative, share if stranger is None else stranger)


def _how_rare(level: Level, share: float) -> str:
    if level not in (Level.SAME, Level.VARIANT):
        return str(level)
    return f"{level}, {'a rare one' if share < 0.005 else 'a frequent one' if share > 0.03 else 'not rare'}"


_YEAR = 1 / 55  # strangers born in the same year
_DAY = _YEAR / 365


def _dob(one: Person, other: Person) -> tuple[str, Odds]:
    born, born_too = sorted((one.dob, other.dob))
    if one.is_estimated or other.is_estimated:
        return _estimated_dob(born, born_too)
    if born == born_too:
        if (born.day, born.month) == (1, 1):  # what a clerk writes who knows the year only
            return "the same first of January", Odds(0.8, 0.03, _YEAR / 6)
        return "the same", Odds(0.8, 0.02, _DAY)
    if (born.year, born.month, born.day) == (born_too.year, born_too.day, born_too.month):
        return "day and month changed places", Odds(0.05, 0.0004, _DAY)
    if OSA.distance(f"{born:%Y%m%d}", f"{born_too:%Y%m%d}") == 1:
        return "one figure apart", Odds(0.07, 0.004, 30 * _DAY)
    if born.year == born_too.year:
        return "the same year", Odds(0.012, 0.03, _YEAR)
    return "different", Odds(0.02, 0.95, 0.97)


def _estimated_dob(born: date, born_too: date) -> tuple[str, Odds]:
    """Where at least one is only the year, or year and month, that was known or guessed."""
    years = born_too.year - born.year
    if years == 0:
        return "estimated, the same year", Odds(0.75, 0.05, _YEAR)
    if years == 1:
        return "estimated, a year apart", Odds(0.18, 0.08, 2 * _YEAR)
    if years <= 3:
        return "estimated, three years apart at most", Odds(0.06, 0.10, 4 * _YEAR)
    return "estimated, different", Odds(0.04, 0.8, 0.9)


FAMILY = 6  # more people than that on one number: it is the facility's own, or a neighbour's


def _phone(phone: str, other: str, crowd: Crowd) -> tuple[str, Odds]:
    if phone == other:
        holders = max(crowd.holders.get(phone, 0), 2)
        if holders > FAMILY:
            by_chance = max(0.5, holders / max(crowd.patients, holders))
            return f"the same, but {holders} patients have it", Odds(0.5, by_chance, by_chance)
        words = "the same" if holders == 2 else f"the same, and {holders} patients have it"
        return words, Odds(0.6, 0.5, 0.0005)
    if OSA.distance(phone, other) == 1:
        return "one figure apart", Odds(0.05, 0.02, 0.0005)
    return "different", Odds(0.25, 0.48, 0.99)


# --- Facilities: there are no relatives among them


class Site(NamedTuple):
    """A facility, as far as it is compared."""

    id: int
    at: At
    lga: str
    point: tuple[float, float] | None
    type: str | None
    code: str | None  # of the health facility registry


@dataclass(frozen=True)
class Sites:
    """What is usual in the state: how often the same words make a name."""

    facilities: int
    named: dict[places.Named, int]

    def share(self, *sites: Site) -> float:
        count = max(self.named.get(places.take_apart(*site.at), 1) for site in sites)
        return max(count - 1, 1) / max(self.facilities, 150)


LISTED_TWICE = 0.3  # for each facility; lists of them are put together from many
_NAME = {
    places.Level.SAME: (0.35, None),
    places.Level.VARIANT: (0.40, None),
    places.Level.CLOSE: (0.12, 0.003),
    places.Level.PART: (0.06, 0.02),
    places.Level.KIND: (0.01, 0.02),
    places.Level.NAMELESS: (0.01, 0.15),
    places.Level.BRANCH: (0.002, 0.05),
    places.Level.DIFFERENT: (0.02, 0.90),
}
# Within one LGA, places are given names by which to tell them apart.
ONE_NAME = (places.Level.SAME, places.Level.VARIANT, places.Level.CLOSE)
_DISTANCES = (
    (0.5, "less than 500 m", 0.75, 0.004),
    (2, "less than 2 km", 0.15, 0.02),
    (10, "less than 10 km", 0.05, 0.12),
    (30, "less than 30 km", 0.03, 0.35),
    (9999, "more than 30 km", 0.02, 0.50),
)


def facilities(one: Site, other: Site, sites: Sites) -> Verdict:
    return judge(_facility_evidence(one, other, sites))


def _facility_evidence(one: Site, other: Site, sites: Sites) -> Iterable[tuple[str, str, Odds]]:
    known = max(sites.facilities, 150)
    yield "before looking", f"any two of {known:,} facilities", _two(LISTED_TWICE / known, 1)
    level = places.compare(one.at, other.at)
    same, stranger = _NAME[level]
    yield "name", str(level), _two(same, sites.share(one, other) if stranger is None else stranger)
    if not one.lga or not other.lga:
        yield "LGA", "missing", _two(0.1, 0.02)
    elif one.lga == other.lga:
        yield "LGA", "the same", _two(0.85, 1 / 60 if level in ONE_NAME else 1 / 21)
    else:
        yield "LGA", "different", _two(0.05, 0.95)
    if one.point and other.point:
        apart = kilometres(one.point, other.point)
        yield "distance", *next((words, _two(*odds)) for most, words, *odds in _DISTANCES if apart < most)
    if one.type and other.type:
        is_same = one.type.lower() == other.type.lower()
        yield "type", "the same" if is_same else "different", _two(0.85, 0.25) if is_same else _two(0.15, 0.75)
    if one.code and other.code:
        is_same = one.code == other.code
        yield "HFR code", "the same" if is_same else "different", _two(0.9, 0.0002) if is_same else _two(0.1, 0.999)


def _two(same: float, stranger: float) -> Odds:
    return Odds(same, stranger, stranger)


def kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The great circle between two points (degrees north, degrees east)."""
    north, north_too = radians(one[0]), radians(other[0])
    half = sin((north_too - north) / 2) ** 2
    half += cos(north) * cos(north_too) * sin(radians(other[1] - one[1]) / 2) ** 2
    return 12_742 * asin(sqrt(half))
