"""Celery and its broker: twice, late, lost, full, away. The database knows what is to do. F14, F20, F21, F61 to F66."""

import pytest

from tests.lab import invariants
from tests.lab.cluster import eventually
from tests.lab.crowds import many_files
from tests.lab.wire import Mode


def test_a_night_that_is_started_eight_times_at_once_runs_once(cluster, clean, delivered):
    """F20, F21: one run per date, one claim per batch, whatever number of beats and workers."""
    cluster.worker(concurrency=4)
    for _ in range(8):
        cluster.queue("medilink.tasks.nightly")
    invariants.await_rest(cluster)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []
    assert cluster.sql("SELECT count(*) FROM ingest_runs WHERE night_on IS NOT NULL") == [(1,)]
    assert cluster.sql("SELECT max(attempts) FROM ingest_batches") == [(1,)]


def test_a_worker_that_dies_before_it_says_that_it_is_done_does_nothing_twice(cluster, clean, delivered):
    """F14: the message comes again, and finds nothing to do."""
    cluster.worker(MEDILINK_FAILPOINT="before_ack:kill@1")
    cluster.queue("medilink.tasks.nightly")
    eventually(lambda: "WorkerLostError" in cluster.log("worker"))
    invariants.await_rest(cluster)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []
    assert cluster.sql("SELECT max(attempts), count(*) FROM ingest_batches") == [(1, 4)]


def test_nothing_is_lost_when_the_broker_forgets_everything(cluster, clean, delivered):
    """F62: FLUSHALL while a run is queued; the sweep takes it up from the database."""
    cluster.run("shell", "-c", "from ingestion import runs; runs.request('manual')", check=True)
    cluster.valkey().flushall()
    cluster.sql("UPDATE ingest_runs SET created_at = created_at - interval '4 minutes'")
    cluster.worker()
    cluster.queue("ingestion.tasks.sweep")
    invariants.await_rest(cluster)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.drill
def test_a_worker_consumes_again_when_the_broker_was_restarted_in_the_middle_of_a_run(cluster, clean, delivered):
    """F61."""
    cluster.worker(MEDILINK_FAILPOINT="mid_upsert:sleep=3@2")
    cluster.queue("medilink.tasks.nightly")
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_batches WHERE status = 'loading'"))
    cluster.stop_broker()
    cluster.start_broker()
    invariants.await_rest(cluster)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []
    more = {"facilities-2026-11-21.csv": b"name,state,lga,lat,lon,type\nNew Clinic,KANO,Dala,,,Clinic\n"}
    cluster.deliver(more)
    cluster.queue("ingestion.tasks.sweep")
    eventually(lambda: cluster.statuses().get("facilities-2026-11-21.csv") == "archived", patience=30)


@pytest.mark.drill
def test_a_full_broker_stops_neither_a_run_nor_the_web(cluster, clean, delivered):
    """F63: every write to Redis is refused; the run that was queued is taken up when there is room again."""
    cluster.valkey().config_set("maxmemory", 1)
    asked = cluster.run(
        "shell",
        "-c",
        "from ingestion import queue, runs; run = runs.request('manual'); queue.send('ingest', run.pk); print('asked')",
    )
    assert "asked" in asked.stdout, asked.stderr
    assert cluster.ingest() == 3  # needs no broker
    cluster.valkey().config_set("maxmemory", 0)
    invariants.await_rest(cluster)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.drill
def test_a_night_is_made_up_for_when_the_broker_was_away_at_its_hour(cluster, clean, delivered):
    """F64: beat wants to send at two o'clock and cannot; when the broker is back it does, for the same night."""
    cluster.run("shell", "-c", BEAT_EVERY_MINUTE, check=True)
    cluster.broker.mode = Mode.REFUSE
    cluster.start("beat", *cluster.beat())
    cluster.worker()
    cluster.await_log("beat", "beat: Starting")
    cluster.broker.heal()
    eventually(cluster.is_settled, patience=120)
    invariants.await_rest(cluster)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.drill
def test_two_beats_that_were_away_for_three_nights_start_one_run(cluster, clean, delivered):
    """F20, F66: no backlog of nights, no second run."""
    cluster.run("shell", "-c", BEAT_EVERY_MINUTE, check=True)
    for name in ("beat", "beat2"):
        cluster.start(name, *cluster.beat())
    cluster.worker()
    eventually(cluster.is_settled, patience=120)
    invariants.await_rest(cluster)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []
    assert cluster.sql("SELECT count(*) FROM ingest_runs WHERE night_on IS NOT NULL") == [(1,)]
    assert cluster.log("beat").count("Sending due task Nightly run") <= 2


@pytest.mark.drill
def test_helpers_share_a_night_of_many_files_and_one_that_dies_is_replaced(cluster):
    """Files spread over two workers; one is killed in the middle of a file."""
    delivered = many_files(5, folders=20)
    cluster.deliver(delivered)
    assert cluster.ingest() in (0, 3)
    clean = invariants.digest(cluster)
    cluster.fresh()
    cluster.deliver(delivered)
    cluster.worker("one", concurrency=2)
    cluster.worker("two", concurrency=2)
    for name in ("one", "two"):
        cluster.await_log(name, "ready.")
    cluster.queue("medilink.tasks.nightly")
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_batches WHERE status = 'archived' HAVING count(*) >= 15"))
    cluster.kill("two")
    cluster.queue("ingestion.tasks.sweep")
    eventually(cluster.is_settled, patience=120)
    cluster.queue("ingestion.tasks.sweep")
    eventually(lambda: invariants.digest(cluster) == clean)
    eventually(lambda: invariants.nothing_is_left_behind(cluster) == [])
    assert invariants.violations(cluster, delivered) == []


BEAT_EVERY_MINUTE = """
from datetime import timedelta
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask
every, _ = CrontabSchedule.objects.get_or_create(minute="*", hour="*")
PeriodicTask.objects.exclude(task="medilink.tasks.nightly").update(enabled=False)
night = PeriodicTask.objects.get(task="medilink.tasks.nightly")
night.crontab, night.last_run_at = every, timezone.now() - timedelta(days=3)
night.save()
"""


@pytest.mark.drill
def test_a_worker_that_is_asked_to_stop_ends_its_file_first(cluster, clean, delivered):
    """F16: a deployment in the middle of a load."""
    worker = cluster.worker(MEDILINK_FAILPOINT="mid_upsert:sleep=3@2")
    cluster.queue("ingestion.tasks.nightly")
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_batches WHERE status = 'loading' AND dataset = 'patients'"))
    worker.terminate()  # its parent alone, as an orchestrator does
    cluster.wait("worker")
    assert cluster.sql("SELECT status, attempts FROM ingest_batches WHERE dataset = 'patients'") == [("archived", 1)]
    cluster.worker("next")
    cluster.queue("ingestion.tasks.sweep")
    invariants.await_rest(cluster)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []
    assert cluster.sql("SELECT max(attempts) FROM ingest_batches") == [(1,)]
