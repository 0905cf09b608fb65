"""Who and what a bundle refers to beside itself: facilities and patients that are stored, as far as the caller sees."""

from typing import Any

from django.db.models import QuerySet

from clinical import access
from clinical.fhir.codes import OURS
from clinical.fhir.people import NUMBERED
from clinical.models import Facility, Patient, User
from ingestion.fhir.people import NUMBER, Reference

HFR = (f"{OURS}hfr", "")  # the national registry's; also where no system is said
OWN_FACILITY, OWN_PATIENT = f"{OURS}facility", f"{OURS}patient"


class NotOne(Exception):
    """None or several; `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def facility(whom: Reference, user: User) -> Facility:
    """The one that stands for it. Raises NotOne."""
    rows: Any = Facility.objects.inside(user.access.scope(access.READ, "facilities"))
    if whom.urn:
        raise NotOne("FACILITY_NOT_FOUND")
    if whom.id or whom.system == OWN_FACILITY:
        rows = rows.filter(pk=_number(whom.id or whom.value))
    elif whom.system in HFR:
        rows = rows.filter(hfr_code=whom.value, deleted_at=None)
    else:
        rows = rows.none()
    return _standing(_only(rows, "FACILITY"), "FACILITY")


def patient(whom: Reference, user: User, at: Facility | None) -> Patient:
    """A number is one of a facility's own: that of its system, else the bundle's. Raises NotOne.

    Only where nothing of a patient is masked for the caller: whether a number or a name is right would be told else.
    """
    rows: Any = Patient.objects.inside(user.access.clear_scope("patients")).filter(restricted_at=None)
    named = NUMBER.fullmatch(whom.system)
    if whom.id or whom.system == OWN_PATIENT:
        rows = rows.filter(pk=_number(whom.id or whom.value))
    elif named and named["what"] == NUMBERED:
        rows = rows.filter(facility_id=int(named["facility"]), patient_number=whom.value, deleted_at=None)
    elif not whom.system and at:
        rows = rows.filter(facility=at, patient_number=whom.value, deleted_at=None)
    else:
        rows = rows.none()
    return _standing(_only(rows.select_related("facility"), "PATIENT"), "PATIENT")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _only(rows: "QuerySet[Any]", what: str) -> Any:
    found = [*rows.order_by("pk")[:2]]
    if len(found) != 1:
        raise NotOne(f"{what}_AMBIGUOUS" if found else f"{what}_NOT_FOUND")
    return found[0]


def _standing(row: Any, what: str) -> Any:
    while row.merged_into_id:
        row = row.merged_into
    if row.deleted_at:
        raise NotOne(f"{what}_NOT_FOUND")
    return row
