"""Provenance: the file and the line that a row was first delivered with, without opening the archive.

For who may see passports. Where the file itself is not in the caller's scope, its number alone is told.
"""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q

from clinical.fhir import asked
from clinical.fhir.codes import HL7, OURS, Resource, Row, coding, concept, identifier, instant, reference, resource
from clinical.fhir.registry import Kind, Parameter, Part
from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from ingestion.models import IngestBatch

AGENT = {
    "type": concept(coding(HL7 + "provenance-participant-type", "assembler", "Assembler")),
    "who": {"display": "Medilink, which has loaded the file"},
}
ACTIVITY = concept(coding(HL7 + "v3-DataOperation", "CREATE", "create"))
LINE = f"{OURS}extension:line"


def _made_of(prefix: str, row: Row) -> list[Resource]:
    """The resources that are of this row whatever stands in it."""
    if prefix == "facility-":
        return [reference("Organization", row["id"]), reference("Location", row["id"])]
    if prefix == "patient-":
        return [reference("Patient", row["id"])]
    return [reference("Encounter", f"{prefix}{row['id']}")]


def provenance(prefix: str, row: Row, files: dict[int, str]) -> list[Resource]:
    batch, line = row["batch_id"], row["line"]
    source: Resource = {"identifier": identifier("batch", batch)}
    if batch in files:
        source["display"] = files[batch]
    if line is not None:
        source["extension"] = [{"url": LINE, "valuePositiveInt": line}]
    return [
        resource(
            "Provenance",
            f"{prefix}{row['id']}",
            row["last_updated"],
            target=_made_of(prefix, row),
            recorded=instant(row["created_at"]),
            activity=ACTIVITY,
            agent=[AGENT],
            entity=[{"role": "source", "what": source}],
        )
    ]


def _files(rows: Sequence[Row]) -> dict[int, str]:
    batches = IngestBatch.objects.filter(pk__in={row["batch_id"] for row in rows}).select_related("parent")
    return {one.pk: (one.parent or one).object_key for one in batches}


def _part(model: Any, prefix: str, columns: Sequence[str], **searches: asked.Condition) -> Part:
    known = {name.replace("_", "-"): condition for name, condition in searches.items()}
    return Part(
        model=model,
        resource="passports",
        columns=("id", "batch_id", "line", "created_at", *columns),
        make=lambda row, files: provenance(prefix, row, files),
        prefix=prefix,
        has=Q(batch_id__isnull=False),
        know=_files,
        shows_merged=hasattr(model, "merged_into"),
        searches=known | {"recorded": asked.moments("created_at")},
    )


def _target(*conditions: asked.Condition) -> asked.Condition:
    return asked.any_text(*conditions)


KIND = Kind(
    name="Provenance",
    parts=(
        _part(
            Facility,
            "facility-",
            (),
            target=_target(asked.rows("pk", "Organization"), asked.rows("pk", "Location")),
        ),
        _part(Patient, "patient-", (), target=asked.rows("pk", "Patient"), patient=asked.rows("pk", "Patient")),
        *(
            _part(
                model,
                prefix,
                ("patient_id",),
                target=asked.rows("pk", "Encounter", prefix),
                patient=asked.rows("patient_id", "Patient"),
            )
            for model, prefix in ((MedicalRecord, "record-"), (TriageVisit, "visit-"))
        ),
    ),
    parameters=(
        Parameter(
            "target", "reference", "What came from the file.", ("Organization", "Location", "Patient", "Encounter")
        ),
        Parameter("patient", "reference", "Of whom the line told.", ("Patient",)),
        Parameter("recorded", "date", "When it was loaded."),
    ),
    includes={"target": lambda found: [one["reference"] for one in found["target"]]},
)
