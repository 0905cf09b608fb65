"""Which words have no code, those first that most events bear; and how much of what events say is understood."""

from dataclasses import dataclass

from django.db.models import F, Func, Min, QuerySet, Sum, TextField

from clinical import row_security
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
        """Rounded down: all of it is understood only where all of it is."""
        return 1000 * self.mapped // self.total / 10 if self.total else None


def texts(scope: Scope) -> "QuerySet[TermText]":
    """Those that events of the scope bear; of less than the nation those that are not wholly understood."""
    return TermText.objects.filter(
        scope.of_places("counts__facility__state", "counts__facility__lga_key", "counts__facility_id")
    )


def _times(scope: Scope) -> Sum:
    return Sum("times" if scope.is_national else "counts__times")


def ranked(scope: Scope, kind: str = "", *, first: int = 0, most: int = 30) -> list[Word]:
    found = texts(scope).filter(state=State.UNMAPPED).order_by()
    if kind:
        found = found.filter(kind=kind)
    lines = (
        found.annotate(word=Unnest(F("unknown")))
        .values("kind", "word")
        .annotate(said=_times(scope), example=Min("pk"))
        .order_by("-said", "kind", "word")
    )
    return [Word(line["kind"], line["word"], line["said"], line["example"]) for line in lines[first : first + most]]


def times(scope: Scope, kind: str, key: str) -> int:
    """How many times events of the scope bear the word."""
    found = texts(scope).filter(kind=kind, keys__contains=[key]).aggregate(said=_times(scope))
    return int(found["said"] or 0)


@row_security.lifted()
def coverage() -> list[Coverage]:
    """Of the nation; numbers alone, so that every steward may know them."""
    lines = TermText.objects.order_by().values("kind", "state").annotate(said=Sum("times"))
    found = {(line["kind"], line["state"]): line["said"] or 0 for line in lines}
    return [Coverage(kind, *(found.get((kind, state), 0) for state in State)) for kind in Kind]
