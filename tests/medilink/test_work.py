"""Whose request a task comes from, and at which batch and run it is: in every line of the log, also from threads."""

import json
import logging
import threading

import pytest
from celery import signals
from celery.contrib.testing.worker import start_worker

from clinical.models import AuditEvent
from ingestion import lanes, pipeline, queue, runs, stages
from ingestion.models import IngestBatch, IngestRun
from medilink import broker
from medilink.celery import app
from medilink.monitoring import counts, work
from tests.callers import Caller
from tests.ingestion.factories import Bucket

logger = logging.getLogger("medilink.tests")  # a worker of tests takes the handlers of the root away
FACILITIES = b"name,state,lga,lat,lon,type\nAminu Clinic,KANO,Dala,,,Clinic\n"
REQUEST = "asked-0123456789"


@pytest.fixture
def worked(lines, kept):
    """Lets a worker take what waits, and gives what it has logged. Nothing was counted before."""

    def work_off(number=1):
        done, ended = threading.Event(), []

        def heard(**told):
            ended.append(told)
            if len(ended) == number:
                done.set()

        signals.task_postrun.connect(heard)
        try:
            with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
                assert done.wait(60)
        finally:
            signals.task_postrun.disconnect(heard)
        return as_told(lines)

    return work_off


def as_told(lines):
    """Once each: two loggers have heard of them."""
    return [json.loads(line) for line in dict.fromkeys(lines)]


@pytest.mark.django_db(transaction=True)
def test_a_run_logs_and_is_audited_under_the_request_that_asked_for_it(worked, bucket, monkeypatch):
    Bucket(bucket).put("medical_records/input/kano/facilities.csv", FACILITIES)
    monkeypatch.setattr(pipeline.claims, "settle", told_when(pipeline.claims.settle, "Settling"))
    asked = Caller(("steward",)).send("post", "/api/batches", {}, X_Request_ID=REQUEST)
    assert asked.status_code == 202
    told = worked()
    batch = IngestBatch.objects.get()
    (line,) = [line for line in told if line["message"] == "Settling"]
    assert (line["request_id"], line["run_id"], line["batch_id"]) == (REQUEST, asked.json()["run_id"], batch.pk)
    assert len(line["task_id"]) == 36
    assert AuditEvent.objects.get(action="load").request_id == REQUEST
    with broker.counters() as kept:
        found = counts.counted(kept)
    assert found['medilink_tasks_total{outcome="started",task="ingestion.tasks.ingest"}'] == 1
    assert found['medilink_tasks_total{outcome="done",task="ingestion.tasks.ingest"}'] == 1
    assert found['medilink_task_seconds_count{task="ingestion.tasks.ingest"}'] == 1
    for stage in (stages.FETCHING, stages.READING, stages.RESOLVING, stages.MERGING, stages.ARCHIVING):
        assert found[f'medilink_stage_seconds_count{{dataset="facilities",stage="{stage}"}}'] == 1


def told_when(function, message):
    def told(*args, **options):
        logger.error(message)
        return function(*args, **options)

    return told


@pytest.mark.django_db(transaction=True)
def test_a_task_that_nobody_asked_for_has_its_own_id_alone(worked, monkeypatch):
    monkeypatch.setattr("medilink.alerts.tell", lambda: logger.error("Telling"))
    app.send_task("medilink.tasks.tell")
    (line,) = [line for line in worked() if line["message"] == "Telling"]
    assert line["request_id"] == "-"
    assert len(line["task_id"]) == 36
    assert line.keys().isdisjoint({"batch_id", "run_id"})


@pytest.mark.django_db(transaction=True)
def test_a_task_that_fails_is_counted(worked, monkeypatch):
    def fail():
        raise ValueError("Zainab-Canary")

    monkeypatch.setattr("medilink.alerts.tell", fail)
    app.send_task("medilink.tasks.tell")
    told = worked()
    assert all(line["task_id"] for line in told if line.get("error") == "ValueError")
    assert "Canary" not in json.dumps(told)
    with broker.counters() as kept:
        assert counts.counted(kept)['medilink_tasks_total{outcome="failed",task="medilink.tasks.tell"}'] == 1


@pytest.mark.django_db(transaction=True)
def test_what_a_message_claims_is_no_request_is_not_believed(worked, monkeypatch):
    monkeypatch.setattr("medilink.alerts.tell", lambda: logger.error("Telling"))
    monkeypatch.setattr(work, "request_id", lambda: "a\nZainab Canary")
    app.send_task("medilink.tasks.tell")
    (line,) = [line for line in worked() if line["message"] == "Telling"]
    assert line["request_id"] == "-"


@pytest.mark.django_db
def test_a_message_tells_ids_alone():
    with broker.counters() as kept:
        kept.delete("celery")
        queue._send("ingestion.tasks.ingest", (17,))
        headers = json.loads(kept.lpop("celery"))["headers"]
    assert headers[work.REQUEST] == "-"
    assert headers["argsrepr"] == "(17,)"


@pytest.mark.django_db(transaction=True)
def test_threads_of_a_run_know_whose_they_are(lines, bucket, monkeypatch):
    for name in ("kano", "lagos"):
        Bucket(bucket).put(f"medical_records/input/{name}/facilities.csv", FACILITIES.replace(b"Aminu", name.encode()))
    monkeypatch.setattr(pipeline.claims, "settle", told_when(pipeline.claims.settle, "Settling"))
    run = runs.request("manual")
    runs.carry_out(run, crew=lanes.Crew(threads=2))
    told = [line for line in as_told(lines) if line["message"] == "Settling"]
    assert {line["run_id"] for line in told} == {run.pk}
    assert {line["batch_id"] for line in told} == {*IngestBatch.objects.values_list("pk", flat=True)}
    assert IngestRun.objects.get().status == "done"
    assert (stages.run_id.get(), stages.batch_id.get()) == (None, None)
