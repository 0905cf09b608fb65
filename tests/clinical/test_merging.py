"""Two rows that are one: merged, and unmerged as if it had never been."""

import threading
from datetime import date

import pytest
from django.db import connection, transaction

from clinical import locks, merging
from clinical.models import Facility, MedicalRecord, Patient, PatientAlias, Revision, TriageVisit
from ingestion.load import places as load_places
from tests import rows
from tests.callers import Caller
from tests.deliveries import deliver, deliver_all, digest, last_batch, night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bucket")]
DAY = date(2026, 11, 20)
HEADER = "facility_name,patient_first_name,patient_last_name,triage_level,chief_complaint,vital_signs,conditions,"
HEADER += "recommendations\n"


@pytest.fixture
def two():
    """Amina Bello, and the same woman written otherwise, each with one visit in other words and one in the same."""
    at = rows.facility(name="Kuje General Hospital", state="FCT", lga="Kuje", lga_name="Kuje")
    amina = rows.patient(at, first_name="Amina", last_name="Bello", dob=date(1990, 1, 1), phone=None)
    aminat = rows.patient(at, first_name="Aminat", last_name="Bello", dob=date(1990, 1, 1), phone="+2348031234567")
    same = "00000000-0000-0000-0000-000000000001"
    for whose in (amina, aminat):
        rows.visit(whose, DAY, fingerprint=same, chief_complaint="Cough")
        rows.visit(whose, DAY)
    rows.record(aminat, DAY, diagnosis="Malaria")
    return amina, aminat


def everything() -> list:
    tables = (Facility, Patient, PatientAlias, MedicalRecord, TriageVisit)
    volatile = {"updated_at", "deleted_at"}
    return [
        {key: value for key, value in row.items() if key not in volatile}
        for table in tables
        for row in table.objects.order_by("id").values()
    ]


def test_all_events_belong_to_the_survivor_and_none_is_lost(two, alice):
    amina, aminat = two
    merging.merge_patients(amina, aminat, by=alice)
    assert amina.triagevisits.count() == 4
    assert amina.medicalrecords.count() == 1
    assert not aminat.triagevisits.exists()


def test_undoing_a_merge_restores_every_column(two, alice):
    before = everything()
    merge = merging.merge_patients(*two, by=alice, keep={"phone": "+2348031234567"})
    assert everything() != before
    merging.unmerge(merge, by=alice)
    assert everything() == before


def test_the_old_id_answers_with_the_survivor(two, alice):
    amina, aminat = two
    merging.merge_patients(amina, aminat, by=alice)
    steward = Caller(("steward",))
    assert steward.get(f"/api/patients/{aminat.pk}").json()["id"] == amina.pk
    changed = {row["id"]: row for row in steward.rows("/api/patients?changed_since=2020-01-01")}
    assert "deleted_at" in changed[aminat.pk]


def test_what_the_app_posts_under_the_old_id_goes_to_the_survivor_and_back(two, alice):
    amina, aminat = two
    merge = merging.merge_patients(amina, aminat, by=alice)
    body = {"patient_id": aminat.pk, "facility_id": aminat.facility_id, "triage_level": 3}
    made = Caller(("steward",)).send("post", "/api/triage-visits", body)
    assert made.status_code == 201, made.content
    assert made.json()["patient_id"] == amina.pk
    merging.unmerge(merge, by=alice)
    assert TriageVisit.objects.get(pk=made.json()["id"]).patient_id == aminat.pk


def test_files_find_the_survivor_by_the_merged_name(two, alice):
    amina, aminat = two
    merging.merge_patients(amina, aminat, by=alice)
    deliver("triage_visits-2026-11-21.csv", HEADER + "Kuje General Hospital,AMINAT,bello,2,Fever,,,\n")
    deliver(
        "patients-2026-11-21.csv",
        "facility_name,first_name,last_name,sex,dob,phone\n"
        "Kuje General Hospital,Aminat,Bello,F,1990-01-01,08039999999\n",
    )
    night()
    assert amina.triagevisits.count() == 5
    assert Patient.objects.count() == 2
    amina.refresh_from_db()
    assert last_batch("patients").updated == 1, "the survivor is told what the file says under either name"


def test_undoing_gives_back_what_has_come_by_the_merged_name_since(two, alice):
    amina, aminat = two
    merge = merging.merge_patients(amina, aminat, by=alice)
    deliver(
        "triage_visits-2026-11-21.csv",
        HEADER + "Kuje General Hospital,Aminat,Bello,2,Fever,,,\nKuje General Hospital,Amina,Bello,2,Burns,,,\n",
    )
    night()
    merging.unmerge(merge, by=alice)
    assert aminat.triagevisits.filter(chief_complaint="Fever").exists()
    assert amina.triagevisits.filter(chief_complaint="Burns").exists()
    assert amina.triagevisits.count() == aminat.triagevisits.count() == 3
    assert not TriageVisit.objects.filter(arrived_as__isnull=False).exists()


def test_the_file_that_was_loaded_before_the_merge_brings_nothing_new(alice):
    deliver_all()
    deliver(
        "patients-more-2026-11-20.csv",
        "facility_name,first_name,last_name,sex,dob,phone\nKuje General Hospital,Aminat,Bello,F,1990-01-01,\n",
    )
    again = HEADER + "Kuje General Hospital,Aminat,Bello,2,Fever,,,\n"
    deliver("triage_visits-a-2026-11-20.csv", again)
    night()
    both = Patient.objects.filter(last_name="Bello", dob="1990-01-01").order_by("id")
    merging.merge_patients(both[0], both[1], by=alice)
    after = digest()
    deliver("triage_visits-b-2026-11-20.csv", again + "\n")
    night()
    assert digest() == after
    assert last_batch("triage_visits").unchanged == 1


def test_merges_are_undone_in_reverse_order(two, alice):
    amina, aminat = two
    third = rows.patient(amina.facility, first_name="Aminatu", last_name="Bello", dob=date(1990, 1, 1))
    before = everything()
    first = merging.merge_patients(aminat, third, by=alice)
    second = merging.merge_patients(amina, aminat, by=alice)
    with pytest.raises(merging.NotPossible, match="undo that merge first"):
        merging.unmerge(first, by=alice)
    assert Caller(("steward",)).get(f"/api/patients/{third.pk}").json()["id"] == amina.pk
    merging.unmerge(second, by=alice)
    merging.unmerge(first, by=alice)
    assert everything() == before


def test_patients_of_two_facilities_are_not_merged(alice):
    with pytest.raises(merging.NotPossible, match="two facilities"):
        merging.merge_patients(rows.patient(), rows.patient(), by=alice)


@pytest.mark.parametrize("pair", ["self", "deleted"])
def test_a_row_is_not_merged_with_itself_nor_one_that_is_deleted(two, alice, pair):
    amina, aminat = two
    if pair == "deleted":
        merging.merge_patients(amina, aminat, by=alice)
    with pytest.raises(merging.NotPossible):
        merging.merge_patients(amina, aminat if pair == "deleted" else amina, by=alice)


# --- Facilities


@pytest.fixture
def places():
    """One hospital under two names: Amina is known at both, Musa at the second only."""
    one = rows.facility(name="Kuje General Hospital", state="FCT", lga="Kuje", lga_name="Kuje")
    two = rows.facility(name="Gen. Hosp. Kuje", state="FCT", lga="Kuje", lga_name="Kuje", type=None)
    for at in (one, two):
        rows.visit(rows.patient(at, first_name="Amina", last_name="Bello", dob=date(1990, 1, 1)), DAY)
    musa = rows.patient(two, first_name="Musa", last_name="Sani", dob=date(1980, 1, 1), sex="M")
    rows.visit(musa, DAY)
    Patient.objects.filter(pk=musa.pk).update(last_name="Sanni")  # leaves an alias
    return one, two


def test_merged_facilities_are_one_with_all_patients_and_events(places, alice):
    one, two = places
    merging.merge_facilities(one, two, by=alice)
    assert one.patients.filter(deleted_at=None).count() == 2
    assert TriageVisit.objects.filter(facility=one).count() == 3
    assert Caller(("steward",)).get(f"/api/facilities/{two.pk}").json()["id"] == one.pk


def test_undoing_a_merge_of_facilities_restores_every_column(places, alice):
    before = everything()
    merge = merging.merge_facilities(*places, by=alice, keep={"type": "Hospital"})
    merging.unmerge(merge, by=alice)
    assert everything() == before


def test_what_has_come_by_the_merged_facilitys_name_goes_back(places, alice):
    one, two = places
    merge = merging.merge_facilities(one, two, by=alice)
    deliver(
        "patients-2026-11-21.csv",
        "facility_name,first_name,last_name,sex,dob,phone\nGen. Hosp. Kuje,Zainab,Umar,F,1999-09-09,\n",
    )
    deliver(
        "triage_visits-2026-11-21.csv",
        HEADER + "Gen. Hosp. Kuje,Zainab,Umar,2,Fever,,,\n"
        "Gen. Hosp. Kuje,Amina,Bello,2,Burns,,,\nGen. Hosp. Kuje,Musa,Sani,2,Pain,,,\n"
        "Kuje General Hospital,Amina,Bello,1,Here,,,\n",
    )
    night()
    assert TriageVisit.objects.filter(facility=one).count() == 7
    merging.unmerge(merge, by=alice)
    back = set(TriageVisit.objects.filter(facility=two).values_list("chief_complaint", flat=True))
    assert back == {None, "Fever", "Burns", "Pain"}
    assert one.triagevisits.count() == 2
    assert Patient.objects.get(first_name="Zainab").facility_id == two.pk


def test_facilities_whose_visits_share_ids_are_not_merged(places, alice):
    for at in places:
        rows.visit(rows.patient(at), DAY, visit_id="V1")
    with pytest.raises(merging.NotPossible, match="same ids"):
        merging.merge_facilities(*places, by=alice)


# --- What is written down


def test_each_change_of_a_row_says_who_and_what_stood_there_before(two, alice):
    amina, _ = two
    caller = Caller(("steward",))
    caller.send("patch", f"/api/patients/{amina.pk}", {"phone": "08031112233"})
    revision = Revision.objects.filter(table="patients", object_id=amina.pk).latest("id")
    assert (revision.was["phone"], revision.became["phone"]) == (None, "+2348031112233")
    assert revision.event.actor == caller.user
    assert revision.event.action == "update"


def test_a_change_past_us_is_written_down_with_the_databases_role(two):
    amina, _ = two
    Patient.objects.filter(pk=amina.pk).update(first_name="Amina Z.")
    revision = Revision.objects.get(table="patients", object_id=amina.pk)
    assert revision.was == {"first_name": "Amina"}
    assert (revision.event, revision.batch_id) == (None, None)
    assert revision.role


def test_a_load_that_changes_a_row_is_named(alice):
    deliver_all()
    night()
    deliver(
        "patients-2026-11-21.csv",
        "facility_name,first_name,last_name,sex,dob,phone\nKuje General Hospital,Musa,Bello,M,1988-05-05,08035555555\n",
    )
    night()
    revision = Revision.objects.get(table="patients")
    assert revision.batch_id == last_batch("patients").pk
    assert revision.was == {"phone": None}


# --- Beside others


@pytest.mark.django_db(transaction=True)
def test_a_merge_waits_for_no_load_but_says_so(alice):
    at = rows.facility()
    pair = rows.patient(at), rows.patient(at)
    locked, over = threading.Event(), threading.Event()

    def load():
        """Another session, as that of a load that speaks of the facility."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [locks.OF_LOADS + 2, at.pk])
            locked.set()
            over.wait(30)
        connection.close()

    other = threading.Thread(target=load)
    other.start()
    locked.wait(30)
    try:
        with pytest.raises(merging.NotPossible, match="A load is at work"):
            merging.merge_patients(*pair, by=alice)
    finally:
        over.set()
        other.join()
    merging.merge_patients(*pair, by=alice)


def test_a_load_that_waited_for_a_merge_of_facilities_follows_it(places, alice, monkeypatch):
    one, two = places
    lock = load_places.lock_facilities

    def merge_first(load, facility_ids):
        if two.pk in facility_ids:
            monkeypatch.setattr(load_places, "lock_facilities", lock)
            merging.merge_facilities(one, two, by=alice)
        lock(load, facility_ids)

    monkeypatch.setattr(load_places, "lock_facilities", merge_first)
    deliver(
        "patients-2026-11-21.csv",
        "facility_name,first_name,last_name,sex,dob,phone\nGen. Hosp. Kuje,Zainab,Umar,F,1999-09-09,\n",
    )
    night()
    zainab = Patient.objects.get(first_name="Zainab")
    assert (zainab.facility, zainab.arrived_as) == (one, two)
