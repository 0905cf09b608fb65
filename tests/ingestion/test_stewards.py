"""What stewards decide, from the question to the row: every answer to a hold, and every way of a refused row."""

import pytest
from django.db import IntegrityError
from django.db.models import F

from clinical.models import Facility, MedicalRecord, Patient, TriageVisit, User
from ingestion import pipeline, runs, stewards
from ingestion.discovery import discover
from ingestion.models import IngestBatch, RejectedRow, Rule, Source, Status
from tests.deliveries import FACILITIES, PATIENTS, RECORDS, VISITS, counts, deliver, night

pytestmark = pytest.mark.django_db
INPUT = "medical_records/input/"
HEADER = PATIENTS.splitlines()[0]
KUJE = "Kuje General Hospital"
LATIN = PATIENTS.replace("Amina", "Aminé").encode("latin-1")


@pytest.fixture
def alice():
    return User.objects.create_superuser("alice")


@pytest.fixture
def parents(s3):
    load("facilities-2026-11-01.csv", FACILITIES)
    load("patients-2026-11-01.csv", PATIENTS)


def batch_of(name):
    return IngestBatch.objects.filter(object_key=INPUT + name, parent=None).latest("id")


def load(name, text):
    deliver(name, text)
    night()
    return batch_of(name)


def table(header, *rows):
    return "\n".join([header, *rows]) + "\n"


def visits(*rows):
    return table(VISITS.splitlines()[0], *rows)


def records(*rows):
    return table(RECORDS.splitlines()[0], *rows)


def replay(rows, by=None):
    """The replay's batches, each counted as the contract wants: nothing lost, nothing twice."""
    batches = stewards.replay(rows, by=by)
    assert all(batch.rows_read == sum(counts(batch)[1:]) for batch in batches)
    return batches


def fill(cells, by=None):
    """Corrects all open rows alike and replays them; the counts of the replay."""
    rows = RejectedRow.objects.filter(state="open")
    stewards.correct(rows, cells, by=by)
    (batch,) = replay(rows, by)
    return counts(batch)


# --- Answers to a hold


@pytest.fixture
def held(parents):
    load("triage_visits-2026-11-03.csv", VISITS)
    return load("triage_visits-2026-11-04.csv", VISITS)


@pytest.mark.parametrize(
    ("answer", "expected", "events"),
    [("new_events", (2, 2, 0, 0, 0, 0), 4), ("loaded", (2, 2, 0, 0, 0, 0), 4), ("snapshot", (2, 0, 0, 2, 0, 0), 2)],
)
def test_a_held_repetition_loads_as_the_steward_says(held, s3, alice, answer, expected, events):
    stewards.release(held, release_as=answer, by=alice)
    assert night().exit_code() == runs.DONE
    held.refresh_from_db()
    assert (held.status, held.reasons, counts(held)) == (Status.ARCHIVED, [], expected)
    assert (held.settled_by, TriageVisit.objects.count()) == (alice, events)
    assert s3.keys("medical_records/held/") == []


@pytest.mark.parametrize(("answer", "delivers", "events"), [("new_events", "append", 6), ("snapshot", "snapshot", 2)])
def test_an_answer_that_is_remembered_is_given_for_every_later_file_of_the_source(
    held, alice, answer, delivers, events
):
    stewards.release(held, release_as=answer, by=alice, remember=True)
    batch = load("triage_visits-2026-11-05.csv", VISITS)
    assert (batch.status, TriageVisit.objects.count()) == (Status.ARCHIVED, events)
    source = Source.objects.get()
    assert (source.source, source.delivers, source.decided_by) == ("triage_visits-*.csv", delivers, alice)


def test_an_answer_that_is_not_remembered_is_asked_for_again(held):
    stewards.release(held, release_as="snapshot", by=None)
    assert load("triage_visits-2026-11-05.csv", VISITS).status == Status.HELD


def test_an_overlap_released_as_a_snapshot_adds_only_what_is_new_and_deletes_nothing(parents):
    fevers = [f"{KUJE},Amina,Bello,3,Fever {n},,," for n in range(30)]
    load("triage_visits-2026-11-03.csv", visits(*fevers))
    batch = load("triage_visits-2026-11-04.csv", visits(*fevers[2:], f"{KUJE},Amina,Bello,3,Cough,,,"))
    assert batch.reasons == ["OVERLAP_SUSPECT"]
    stewards.release(batch, release_as="snapshot", by=None)
    night()
    batch.refresh_from_db()
    assert (counts(batch), TriageVisit.objects.count()) == ((29, 1, 0, 28, 0, 0), 31)


def test_a_file_held_for_its_many_refused_rows_loads_the_good_ones_when_it_is_released(parents):
    people = [f"{KUJE},First{n},Last{n},F,{'1990-01-01' if n < 30 else '01/02/1990'}," for n in range(55)]
    batch = load("patients-2026-11-02.csv", table(HEADER, *people))
    stewards.release(batch, release_as="loaded", by=None)
    assert night().exit_code() == runs.REFUSED_SOME
    batch.refresh_from_db()
    assert (batch.status, counts(batch)) == (Status.ARCHIVED, (55, 30, 0, 0, 0, 25))


def test_events_that_wait_for_held_patients_load_after_them_in_the_night_of_the_release(parents):
    people = [f"{KUJE},First{n},Last{n},F,{'1990-01-01' if n < 30 else '01/02/1990'}," for n in range(55)]
    deliver("north/patients.csv", table(HEADER, *people))
    deliver("north/triage_visits.csv", visits(f"{KUJE},First1,Last1,3,Fever,,,"))
    night()
    assert batch_of("north/triage_visits.csv").reasons == ["WAITS_FOR_PATIENTS"]
    stewards.release(batch_of("north/patients.csv"), release_as="loaded", by=None)
    night()
    assert TriageVisit.objects.get().patient.first_name == "First1"


def test_a_released_batch_loads_from_its_kept_bytes_when_the_input_has_another_file_by_then(held):
    deliver("triage_visits-2026-11-04.csv", visits(f"{KUJE},Amina,Bello,3,Fever,,,"))
    stewards.release(held, release_as="new_events", by=None)
    night()
    assert {*TriageVisit.objects.filter(event_on="2026-11-04").values_list("chief_complaint", flat=True)} == {
        *("Chest pain", "Cough", "Fever")
    }


# --- Discard and retry


def test_a_discarded_batch_never_loads_and_its_bytes_go_to_the_archive(held, s3, alice):
    stewards.discard(held, reason="sent twice", by=alice)
    night()
    held.refresh_from_db()
    assert (held.status, held.settled_by, held.settled_why) == (Status.DISCARDED, alice, "sent twice")
    assert (TriageVisit.objects.count(), s3.get(held.archive_key)) == (2, VISITS.encode())
    assert s3.keys("medical_records/held/") == []


def test_a_retried_batch_is_judged_anew_from_its_kept_bytes(parents, settings):
    settings.INGEST_MAX_BYTES = 10
    batch = load("medical_records-2026-11-02.csv", RECORDS)
    assert batch.reasons == ["FILE_TOO_LARGE"]
    settings.INGEST_MAX_BYTES = 10_000
    stewards.retry(batch, by=None)
    night()
    batch.refresh_from_db()
    assert (batch.status, batch.attempts, MedicalRecord.objects.count()) == (Status.ARCHIVED, 1, 3)


def test_a_retried_batch_is_rejected_again_when_nothing_has_changed(parents, s3):
    batch = load("patients-2026-11-02.csv", LATIN)
    stewards.retry(batch, by=None)
    assert night().exit_code() == runs.STOPPED_SOME
    batch.refresh_from_db()
    assert (batch.status, s3.get(batch.held_key)) == (Status.REJECTED, LATIN)


@pytest.mark.parametrize(
    "decide",
    [
        lambda batch: stewards.release(batch, release_as="loaded", by=None),
        lambda batch: stewards.discard(batch, reason="why not", by=None),
        lambda batch: stewards.retry(batch, by=None),
    ],
)
def test_a_loaded_batch_is_past_deciding(parents, decide):
    batch = batch_of("patients-2026-11-01.csv")
    with pytest.raises(stewards.NotPossible, match=str(batch.pk)):
        decide(batch)
    batch.refresh_from_db()
    assert batch.status == Status.ARCHIVED


def test_answers_that_say_nothing_are_refused(held):
    with pytest.raises(stewards.NotPossible, match="Say why"):
        stewards.discard(held, reason=" ", by=None)
    with pytest.raises(stewards.NotPossible, match="remembered"):
        stewards.release(held, release_as="loaded", by=None, remember=True)
    with pytest.raises(ValueError, match="perhaps"):
        stewards.release(held, release_as="perhaps", by=None)
    held.refresh_from_db()
    assert held.status == Status.HELD


# --- Refused rows: corrected and replayed

BAD_DOB = f"{KUJE},Uche,Eze,M,05/06/1999,"


def test_a_corrected_row_lands_and_says_what_it_became(parents, alice):
    parent = load("patients-2026-11-02.csv", table(HEADER, BAD_DOB))
    assert fill({"dob": "1999-06-05"}, alice) == (1, 1, 0, 0, 0, 0)
    row, patient = RejectedRow.objects.get(), Patient.objects.get(first_name="Uche")
    assert (row.state, row.became_id, row.settled_by) == ("replayed", patient.pk, alice)
    assert (row.raw["dob"], row.corrections) == ("05/06/1999", {"dob": "1999-06-05"})
    assert (row.replay_batch.parent, row.replay_batch.kind, row.replay_batch.status) == (parent, "replay", "loaded")
    parent.refresh_from_db()
    assert counts(parent) == (1, 0, 0, 0, 0, 1)


def test_a_row_lands_once_however_often_it_is_replayed(parents):
    load("triage_visits-2026-11-02.csv", visits(f"{KUJE},Amina,Bello,9,Fever,,,"))
    assert fill({"triage_level": "3"}) == (1, 1, 0, 0, 0, 0)
    assert replay(RejectedRow.objects.all()) == []
    assert TriageVisit.objects.count() == 1


def test_a_row_that_is_still_refused_says_why_now(parents):
    load("patients-2026-11-02.csv", table(HEADER, BAD_DOB))
    assert fill({"dob": "1999-06-05", "sex": "sometimes"}) == (1, 0, 0, 0, 0, 1)
    row = RejectedRow.objects.get()
    assert (row.state, row.reasons) == ("open", ["ENUM:sex"])


def test_all_rows_of_one_cause_are_corrected_at_once_and_the_others_stay(parents):
    rows = [f"{KUJE},First{n},Last{n},{sex},1990-01-01," for n, sex in enumerate(("x", "x", "F", "x"))]
    load("patients-2026-11-02.csv", table(HEADER, *rows, BAD_DOB))
    same = RejectedRow.objects.with_reason("ENUM:sex")
    assert stewards.correct(same, {"sex": "Unknown"}, by=None) == 3
    (batch,) = replay(same)
    assert counts(batch) == (3, 3, 0, 0, 0, 0)
    assert RejectedRow.objects.get(state="open").reasons == ["DATE_AMBIGUOUS:dob"]


def test_a_row_that_was_corrected_and_replayed_counts_as_unchanged_when_it_is_delivered_again(parents):
    load("patients-2026-11-02.csv", table(HEADER, BAD_DOB))
    fill({"dob": "1999-06-05"})
    batch = load("patients-2026-11-03.csv", table(HEADER, BAD_DOB, f"{KUJE},Ada,Obi,F,1990-01-01,"))
    assert counts(batch) == (2, 1, 0, 1, 0, 0)
    row = RejectedRow.objects.get()
    assert (row.state, row.times_seen, Patient.objects.count()) == ("replayed", 2, 5)


def test_an_open_row_is_counted_when_it_is_delivered_again(parents):
    first = load("patients-2026-11-02.csv", table(HEADER, BAD_DOB))
    load("patients-2026-11-03.csv", table(HEADER, BAD_DOB, f"{KUJE},Ada,Obi,F,1990-01-01,"))
    row = RejectedRow.objects.get()
    assert (row.state, row.times_seen, row.batch) == ("open", 2, first)
    assert fill({"dob": "1999-06-05"}) == (1, 1, 0, 0, 0, 0)


def test_a_dismissed_row_stays_dismissed_when_it_is_delivered_again(parents, alice):
    load("patients-2026-11-02.csv", table(HEADER, BAD_DOB))
    assert stewards.dismiss(RejectedRow.objects.all(), reason="a test entry", by=alice) == 1
    load("patients-2026-11-03.csv", table(HEADER, BAD_DOB, f"{KUJE},Ada,Obi,F,1990-01-01,"))
    row = RejectedRow.objects.get()
    assert (row.state, row.times_seen, row.settled_by, row.settled_why) == ("dismissed", 2, alice, "a test entry")
    assert replay(RejectedRow.objects.all()) == []
    assert not Patient.objects.filter(first_name="Uche").exists()


def test_dismissing_needs_a_reason(parents):
    load("patients-2026-11-02.csv", table(HEADER, BAD_DOB))
    with pytest.raises(stewards.NotPossible, match="Say why"):
        stewards.dismiss(RejectedRow.objects.all(), reason="", by=None)
    assert RejectedRow.objects.get().state == "open"


def test_cells_that_the_dataset_does_not_have_are_refused(parents):
    load("patients-2026-11-02.csv", table(HEADER, BAD_DOB))
    with pytest.raises(stewards.NotPossible, match="nickname"):
        stewards.correct(RejectedRow.objects.all(), {"nickname": "U"}, by=None)
    assert RejectedRow.objects.get().corrections == {}


def test_a_row_of_the_wrong_width_waits_until_its_cells_are_given(parents):
    load("patients-2026-11-02.csv", table(HEADER, f"{KUJE},Uche,Eze,M,1999-06-05,0702,1,2"))
    assert RejectedRow.objects.get().reasons == ["FIELD_COUNT"]
    assert replay(RejectedRow.objects.all()) == []
    assert fill({"phone": ""}) == (1, 1, 0, 0, 0, 0)


def test_two_identical_refused_visits_become_two_visits(parents):
    twin = f"{KUJE},Amina,Bello,9,Fever,,,"
    load("triage_visits-2026-11-02.csv", visits(twin, twin))
    assert fill({"triage_level": "3"}) == (2, 2, 0, 0, 0, 0)
    assert sorted(TriageVisit.objects.values_list("ordinal", flat=True)) == [1, 2]


# --- A steward names the parent


def test_a_facility_given_by_id_settles_which_of_several_is_meant(parents):
    load("patients-2026-11-02.csv", table(HEADER, "Health Post,Uche,Eze,M,1999-06-05,"))
    assert RejectedRow.objects.get().reasons == ["FACILITY_AMBIGUOUS"]
    oyo = Facility.objects.get(name="Health Post", state="OYO")
    assert fill({"facility_id": str(oyo.pk)}) == (1, 1, 0, 0, 0, 0)
    assert Patient.objects.get(first_name="Uche").facility == oyo


def test_a_patient_given_by_id_brings_facility_and_all(parents):
    load("medical_records-2026-11-02.csv", records("Nowhere,Nobody,Known,Lab,Malaria,,,"))
    ngozi = Patient.objects.get(first_name="Ngozi")
    stewards.correct(RejectedRow.objects.all(), {"patient_id": str(ngozi.pk)}, by=None)
    replay(RejectedRow.objects.all())
    record = MedicalRecord.objects.get()
    assert (record.patient, record.facility) == (ngozi, ngozi.facility)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [({"facility_id": "999999"}, "FACILITY_NOT_FOUND"), ({"patient_id": "999999"}, "PATIENT_NOT_FOUND")],
)
def test_an_id_of_nobody_lands_nothing(parents, cells, reason):
    load("medical_records-2026-11-02.csv", records("Nowhere,Nobody,Known,Lab,Malaria,,,"))
    assert fill(cells) == (1, 0, 0, 0, 0, 1)
    assert reason in RejectedRow.objects.get().reasons


def test_a_patient_and_a_facility_that_do_not_belong_together_land_nothing(parents):
    load("medical_records-2026-11-02.csv", records("Nowhere,Nobody,Known,Lab,Malaria,,,"))
    ngozi, kuje = Patient.objects.get(first_name="Ngozi"), Facility.objects.get(name=KUJE)
    assert fill({"patient_id": str(ngozi.pk), "facility_id": str(kuje.pk)}) == (1, 0, 0, 0, 0, 1)
    assert RejectedRow.objects.get().reasons == ["PATIENT_NOT_FOUND"]


def test_ids_of_the_senders_own_are_never_taken_for_a_stewards(parents):
    ids = [Facility.objects.get(name=KUJE).pk, Patient.objects.get(first_name="Ngozi").pk]
    rows = ("Ikeja Clinic,Ngozi,Okafor,Lab,,,,Hb", "Ikeja Clinic,Ada,Obi,Lab,,,,Hb", "Nowhere,Ada,Obi,Lab,,,,Hb")
    header = RECORDS.splitlines()[0] + ",facility_id,patient_id"
    batch = load("medical_records-2026-11-02.csv", table(header, *(f"{row},{ids[0]},{ids[1]}" for row in rows)))
    assert counts(batch) == (3, 1, 0, 0, 0, 2)
    assert batch.warnings == {f"HEADER_UNKNOWN_COLUMN:{column}": 1 for column in ("facility_id", "patient_id")}
    replay(RejectedRow.objects.all())
    assert MedicalRecord.objects.get().facility.name == "Ikeja Clinic"
    assert RejectedRow.objects.filter(state="open").count() == 2


def test_one_answer_for_a_name_brings_every_row_that_bears_it(parents):
    rows = [f"Kuje Gen Hosp,First{n},Last{n},F,1990-01-01," for n in range(3)]
    load("patients-2026-11-02.csv", table(HEADER, *rows))
    kuje = Facility.objects.get(name=KUJE)
    Rule.objects.create(about="facility", source="patients-*.csv", text="KUJE gen hosp", facility=kuje)
    assert night().exit_code() == runs.DONE
    assert kuje.patients.filter(first_name__startswith="First").count() == 3
    assert not RejectedRow.objects.filter(state="open").exists()


# --- By themselves, when parents come


def test_waiting_rows_land_by_themselves_when_their_parents_come(s3):
    load("medical_records-2026-11-02.csv", RECORDS)
    load("patients-2026-11-02.csv", PATIENTS)
    assert RejectedRow.objects.filter(state="open").count() == 6
    load("facilities-2026-11-02.csv", FACILITIES)
    assert not RejectedRow.objects.filter(state="open").exists()
    assert (Patient.objects.count(), MedicalRecord.objects.count()) == (3, 3)
    replays = IngestBatch.objects.filter(kind="replay").order_by("id")
    assert [(batch.dataset, counts(batch)) for batch in replays] == [
        ("patients", (3, 3, 0, 0, 0, 0)),
        ("medical_records", (3, 3, 0, 0, 0, 0)),
    ]


@pytest.mark.django_db(transaction=True)
def test_events_land_in_the_pass_that_brings_their_patients_even_when_the_facility_was_there_before_them(s3):
    load("patients-2026-11-02.csv", PATIENTS)
    deliver("facilities-2026-11-02.csv", FACILITIES)
    deliver("medical_records-2026-11-02.csv", RECORDS)
    for batch in discover(INPUT, run=None, kind="nightly"):
        pipeline.ingest(batch.pk)
    waiting = RejectedRow.objects.filter(dataset="medical_records").values_list("reasons", flat=True)
    assert [*waiting] == [["PATIENT_NOT_FOUND"]] * 3
    night()
    assert (Patient.objects.count(), MedicalRecord.objects.count()) == (3, 3)


def test_waiting_rows_land_when_a_person_enters_the_parent(parents):
    load("patients-2026-11-02.csv", table(HEADER, "New Clinic,Uche,Eze,M,1999-06-05,"))
    Facility.objects.create(name="New Clinic", state="FCT", lga="Kuje")
    outcome = night()
    assert [report.batch.kind for report in outcome.reports] == ["replay"]
    assert Patient.objects.get(first_name="Uche").facility.name == "New Clinic"


def test_only_the_rows_whose_parents_came_are_replayed(parents):
    rows = [f"{name} Clinic,First,Last,F,1990-01-01," for name in ("New", "Other")]
    load("patients-2026-11-02.csv", table(HEADER, *rows))
    Facility.objects.create(name="New Clinic", state="FCT", lga="Kuje")
    (report,) = night().reports
    assert counts(report.batch) == (1, 1, 0, 0, 0, 0)
    assert RejectedRow.objects.get(state="open").raw["facility_name"] == "Other Clinic"


def test_a_landed_row_counts_as_unchanged_when_its_file_comes_again(s3):
    load("patients-2026-11-02.csv", PATIENTS)
    load("facilities-2026-11-02.csv", FACILITIES)
    batch = load("patients-2026-11-03.csv", PATIENTS + f"{KUJE},Ada,Obi,F,1990-01-01,\n")
    assert counts(batch) == (4, 1, 0, 3, 0, 0)
    assert Patient.objects.count() == 4


def test_a_name_that_a_refused_patient_may_bear_waits_until_that_patient_is_dealt_with(parents):
    load("patients-2026-11-02.csv", table(HEADER, f"{KUJE},Amina,Bello,F,05/06/1999,"))
    load("medical_records-2026-11-02.csv", records(f"{KUJE},Amina,Bello,Lab,Malaria,,,"))
    assert RejectedRow.objects.get(dataset="medical_records").reasons == ["PATIENT_AMBIGUOUS"]
    stewards.dismiss(RejectedRow.objects.filter(dataset="patients"), reason="the same person", by=None)
    night()
    assert MedicalRecord.objects.get().patient.dob.isoformat() == "1990-01-01"


def test_a_replay_stands_where_its_file_stood_and_overwrites_nothing_newer(parents):
    load("patients-2026-11-02.csv", table(HEADER, f"{KUJE},Amina,Bello,F,01/01/1990,07021000008"))
    load("patients-2026-11-03.csv", table(HEADER, f"{KUJE},Amina,Bello,F,1990-01-01,07021000009"))
    assert fill({"dob": "1990-01-01"}) == (1, 0, 0, 1, 0, 0)
    assert Patient.objects.get(first_name="Amina").phone == "+2347021000009"


def test_the_counts_of_a_loaded_batch_are_final(parents):
    with pytest.raises(IntegrityError, match="final"):
        IngestBatch.objects.filter(rows_read=3).update(rows_read=F("rows_read") + 1, inserted=F("inserted") + 1)
