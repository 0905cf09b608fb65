"""Encounter: a record (ambulatory) or a triage visit (emergency).

The source names no practitioner that could be referred to; whoever is named at a visit is told in its words.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from clinical.fhir import asked
from clinical.fhir.codes import (
    ESTIMATED,
    HL7,
    MASKED,
    Resource,
    Row,
    coding,
    concept,
    identifier,
    instant,
    reference,
    resource,
)
from clinical.fhir.registry import Kind, Parameter, Part
from clinical.models import MedicalRecord, TriageVisit

CLASSES = HL7 + "v3-ActCode"
AMBULATORY, EMERGENCY = coding(CLASSES, "AMB", "ambulatory"), coding(CLASSES, "EMER", "emergency")
# Three classes of priority for five levels: the level itself is an Observation.
PRIORITIES = HL7 + "v3-ActPriority"
EMERGENT, URGENT, ROUTINE = (PRIORITIES, "EM"), (PRIORITIES, "UR"), (PRIORITIES, "R")
OF_LEVEL = {1: EMERGENT, 2: EMERGENT, 3: URGENT, 4: ROUTINE, 5: ROUTINE}
DISPLAYS = {"EM": "emergency", "UR": "urgent", "R": "routine"}
RECORD, VISIT = "record-", "visit-"
CONTEXT = {"patient": asked.rows("patient_id", "Patient"), "subject": asked.rows("patient_id", "Patient")}


def refers(*elements: str) -> dict[str, Callable[[Resource], list[str]]]:
    """By the name of an _include: what that element refers to; `patient` is another name of the subject."""
    return {"patient": _referred("subject")} | {element: _referred(element) for element in ("subject", *elements)}


def _referred(element: str) -> Callable[[Resource], list[str]]:
    return lambda found: [found[element]["reference"]]


def of_record(row: Row, _known: object) -> list[Resource]:
    diagnoses = [f"record-{row['id']}"] if row["data"]["diagnosis"] else []
    more: Resource = {"type": [concept(text=row["record_type"])] if row["record_type"] else []}
    return [_encounter(row, RECORD, AMBULATORY, row["recorded_at"], diagnoses, row["record_id"], **more)]


def of_visit(row: Row, _known: object) -> list[Resource]:
    diagnoses = [f"visit-{row['id']}-{number}" for number, _ in enumerate(row["conditions"], 1)]
    system, code = OF_LEVEL[row["triage_level"]]
    more: Resource = {"priority": concept(coding(system, code, DISPLAYS[code]))}
    if row["is_clear"]:
        more["reasonCode"] = [concept(text=row["chief_complaint"])] if row["chief_complaint"] else []
        more["participant"] = [{"individual": {"display": row["provider"]}}] if row["provider"] else []
    else:
        more |= {"reasonCode": [MASKED], "participant": [MASKED]}
    return [_encounter(row, VISIT, EMERGENCY, row["visited_at"], diagnoses, row["visit_id"], **more)]


def _encounter(
    row: Row, prefix: str, of_class: Resource, at: datetime, diagnoses: Sequence[str], number: str | None, **more: Any
) -> Resource:
    period: Resource = {"start": instant(at)}
    if row["time_is_estimated"]:
        period["_start"] = ESTIMATED
    numbers = [identifier("encounter", f"{prefix}{row['id']}")]
    if number and row["is_clear"]:
        numbers.append(identifier(f"facility:{row['facility_id']}:{prefix}number", number))
    return resource(
        "Encounter",
        f"{prefix}{row['id']}",
        row["last_updated"],
        identifier=numbers,
        status="finished",
        **{"class": of_class},
        subject=reference("Patient", row["patient_id"]),
        period=period,
        diagnosis=[{"condition": reference("Condition", one)} for one in diagnoses],
        location=[{"location": reference("Location", row["facility_id"])}],
        serviceProvider=reference("Organization", row["facility_id"]),
        **more,
    )


EVENT = ("id", "patient_id", "facility_id", "time_is_estimated")


def _searches(prefix: str, instant: str, of_class: str) -> dict[str, asked.Condition]:
    return CONTEXT | {
        "date": asked.moments(instant),
        "class": asked.coded((CLASSES, of_class)),
        "status": asked.coded(("http://hl7.org/fhir/encounter-status", "finished")),
        "location": asked.rows("facility_id", "Location"),
        "service-provider": asked.rows("facility_id", "Organization"),
        "identifier": asked.own_number("encounter", prefix),
    }


RECORDS = Part(
    model=MedicalRecord,
    when="recorded_at",
    resource="records",
    columns=(*EVENT, "data", "record_type", "record_id", "recorded_at"),
    make=of_record,
    prefix=RECORD,
    searches=_searches(RECORD, "recorded_at", "AMB") | {"diagnosis": asked.rows("pk", "Condition", RECORD)},
)
VISITS = Part(
    model=TriageVisit,
    when="visited_at",
    resource="visits",
    columns=(*(*EVENT, "conditions", "triage_level", "chief_complaint", "provider", "visit_id", "visited_at"),),
    make=of_visit,
    prefix=VISIT,
    searches=_searches(VISIT, "visited_at", "EMER")
    | {
        "diagnosis": asked.of_item(VISIT, "Condition", "conditions__len__gte"),
        "priority": asked.any_code("triage_level", OF_LEVEL),
    },
)
KIND = Kind(
    name="Encounter",
    parts=(RECORDS, VISITS),
    parameters=(
        Parameter("patient", "reference", "Whose it is.", ("Patient",)),
        Parameter("subject", "reference", "Whose it is.", ("Patient",)),
        Parameter("date", "date", "When it began."),
        Parameter("class", "token", "AMB for a record, EMER for a triage visit."),
        Parameter("status", "token", "Always finished."),
        Parameter("location", "reference", "Where it was.", ("Location",)),
        Parameter("service-provider", "reference", "The facility.", ("Organization",)),
        Parameter("identifier", "token", "Our number."),
        Parameter("diagnosis", "reference", "A condition that was found.", ("Condition",)),
        Parameter("priority", "token", "Of a triage visit, by its level: EM (1, 2), UR (3) or R (4, 5)."),
    ),
    includes=refers()
    | {
        "location": lambda found: [one["location"]["reference"] for one in found["location"]],
        "service-provider": lambda found: [found["serviceProvider"]["reference"]],
        "diagnosis": lambda found: [one["condition"]["reference"] for one in found.get("diagnosis", ())],
    },
)
