"""A search as it was asked for: read strictly, so that a typo does not return everyone.

Who says `Prefer: handling=lenient` has what is unknown left out instead; the Bundle's self link shows what was used.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from rest_framework.exceptions import ValidationError

from clinical import sealing
from clinical.api import parameters
from clinical.fhir import asked
from clinical.fhir.asked import Ref, Token
from clinical.fhir.registry import NOTHING, Kind, Part, registry

Pairs = Sequence[tuple[str, str]]
PER_PAGE, MOST_PER_PAGE = 50, 1000
MOST_PARAMETERS = 20  # of one search: each is another condition, or another look at what is referred to
NEUTRAL = ("_format", "_pretty")
# What every type can be searched by, and what shapes the answer.
COMMON = {"_id": "token", "_lastUpdated": "date"}
SHAPES = ("_count", "_sort", "_total", "_summary", "_include", "_revinclude")
SORTS = ("_lastUpdated",)
IN_PARTS = re.compile(r"(?<!\\),")


@dataclass(frozen=True)
class Narrow:
    """One parameter: `name` with its modifier, and the values of which one is enough."""

    name: str
    values: tuple[Any, ...]

    def rows(self, part: Part) -> Q:
        """The condition on the part's rows."""
        if self.name == "_id":
            return Q(pk__in=[pk for one in self.values if (pk := part.row_id(one.code)) is not None])
        if self.name == "_lastUpdated":
            return asked.moments("last_updated")(self.values)
        searched = part.searches.get(self.name)
        return searched(self.values) if searched else NOTHING

    @classmethod
    def to(cls, kind: Kind, name: str, of: Sequence[str]) -> "Narrow":
        """That a parameter refers to these."""
        return cls(name, tuple(Ref(kind.name, one) for one in of))


@dataclass
class Query:
    kind: Kind
    narrows: list[Narrow] = field(default_factory=list)
    count: int = PER_PAGE
    is_count_only: bool = False
    has_total: bool = False
    sort: str = ""
    includes: list[tuple[str, str]] = field(default_factory=list)  # (type, parameter)
    revincludes: list[tuple[str, str]] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)
    place: list[Any] | None = None

    def names(self) -> dict[str, str]:
        """For the audit."""
        return dict(self.used)


def read(kind: Kind, pairs: Pairs, base: str, *, is_lenient: bool = False) -> Query:
    query = Query(kind)
    if len(pairs) > MOST_PARAMETERS:
        raise parameters.refused("parameters", "too_many", f"At most {MOST_PARAMETERS} parameters.")
    for name, text in pairs:
        if name in NEUTRAL or not text.strip():
            continue
        try:
            _add(query, name, text.strip(), base)
        except ValidationError as error:
            if not (is_lenient and _is_unknown(error)):
                raise
            continue
        query.used.append((name, text))
    return query


def _is_unknown(error: ValidationError) -> bool:
    return "unknown_parameter" in json.dumps(error.get_codes())


def _add(query: Query, name: str, text: str, base: str) -> None:
    if name in SHAPES:
        _shape(query, name, text)
        return
    plain, _, modifier = name.partition(":")
    known = query.kind.by_name.get(plain)
    of = known.of if known else COMMON.get(plain)
    if of is None:
        raise unknown(query.kind, name)
    if modifier == "text" and of == "token" and any(f"{plain}:text" in part.searches for part in query.kind.parts):
        of, plain, modifier = "string", name, ""
    elif modifier and modifier not in _modifiers(of, known):
        raise unknown(query.kind, name)
    more = {"base": f"{base}/"} if of == "reference" else {}
    texts = [one.replace("\\,", ",") for one in IN_PARTS.split(text)]
    if len(texts) + sum(len(one.values) for one in query.narrows) > asked.MOST_VALUES:
        raise parameters.refused(name, "too_many", f"At most {asked.MOST_VALUES} values in one search.")
    query.narrows.append(Narrow(plain, tuple(asked.READERS[of](name, one, modifier, **more) for one in texts if one)))


def _modifiers(of: str, known: Any) -> Sequence[str]:
    return known.targets if of == "reference" and known else asked.MODIFIERS.get(of, ())


def unknown(kind: Kind, name: str) -> ValidationError:
    names = ", ".join(sorted({*kind.by_name, *COMMON, *SHAPES}))
    detail = f"{kind.name} cannot be searched by it. Known: {names}."
    # The name is repeated only where it looks like one: it may be anything.
    at = name if re.fullmatch(r"[A-Za-z_:-]{1,40}", name) else "parameter"
    return parameters.refused(at, "unknown_parameter", detail)


def _shape(query: Query, name: str, text: str) -> None:
    if name == "_count":
        query.count = parameters.whole_number(name, text, 0, 10**6)
        query.is_count_only = query.is_count_only or not query.count
        query.count = min(query.count, MOST_PER_PAGE)
    elif name == "_summary":
        _one_of(name, text, ("count", "false"))
        query.is_count_only = text == "count"
    elif name == "_total":
        _one_of(name, text, ("none", "estimate", "accurate"))
        query.has_total = text != "none"
    elif name == "_sort":
        _one_of(name, text.removeprefix("-"), SORTS if query.kind.is_sortable else ())
        query.sort = text
    elif name == "_include":
        query.includes = _once(query.includes, (_include(query.kind, one) for one in _few(name, text)))
    else:
        query.revincludes = _once(query.revincludes, (_revinclude(query.kind, one) for one in _few(name, text)))


def _few(name: str, text: str) -> list[str]:
    found = text.split(",")
    if len(found) > MOST_PARAMETERS:
        raise parameters.refused(name, "too_many", f"At most {MOST_PARAMETERS} values.")
    return found


def _once(known: Iterable[tuple[str, str]], more: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [*dict.fromkeys([*known, *more])]


def _one_of(name: str, text: str, known: Sequence[str]) -> None:
    if text not in known:
        raise parameters.refused(name, "invalid", f"Must be one of {', '.join(known)}." if known else "Has no order.")


def _include(kind: Kind, text: str) -> tuple[str, str]:
    of, _, name = text.partition(":")
    name = name.partition(":")[0]
    if of != kind.name or name not in (*kind.includes, "*"):
        known = ", ".join(f"{kind.name}:{one}" for one in kind.includes)
        raise parameters.refused("_include", "invalid", f"Must be one of {known}." if known else "Refers to nothing.")
    return of, name


def _revinclude(kind: Kind, text: str) -> tuple[str, str]:
    of, _, name = text.partition(":")
    known = revincludes_of(kind)
    if text not in known:
        raise parameters.refused("_revinclude", "invalid", f"Must be one of {', '.join(known) or 'none'}.")
    return of, name


def revincludes_of(kind: Kind) -> list[str]:
    """By which parameters of other types these resources are referred to."""
    return [
        f"{other.name}:{one.name}"
        for other in registry.values()
        for one in other.parameters
        if one.of == "reference" and kind.name in one.targets
    ]


# --- The place at which the next page begins


def sealed(what: str, used: Pairs, place: Sequence[Any], user_id: int) -> str:
    """The whole search goes with it, sealed: no value of a person stands in an address that we have made."""
    plain = json.dumps([what, [*used], [*place]], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(sealing.seal(plain, _bound(user_id))).decode().rstrip("=")


def unsealed(what: str, cursor: str, user_id: int) -> tuple[Pairs, list[Any]]:
    """What was asked for, and the place of the next page."""
    try:
        plain = sealing.unseal(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), _bound(user_id))
        of, used, place = json.loads(plain)
    except (sealing.SealingError, ValueError, binascii.Error):
        raise bad_cursor() from None
    if of != what:
        raise bad_cursor()
    return [(name, text) for name, text in used], place


def bad_cursor() -> ValidationError:
    return parameters.refused("_cursor", "invalid", "Is none that this search has given you; search again.")


def _bound(user_id: int) -> str:
    return f"fhir search\x1f{user_id}"


def ids(of: Sequence[str]) -> Narrow:
    return Narrow("_id", tuple(Token(None, one) for one in of))
