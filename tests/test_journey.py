"""From the bucket to the tables: whole nights, in every order, twice, and only in thought."""

from datetime import date, timedelta

import pytest
from django.db import transaction
from django.db.models import F

from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from ingestion import runs, sources
from ingestion.models import IngestBatch, IngestRun, RejectedRow, Status
from tests.deliveries import (
    FILES,
    PATIENTS,
    RECORDS,
    counts,
    deliver,
    deliver_all,
    digest,
    last_batch,
    night,
)

pytestmark = pytest.mark.django_db


def test_a_night_brings_every_row_from_the_bucket_to_its_patient_and_every_file_to_the_archive(bucket, settings):
    deliver_all()
    assert night().exit_code() == runs.DONE
    assert (Facility.objects.count(), Patient.objects.count()) == (4, 3)
    assert MedicalRecord.objects.filter(patient__first_name="Amina").count() == 2  # two identical ones stay two
    assert TriageVisit.objects.get(patient__first_name="Musa").conditions == ["Hypertension", "Angina"]
    assert not [*sources.due_candidates(settings.S3_INPUT_PREFIX)]
    assert {batch.status for batch in IngestBatch.objects.all()} == {Status.ARCHIVED}
    assert {obj.key for obj in sources.due_candidates(settings.S3_ARCHIVE_PREFIX)} == {
        f"{settings.S3_ARCHIVE_PREFIX}2026-11-20/{dataset}-2026-11-20.csv" for dataset in FILES
    }


def test_the_same_files_again_are_duplicates_that_change_nothing(bucket):
    deliver_all()
    night()
    before = digest(), {*Patient.objects.values_list("updated_at", flat=True)}
    # S3 tells whole seconds: of two equal deliveries in one there is only one.
    IngestBatch.objects.update(last_modified=F("last_modified") - timedelta(hours=1))
    deliver_all()
    assert night().exit_code() == runs.DONE
    assert {last_batch(dataset).status for dataset in FILES} == {Status.DUPLICATE}
    assert (digest(), {*Patient.objects.values_list("updated_at", flat=True)}) == before


def test_a_grown_and_shuffled_file_of_the_same_day_adds_only_what_is_new(bucket):
    deliver_all()
    night()
    header, *rows = RECORDS.splitlines()
    grown = [header, *reversed(rows), "Ikeja Clinic,Ngozi,Okafor,Lab,,,,Hb 12"]
    deliver("medical_records-2026-11-20.csv", "\n".join(grown))
    night()
    assert counts(last_batch("medical_records")) == (4, 1, 0, 3, 0, 0)


def ends_of(datasets):
    """What the tables say after the nights that bring these, in each order: nights that orders begin alike run once."""
    if not datasets:
        assert not RejectedRow.objects.filter(state=RejectedRow.State.OPEN).exists()
        return [digest()]
    found = []
    for dataset in datasets:
        with transaction.atomic():
            deliver(f"{dataset}-2026-11-20.csv", FILES[dataset])
            night()
            found += ends_of([other for other in datasets if other != dataset])
            transaction.set_rollback(True)
    return found


def test_the_four_files_end_in_the_same_tables_in_whatever_order_the_nights_bring_them(bucket):
    ends = ends_of([*FILES])
    assert len(ends) == 24
    assert all(end == ends[0] for end in ends)
    assert all(ends[0])


def test_rows_that_wait_for_parents_are_no_reason_for_alarm(bucket):
    deliver("medical_records-2026-11-20.csv", RECORDS)
    assert night().exit_code() == runs.DONE
    assert counts(last_batch("medical_records")) == (3, 0, 0, 0, 0, 3)
    row = RejectedRow.objects.get(line=4)
    assert (row.reasons, row.raw["notes"]) == (["FACILITY_NOT_FOUND"], "Hb 11")


def test_a_dry_run_gives_the_same_verdicts_and_writes_nothing(bucket, settings):
    deliver_all()
    deliver("patients-2026-11-21.csv", PATIENTS.replace("1990-01-01", "01/02/1990"))
    deliver("triage_visits-x.csv", "nonsense")
    dry = [(r.batch.object_key, r.batch.status, r.batch.reasons, counts(r.batch)) for r in night(is_dry=True).reports]
    assert not IngestBatch.objects.exists()
    assert not IngestRun.objects.exists()
    assert not Facility.objects.exists()
    assert len([*sources.due_candidates(settings.S3_INPUT_PREFIX)]) == 6
    wet = [(r.batch.object_key, r.batch.status, r.batch.reasons, counts(r.batch)) for r in night().reports]
    assert [(key, status.replace("archived", "loaded"), *rest) for key, status, *rest in wet] == dry


def test_a_later_version_changes_what_it_says_and_an_older_one_that_comes_late_changes_nothing(bucket):
    deliver_all()
    night()
    deliver("patients-2026-11-22.csv", PATIENTS.replace("07021000001", "07021000009"))
    night()
    assert counts(last_batch("patients")) == (3, 0, 1, 2, 0, 0)
    deliver("patients-2026-11-21.csv", PATIENTS.replace("07021000001", "07021000008"))
    night()
    assert counts(last_batch("patients")) == (3, 0, 0, 3, 0, 0)
    assert Patient.objects.get(first_name="Amina").phone == "+2347021000009"


def test_a_newer_delivery_that_merely_repeats_a_value_protects_it_from_an_older_one(bucket):
    deliver_all()
    night()
    deliver("patients-2026-11-22.csv", PATIENTS.replace("07021000002", "07021000007"))  # Amina as before
    night()
    deliver("patients-2026-11-21.csv", PATIENTS.replace("07021000001", "07021000008"))
    night()
    assert Patient.objects.get(first_name="Amina").phone == "+2347021000001"


def test_what_a_person_set_stays_until_the_source_says_something_new(bucket):
    deliver_all()
    night()
    Patient.objects.filter(first_name="Amina").update(phone="+2347021000005")
    deliver("patients-2026-11-21.csv", PATIENTS + "Ikeja Clinic,Uche,Eze,M,1999-09-09,\n")
    night()
    amina = Patient.objects.get(first_name="Amina")
    assert (amina.phone, amina.delivered) == ("+2347021000005", {"phone": "+2347021000001"})
    deliver("patients-2026-11-22.csv", PATIENTS.replace("07021000001", "07021000006"))
    night()
    amina.refresh_from_db()
    assert (amina.phone, amina.delivered) == ("+2347021000006", {})
    assert amina.overridden == {"phone": "+2347021000005"}


def test_a_corrected_name_leaves_an_alias_by_which_files_still_find_the_patient(bucket):
    deliver_all()
    night()
    patient = Patient.objects.get(first_name="Amina")
    Patient.objects.filter(pk=patient.pk).update(first_name="Aminat")
    deliver("patients-2026-11-21.csv", PATIENTS + "Ikeja Clinic,Uche,Eze,M,1999-09-09,\n")
    deliver("medical_records-2026-11-21.csv", RECORDS.replace("Malaria", "Typhoid"))
    night()
    assert counts(last_batch("patients")) == (4, 1, 0, 3, 0, 0)
    assert patient.medicalrecords.filter(event_on=date(2026, 11, 21)).count() == 2
