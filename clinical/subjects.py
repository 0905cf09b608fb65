"""A patient's rights under the Nigeria Data Protection Act that need no file: who they are, restriction and its end.

Whoever was merged into a patient is the same person. Export and erasure reach into deliveries: ingestion/dossier.py and
ingestion/erasure.py. To rectify is to edit: a later file does not undo what a person has set.
"""

from typing import NamedTuple

from django.contrib.postgres.functions import TransactionNow
from django.db import IntegrityError, transaction

from clinical import audit, row_security
from clinical.merging import NotPossible
from clinical.models import Erasure, MedicalRecord, Patient, PatientAlias, TriageVisit, User, Why

EVENTS = (MedicalRecord, TriageVisit)


class Identity(NamedTuple):
    """One by which files speak, or spoke, of the patient; names as the database compares them."""

    facility_id: int
    first_name_key: str
    last_name_key: str
    dob: str


def patient_of(pk: int) -> Patient:
    """The one who stands for them now. Raises NotPossible where there is none."""
    patient = Patient.objects.filter(pk=pk).first()
    if patient is None:
        raise NotPossible(f"There is no patient {pk}.")
    while patient.merged_into:
        patient = patient.merged_into
    return patient


def whole(patient: Patient) -> list[int]:
    """The ids of the patient, and of all who were merged into them, near and far."""
    found = new = [patient.pk]
    while new:
        new = [*Patient.objects.filter(merged_into__in=new).order_by("pk").values_list("pk", flat=True)]
        found = [*found, *new]
    return found


def identities(ids: list[int]) -> set[Identity]:
    rows = Patient.objects.filter(pk__in=ids), PatientAlias.objects.filter(patient__in=ids)
    return {
        Identity(facility_id, first, last, dob.isoformat())
        for found in rows
        for facility_id, first, last, dob in found.values_list("facility", "first_name_key", "last_name_key", "dob")
    }


@row_security.lifted()
def restrict(pk: int, *, why: str, by: User) -> None:
    """From now on only stewards see the patient and their events, on the desk; loads and identity go on."""
    _mark(pk, "restrict", by, why)


@row_security.lifted()
def unrestrict(pk: int, *, why: str, by: User) -> None:
    _mark(pk, "unrestrict", by, why)


@transaction.atomic
def _mark(pk: int, action: str, by: User, why: str) -> None:
    patient = Patient.objects.select_for_update(of=("self",)).get(pk=patient_of(pk).pk)
    is_to_be = action == "restrict"
    if patient.erased_at or bool(patient.restricted_at) == is_to_be:
        state = "erased" if patient.erased_at else "restricted" if is_to_be else "not restricted"
        raise NotPossible(f"Patient {patient.pk} is {state}.")
    ids, at = whole(patient), TransactionNow() if is_to_be else None
    with audit.acting(by, action, "patients", patient.pk, patient_ids=ids, why=Why(why).value), audit.unhurried():
        Patient.objects.filter(pk__in=ids).update(restricted_at=at)
        for model in EVENTS:
            model.objects.filter(patient__in=ids).update(restricted_at=at)


# --- Erasing takes two persons


@row_security.lifted()
def ask_to_erase(pk: int, *, why: str, by: User) -> Erasure:
    """Raises NotPossible where it was asked already."""
    patient = patient_of(pk)
    try:
        with audit.acting(by, "ask_to_erase", "patients", patient.pk, why=Why(why).value):
            return Erasure.objects.create(patient=patient, why=why, asked_by=by)
    except IntegrityError:
        raise NotPossible(f"That patient {patient.pk} be erased was asked already.") from None


@row_security.lifted()
def confirm_erasure(erasure: Erasure, *, by: User) -> None:
    """By somebody else than who has asked; ingestion/erasure.py does it then."""
    if erasure.asked_by_id == by.pk:
        raise NotPossible("Another person than the one who asked has to confirm it.")
    waiting = Erasure.objects.filter(pk=erasure.pk, confirmed_at=None)
    with audit.acting(by, "confirm_erasure", "patients", erasure.patient_id, why=erasure.why):
        if not waiting.update(confirmed_at=TransactionNow(), confirmed_by=by):
            raise NotPossible("It was confirmed, or withdrawn, already.")


@row_security.lifted()
def withdraw_erasure(erasure: Erasure, *, by: User) -> None:
    with audit.acting(by, "withdraw_erasure", "patients", erasure.patient_id, why=erasure.why):
        if not Erasure.objects.filter(pk=erasure.pk, confirmed_at=None).delete()[0]:
            raise NotPossible("It was confirmed, or withdrawn, already.")
