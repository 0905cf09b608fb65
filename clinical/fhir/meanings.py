"""The source's words as a CodeableConcept, with the code that our map has for them.

Codings of one concept are words for one thing. Where a text names several things, none of them is its code: they stand
in an extension, and a search by code finds them there.
"""

from collections.abc import Callable, Sequence

from clinical.fhir.asked import Token
from clinical.fhir.codes import OURS, Resource, coding, concept
from clinical.terms import Meaning

NAMES = f"{OURS}extension:names"


def worded(text: str, meaning: Meaning) -> Resource:
    codings = [coding(*one) for one in meaning.codings]
    if len(codings) < 2:
        return concept(*codings, text=text)
    return {"extension": [{"url": NAMES, "valueCoding": one} for one in codings]} | concept(text=text)


def is_coded(element: str) -> Callable[[Sequence[Token]], Callable[[Resource], bool]]:
    """Of a search by code: whether that element of a resource names one of these."""

    def matching(asked_for: Sequence[Token]) -> Callable[[Resource], bool]:
        return lambda found: any(
            one.is_of(each["system"], each["code"]) for one in asked_for for each in _codings(found[element])
        )

    return matching


def _codings(of: Resource) -> list[Resource]:
    return [*of.get("coding", ()), *(one["valueCoding"] for one in of.get("extension", ()))]
