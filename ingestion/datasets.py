"""The four datasets: their columns, and which of them must be in the header and which must be filled.

One table, taken from the delivery contract; readers, staging tables and error texts follow it.
"""

from dataclasses import dataclass

from django.db.models import TextChoices


class Dataset(TextChoices):
    """Spelt alike in S3 names, tables, staging models and commands; the order is the order of loading."""

    FACILITIES = "facilities"
    PATIENTS = "patients"
    MEDICAL_RECORDS = "medical_records"
    TRIAGE_VISITS = "triage_visits"

    @property
    def is_event(self) -> bool:
        return self in (Dataset.MEDICAL_RECORDS, Dataset.TRIAGE_VISITS)

    @property
    def stage(self) -> int:
        """0 facilities, 1 patients, 2 events: a later stage waits for the earlier ones of its run."""
        return {Dataset.FACILITIES: 0, Dataset.PATIENTS: 1}.get(self, 2)


@dataclass(frozen=True)
class Columns:
    """Names as they stand in a header, in the contract's order."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    filled: frozenset[str]

    @property
    def all(self) -> tuple[str, ...]:
        return self.required + self.optional


def _columns(required: str, optional: str, filled: str) -> Columns:
    return Columns(tuple(required.split()), tuple(optional.split()), frozenset(filled.split()))


COLUMNS: dict[Dataset, Columns] = {
    Dataset.FACILITIES: _columns("name state lga lat lon type", "ownership level hfr_code", "name state"),
    Dataset.PATIENTS: _columns(
        "facility_name first_name last_name sex dob phone",
        "facility_state facility_lga patient_number",
        "facility_name first_name last_name dob",
    ),
    Dataset.MEDICAL_RECORDS: _columns(
        "facility_name patient_first_name patient_last_name record_type diagnosis treatment medications notes",
        "facility_state facility_lga patient_dob patient_phone record_id recorded_at",
        "facility_name patient_first_name patient_last_name",
    ),
    Dataset.TRIAGE_VISITS: _columns(
        "facility_name patient_first_name patient_last_name triage_level chief_complaint vital_signs conditions"
        " recommendations",
        "facility_state facility_lga patient_dob patient_phone visit_id visited_at language provider",
        "facility_name patient_first_name patient_last_name triage_level",
    ),
}
