"""What the database does by itself: keys, event days, the traces of people's edits, names present and past.

What it refuses is in tests/test_constraints.py.
"""

from contextlib import contextmanager
from datetime import UTC, date, datetime

import pytest
from django.db import connection
from django.utils import timezone

from clinical.models import Facility, FacilityAlias, FacilityName, Patient, PatientAlias, PatientName, TriageVisit

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@contextmanager
def a_load():
    """Whoever writes in it is a load, not a person."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('medilink.batch', '1', true)")
        yield
        cursor.execute("SELECT set_config('medilink.batch', '', true)")


@pytest.fixture
def clinic():
    return Facility.objects.create(name="Ikeja Clinic", state="LAGOS", lga="Ikeja", type="Clinic", batch_id=1)


@pytest.fixture
def agege():
    return Facility.objects.create(name="Agege Clinic", state="LAGOS", lga="Agege", batch_id=1)


@pytest.fixture
def ngozi(clinic):
    values = {"sex": "F", "dob": date(1975, 12, 31), "phone": "+2348031234567", "batch_id": 1}
    return Patient.objects.create(facility=clinic, first_name="Ngozi", last_name="Okafor", **values)


def changed(row, **values):
    """The row as it stands after an UPDATE of these columns only."""
    type(row).objects.filter(pk=row.pk).update(**values)
    row.refresh_from_db()
    return row


# --- Keys and days


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("IKEJA Clinic", "ikeja clinic"),
        ("HÔPITAL ẸKITI", "hôpital ẹkiti"),
        ("ΣΟΦΟΣ", "σοφοσ"),
        ("I", "i"),  # in every locale
    ],
)
def test_names_are_compared_in_lower_case_by_unicodes_own_table(name, key):
    assert Facility.objects.create(name=name, state="LAGOS").name_key == key


def test_an_lga_is_compared_by_its_official_name(clinic):
    assert (changed(clinic, lga="IKEJA LGA").lga_key, clinic.lga) == ("ikeja", "IKEJA LGA")
    clinic.save()
    assert clinic.lga_name == "Ikeja"


@pytest.mark.parametrize(("hour", "day"), [(22, 20), (23, 21)])
def test_the_day_of_an_event_is_the_one_in_lagos(ngozi, hour, day):
    visit = TriageVisit.objects.create(
        patient=ngozi,
        facility=ngozi.facility,
        triage_level=3,
        fingerprint="0" * 32,
        visited_at=datetime(2026, 11, 20, hour, 30, tzinfo=UTC),
    )
    visit.refresh_from_db()
    assert visit.event_on == date(2026, 11, day)


@pytest.mark.parametrize("row", ["clinic", "ngozi"])
def test_every_change_touches_its_row_whatever_it_says_itself(row, request):
    row = request.getfixturevalue(row)
    assert changed(row, updated_at=LONG_AGO).updated_at > LONG_AGO


# --- What people's edits leave behind


def test_what_the_source_said_is_kept_when_a_person_sets_something_else(clinic):
    assert changed(clinic, type="Hospital").delivered == {"type": "Clinic"}


def test_what_the_source_said_is_kept_however_often_a_person_changes_it(clinic):
    changed(clinic, type="Hospital", level="Primary")
    assert changed(clinic, type="Health Post").delivered == {"type": "Clinic", "level": None}


def test_a_coordinate_is_remembered_with_its_digits(clinic):
    with a_load():
        changed(clinic, lat="6.6018", lon="3.3515")
    assert changed(clinic, lat="6.7").delivered == {"lat": 6.6018}


@pytest.mark.parametrize("values", [{"type": "Clinic"}, {"name": "Ikeja General"}, {"line": 7}])
def test_a_person_who_sets_nothing_else_leaves_no_trace(clinic, values):
    assert changed(clinic, **values).delivered == {}


def test_a_load_leaves_no_trace(ngozi):
    with a_load():
        assert changed(ngozi, phone="+2348037654321").delivered == {}


@pytest.mark.parametrize("batch_id", [None, 1])
def test_of_a_row_that_a_person_enters_the_source_has_said_nothing(clinic, batch_id):
    values = {"sex": "F", "dob": date(1980, 1, 1), "phone": "+2348031234567", "batch_id": batch_id}
    patient = Patient.objects.create(facility=clinic, first_name="Ada", last_name="Eze", **values)
    patient.refresh_from_db()
    assert patient.delivered == ({} if batch_id else {"sex": None, "phone": None})


def test_a_difference_is_settled_when_a_person_sets_the_column_again(ngozi):
    with a_load():
        changed(ngozi, overridden={"phone": "+2348030000000", "sex": "M"})
    assert changed(ngozi, phone="+2348030000000").overridden == {"sex": "M"}


# --- Names past


def test_a_renamed_facility_keeps_its_old_identity(clinic):
    changed(clinic, name="Ikeja General", lga_name="Agege")
    alias = FacilityAlias.objects.get()
    assert (alias.facility, alias.name, alias.state, alias.lga_name) == (clinic, "Ikeja Clinic", "LAGOS", "Ikeja")


@pytest.mark.parametrize("values", [{"name": "IKEJA CLINIC"}, {"lga": "ikeja lga"}, {"type": "x"}])
def test_another_spelling_of_the_same_name_is_no_other_name(clinic, values):
    changed(clinic, **values)
    assert not FacilityAlias.objects.exists()


def test_a_facility_that_is_renamed_back_bears_the_other_name_as_its_alias(clinic):
    changed(clinic, name="Ikeja General")
    changed(clinic, name="Ikeja Clinic")
    assert [alias.name for alias in FacilityAlias.objects.all()] == ["Ikeja General"]


def test_a_name_that_two_have_had_is_the_last_ones(clinic, agege):
    changed(clinic, name="Ikeja General")
    changed(agege, name="Ikeja Clinic", lga_name="Ikeja")
    changed(agege, name="Agege General", lga_name="Agege")
    assert FacilityAlias.objects.get(name="Ikeja Clinic").facility == agege


def test_a_corrected_patient_keeps_each_old_identity(ngozi):
    changed(ngozi, first_name="Ngo")
    changed(ngozi, dob=date(1976, 1, 1))
    changed(ngozi, first_name="NGO")
    found = PatientAlias.objects.order_by("id").values_list("first_name", "dob", "patient")
    assert [*found] == [("Ngozi", date(1975, 12, 31), ngozi.pk), ("Ngo", date(1975, 12, 31), ngozi.pk)]


# --- The views of names


def test_a_facility_is_named_by_its_present_and_past_identities(clinic, agege):
    changed(clinic, name="Ikeja General")
    named = FacilityName.objects.filter(facility=clinic).values_list("name_key", "state", "lga_key")
    assert {*named} == {("ikeja general", "LAGOS", "ikeja"), ("ikeja clinic", "LAGOS", "ikeja")}


def test_a_patient_who_has_moved_is_named_at_both_facilities_and_lives_at_the_new_one(ngozi, agege):
    clinic = ngozi.facility
    changed(ngozi, facility=agege)
    named = PatientName.objects.values_list("patient", "facility", "home", "phone")
    assert {*named} == {
        (ngozi.pk, clinic.pk, agege.pk, "+2348031234567"),
        (ngozi.pk, agege.pk, agege.pk, "+2348031234567"),
    }


def test_nobody_who_is_deleted_is_named(ngozi):
    changed(ngozi, first_name="Ngo")
    changed(ngozi.facility, name="Ikeja General")
    changed(ngozi, deleted_at=timezone.now())
    changed(ngozi.facility, deleted_at=timezone.now())
    assert not PatientName.objects.exists()
    assert not FacilityName.objects.exists()
