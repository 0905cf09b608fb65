"""What each column is, in words and as the field of a Frictionless Table Schema; limits come from what validates."""

from typing import Any

from clinical import geography, values
from ingestion.datasets import COLUMNS, Dataset

Field = dict[str, Any]
FREE = f"Free text, up to {values.FREE_TEXT_BYTES // 1024} KiB as UTF-8; never cut."
ITEMS = "A list: items separated by ; or |. A comma belongs to its item."
INSTANT = (
    "ISO 8601, best with a zone: 2025-11-20T09:15:00+01:00. Without a zone it is Lagos time. Never a guess: leave it"
    " empty where it is not known."
)
PHONE = "A Nigerian number as people write it, or any number with its country code. Another text loads as no phone."

# Per dataset, so that one name may mean two things; what is said once for all stands under None.
MEANINGS: dict[Dataset | None, dict[str, str]] = {
    None: {
        "facility_name": "The facility, spelt as in the facilities file; upper and lower case are equal.",
        "facility_state": "Its state. Send it always: it keeps apart facilities of one name.",
        "facility_lga": "Its LGA. Send it always: it keeps apart facilities of one name in one state.",
        "patient_first_name": "The patient's first name, spelt as in the patients file.",
        "patient_last_name": "The patient's last name, spelt as in the patients file.",
        "patient_dob": "The patient's date of birth, as in the patients file. It keeps apart people of one name.",
        "patient_phone": f"{PHONE} It only chooses among several patients of one name.",
    },
    Dataset.FACILITIES: {
        "name": "The facility's name. With state and LGA it is the facility's identity: a new spelling is a new one.",
        "state": "One of the 36 states or FCT, in any case; ISO 3166-2 codes are understood.",
        "lga": "The local government area. Without it a facility is told by name and state alone.",
        "lat": "Latitude in decimal degrees. A bad coordinate is left out, and the facility loads.",
        "lon": "Longitude in decimal degrees.",
        "type": "The kind of facility, such as hospital, clinic, health centre or pharmacy.",
        "ownership": f"Who owns it. {FREE}",
        "level": f"Its level of care. {FREE}",
        "hfr_code": "Its code in the Nigeria Health Facility Registry, by which other systems know it.",
    },
    Dataset.PATIENTS: {
        "first_name": "With facility, last name and date of birth this is the patient's identity.",
        "last_name": "The family name.",
        "sex": "M, F, Other or Unknown; male and female are understood. Empty is Unknown.",
        "dob": "YYYY-MM-DD; YYYY-MM or YYYY where no more is known. Never with slashes or dots.",
        "phone": PHONE,
        "patient_number": "The facility's own number of the patient.",
    },
    Dataset.MEDICAL_RECORDS: {
        "record_type": "The kind of record, such as consultation, lab or admission.",
        "diagnosis": FREE,
        "treatment": FREE,
        "medications": FREE,
        "notes": FREE,
        "record_id": "The app's own id of the record, the same at each delivery and never used again.",
        "recorded_at": f"When it was recorded. {INSTANT}",
    },
    Dataset.TRIAGE_VISITS: {
        "triage_level": "1 (most urgent) to 5.",
        "chief_complaint": FREE,
        "vital_signs": FREE,
        "conditions": f"What triage found likely. {ITEMS}",
        "recommendations": f"What was advised. {ITEMS}",
        "visit_id": "The app's own id of the visit, the same at each delivery and never used again.",
        "visited_at": f"When the visit began. {INSTANT}",
        "language": "The language that was spoken, for example en, ha, ig, yo.",
        "provider": "Who or what did the triage.",
    },
}

# What a column's limits are called in clinical/values.py, where that is not its own name.
LENGTH_OF = {
    "name": "facility_name",
    "facility_state": "state",
    "facility_lga": "lga",
    "patient_first_name": "first_name",
    "patient_last_name": "last_name",
}
OF_ANY_LENGTH = ("phone", "patient_phone")  # too long a phone is no phone, and no refusal
DATES = ("dob", "patient_dob")
INSTANTS = ("recorded_at", "visited_at")
STATES = ("state", "facility_state")

PATIENT = ("facility_name", "first_name", "last_name")
KEYS: dict[Dataset, Field] = {
    Dataset.FACILITIES: {"primaryKey": ["name", "state", "lga"]},
    Dataset.PATIENTS: {"primaryKey": [*PATIENT, "dob"]},
    Dataset.MEDICAL_RECORDS: {},
    Dataset.TRIAGE_VISITS: {},
}


def fields(dataset: Dataset) -> list[Field]:
    """In the contract's order. `mayBeAbsent` is of columns that may be missing from the header."""
    return [_field(dataset, name) for name in COLUMNS[dataset].all]


def _field(dataset: Dataset, name: str) -> Field:
    columns = COLUMNS[dataset]
    kind, limits = _limits(name)
    if name in columns.filled:
        limits = {"required": True} | limits
    return {
        "name": name,
        "type": kind,
        "description": MEANINGS[dataset].get(name) or MEANINGS[None][name],
        "constraints": limits,
        "mayBeAbsent": name in columns.optional,
    }


def _limits(name: str) -> tuple[str, Field]:
    """What is sure to be taken without a warning; Medilink understands more spellings than these."""
    if name in STATES:
        return "string", {"enum": [*geography.STATES]}
    if name == "sex":
        return "string", {"enum": [*dict.fromkeys(values.SEXES.values())]}
    if name == "triage_level":
        return "integer", {"minimum": 1, "maximum": 5}
    if name in ("lat", "lon"):
        least, most = values.LATITUDES if name == "lat" else values.LONGITUDES
        return "number", {"minimum": least, "maximum": most}
    if name in DATES:
        return "string", {"pattern": _pattern(values.DOB.pattern)}
    if name in INSTANTS:
        return "string", {"pattern": _pattern(values.ISO_8601.pattern)}
    length = values.LENGTHS.get(LENGTH_OF.get(name, name))
    return "string", {"maxLength": length} if length and name not in OF_ANY_LENGTH else {}


def _pattern(python: str) -> str:
    """A Table Schema's patterns know no groups without a number."""
    return python.replace("(?:", "(")


def references(dataset: Dataset) -> list[Field]:
    """Names, not ids: a row whose facility or patient is not known waits, and is tried again by itself."""
    if dataset is Dataset.FACILITIES:
        return []
    facility = {"fields": ["facility_name"], "reference": {"resource": "facilities", "fields": ["name"]}}
    if dataset is Dataset.PATIENTS:
        return [facility]
    named = ["facility_name", "patient_first_name", "patient_last_name"]
    return [facility, {"fields": named, "reference": {"resource": "patients", "fields": [*PATIENT]}}]
