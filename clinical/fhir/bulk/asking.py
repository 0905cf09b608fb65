"""What a kick-off asks for, read strictly; who says `Prefer: handling=lenient` has what we lack left out instead."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rest_framework.exceptions import ValidationError

from clinical.api import parameters
from clinical.fhir import asked
from clinical.fhir.bulk import selection
from clinical.fhir.registry import registry
from clinical.models import FhirExport, User

FORMATS = ("application/fhir+ndjson", "application/ndjson", "ndjson")
NEUTRAL = ("_format", "_pretty", "allowPartialManifests")
# Of the guide, and not of ours: refused by name, so that nobody takes it for a typo.
LACKING = ("_typeFilter", "_elements", "includeAssociatedData", "organizeOutputBy")
MOST_PATIENTS = 10_000
PART = re.compile(r"value[A-Z][A-Za-z0-9]*")
Pairs = Sequence[tuple[str, str]]


@dataclass
class Asked:
    types: list[str]
    since: datetime | None = None
    until: datetime | None = None
    patient_ids: list[int] | None = None
    ignored: list[str] = field(default_factory=list)


@dataclass
class _Reader:
    user: User
    level: str
    is_lenient: bool
    base: str
    known: dict[str, list[str]]
    ignored: list[str] = field(default_factory=list)

    def one(self, name: str) -> str | None:
        texts = self.known.pop(name, [])
        if len(texts) > 1:
            raise parameters.refused(name, "duplicate_parameter", "Given more than once.")
        return texts[0] if texts else None

    def instant(self, name: str) -> datetime | None:
        text = self.one(name)
        if text is None:
            return None
        span = asked.span(name, text)
        if span.prefix != "eq" or "T" not in text:
            raise parameters.refused(name, "invalid", "Must be an instant such as 2026-11-22T08:00:00Z.")
        return span.low

    def leave_out(self, name: str, code: str, detail: str) -> None:
        if not self.is_lenient:
            raise parameters.refused(name[:40], code, detail)
        self.ignored.append(name[:40])


def read(pairs: Pairs, user: User, level: str, base: str, *, is_lenient: bool, is_posted: bool) -> Asked:
    known: dict[str, list[str]] = {}
    for name, text in pairs:
        known.setdefault(name, []).append(text)
    reader = _Reader(user, level, is_lenient, base, known)
    wanted = reader.one("_outputFormat") or FORMATS[0]
    if wanted.replace(" ", "+") not in FORMATS:
        raise parameters.refused("_outputFormat", "unknown_format", f"Must be one of {', '.join(FORMATS)}.")
    found = Asked(_types(reader), reader.instant("_since"), reader.instant("_until"))
    found.patient_ids = _patients(reader, is_posted=is_posted)
    for name in NEUTRAL:
        known.pop(name, None)
    for name in known:
        why = "is not supported here" if name in LACKING else "is no parameter of an export"
        reader.leave_out(name, "unknown_parameter", f"{name[:40]} {why}.")
    found.ignored = reader.ignored
    return found


def _types(reader: _Reader) -> list[str]:
    possible = selection.types(reader.user, reader.level)
    asked_for = [name.strip() for text in reader.known.pop("_type", []) for name in text.split(",") if name.strip()]
    if not asked_for:
        return [name for name in possible if name not in selection.NOT_BY_ITSELF]
    for name in asked_for:
        if name not in possible:
            why = "cannot be exported here, or not by you" if name in registry else "is no type that there is here"
            reader.leave_out("_type", "invalid", f"{name[:40]} {why}; there are {', '.join(possible)}.")
    return [name for name in possible if name in asked_for]


def _patients(reader: _Reader, *, is_posted: bool) -> list[int] | None:
    """Those that the caller may have; one who is none of them is refused, or left out."""
    texts = reader.known.pop("patient", [])
    if not texts:
        return None
    if not is_posted or reader.level == FhirExport.Level.SYSTEM:
        reader.leave_out("patient", "invalid", "Is for POST, of the level of Patient or Group.")
        return None
    if len(texts) > MOST_PATIENTS:
        raise parameters.refused("patient", "invalid", f"At most {MOST_PATIENTS} at a time.")
    refs = [asked.ref("patient", text, base=reader.base + "/") for text in texts]
    people = registry["Patient"].parts[0]
    ids = {people.row_id(ref.of) for ref in refs if ref.kind in ("", "Patient")} - {None}
    found = {row["pk"] for row in people.queryset(reader.user).filter(pk__in=ids)}
    if len(ids) < len(texts) or found != ids:
        reader.leave_out("patient", "invalid", "Somebody of these is not there, or not for you.")
    return sorted(found)


def of_body(body: Any) -> Pairs:
    """The parameters of a POST, as pairs: a resource of type Parameters."""
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise ValidationError(["The body must be a resource of type Parameters."], code="invalid")
    given = body.get("parameter", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise ValidationError(["Its parameters must be a list."], code="invalid")
    return [(str(one.get("name", "")), _value(one)) for one in given]


def _value(one: dict[str, Any]) -> str:
    told = [value for name, value in one.items() if PART.fullmatch(name)]
    value = told[0] if len(told) == 1 else None
    if isinstance(value, dict):
        value = value.get("reference")
    if isinstance(value, bool):
        value = str(value).lower()
    if not isinstance(value, str) or "\0" in value:
        raise ValidationError(["Each parameter must have a name and one value."], code="invalid")
    return value
