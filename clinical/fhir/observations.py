"""Observation: how urgent a visit was, what was complained of, its vital signs; and what else was written down.

Free text goes to those only who see it in the rows.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import Q

from clinical.fhir import asked
from clinical.fhir.codes import (
    ESTIMATED,
    HL7,
    LOINC,
    OURS,
    Resource,
    Row,
    coding,
    concept,
    identifier,
    instant,
    reference,
    resource,
)
from clinical.fhir.encounters import CONTEXT, RECORD, VISIT
from clinical.fhir.registry import Part
from clinical.models import MedicalRecord, TriageVisit

CATEGORIES = HL7 + "observation-category"
SURVEY = ("survey", "Survey")
LEVELS = f"{OURS}triage-level"
OWN = f"{OURS}observation"
Value = dict[str, Any]


def observation(row: Row, of: str, code: Resource, category: tuple[str, str] | None, **more: Any) -> Resource:
    """`of` is what follows the row's id."""
    is_visit = "visited_at" in row
    encounter = f"{VISIT if is_visit else RECORD}{row['id']}"
    estimated = {"_effectiveDateTime": ESTIMATED} if row["time_is_estimated"] else {}
    return resource(
        "Observation",
        f"{encounter}-{of}",
        row["last_updated"],
        identifier=[identifier("observation", f"{encounter}-{of}")],
        status="final",
        category=[concept(coding(CATEGORIES, *category))] if category else [],
        code=code,
        subject=reference("Patient", row["patient_id"]),
        encounter=reference("Encounter", encounter),
        effectiveDateTime=instant(row["visited_at"] if is_visit else row["recorded_at"]),
        **estimated,
        **more,
    )


def acuity(row: Row, _known: object) -> list[Resource]:
    level = row["triage_level"]
    value = concept(coding(LEVELS, str(level)), text=f"Level {level} of 5; 1 is the most urgent. No scale is named.")
    return [observation(row, "acuity", ACUITY, SURVEY, valueCodeableConcept=value)]


ACUITY = concept(coding(OWN, "triage-level", "Triage level"), text="Triage level")
COMPLAINT = concept(coding(LOINC, "8661-1", "Chief complaint - Reported"), text="Chief complaint")
RECOMMENDATIONS = concept(coding(OWN, "recommendations", "Recommendations"), text="Recommendations")
NOTES = concept(coding(OWN, "notes", "Notes"), text="Notes")
TREATMENT = concept(coding(OWN, "treatment", "Treatment"), text="Treatment")


def _text(of: str, code: Resource, category: tuple[str, str] | None, told: Callable[[Row], str]) -> Any:
    return lambda row, _known: [observation(row, of, code, category, valueString=told(row))]


EVENT = ("id", "patient_id", "time_is_estimated")


def searches(prefix: str, instant_of: str, category: str | None) -> dict[str, asked.Condition]:
    """What every Observation can be searched by, besides its code and value."""
    return CONTEXT | {
        "encounter": asked.rows("pk", "Encounter", prefix),
        "date": asked.moments(instant_of),
        "category": asked.coded((CATEGORIES, category)) if category else asked.coded(),
        "status": asked.coded(("http://hl7.org/fhir/observation-status", "final")),
    }


def part(of: str, code: Resource, category: str | None, make: Any, column: str, **more: Any) -> Part:
    """Observations of one code, one for each row."""
    is_visit = more.pop("model") is TriageVisit
    instant_of, prefix = ("visited_at", VISIT) if is_visit else ("recorded_at", RECORD)
    bears = code["coding"][0]
    return Part(
        model=TriageVisit if is_visit else MedicalRecord,
        resource="visits" if is_visit else "records",
        columns=(*EVENT, column, instant_of),
        make=make,
        when=instant_of,
        prefix=prefix,
        suffix=f"-{of}",
        searches=searches(prefix, instant_of, category)
        | {
            "code": asked.coded((bears["system"], bears["code"])),
            "value-concept": asked.words(column, {str(n): n for n in range(1, 6)}, LEVELS)
            if column == "triage_level"
            else asked.coded(),
        },
        **more,
    )


def _of_visit(of: str, code: Resource, told: Callable[[Row], str], column: str, has: Q) -> Part:
    make = _text(of, code, None, told)
    return part(of, code, None, make, column, model=TriageVisit, has=has, is_masked=True)


def _of_record(of: str, code: Resource) -> Part:
    make = _text(of, code, None, lambda row: row["data"][of])
    return part(of, code, None, make, "data", model=MedicalRecord, has=Q(**{f"data__{of}__gt": ""}), is_masked=True)


PARTS = (
    part("acuity", ACUITY, "survey", acuity, "triage_level", model=TriageVisit),
    _of_visit("complaint", COMPLAINT, lambda row: row["chief_complaint"], "chief_complaint", Q(chief_complaint__gt="")),
    _of_visit(
        "recommendations",
        RECOMMENDATIONS,
        lambda row: "; ".join(row["recommendations"]),
        "recommendations",
        Q(recommendations__len__gt=0),
    ),
    _of_record("notes", NOTES),
    _of_record("treatment", TREATMENT),
)
