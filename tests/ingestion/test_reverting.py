"""A loaded batch is taken back: every row as it was, or nothing and a list of what stands against it."""

import json
from datetime import date
from io import StringIO

import pytest
from django.core.management import call_command

from clinical.models import MedicalRecord, Patient, TriageVisit
from ingestion import reverting, stewards
from ingestion.models import IngestBatch, RejectedRow, Sighting
from ingestion.stewards import NotPossible
from tests import rows
from tests.deliveries import FILES, PATIENTS, VISITS, counts, deliver, digest, last_batch, night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("a_night")]
WITH_IDS = (
    "facility_name,patient_first_name,patient_last_name,record_type,diagnosis,treatment,medications,notes,record_id\n"
)


@pytest.fixture
def first_night(a_night):
    return digest()


def revert(batch, by):
    return reverting.revert(batch, reason="A wrong export.", by=by)


@pytest.mark.parametrize("dataset", ["medical_records", "triage_visits"])
def test_new_rows_go_and_the_file_can_come_again(first_night, alice, dataset):
    plan = revert(last_batch(dataset), alice)
    assert plan.new_rows == (3 if dataset == "medical_records" else 2)
    assert digest() != first_night
    deliver(f"{dataset}-2026-11-20.csv", FILES[dataset] + "\n")  # another object, even within one second
    night()
    assert last_batch(dataset).status == "archived"
    assert digest() == first_night


def test_changed_rows_are_as_before_in_every_column(first_night, alice):
    deliver("patients-2026-11-21.csv", PATIENTS.replace("1988-05-05,", "1988-05-05,08031234567"))
    before = [*Patient.objects.order_by("id").values("phone", "delivered", "overridden", "batch_id", "line")]
    night()
    assert last_batch("patients").updated == 1
    assert revert(last_batch("patients"), alice).changed_rows == 1
    assert digest() == first_night
    assert [*Patient.objects.order_by("id").values("phone", "delivered", "overridden", "batch_id", "line")] == before


def test_an_event_with_an_id_gets_its_former_words_back(first_night, alice):
    deliver("medical_records-2026-11-21.csv", WITH_IDS + "Ikeja Clinic,Ngozi,Okafor,Lab,,,,Hb 9,R1\n")
    night()
    before = digest()
    deliver("medical_records-2026-11-22.csv", WITH_IDS + "Ikeja Clinic,Ngozi,Okafor,Lab,Anaemia,,,Hb 8,R1\n")
    night()
    assert MedicalRecord.objects.get(record_id="R1").data["notes"] == "Hb 8"
    revert(last_batch("medical_records"), alice)
    assert digest() == before


def test_refused_rows_of_the_file_go_and_come_again_with_it(first_night, alice):
    bad = VISITS + "Ikeja Clinic,Ngozi,Okafor,9,Cough,,,\n"
    deliver("triage_visits-2026-11-21.csv", bad)
    night()
    revert(last_batch("triage_visits"), alice)
    assert not RejectedRow.objects.exists()
    deliver("triage_visits-2026-11-21.csv", bad + "\n")  # another object, even within one second
    night()
    assert RejectedRow.objects.get().state == "open"


def test_the_replays_of_its_rows_go_with_it(first_night, alice):
    deliver("triage_visits-2026-11-21.csv", VISITS.split("\n")[0] + "\nIkeja Clinic,Ngozi,Okafor,9,Cough,,,\n")
    night()
    batch = last_batch("triage_visits")
    row = RejectedRow.objects.all()
    stewards.correct(row, {"triage_level": "3"}, by=alice)
    stewards.replay(row, by=alice)
    assert TriageVisit.objects.filter(chief_complaint="Cough", triage_level=3).exists()
    revert(batch, alice)
    assert digest() == first_night
    assert [one.reverted_by for one in IngestBatch.objects.filter(reverted_at__isnull=False)] == [alice, alice]


def test_a_replay_alone_is_taken_back_and_its_rows_wait_again(first_night, alice):
    deliver("triage_visits-2026-11-21.csv", VISITS.split("\n")[0] + "\nIkeja Clinic,Ngozi,Okafor,9,Cough,,,\n")
    night()
    row = RejectedRow.objects.all()
    stewards.correct(row, {"triage_level": "3"}, by=alice)
    (replay,) = stewards.replay(row, by=alice)
    revert(replay, alice)
    assert (row.get().state, row.get().became_id) == ("open", None)
    assert digest() == first_night


# --- What stands against it


def obstacles(batch, by):
    before = digest()
    with pytest.raises(reverting.Obstructed) as raised:
        revert(batch, by)
    assert digest() == before
    assert not IngestBatch.objects.get(pk=batch.pk).reverted_at
    return [obstacle.what for obstacle in raised.value.obstacles]


def test_a_row_that_a_person_has_changed_since(first_night, alice):
    Patient.objects.filter(first_name="Musa").update(phone="+2348030000000")
    MedicalRecord.objects.all().delete()
    TriageVisit.objects.all().delete()
    assert obstacles(last_batch("patients"), alice) == ["was changed later: delivered, phone"]


def test_a_later_file_that_changed_the_same_column(first_night, alice):
    for day, phone in ((21, "08031234567"), (22, "08037654321")):
        deliver(f"patients-2026-11-{day}.csv", PATIENTS.replace("1988-05-05,", f"1988-05-05,{phone}"))
        night()
    older = IngestBatch.objects.get(business_date="2026-11-21")
    assert "was changed later: phone" in obstacles(older, alice)
    revert(last_batch("patients"), alice)
    revert(older, alice)
    assert digest() == first_night


def test_events_of_its_patients_and_patients_of_its_facilities(first_night, alice):
    assert sorted(set(obstacles(last_batch("patients"), alice))) == ["has 1 records", "has 1 visits", "has 2 records"]
    assert "has 2 patients of other files" in obstacles(last_batch("facilities"), alice)


def test_a_later_file_that_brought_the_same_rows_again(first_night, alice):
    deliver("patients-2026-11-21.csv", PATIENTS + "Ikeja Clinic,Uche,Eze,M,1999-01-01,\n")
    deliver("triage_visits-2026-11-20.csv", VISITS + "Ikeja Clinic,Ngozi,Okafor,1,Burns,,,\n")
    night()
    later = last_batch("patients")
    first = IngestBatch.objects.filter(dataset="triage_visits").earliest("id")
    assert obstacles(first, alice) == ["repeats 2 stored events: take it back first"]
    whats = obstacles(IngestBatch.objects.filter(dataset="patients").earliest("id"), alice)
    assert f"was delivered again in batch {later.pk}" in whats


@pytest.mark.parametrize("what", ["held", "twice", "why"])
def test_only_what_is_loaded_is_taken_back_once_with_a_reason(first_night, alice, what):
    batch = last_batch("triage_visits")
    if what == "held":
        batch = IngestBatch.objects.create(
            status="held",
            object_key="k",
            last_modified=rows.lagos(date(2026, 11, 20)),
            source="s",
            dataset="patients",
            business_date=date(2026, 11, 20),
        )
    if what == "twice":
        revert(batch, alice)
    with pytest.raises(NotPossible):
        reverting.revert(batch, reason="" if what == "why" else "x", by=alice)


def test_its_counts_stay_and_it_counts_as_delivered_no_more(first_night, alice):
    batch = last_batch("triage_visits")
    told = counts(batch)
    revert(batch, alice)
    batch.refresh_from_db()
    assert counts(batch) == told
    assert batch.status == "archived"
    assert not IngestBatch.objects.loaded().filter(pk=batch.pk).exists()
    assert not Sighting.objects.filter(batch=batch).exists()


# --- From a terminal


def command(*words):
    """(exit code, what is written)"""
    out, err = StringIO(), StringIO()
    try:
        call_command("batch", "revert", *words, stdout=out, stderr=err)
    except SystemExit as ended:
        return ended.code, err.getvalue()
    return 0, out.getvalue()


def test_a_batch_is_taken_back_from_a_terminal(first_night):
    batch = last_batch("triage_visits")
    code, told = command(str(batch.pk), "--reason", "A wrong export.", "--json")
    assert (code, json.loads(told)) == (0, {"batch_id": batch.pk, "new_rows": 2, "changed_rows": 0})
    assert command(str(batch.pk), "--reason", "Again.")[0] == 2


def test_what_stands_against_it_is_listed_on_a_terminal(first_night):
    code, told = command(str(last_batch("patients").pk), "--reason", "x")
    assert code == 1
    assert "has 2 records" in told
