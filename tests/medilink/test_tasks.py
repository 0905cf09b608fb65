"""The night as a whole, and what beat calls."""

import pytest
from django.db import OperationalError
from django_celery_beat.models import PeriodicTask

from analytics import marts
from analytics.facility_signals import WatchedDay
from analytics.history import CheckRun, MartRefresh
from ingestion.models import IngestBatch, IngestRun
from medilink import tasks
from medilink.celery import app
from tests.deliveries import deliver_all

pytestmark = pytest.mark.django_db


@pytest.fixture
def delivered(transactional_db, bucket):
    deliver_all()


def test_a_night_loads_then_refreshes_then_watches_then_checks(delivered):
    tasks.nightly()
    assert {batch.status for batch in IngestBatch.objects.all()} == {"archived"}
    assert set(MartRefresh.objects.values_list("status", flat=True)) == {"done"}
    assert CheckRun.objects.get().failed == 0
    assert WatchedDay.objects.exists()
    assert not any(state.is_stale for state in marts.states().values())


def test_a_night_that_is_started_twice_is_done_once(delivered):
    tasks.nightly()
    refreshed = MartRefresh.objects.count()
    tasks.nightly()
    assert IngestRun.objects.filter(night_on__isnull=False).count() == 1
    assert MartRefresh.objects.count() == refreshed


def test_a_step_that_breaks_off_stops_no_other(delivered, monkeypatch, caplog):
    def fail():
        raise RuntimeError("Zainab Canary")

    monkeypatch.setattr(marts, "refresh", fail)
    tasks.nightly()
    assert IngestBatch.objects.filter(status="archived").exists()
    assert CheckRun.objects.exists()
    assert "A step of the night broke off: RuntimeError" in caplog.text
    assert "Canary" not in caplog.text


def test_a_night_without_its_database_is_started_again(delivered, monkeypatch):
    def fail():
        raise OperationalError

    monkeypatch.setattr(marts, "refresh", fail)
    with pytest.raises(OperationalError):
        tasks.nightly.run()
    assert CheckRun.objects.exists()


def test_everything_that_beat_calls_is_there():
    app.loader.import_default_modules()
    called = set(PeriodicTask.objects.exclude(task__startswith="celery.").values_list("task", flat=True))
    assert {"medilink.tasks.nightly", "medilink.tasks.tell", "analytics.tasks.refresh_marts"} <= called
    assert called <= app.tasks.keys()
