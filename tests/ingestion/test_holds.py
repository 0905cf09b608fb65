"""What is held, rejected or waits, what stewards answer, and that each refused row lands exactly once."""

import pytest

from clinical.models import Facility, MedicalRecord, Patient
from ingestion import runs, sources, stewards
from ingestion.models import IngestBatch, RejectedRow, Source, Status
from tests.deliveries import FACILITIES, PATIENTS, RECORDS, VISITS, counts, deliver, deliver_all, last_batch, night

pytestmark = pytest.mark.django_db
HEADER = RECORDS.splitlines()[0]


def notes(first: int, last: int) -> str:
    """Records of one patient that differ in their notes."""
    rows = (f"Ikeja Clinic,Ngozi,Okafor,Lab,,,,note {n}" for n in range(first, last))
    return "\n".join([HEADER, *rows]) + "\n"


def test_the_same_content_under_a_later_day_is_held_and_kept_safe(bucket, settings):
    deliver_all()
    night()
    deliver("medical_records-2026-11-21.csv", RECORDS)
    assert night().exit_code() == runs.STOPPED_SOME
    batch = last_batch("medical_records")
    assert (batch.status, batch.reasons) == (Status.HELD, ["SAME_CONTENT_NEW_DATE"])
    assert batch.held_key == f"{settings.S3_HELD_PREFIX}2026-11-21/{batch.pk}/medical_records-2026-11-21.csv"
    assert not [*sources.due_candidates(settings.S3_INPUT_PREFIX)]


@pytest.mark.parametrize(("answer", "inserted"), [("new_events", 3), ("snapshot", 0)])
def test_a_released_batch_loads_as_the_steward_says_and_its_source_remembers(bucket, answer, inserted):
    deliver_all()
    night()
    deliver("medical_records-2026-11-21.csv", RECORDS)
    night()
    stewards.release(last_batch("medical_records"), release_as=answer, by=None, remember=True)
    night()
    assert counts(last_batch("medical_records")) == (3, inserted, 0, 3 - inserted, 0, 0)
    deliver("medical_records-2026-11-22.csv", RECORDS)
    night()
    assert counts(last_batch("medical_records")) == (3, inserted, 0, 3 - inserted, 0, 0)
    assert Source.objects.get().source == "medical_records-*.csv"


def test_a_delivery_that_mostly_repeats_an_earlier_day_is_held(bucket):
    deliver_all()
    deliver("medical_records-2026-11-19.csv", notes(0, 50))
    night()
    deliver("medical_records-2026-11-21.csv", notes(5, 52))
    night()
    batch = last_batch("medical_records")
    assert (batch.status, batch.reasons) == (Status.HELD, ["OVERLAP_SUSPECT"])
    assert batch.evidence["overlap_pct"] == 95.7


def test_a_file_with_too_many_bad_rows_is_held_whole_and_says_why(bucket):
    deliver_all()
    bad = "".join(f"Ikeja Clinic,Ngozi,Okafor,9,complaint {n},,,\n" for n in range(20))
    deliver("triage_visits-2026-11-21.csv", VISITS + bad)
    night()
    batch = last_batch("triage_visits")
    assert (batch.status, batch.reasons) == (Status.HELD, ["ROW_ERROR_RATIO"])
    assert batch.evidence["reasons"] == {"RANGE:triage_level": 20}
    assert not RejectedRow.objects.exists()
    stewards.release(batch, release_as="loaded", by=None)
    assert night().exit_code() == runs.REFUSED_SOME
    assert RejectedRow.objects.filter(batch=batch).count() == 20


def test_nineteen_bad_rows_hold_no_file(bucket):
    deliver_all()
    bad = "".join(f"Ikeja Clinic,Ngozi,Okafor,9,complaint {n},,,\n" for n in range(19))
    deliver("triage_visits-2026-11-21.csv", VISITS.replace("Cough", "Fever") + bad)
    night()
    assert last_batch("triage_visits").status == Status.ARCHIVED


def test_events_wait_while_their_folders_patients_are_stopped_and_load_when_they_are_discarded(bucket, settings):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("a/patients-2026-11-20.csv", PATIENTS.encode("utf-16"))
    deliver("a/medical_records-2026-11-20.csv", RECORDS)
    deliver("b/triage_visits-2026-11-20.csv", VISITS)
    night()
    waiting = last_batch("medical_records")
    assert (waiting.status, waiting.reasons) == (Status.DISCOVERED, ["WAITS_FOR_PATIENTS"])
    assert waiting.held_key
    assert last_batch("triage_visits").status == Status.ARCHIVED
    stewards.discard(last_batch("patients"), reason="will be sent again", by=None)
    night()
    waiting.refresh_from_db()
    assert (waiting.status, waiting.rejected, waiting.held_key) == (Status.ARCHIVED, 3, None)


def test_a_corrected_row_lands_once_and_is_linked_with_what_it_became(bucket):
    deliver_all()
    deliver("medical_records-2026-11-21.csv", f"{HEADER}\nIkeja Klinic,Ngozi,Okafor,Lab,,,,Hb 9\n")
    night()
    row = RejectedRow.objects.get()
    stewards.correct(RejectedRow.objects.all(), {"facility_name": "Ikeja Clinic"}, by=None)
    (batch,) = stewards.replay(RejectedRow.objects.all(), by=None)
    assert counts(batch) == (1, 1, 0, 0, 0, 0)
    row.refresh_from_db()
    assert (row.state, row.replay_batch, row.raw["facility_name"]) == ("replayed", batch, "Ikeja Klinic")
    assert MedicalRecord.objects.get(pk=row.became_id).data["notes"] == "Hb 9"
    assert stewards.replay(RejectedRow.objects.all(), by=None) == []
    deliver("medical_records-2026-11-21b.csv", f"{HEADER}\nIkeja Klinic,Ngozi,Okafor,Lab,,,,Hb 9\n\n")
    night()
    assert MedicalRecord.objects.filter(data__notes="Hb 9").count() == 1


def test_a_steward_may_name_the_facility_or_the_patient_itself(bucket):
    deliver_all()
    deliver("medical_records-2026-11-21.csv", f"{HEADER}\nHealth Post,N.,O.,Lab,,,,Hb 9\n")
    night()
    assert RejectedRow.objects.get().reasons == ["FACILITY_AMBIGUOUS"]
    ngozi = Patient.objects.get(first_name="Ngozi")
    cells = {"facility_id": str(ngozi.facility_id), "patient_id": str(ngozi.pk)}
    stewards.correct(RejectedRow.objects.all(), cells, by=None)
    stewards.replay(RejectedRow.objects.all(), by=None)
    assert MedicalRecord.objects.get(data__notes="Hb 9").patient == ngozi


def test_a_dismissed_row_stays_dismissed_when_it_is_delivered_again(bucket):
    deliver_all()
    night()
    bad = PATIENTS + "Ikeja Clinic,Uche,Eze,X,1999-09-09,\n"
    deliver("patients-2026-11-21.csv", bad)
    night()
    assert stewards.dismiss(RejectedRow.objects.all(), reason="test person", by=None) == 1
    deliver("patients-2026-11-22.csv", bad + "Ikeja Clinic,Ada,Eze,F,1999-09-09,\n")
    night()
    row = RejectedRow.objects.get()
    assert (row.state, row.times_seen, row.reasons) == ("dismissed", 2, ["ENUM:sex"])


def test_a_row_that_waits_for_its_patient_lands_by_itself_when_the_patient_comes(bucket):
    deliver_all()
    deliver("medical_records-2026-11-21.csv", f"{HEADER}\nIkeja Clinic,Uche,Eze,Lab,,,,Hb 9\n")
    night()
    assert RejectedRow.objects.get().reasons == ["PATIENT_NOT_FOUND"]
    deliver("patients-2026-11-22.csv", PATIENTS + "Ikeja Clinic,Uche,Eze,M,1999-09-09,\n")
    night()
    record = MedicalRecord.objects.get(patient__first_name="Uche")
    assert (record.event_on.isoformat(), RejectedRow.objects.get().state) == ("2026-11-21", "replayed")


def test_a_name_with_an_open_refused_namesake_is_ambiguous_until_the_row_says_the_date_of_birth(bucket):
    deliver_all()
    deliver("patients-2026-11-20b.csv", PATIENTS + "Ikeja Clinic,ngozi,OKAFOR,F,01/02/1990,\n")
    dated = HEADER + ",patient_dob\nIkeja Clinic,Ngozi,Okafor,Lab,,,,Hb 9,1975-12-31\n"
    deliver("medical_records-2026-11-21.csv", dated)
    night()
    assert [r.reasons for r in RejectedRow.objects.all() if r.raw.get("notes") == "Hb 11"] == [["PATIENT_AMBIGUOUS"]]
    assert MedicalRecord.objects.filter(data__notes="Hb 9").count() == 1


def test_another_sex_than_the_known_one_is_refused_as_another_person(bucket):
    deliver_all()
    night()
    deliver("patients-2026-11-21.csv", PATIENTS.replace(",M,", ",F,"))
    night()
    assert RejectedRow.objects.get().reasons == ["IDENTITY_CONFLICT:sex"]
    assert Patient.objects.get(first_name="Musa").sex == "M"


def test_a_deleted_patient_does_not_come_back_with_the_next_file(bucket):
    deliver_all()
    night()
    Patient.objects.filter(first_name="Musa").update(deleted_at="2026-11-20T12:00:00Z")
    deliver("patients-2026-11-21.csv", PATIENTS.replace("1988-05-05,", "1988-05-05,07021000004"))
    night()
    batch = last_batch("patients")
    assert (counts(batch), batch.warnings) == ((3, 0, 0, 3, 0, 0), {"DELETED_BY_STEWARD": 1})


def test_content_that_returns_after_other_content_loads_again(bucket):
    for n, text in enumerate((FACILITIES, FACILITIES.replace("Clinic\n", "Hospital\n"), FACILITIES)):
        deliver(f"facilities-{n}.csv", text)
        night()
    assert last_batch("facilities").status == Status.ARCHIVED
    assert Facility.objects.get(name="Ikeja Clinic").type == "Clinic"


def test_a_rejected_file_is_loaded_when_it_is_retried_under_a_higher_limit(bucket, settings):
    settings.INGEST_MAX_BYTES = 50
    deliver("facilities-2026-11-20.csv", FACILITIES)
    night()
    batch = IngestBatch.objects.get()
    assert (batch.status, batch.reasons) == (Status.REJECTED, ["FILE_TOO_LARGE"])
    settings.INGEST_MAX_BYTES = 5000
    stewards.retry(batch, by=None)
    night()
    batch.refresh_from_db()
    assert (batch.status, batch.inserted) == (Status.ARCHIVED, 4)
