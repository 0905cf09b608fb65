"""What beat and the broker start: once a night, whatever is due, and nothing that only the broker knows."""

import base64
import json
from datetime import timedelta

import pytest
import redis
from django.conf import settings as django_settings
from django.db.models import F
from django.utils import timezone

from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from ingestion import runs, sources, tasks
from ingestion.discovery import discover
from ingestion.models import IngestBatch, IngestRun, Kind, RejectedRow, Status
from ingestion.objects import lagos_day
from tests.deliveries import FACILITIES, PATIENTS, RECORDS, deliver, deliver_all, night
from tests.lab.store import Fault

pytestmark = pytest.mark.django_db
INPUT = "medical_records/input/"
LATIN = PATIENTS.replace("Amina", "Aminé").encode("latin-1")


def statuses():
    return [*IngestRun.objects.order_by("id").values_list("status", flat=True)]


# --- The night


def test_the_night_loads_everything(bucket):
    deliver_all()
    tasks.nightly()
    run = IngestRun.objects.get()
    assert (run.kind, run.status, run.night_on) == ("nightly", "done", lagos_day(timezone.now()))
    assert (MedicalRecord.objects.count(), TriageVisit.objects.count()) == (3, 2)
    assert {*IngestBatch.objects.values_list("kind", flat=True)} == {"nightly"}


def test_a_night_has_one_run_however_often_beat_starts_it(bucket):
    tasks.nightly()
    deliver_all()
    tasks.nightly()
    assert (statuses(), Patient.objects.count()) == (["done"], 0)  # the sweep will find them


def test_the_next_night_has_a_run_of_its_own(bucket):
    tasks.nightly()
    IngestRun.objects.update(night_on=F("night_on") - timedelta(days=1))
    deliver_all()
    tasks.nightly()
    assert (statuses(), Patient.objects.count()) == (["done", "done"], 3)


def test_a_night_that_broke_off_is_taken_up_when_it_is_started_again(s3, faults):
    deliver_all()
    faults.bad = lambda _method, _path: Fault(status=403, code="AccessDenied")
    with pytest.raises(sources.StorageError):
        tasks.nightly()
    assert statuses() == ["broken_off"]
    faults.stop()
    tasks.nightly()
    assert (statuses(), Patient.objects.count()) == (["done"], 3)


def test_the_sweep_takes_up_a_night_that_broke_off_even_where_the_input_is_not_watched(bucket, settings):
    settings.INGEST_WATCH = False
    IngestRun.objects.create(kind="nightly", night_on=lagos_day(timezone.now()), status="broken_off")
    deliver_all()
    tasks.sweep()
    assert (statuses(), Patient.objects.count()) == (["done"], 3)


def test_a_night_whose_files_were_stopped_is_not_repeated(bucket):
    deliver("patients.csv", LATIN)
    tasks.nightly()
    tasks.nightly()
    assert statuses() == ["some_files_stopped"]


# --- A run that somebody asked for


def test_a_run_is_carried_out_once_however_often_its_message_arrives(bucket):
    deliver_all()
    run = runs.request(Kind.MANUAL, prefix=INPUT)
    tasks.ingest(run.pk)
    finished_at = IngestRun.objects.get().finished_at
    tasks.ingest(run.pk)
    assert (statuses(), IngestRun.objects.get().finished_at) == (["done"], finished_at)
    assert IngestBatch.objects.count() == 4


@pytest.mark.parametrize("status", ["some_rows_refused", "some_files_stopped"])
def test_a_run_that_came_to_an_end_is_not_repeated_by_a_late_message(bucket, status):
    run = runs.request(Kind.MANUAL, status=status, finished_at=timezone.now())
    deliver_all()
    tasks.ingest(run.pk)
    assert (statuses(), IngestBatch.objects.exists()) == ([status], False)


def test_a_message_for_a_run_that_is_not_there_is_dropped(bucket):
    tasks.ingest(0)
    assert statuses() == []


# --- The sweep


def test_the_sweep_loads_what_has_come_since_the_night(bucket):
    tasks.nightly()
    deliver_all()
    tasks.sweep()
    assert (Patient.objects.count(), statuses()) == (3, ["done", "done"])


def test_the_sweep_makes_no_run_when_nothing_is_due(bucket):
    tasks.sweep()
    assert statuses() == []


def test_the_sweep_loads_what_the_broker_forgot_even_where_the_input_is_not_watched(bucket, settings):
    settings.INGEST_WATCH = False
    deliver("facilities.csv", FACILITIES)
    discover(INPUT, run=None, kind="manual")
    deliver("patients.csv", PATIENTS)
    tasks.sweep()
    assert (Facility.objects.count(), IngestBatch.objects.get().status) == (4, Status.ARCHIVED)


def test_the_sweep_leaves_new_objects_to_the_night_where_the_input_is_not_watched(bucket, settings):
    settings.INGEST_WATCH = False
    deliver_all()
    tasks.sweep()
    assert not IngestBatch.objects.exists()
    tasks.nightly()
    assert Patient.objects.count() == 3


def test_the_sweep_takes_over_from_a_dead_worker(bucket):
    deliver("facilities.csv", FACILITIES)
    discover(INPUT, run=None, kind="nightly")
    IngestBatch.objects.update(status="loading", attempts=1, lease_until=timezone.now() - timedelta(seconds=1))
    tasks.sweep()
    batch = IngestBatch.objects.get()
    assert (batch.status, batch.attempts) == (Status.ARCHIVED, 2)


def test_the_sweep_tries_waiting_rows_when_a_parent_was_entered_by_hand(bucket):
    deliver("patients.csv", PATIENTS)
    night()
    Facility.objects.create(name="Ikeja Clinic", state="LAGOS", lga="Ikeja")
    tasks.sweep()
    assert Patient.objects.get().first_name == "Ngozi"


def test_the_sweep_puts_bytes_away_that_could_not_be_put_away_before(s3, faults):
    deliver("facilities.csv", FACILITIES)
    faults.bad = lambda _method, path: Fault(status=403, code="AccessDenied") if "archive" in path else None
    night()
    faults.stop()
    tasks.sweep()
    assert IngestBatch.objects.get().status == Status.ARCHIVED
    assert not s3.keys(INPUT)


def test_the_sweep_makes_no_run_for_events_that_only_wait(bucket):
    deliver("patients.csv", LATIN)
    deliver("medical_records.csv", RECORDS)
    tasks.sweep()
    tasks.sweep()
    assert IngestRun.objects.count() == 1
    assert IngestBatch.objects.get(dataset="medical_records").reasons == ["WAITS_FOR_PATIENTS"]


def test_the_sweep_loads_waiting_events_when_their_time_has_come(bucket):
    deliver("patients.csv", LATIN)
    deliver("medical_records.csv", RECORDS)
    tasks.sweep()
    IngestBatch.objects.update(discovered_at=F("discovered_at") - timedelta(days=1))
    tasks.sweep()
    assert IngestBatch.objects.get(dataset="medical_records").status == Status.ARCHIVED


# --- The broker


def sent(task, *arguments):
    """What the broker gets to keep of this call."""
    queue = f"test-{task.name}"
    broker = redis.Redis.from_url(django_settings.CELERY_BROKER_URL)
    task.apply_async(arguments, queue=queue)
    message = broker.lpop(queue)
    broker.close()
    positional, named, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    return positional, named


def test_the_broker_carries_ids_and_nothing_else(bucket):
    run = runs.request(Kind.MANUAL, prefix=INPUT)
    assert sent(tasks.ingest, run.pk) == ([run.pk], {})
    assert sent(tasks.replay_rows, [1, 2]) == ([[1, 2]], {})
    assert sent(tasks.nightly) == sent(tasks.sweep) == ([], {})


def test_refused_rows_are_tried_again_by_their_ids(bucket):
    deliver("facilities.csv", FACILITIES)
    deliver("patients.csv", PATIENTS.replace("1988-05-05", "05/05/1988").replace("1975-12-31", "31/12/1975"))
    night()
    rows = RejectedRow.objects.order_by("line")
    for row in rows:
        row.corrections = {"dob": "1988-05-05"}
        row.save()
    tasks.replay_rows([rows[0].pk])
    assert [*rows.values_list("state", flat=True)] == ["replayed", "open"]
