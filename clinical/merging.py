"""Two rows that are one: merged, so that one stands for both; and unmerged, as if it had never been.

Both rows stay. The merged one is marked as deleted and points to the survivor, which takes its events; its names stay
aliases of the survivor. What comes by such a name later bears `arrived_as`, so that it can go back too.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.postgres.functions import TransactionNow
from django.db import OperationalError, connection, transaction
from django.db.models import BigIntegerField, Exists, F, OuterRef, Q
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Now

from clinical import audit, locks, row_security, undo
from clinical.models import (
    Facility,
    FacilityAlias,
    MedicalRecord,
    Membership,
    Merge,
    Patient,
    PatientAlias,
    Revision,
    TriageVisit,
    User,
)

EXTERNAL_ID: dict[Any, str] = {MedicalRecord: "record_id", TriageVisit: "visit_id"}


class NotPossible(Exception):
    """The rows do not allow it; the message says why, and names no person."""


@row_security.lifted()
def merge_patients(survivor: Patient, other: Patient, *, by: User, keep: Mapping[str, Any] | None = None) -> Merge:
    """`other` becomes a name of `survivor`, who takes all events and the values of `keep` (updatable columns)."""
    with audit.acting(by, "merge", "patients", survivor.pk, merged_id=other.pk, fields=sorted(keep or {})) as event:
        survivor, other = _locked(Patient, survivor, other)
        if survivor.facility_id != other.facility_id:
            raise NotPossible("They are patients of two facilities; only those of one facility can be merged.")
        _set_values(survivor, keep)
        _merge_patient(survivor, other, by)
        return Merge.objects.create(table=Merge.Of.PATIENTS, survivor_id=survivor.pk, merged_id=other.pk, event=event)


@row_security.lifted()
def merge_facilities(survivor: Facility, other: Facility, *, by: User, keep: Mapping[str, Any] | None = None) -> Merge:
    """`other` becomes a name of `survivor`, which takes its patients; those whom both know are merged too."""
    deed = audit.acting(by, "merge", "facilities", survivor.pk, merged_id=other.pk, fields=sorted(keep or {}))
    with deed as event, audit.unhurried():
        survivor, other = _locked(Facility, survivor, other)
        _refuse_same_ids(survivor, other)
        _set_values(survivor, keep)
        for twin, patient in _known_at_both(survivor, other):
            _merge_patient(twin, patient, by)
        _move_patients(survivor, other)
        _alias_of_facility(survivor, other)
        Membership.objects.filter(facility=other).exclude(
            user__memberships__facility=survivor, user__memberships__role=F("role")
        ).update(facility=survivor)
        _mark(other, survivor, by)
        return Merge.objects.create(table=Merge.Of.FACILITIES, survivor_id=survivor.pk, merged_id=other.pk, event=event)


@row_security.lifted()
@transaction.atomic
def unmerge(merge: Merge, *, by: User) -> None:
    """Both rows are as before, each with its own events, those that have come by its name since among them.

    A value of the survivor that was changed after the merge stays as it is now.
    """
    merge = Merge.objects.select_for_update().get(pk=merge.pk)
    if merge.undone_at:
        raise NotPossible("This merge is undone already.")
    model: Any = Patient if merge.table == Merge.Of.PATIENTS else Facility
    both = model.objects.filter(pk__in=[merge.survivor_id, merge.merged_id])
    _keep_loads_out(both.values_list("pk" if model is Facility else "facility_id", flat=True))
    [*both.select_for_update(of=("self",)).order_by("pk")]
    _refuse_buried(merge, model)
    _refuse_beside(merge)
    with audit.acting(by, "unmerge", merge.table, merge.survivor_id, merged_id=merge.merged_id), audit.unhurried():
        merged_patients = _patients_merged_by(merge)
        with audit.putting_back():
            undo.put_back(Revision.objects.filter(event=merge.event))
            if model is Facility:
                _send_patients_back(merge)
            for merged, survivor_id in merged_patients:
                _send_events_back(merged, survivor_id)
        Merge.objects.filter(pk=merge.pk).update(undone_at=Now(), undone_by=by)


def survivor_of(row: Any) -> Any:
    """The row that stands for this one now; itself where it was not merged."""
    while row.merged_into_id:
        row = row.merged_into
    return row


# --- Merging


def _locked(model: Any, survivor: Any, other: Any) -> tuple[Any, Any]:
    if survivor.pk == other.pk:
        raise NotPossible("These are one row already.")
    _keep_loads_out(row.pk if model is Facility else row.facility_id for row in (survivor, other))
    both = model.objects.select_for_update(of=("self",)).filter(pk__in=[survivor.pk, other.pk]).order_by("pk")
    rows = {row.pk: row for row in both}
    found = rows[survivor.pk], rows[other.pk]
    if any(row.deleted_at for row in found):
        raise NotPossible("One of them is deleted, or merged into another one already.")
    if any(getattr(row, "restricted_at", None) for row in found):
        raise NotPossible("One of them is restricted; lift that first.")
    return found


def _keep_loads_out(facility_ids: Iterable[int]) -> None:
    """A load that has looked a patient up before the merge would write its events to the row that is merged."""
    try:
        with locks.impatient():
            locks.keep_loads_out(facility_ids)
    except OperationalError:
        raise NotPossible("A load is at work on these facilities; try again in a minute.") from None


def _set_values(survivor: Any, keep: Mapping[str, Any] | None) -> None:
    unknown = set(keep or {}) - set(survivor.UPDATABLE)
    if unknown:
        raise NotPossible(f"Not to be chosen in a merge: {', '.join(sorted(unknown))}.")
    changed = {name: value for name, value in (keep or {}).items() if getattr(survivor, name) != value}
    if changed:
        type(survivor).objects.filter(pk=survivor.pk).update(**changed)


def _mark(other: Any, survivor: Any, by: User) -> None:
    type(other).objects.filter(pk=other.pk).update(merged_into=survivor, deleted_at=TransactionNow(), deleted_by=by)


def _merge_patient(survivor: Patient, other: Patient, by: User) -> None:
    for model in EXTERNAL_ID:
        _move_events(model, other.pk, survivor)
    PatientAlias.objects.filter(patient=other).update(patient=survivor, of=Coalesce("of_id", other.pk))
    same = PatientAlias.objects.filter(
        facility=other.facility_id,
        first_name_key=other.first_name_key,
        last_name_key=other.last_name_key,
        dob=other.dob,
    )
    if not same.update(patient=survivor, of=other):
        names = {"first_name": other.first_name, "last_name": other.last_name, "dob": other.dob}
        PatientAlias.objects.create(patient=survivor, of=other, facility_id=other.facility_id, **names)
    _mark(other, survivor, by)


def _move_events(model: Any, patient_id: int, to: Patient) -> None:
    """All of a patient's events, each under the next free ordinal: what both were said to have stays twice."""
    external_id = EXTERNAL_ID[model]
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} e SET patient_id = %s, facility_id = %s, arrived_as_id = %s,"  # noqa: S608  our own names
            " ordinal = e.ordinal + coalesce((SELECT max(o.ordinal) FROM"
            f" {table} o WHERE o.patient_id = %s AND o.event_on = e.event_on AND o.fingerprint = e.fingerprint"
            f" AND o.{external_id} IS NOT DISTINCT FROM e.{external_id}), 0)"
            " WHERE e.patient_id = %s",
            [to.pk, to.facility_id, patient_id, to.pk, patient_id],
        )


def _refuse_same_ids(survivor: Facility, other: Facility) -> None:
    for model, external_id in EXTERNAL_ID.items():
        ours = model.objects.filter(facility=survivor, **{f"{external_id}__isnull": False}).values(external_id)
        same = model.objects.filter(facility=other, **{f"{external_id}__in": ours}).count()
        if same:
            raise NotPossible(
                f"{same} {model._meta.verbose_name_plural} of the two bear the same ids of their sender, which one"
                " facility cannot have twice."
            )


def _known_at_both(survivor: Facility, other: Facility) -> list[tuple[Patient, Patient]]:
    """Each patient of the other whom the survivor knows by the same names and day of birth, now or formerly."""
    identity = ("first_name_key", "last_name_key", "dob")
    theirs = Patient.objects.filter(facility=other, merged_into=None).order_by("pk").values_list("pk", *identity)
    former = PatientAlias.objects.filter(facility=survivor).values_list("patient_id", *identity)
    ours = Patient.objects.filter(facility=survivor).values_list("pk", *identity)
    known = {row[1:]: row[0] for row in (*former, *ours)}
    pairs = [(known[row[1:]], row[0]) for row in theirs if row[1:] in known]
    rows = Patient.objects.in_bulk([pk for pair in pairs for pk in pair])
    return [_judged(survivor_of(rows[one]), rows[other_one]) for one, other_one in pairs]


def _judged(known: Patient, patient: Patient) -> tuple[Patient, Patient]:
    if known.deleted_at or patient.deleted_at:
        raise NotPossible(f"Patient {known.pk} or {patient.pk} is deleted, and the other facility knows the same one.")
    if known.restricted_at or patient.restricted_at:
        raise NotPossible(f"Patient {known.pk} or {patient.pk} is restricted; lift that first.")
    if {known.sex, patient.sex} == {Patient.Sex.MALE, Patient.Sex.FEMALE}:
        raise NotPossible(f"Patients {known.pk} and {patient.pk} bear one name and are of differing sex.")
    return known, patient


def _move_patients(survivor: Facility, other: Facility) -> None:
    """Their events follow by the foreign key; former names of theirs count at the new place too."""
    taken = PatientAlias.objects.filter(
        facility=survivor,
        first_name_key=OuterRef("first_name_key"),
        last_name_key=OuterRef("last_name_key"),
        dob=OuterRef("dob"),
    )
    PatientAlias.objects.filter(~Exists(taken), facility=other).update(facility=survivor)
    Patient.objects.filter(facility=other, merged_into=None).update(facility=survivor, arrived_as=other)


def _alias_of_facility(survivor: Facility, other: Facility) -> None:
    FacilityAlias.objects.filter(facility=other).update(facility=survivor, of=Coalesce("of_id", other.pk))
    same = FacilityAlias.objects.filter(name_key=other.name_key, state=other.state, lga_key=other.lga_key)
    if not same.update(facility=survivor, of=other):
        names = {"name": other.name, "state": other.state, "lga_name": other.lga_name}
        FacilityAlias.objects.create(facility=survivor, of=other, **names)


# --- Undoing


def _refuse_buried(merge: Merge, model: Any) -> None:
    """What was merged on top of it has to be undone first."""
    survivor = model.objects.get(pk=merge.survivor_id)
    if getattr(survivor, "erased_at", None):
        raise NotPossible("The patient was erased.")
    if survivor.merged_into_id:
        raise NotPossible("The survivor has itself been merged since; undo that merge first.")
    later = Merge.objects.filter(table=merge.table, survivor_id=merge.survivor_id, undone_at=None, pk__gt=merge.pk)
    if later.exists():
        raise NotPossible("Another row has been merged into the survivor since; undo that merge first.")


def _refuse_beside(merge: Merge) -> None:
    """A merge of the other kind on top of it has to be undone first."""
    if merge.table == Merge.Of.PATIENTS:
        survivor, merged = (Patient.objects.get(pk=pk) for pk in (merge.survivor_id, merge.merged_id))
        if survivor.facility_id != merged.facility_id:
            raise NotPossible("Their facility has been merged since, or one of them has moved; undo that first.")
        return
    moved = Revision.objects.filter(event=merge.event, table="patients").values("object_id")
    later = Merge.objects.filter(table=Merge.Of.PATIENTS, undone_at=None, pk__gt=merge.pk)
    if later.filter(Q(survivor_id__in=moved) | Q(merged_id__in=moved)).exists():
        raise NotPossible("One of its patients has been merged since; undo that merge first.")


def _patients_merged_by(merge: Merge) -> list[tuple[int, int]]:
    """(merged, survivor): of a merge of facilities, those whom both knew."""
    marked = Revision.objects.filter(event=merge.event, table="patients", became__has_key="merged_into_id")
    return [*marked.values_list("object_id", Cast(KT("became__merged_into_id"), BigIntegerField()))]


def _send_events_back(merged_id: int, survivor_id: int) -> None:
    """Those that have come since under one of the merged one's names."""
    merged = Patient.objects.get(pk=merged_id)
    names = _merged_into(Patient, merged_id)
    for model in EXTERNAL_ID:
        if model.objects.filter(patient=survivor_id, arrived_as__in=names).exists():
            _return_events(model, survivor_id, names, merged)


def _return_events(model: Any, survivor_id: int, names: list[int], merged: Patient) -> None:
    """Each under the next free ordinal, those of one content one after another."""
    external_id = EXTERNAL_ID[model]
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH back AS (SELECT e.id, row_number() OVER same"  # noqa: S608  names of our own
            f" + coalesce((SELECT max(o.ordinal) FROM {table} o WHERE o.patient_id = %s AND o.event_on = e.event_on"
            f"   AND o.fingerprint = e.fingerprint AND o.{external_id} IS NOT DISTINCT FROM e.{external_id}), 0) AS nth"
            f" FROM {table} e WHERE e.patient_id = %s AND e.arrived_as_id = ANY(%s)"
            f" WINDOW same AS (PARTITION BY e.event_on, e.fingerprint, e.{external_id} ORDER BY e.ordinal, e.id))"
            f" UPDATE {table} e SET patient_id = %s, facility_id = %s, ordinal = back.nth,"
            " arrived_as_id = nullif(e.arrived_as_id, %s) FROM back WHERE back.id = e.id",
            [merged.pk, survivor_id, names, merged.pk, merged.facility_id, merged.pk],
        )


def _send_patients_back(merge: Merge) -> None:
    """Those whom a file has registered since under the merged facility's name."""
    merged = Facility.objects.get(pk=merge.merged_id)
    names = _merged_into(Facility, merge.merged_id)
    for patient in Patient.objects.filter(facility=merge.survivor_id, arrived_as__in=names):
        keys = {"first_name_key": patient.first_name_key, "last_name_key": patient.last_name_key, "dob": patient.dob}
        if not Patient.objects.filter(facility=merged, **keys).exists():
            former = None if patient.arrived_as_id == merged.pk else patient.arrived_as_id
            Patient.objects.filter(pk=patient.pk).update(facility=merged, arrived_as=former)


def _merged_into(model: Any, pk: int) -> list[int]:
    """The row and those that were merged into it, near and far."""
    found, new = [pk], [pk]
    while new:
        new = [*model.objects.filter(merged_into__in=new).values_list("pk", flat=True)]
        found += new
    return found
