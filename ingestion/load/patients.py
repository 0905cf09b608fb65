"""Patients: (facility, first name, last name, date of birth)."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Case, F, Max, Min, Q, TextField, Value, When, Window
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, NullIf
from django.db.models.lookups import LessThan

from clinical.models import Patient
from ingestion.load import erased, merge, places
from ingestion.load.context import Load, collapse, insert, is_known, meet

INSERTED = ("first_name", "last_name", "dob", "dob_is_estimated", "line", *Patient.UPDATABLE)
UNKNOWN = Patient.Sex.UNKNOWN.value


def resolve(load: Load) -> None:
    places.resolve(load)
    erased.leave_out(load)
    _meet_by_identity(load)
    meet(load, load.good.filter(alias__facility_id=places.facility_of_row()), "alias__patient_id")
    _refuse_other_sex(load)
    identity = ["at", "first_name_key", "last_name_key", "dob"]
    rows = load.good.annotate(at=places.facility_of_row())
    collapse(load, rows, identity, {"is_torn": _is_torn(identity)})
    collapse(load, load.good.filter(is_known()), ["known__row_id"], {"is_torn": _is_torn(["known__row_id"])})


def publish(load: Load) -> None:
    merge.protect_newer(load)
    identity = ("facility_id", "first_name", "last_name", "dob", "dob_is_estimated")
    load.counts["updated"] = merge.update_edited(load, "patient", Patient, identity)
    values: dict[str, Any] = {column: column for column in INSERTED}
    values |= {"facility_id": places.facility_of_row(), "batch_id": Value(load.batch.pk)}
    values["arrived_as_id"] = Case(When(given_facility_id=None, then="place__arrived_as_id"))
    new = load.good.filter(~is_known()).order_by(places.facility_of_row(), "line")
    load.counts["inserted"] = insert(load, Patient, new, values)
    _meet_by_identity(load)
    filled = (~Q(sex=UNKNOWN), Q(phone__isnull=False), Q(patient_number__isnull=False))
    merge.remember_sightings(load, load.good, filled)
    load.warn("DELETED_BY_STEWARD", load.good.filter(known__patient__deleted_at__isnull=False).count())


def _meet_by_identity(load: Load) -> None:
    """Not a row that was merged: its identity is an alias of the one that stands for both."""
    rows = load.good.filter(identity__facility_id=places.facility_of_row(), identity__merged_into=None)
    meet(load, rows, "identity__id")


def _refuse_other_sex(load: Load) -> None:
    """Another sex than the known one is another person, unless it is what the source has said all along."""
    delivered = Coalesce(KeyTextTransform("sex", "known__patient__delivered"), Value(""), output_field=TextField())
    known = load.good.filter(known__patient__deleted_at=None).exclude(sex=UNKNOWN)
    known = known.exclude(known__patient__sex=UNKNOWN).annotate(said=delivered)
    load.stop(known.exclude(sex=F("known__patient__sex")).exclude(sex=F("said")), "IDENTITY_CONFLICT:sex")


def _is_torn(partition: Sequence[str]) -> LessThan:
    """True where rows of the partition know different sexes."""
    known = NullIf("sex", Value(UNKNOWN, TextField()))
    return LessThan(*(Window(of(known), partition_by=[*partition]) for of in (Min, Max)))
