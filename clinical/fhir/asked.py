"""Values of search parameters, read strictly, and the conditions on rows that they make.

Of several values one is enough. What a value cannot mean finds nothing; what is written wrongly is refused.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import F, Q, Value
from django.db.models.lookups import Contains, Exact, StartsWith

from clinical import geography, values
from clinical.api import filters, parameters
from clinical.fhir.codes import OURS
from clinical.fhir.registry import NOTHING, NUMBER

Condition = Callable[[Sequence[Any]], Q]
MOST_VALUES = 100


@dataclass(frozen=True)
class Token:
    """`system` is None where none was written, and empty where there is to be none."""

    system: str | None
    code: str

    def is_of(self, system: str, code: str) -> bool:
        return self.system in (None, system) and self.code in ("", code)


@dataclass(frozen=True)
class Ref:
    kind: str  # empty where none was written
    of: str


@dataclass(frozen=True)
class Span:
    """The instants from `low`, and before `high`, that a date may mean."""

    prefix: str
    low: datetime
    high: datetime


@dataclass(frozen=True)
class Text:
    text: str
    how: str  # "", "exact" or "contains"

    def is_met_by(self, told: str) -> bool:
        """In memory as the conditions below in the database."""
        if self.how == "exact":
            return told == self.text
        wanted, found = self.text.lower(), told.lower()
        return wanted in found if self.how == "contains" else found.startswith(wanted)


# --- Reading


def token(name: str, text: str, _modifier: str = "") -> Token:
    system, bar, code = text.rpartition("|")
    if not (system or code):
        raise parameters.refused(name, "invalid", "Must be a code, or system|code.")
    return Token(system if bar else None, code)


REFERENCE = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})")


def ref(name: str, text: str, modifier: str = "", base: str = "") -> Ref:
    """`Patient/12`, `12`, or our own absolute address; another server's finds nothing here."""
    if text.startswith(("http:", "https:")):
        if not text.startswith(base):
            return Ref("elsewhere", text)
        text = text.removeprefix(base)
    found = REFERENCE.fullmatch(text)
    if found:
        return Ref(found[1], found[2])
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,64}", text):
        raise parameters.refused(name, "invalid", "Must be a reference, such as Patient/12.")
    return Ref(modifier, text)


PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")
WHEN = re.compile(
    r"(eq|ne|gt|lt|ge|le|sa|eb)?"
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,6})?)?"
    r"(Z|[+ -][0-9]{2}:[0-9]{2})?)?)?)?"
)


def span(name: str, text: str, _modifier: str = "") -> Span:
    """A year, month, day, minute or second, and what stands before it; without a zone it is Lagos time."""
    found = WHEN.fullmatch(text)
    try:
        if found:
            prefix, year, month, day, hour, minute, second, part, zone = found.groups()
            zone = (zone or "").replace("Z", "+00:00").replace(" ", "+")
            clock = f"{hour or '00'}:{minute or '00'}:{second or '00'}{part or ''}{zone}"
            at = datetime.fromisoformat(f"{year}-{month or '01'}-{day or '01'}T{clock}")
            low = at if at.tzinfo else at.replace(tzinfo=values.LAGOS)
            return Span(prefix or "eq", low, _end(low, found))
    except (ValueError, OverflowError):
        pass
    raise parameters.refused(name, "invalid", f"Must be a date or an instant; before it, one of {' '.join(PREFIXES)}.")


def _end(low: datetime, found: re.Match[str]) -> datetime:
    _, _, month, day, hour, _, second, part, _ = found.groups()
    if not month:
        return low.replace(year=low.year + 1)
    if not day:
        return low.replace(year=low.year + low.month // 12, month=low.month % 12 + 1)
    if not hour:
        return low + timedelta(days=1)
    if not second:
        return low + timedelta(minutes=1)
    return low + (timedelta(microseconds=10 ** (7 - len(part))) if part else timedelta(seconds=1))


def text(name: str, text: str, modifier: str = "") -> Text:
    if "\0" in text:
        raise parameters.refused(name, "invalid", "Holds characters that no text has.")
    return Text(text, modifier)


READERS: Mapping[str, Callable[..., Any]] = {"token": token, "reference": ref, "date": span, "string": text}
MODIFIERS: Mapping[str, tuple[str, ...]] = {"string": ("exact", "contains")}


# --- Conditions


def any_of(conditions: Iterable[Q]) -> Q:
    return reduce(or_, conditions, NOTHING)


def all_rows(is_met: bool) -> Q:
    return Q() if is_met else NOTHING


def coded(*pairs: tuple[str, str]) -> Condition:
    """Every row bears these codes."""
    return lambda asked: all_rows(any(one.is_of(*pair) for one in asked for pair in pairs))


def words(column: str, stored: Mapping[str, Any], system: str = "") -> Condition:
    """A code stands for what the column holds."""
    return lambda asked: Q(
        **{f"{column}__in": [value for code, value in stored.items() if any(one.is_of(system, code) for one in asked)]}
    )


def truth(condition: str, yes: str = "true", no: str = "false") -> Condition:
    """A column's lookup that takes true or false."""

    def made(asked: Sequence[Token]) -> Q:
        return any_of(Q(**{condition: one.code == yes}) for one in asked if one.code in (yes, no))

    return made


def rows(column: str, kind: str, prefix: str = "") -> Condition:
    """A reference to what is made of the row whose id the column holds."""
    pattern = re.compile(f"{prefix}({NUMBER})")

    def made(asked: Sequence[Ref]) -> Q:
        met = [pattern.fullmatch(one.of) for one in asked if one.kind in ("", kind)]
        return Q(**{f"{column}__in": [int(found[1]) for found in met if found]})

    return made


def moments(column: str) -> Condition:
    return lambda asked: any_of(_within(column, one.prefix, one.low, one.high) for one in asked)


def days(column: str) -> Condition:
    """Of a column of dates: a day is no instant of any zone."""

    def made(asked: Sequence[Span]) -> Q:
        return any_of(_within(column, one.prefix, one.low.date(), _last(one)) for one in asked)

    return made


def _last(asked: Span) -> date:
    """The day behind the span's last one."""
    return asked.high.date() if asked.high.time() == time.min else asked.high.date() + timedelta(days=1)


def _within(column: str, prefix: str, low: Any, high: Any) -> Q:
    inside = Q(**{f"{column}__gte": low, f"{column}__lt": high})
    return {
        "eq": inside,
        "ne": ~inside,
        "gt": Q(**{f"{column}__gte": high}),
        "sa": Q(**{f"{column}__gte": high}),
        "ge": Q(**{f"{column}__gte": low}),
        "lt": Q(**{f"{column}__lt": low}),
        "eb": Q(**{f"{column}__lt": low}),
        "le": Q(**{f"{column}__lt": high}),
    }[prefix]


def names(*columns: str) -> Condition:
    """Of columns with a key beside them, by which names are compared; to the letter in the column itself."""
    return lambda asked: any_of(_spelt(column, one) for one in asked for column in columns)


def _spelt(column: str, asked: Text) -> Q:
    if asked.how == "exact":
        return Q(**{column: asked.text})
    lookup = "contains" if asked.how == "contains" else "startswith"
    return Q(**{f"{column}_key__{lookup}": filters.key(Value(asked.text))})


def state(column: str) -> Condition:
    """By its name, in whatever spelling, or its code."""

    def made(asked: Sequence[Text]) -> Q:
        return any_of(Q(**{f"{column}__in": _states(one)}) for one in asked)

    return made


def _states(asked: Text) -> list[str]:
    found = {
        state
        for state, code in geography.HEALTH_CODES.items()
        if any(asked.is_met_by(told) for told in (code, geography.in_words(state)))
    }
    spelt = geography.find_state(asked.text)
    return sorted(found | ({spelt} if spelt and not asked.how else set()))


def identified(system: str, column: str = "", of_facility: str = "") -> Condition:
    """By our own id, or by the number under which a facility knows it."""
    ours = f"{OURS}{system}"

    def one(asked: Token) -> Q:
        found = NOTHING
        if asked.system in (None, ours) and re.fullmatch(NUMBER, asked.code):
            found = Q(pk=int(asked.code))
        if column and asked.system is None and asked.code:
            return found | Q(**{column: asked.code})
        at = re.fullmatch(f"{OURS}facility:({NUMBER}):{of_facility}", asked.system or "")
        if column and at:
            return Q(**({column: asked.code} if asked.code else {f"{column}__isnull": False}), facility_id=int(at[1]))
        return found

    return lambda asked: any_of(map(one, asked))


def phone(column: str) -> Condition:
    """In whatever way it is written; a whole number only."""

    def one(asked: Token) -> Q:
        number = values.phone(asked.code)
        return Q(**{column: number}) if number else NOTHING

    return lambda asked: any_of(map(one, asked))


def same(expression: Any) -> Condition:
    """A column or an expression, compared as names are."""
    expression = F(expression) if isinstance(expression, str) else expression

    def one(asked: Text) -> Q:
        if asked.how == "exact":
            return Q(Exact(expression, Value(asked.text)))
        lookup = Contains if asked.how == "contains" else StartsWith
        return Q(lookup(filters.key(expression), filters.key(Value(asked.text))))

    return lambda asked: any_of(map(one, asked))


def own_number(system: str, prefix: str) -> Condition:
    """By an id of ours that names the table too."""
    pattern = re.compile(f"{prefix}({NUMBER})")

    def made(asked: Sequence[Token]) -> Q:
        met = [pattern.fullmatch(one.code) for one in asked if one.system in (None, f"{OURS}{system}")]
        return Q(pk__in=[int(found[1]) for found in met if found])

    return made


def of_item(prefix: str, kind: str, holds: str) -> Condition:
    """A reference to the nth of a row's list; `holds` is the lookup that the list has so many."""
    pattern = re.compile(f"{prefix}({NUMBER})-([0-9]{{1,4}})")

    def made(asked: Sequence[Ref]) -> Q:
        met = [pattern.fullmatch(one.of) for one in asked if one.kind in ("", kind)]
        return any_of(Q(pk=int(found[1]), **{holds: int(found[2])}) for found in met if found and int(found[2]))

    return made


def any_code(column: str, codes: Mapping[Any, tuple[str, str]]) -> Condition:
    """The column's values have codes; several may share one."""
    return lambda asked: Q(
        **{f"{column}__in": [value for value, pair in codes.items() if any(one.is_of(*pair) for one in asked)]}
    )


def written(column: str, system: str = "") -> Condition:
    """A word that has no code, as a token: compared as names are."""

    def one(asked: Token) -> Q:
        if asked.system not in (None, system) or not asked.code:
            return NOTHING
        return Q(Exact(filters.key(F(column)), filters.key(Value(asked.code))))

    return lambda asked: any_of(map(one, asked))


def any_text(*conditions: Condition) -> Condition:
    return lambda asked: any_of(condition(asked) for condition in conditions)


def contains(expression: Any, asked: Sequence[Text]) -> Q:
    """Wider than what is asked: for a list of texts that are told apart later."""
    return any_of(Q(Contains(filters.key(expression), filters.key(Value(one.text)))) for one in asked)


def facility_number(column: str) -> Condition:
    """Our own id, or the code in the health facility registry."""

    def one(asked: Token) -> Q:
        found = Q(pk=int(asked.code)) if re.fullmatch(NUMBER, asked.code) else NOTHING
        if asked.system == f"{OURS}facility":
            return found
        code = Q(**{column: asked.code}) if asked.code else Q(**{f"{column}__isnull": False})
        return code if asked.system == f"{OURS}hfr" else found | code if asked.system is None else NOTHING

    return lambda asked: any_of(map(one, asked))
