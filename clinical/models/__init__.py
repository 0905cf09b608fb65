"""The domain: people who use Medilink, facilities, patients and what happened to them.

Files and dashboards are unknown here. What "always" holds is a constraint of the database; names are compared by
the key columns that PostgreSQL generates, never by Python.
"""

from clinical.models.accounts import AuditEvent, IdempotencyKey, Membership, ProgramToken, User
from clinical.models.columns import key_of
from clinical.models.rows import (
    ClinicalQuerySet,
    Edited,
    Event,
    Facility,
    FacilityAlias,
    FacilityName,
    Kept,
    LagosDate,
    MedicalRecord,
    Patient,
    PatientAlias,
    PatientName,
    TriageVisit,
)

__all__ = [
    "AuditEvent",
    "ClinicalQuerySet",
    "Edited",
    "Event",
    "Facility",
    "FacilityAlias",
    "FacilityName",
    "IdempotencyKey",
    "Kept",
    "LagosDate",
    "MedicalRecord",
    "Membership",
    "Patient",
    "PatientAlias",
    "PatientName",
    "ProgramToken",
    "TriageVisit",
    "User",
    "key_of",
]
