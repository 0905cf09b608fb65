"""Which words have no code, those first that most events bear; and how much of what events say is understood."""

from dataclasses import dataclass
from typing import Any

from django.db.models import F, Func, Min, Q, QuerySet, Sum, TextField

from clinical.access import Scope
from clinical.models import TermText
from clinical.terms.shipped import Kind

State = TermText.State


class Unnest(Func):
    function = "unnest"
    set_returning = True
    output_field = TextField()


@dataclass(frozen=True)
class Word:
    """A part of texts that is not on the map; `example` is one of these texts."""

    kind: str
    key: str
    times: int
    example: int


@dataclass(frozen=True)
class Coverage:
    """How many times events say something of this kind, and of how many of these all is understood."""

    kind: str
    mapped: int
    qualified: int
    unmapped: int

    @property
    def total(self) -> int:
        return self.mapped + self.qualified + self.unmapped

    @property
    def mapped_pct(self) -> float | None:
        return round(100 * self.mapped / self.total, 1) if self.total else None


def texts(scope: Scope) -> "QuerySet[TermText]":
    """Those that events of the scope bear."""
    return TermText.objects.filter(_counts(scope))


def _counts(scope: Scope) -> Q:
    return scope.of_places("counts__facility__state", "counts__facility__lga_key", "counts__facility_id")


def ranked(scope: Scope, kind: str = "", *, first: int = 0, most: int = 30) -> list[Word]:
    found = texts(scope).filter(state=State.UNMAPPED).order_by()
    if kind:
        found = found.filter(kind=kind)
    lines = (
        found.annotate(word=Unnest(F("unknown")))
        .values("kind", "word")
        .annotate(times=Sum("counts__times"), example=Min("pk"))
        .order_by("-times", "kind", "word")
    )
    return [Word(line["kind"], line["word"], line["times"], line["example"]) for line in lines[first : first + most]]


def times(scope: Scope, kind: str, key: str) -> int:
    """How many times events of the scope bear the word."""
    found = texts(scope).filter(kind=kind, keys__contains=[key]).aggregate(times=Sum("counts__times"))
    return int(found["times"] or 0)


def coverage(scope: Scope) -> list[Coverage]:
    lines: Any = texts(scope).order_by().values("kind", "state").annotate(times=Sum("counts__times"))
    found = {(line["kind"], line["state"]): line["times"] or 0 for line in lines}
    return [Coverage(kind, *(found.get((kind, state), 0) for state in State)) for kind in Kind]
