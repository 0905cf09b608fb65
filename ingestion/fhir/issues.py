"""What is wrong with a bundle, entry by entry, as an OperationOutcome tells it. No text repeats what was sent."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ingestion.datasets import Dataset
from ingestion.refusals import CODES, code_of

REFUSALS = "urn:medilink:refusal"  # the codes of ingestion/refusals.py and those below
# What only a bundle can do wrong: the type of the issue, and what it means.
OF_BUNDLES = {
    "NOT_CARRIED": ("not-supported", "Medilink has no place for this element; nothing is ever dropped in silence."),
    "NOT_SUPPORTED": ("not-supported", "This is not supported here."),
    "STRUCTURE": ("structure", "This is not of the shape that FHIR R4 gives it."),
    "REFERENCE_UNKNOWN": ("not-found", "What is referred to is neither in the bundle nor known here."),
    "OTHER_FACILITY": ("business-rule", "A bundle is of one facility."),
    "FORBIDDEN": ("forbidden", "You may not write this."),
    "KEPT_OUT": ("informational", "This is not stored."),
}
TYPES = {
    **dict.fromkeys(("REQUIRED_MISSING",), "required"),
    **dict.fromkeys(("TYPE_INVALID", "DATE_AMBIGUOUS", "DATE_FUTURE", "RANGE", "ENUM"), "value"),
    **dict.fromkeys(("LENGTH",), "too-long"),
    **dict.fromkeys(("FACILITY_NOT_FOUND", "PATIENT_NOT_FOUND"), "not-found"),
    **dict.fromkeys(("FACILITY_AMBIGUOUS", "PATIENT_AMBIGUOUS"), "multiple-matches"),
    **dict.fromkeys(("IDENTITY_CONFLICT",), "conflict"),
    **dict.fromkeys(("DUP_IN_FILE_CONFLICT",), "duplicate"),
    **dict.fromkeys(("DELETED_BY_STEWARD",), "deleted"),
}
ELEMENTS: dict[Dataset, dict[str, str]] = {
    Dataset.PATIENTS: {
        "first_name": "name[0].given",
        "last_name": "name[0].family",
        "sex": "gender",
        "dob": "birthDate",
        "phone": "telecom[0].value",
        "patient_number": "identifier[0].value",
    },
    Dataset.MEDICAL_RECORDS: {
        "recorded_at": "period.start",
        "record_id": "identifier[0].value",
        "record_type": "type[0].text",
    },
    Dataset.TRIAGE_VISITS: {
        "visited_at": "period.start",
        "visit_id": "identifier[0].value",
        "chief_complaint": "reasonCode[0].text",
        "provider": "participant[0].individual.display",
    },
}


@dataclass(frozen=True)
class Issue:
    """`reason` is a code, maybe with its column: `LENGTH:first_name`. `at` is a FHIRPath from the bundle."""

    reason: str
    at: str = "Bundle"
    says: str = ""
    severity: str = "error"

    def told(self) -> dict[str, Any]:
        code, _, column = self.reason.partition(":")
        kind, meaning = OF_BUNDLES.get(code) or (TYPES.get(code, "business-rule"), CODES[code].meaning)
        text = self.says or meaning
        return {
            "severity": self.severity,
            "code": kind if self.severity in ("error", "fatal") else "informational",
            "details": {"coding": [{"system": REFUSALS, "code": code}], "text": text},
            "expression": [self.at],
        } | ({"diagnostics": column} if column else {})


class BundleRefused(Exception):
    """Nothing of it is stored."""

    def __init__(self, issues: Iterable[Issue], status: int = 422) -> None:
        self.issues, self.status = [*issues], status
        super().__init__(", ".join(sorted({code_of(issue.reason) for issue in self.issues})))


def element_of(dataset: Dataset, reason: str, at: str) -> str:
    """Where in the entry's resource a reason against a row of the dataset points."""
    code, _, column = reason.partition(":")
    known = ELEMENTS[dataset].get(column)
    if known is None and dataset.is_event and (column.startswith("patient") or code.startswith("PATIENT")):
        known = "subject"
    if known is None and (column.startswith("facility") or code.startswith("FACILITY")):
        known = "serviceProvider" if dataset.is_event else "managingOrganization"
    return f"{at}.resource.{known}" if known else at
