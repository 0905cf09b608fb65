"""MedicationStatement: the medicines of a record, in its source's words."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q
from django.db.models.fields.json import KT

from clinical import terms
from clinical.fhir import asked
from clinical.fhir.codes import Resource, Row, identifier, instant, reference, resource
from clinical.fhir.encounters import CONTEXT, RECORD, refers
from clinical.fhir.meanings import CODE_OF_WORDS, is_coded, may_name, worded
from clinical.fhir.registry import Kind, Parameter, Part
from clinical.models import MedicalRecord

STATUSES = "http://hl7.org/fhir/CodeSystem/medication-statement-status"


def of_record(row: Row, known: Any) -> list[Resource]:
    of, text = f"{RECORD}{row['id']}", row["data"]["medications"]
    return [
        resource(
            "MedicationStatement",
            of,
            row["last_updated"],
            identifier=[identifier("medication", of)],
            status="unknown",  # whether it was taken, nobody has said
            medicationCodeableConcept=worded(text, known[text]),
            subject=reference("Patient", row["patient_id"]),
            context=reference("Encounter", of),
            dateAsserted=instant(row["recorded_at"]),
        )
    ]


def _known(rows: Sequence[Row]) -> Any:
    return terms.meanings(terms.Kind.MEDICATION, {row["data"]["medications"] for row in rows})


MEDICATIONS: Any = KT("data__medications")
KIND = Kind(
    name="MedicationStatement",
    parts=(
        Part(
            model=MedicalRecord,
            when="recorded_at",
            resource="records",
            columns=("id", "patient_id", "data", "recorded_at"),
            make=of_record,
            prefix=RECORD,
            has=Q(data__medications__gt=""),
            know=_known,
            searches=CONTEXT
            | {
                "context": asked.rows("pk", "Encounter", RECORD),
                "status": asked.coded((STATUSES, "unknown")),
                "code": may_name(terms.Kind.MEDICATION, "data__medications__in"),
                "code:text": asked.same(MEDICATIONS),
            },
            matches={"code": is_coded("medicationCodeableConcept")},
        ),
    ),
    parameters=(
        Parameter("patient", "reference", "Who takes them.", ("Patient",)),
        Parameter("subject", "reference", "Who takes them.", ("Patient",)),
        Parameter("context", "reference", "Where they were written down.", ("Encounter",)),
        Parameter("status", "token", "Always unknown."),
        Parameter("code", "token", CODE_OF_WORDS),
    ),
    includes=refers("context"),
)
