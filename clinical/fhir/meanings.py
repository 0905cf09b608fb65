"""The source's words as a CodeableConcept, with the code that our map has for them.

Codings of one concept are words for one thing. Where a text names several things, none of them is its code: they stand
in an extension, and a search by code finds them there.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Q

from clinical.fhir.asked import Token
from clinical.fhir.codes import OURS, Resource, coding, concept
from clinical.fhir.registry import EVERYTHING
from clinical.terms import Kind, Meaning, counting

CODE_OF_WORDS = "A code that our map has for its words; with :text, the beginning of the words."
NAMES = f"{OURS}extension:names"


def worded(text: str, meaning: Meaning) -> Resource:
    codings = [coding(*one) for one in meaning.codings]
    if len(codings) < 2:
        return concept(*codings, text=text)
    return {"extension": [{"url": NAMES, "valueCoding": one} for one in codings]} | concept(text=text)


def may_name(kind: Kind, lookup: str) -> Callable[[Sequence[Any]], Q]:
    """Of a search by code: the rows that may name one of these, by the texts that the last pass over them saw.

    What was written since may bear any text: `is_coded` tells.
    """

    def narrowing(asked_for: Sequence[Any]) -> Q:
        found = counting.texts_named(kind, [(one.system, one.code) for one in asked_for])
        if found is None:
            return EVERYTHING
        texts, last = found
        return Q(**{lookup: texts}) | Q(updated_at__gte=last.seen_until)

    return narrowing


def is_coded(element: str) -> Callable[[Sequence[Token]], Callable[[Resource], bool]]:
    """Of a search by code: whether that element of a resource names one of these."""

    def matching(asked_for: Sequence[Token]) -> Callable[[Resource], bool]:
        return lambda found: any(
            one.is_of(each["system"], each["code"]) for one in asked_for for each in _codings(found[element])
        )

    return matching


def _codings(of: Resource) -> list[Resource]:
    return [*of.get("coding", ()), *(one["valueCoding"] for one in of.get("extension", ()))]
