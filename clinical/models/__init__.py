"""The domain: people who use Medilink, facilities, patients and what happened to them.

Files and dashboards are unknown here. What "always" holds is a constraint of the database; names are compared by
the key columns that PostgreSQL generates, never by Python.
"""

from clinical.models.accounts import IdempotencyKey, Membership, User
from clinical.models.bulk import FhirExport, FhirExportPart
from clinical.models.columns import key_of
from clinical.models.history import AuditEvent, AuditSeal, Merge, Revision
from clinical.models.keys import IndexKey
from clinical.models.logins import Login, LoginFailures, ProgramToken, RecoveryCode, SecondFactor
from clinical.models.pairs import DuplicatePair, DuplicateSearch, Table
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
from clinical.models.smart import SmartClient, SmartToken
from clinical.models.subjects import ErasedIdentity, Erasure, Restrictable, RestrictedRow, Why
from clinical.models.terms import TermCount, TermDecision, TermPass, TermText
from clinical.models.vitals import SecondLook, VisitScore, VitalReading, VitalSign

__all__ = [
    "AuditEvent",
    "AuditSeal",
    "ClinicalQuerySet",
    "DuplicatePair",
    "DuplicateSearch",
    "Edited",
    "ErasedIdentity",
    "Erasure",
    "Event",
    "Facility",
    "FacilityAlias",
    "FacilityName",
    "FhirExport",
    "FhirExportPart",
    "IdempotencyKey",
    "IndexKey",
    "Kept",
    "LagosDate",
    "Login",
    "LoginFailures",
    "MedicalRecord",
    "Membership",
    "Merge",
    "Patient",
    "PatientAlias",
    "PatientName",
    "ProgramToken",
    "RecoveryCode",
    "Restrictable",
    "RestrictedRow",
    "Revision",
    "SecondFactor",
    "SecondLook",
    "SmartClient",
    "SmartToken",
    "Table",
    "TermCount",
    "TermDecision",
    "TermPass",
    "TermText",
    "TriageVisit",
    "User",
    "VisitScore",
    "VitalReading",
    "VitalSign",
    "Why",
    "key_of",
]
