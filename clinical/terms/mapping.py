"""The map in force: the one that is delivered, and over it what stewards have decided. A version names both.

`1.17` is the delivered version 1 with all decisions up to number 17. The same version gives the same codes for ever:
lines and decisions are only added, and decisions get their numbers one after the other (decisions.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.db.models import Q

from clinical import row_security
from clinical.models import TermDecision
from clinical.terms import shipped, words
from clinical.terms.shipped import Coding, Kind
from clinical.terms.words import Part, Status

NO_CONCEPT = Coding("", "", "")  # a steward said that the word means none of the map's
READ = {Kind.DIAGNOSIS: words.diagnoses, Kind.MEDICATION: words.medications}


class NoSuchVersion(Exception):
    """There was no such version of the map."""


@dataclass(frozen=True)
class Map:
    """All that one version says."""

    version: str
    meanings: Mapping[Kind, Mapping[str, Coding]]

    def read(self, kind: Kind, text: str) -> list[Part]:
        """What a text names, part by part, in order."""
        return READ[kind](text, self.meanings[kind].get)

    def meaning(self, kind: Kind, part: Part) -> Coding | None:
        """What a part names, however sure the text is of it."""
        found = self.meanings[kind].get(part.key)
        return None if part.status == Status.UNKNOWN or found == NO_CONCEPT else found

    def codings(self, kind: Kind, text: str) -> list[Coding]:
        """Of what the text is sure of. Several are several things that it names, not several words for one."""
        sure = (part for part in self.read(kind, text) if part.status == Status.CONFIRMED)
        return [*dict.fromkeys(coding for part in sure if (coding := self.meaning(kind, part)))]


def codings(kind: str, texts: Iterable[str], version: str | None = None) -> dict[str, list[Coding]]:
    """Of each text; an empty list for what is not on the map, or is said to be suspected, denied or past."""
    chosen = current() if version is None else of_version(version)
    return {text: chosen.codings(Kind(kind), text) for text in set(texts)}


@row_security.lifted()
def current() -> Map:
    """Everybody's codes come from all decisions, whoever may read them."""
    last = TermDecision.objects.order_by("-pk").values_list("pk", "decided_at").first()
    return _made(shipped.newest(), last[0] if last else 0, last)


@row_security.lifted()
def of_version(version: str) -> Map:
    """As it was then."""
    number, _, decision = version.partition(".")
    if not (number.isdigit() and decision.isdigit()) or int(number) not in shipped.versions():
        raise NoSuchVersion(f"There is no version {version} of the map.")
    found = TermDecision.objects.filter(pk=int(decision)).values_list("pk", "decided_at").first()
    if found is None and int(decision):
        raise NoSuchVersion(f"There is no decision {decision}.")
    return _made(int(number), int(decision), found)


@lru_cache(maxsize=8)
def _made(number: int, decision: int, _last: object) -> Map:
    meanings = {kind: dict(shipped.spellings(kind, number)) for kind in Kind}
    for one in standing(decision):
        meanings[Kind(one.kind)][one.key] = Coding(one.system, one.code, one.display)
    return Map(f"{number}.{decision}", meanings)


def standing(decision: int) -> Iterable[TermDecision]:
    """The decisions that held at that number, in their order."""
    then = TermDecision.objects.filter(pk__lte=decision, takes_back=None)
    return then.exclude(Q(taken_back_by__pk__lte=decision)).order_by("pk")
