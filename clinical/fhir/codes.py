"""The words of FHIR that our resources are written with: code systems, and how a reference or an instant is spelt.

A code stands here only where a public list has it. What has none bears a system of our own, or its source's words.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]
Resource = dict[str, Any]

VERSION = "4.0.1"
OURS = "urn:medilink:"  # what only this site numbers or names
HL7 = "http://terminology.hl7.org/CodeSystem/"
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
IS_ESTIMATED = f"{OURS}extension:estimated"


def coding(system: str, code: str, display: str = "") -> Resource:
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(*codings: Resource, text: str | None = None) -> Resource:
    """At least one of them is there."""
    return ({"coding": [*codings]} if codings else {}) | ({"text": text} if text else {})


def reference(kind: str, of: Any) -> Resource:
    return {"reference": f"{kind}/{of}"}


def references(kind: str, ids: Iterable[Any]) -> list[Resource]:
    return [reference(kind, one) for one in ids]


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def identifier(system: str, value: Any, kind: Resource | None = None) -> Resource:
    return ({"type": kind} if kind else {}) | {"system": f"{OURS}{system}", "value": str(value)}


def because(reason: str) -> Resource:
    """In place of a value that is not told: why."""
    return {"extension": [{"url": ABSENT, "valueCode": reason}]}


MASKED = because("masked")
ESTIMATED: Resource = {"extension": [{"url": IS_ESTIMATED, "valueBoolean": True}]}


def filled(**elements: Any) -> Resource:
    """Those that say something: FHIR knows neither null nor empty."""
    return {name: value for name, value in elements.items() if value not in (None, "", [], {})}


def resource(kind: str, of: str, changed: datetime, **elements: Any) -> Resource:
    return {"resourceType": kind, "id": of, "meta": {"lastUpdated": instant(changed)}} | filled(**elements)
