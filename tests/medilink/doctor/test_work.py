"""The schedule, the work and the backups: what the doctor names when one thing is wrong, and nothing else."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from analytics import marts
from clinical.models import Facility
from ingestion.models import IngestRun, Kind
from medilink.celery import BEAT
from medilink.doctor import schedule_checks, work_checks
from medilink.doctor.findings import Gravity
from medilink.models import Alert, Backup
from tests.ingestion import factories
from tests.medilink.doctor.looking import found, ran, session, sql
from tests.test_runbook import CAUSES


def test_a_missing_beat_is_named(db, bucket):
    assert found() == ["beat-missing"]


def test_a_beat_that_has_just_started_is_enough(db, bucket):
    with session(application_name=f"{BEAT} 1 one"):
        assert found() == []


def test_a_second_beat_is_named(well):
    with session(application_name=f"{BEAT} 1 one"), session(application_name=f"{BEAT} 1 other"):
        assert found() == ["beat-twice"]


def test_an_entry_that_is_switched_off_or_gone_is_named(well):
    PeriodicTask.objects.filter(task="medilink.tasks.tell").update(enabled=False)
    PeriodicTask.objects.filter(task="medilink.tasks.purge").delete()
    assert found() == ["schedule-disabled", "schedule-missing"]


def _never(entry):
    CrontabSchedule.objects.filter(pk=entry.crontab_id).update(day_of_month="31", month_of_year="2")


def _switched_off(entry):
    PeriodicTask.objects.filter(pk=entry.pk).update(enabled=False)


@pytest.mark.parametrize("broken", [PeriodicTask.delete, _switched_off, _never])
def test_a_night_that_never_comes_is_an_error(well, broken):
    entry = PeriodicTask.objects.get(task="medilink.tasks.nightly")
    entry.crontab = CrontabSchedule.objects.create(minute="0", hour="0")
    entry.save()
    PeriodicTask.objects.update(last_run_at=timezone.now())
    assert found() == []
    broken(entry)
    assert found(gravity=Gravity.ERROR) == found() == ["night-unscheduled"]


def test_a_stuck_batch_is_named(well):
    long_ago = timezone.now() - timedelta(hours=2)
    batch = factories.batch(status="loading", lease_until=long_ago, started_at=long_ago)
    assert found() == ["batch-stuck"]
    assert ran("batch-stuck").seen.startswith(f"Batch {batch.pk} is loading since ")


def test_a_batch_that_waits_while_a_run_is_at_work_is_not_stuck(well):
    batch = factories.batch()
    type(batch).objects.update(discovered_at=timezone.now() - timedelta(hours=2))
    soon = timezone.now() + timedelta(minutes=1)
    IngestRun.objects.create(kind=Kind.NIGHTLY, status=IngestRun.State.RUNNING, lease_until=soon)
    assert found() == []


def test_a_day_without_a_good_run_is_named(well):
    run = IngestRun.objects.create(kind=Kind.MANUAL, status=IngestRun.State.BROKEN_OFF)
    IngestRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(hours=27))
    assert found() == ["no-good-run"]


def test_a_run_that_nobody_carries_out_is_named(well):
    run = IngestRun.objects.create(kind=Kind.MANUAL)
    IngestRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(hours=2))
    assert found() == ["run-waiting"]


def test_stopped_files_are_named_once_however_many_they_are(well):
    for _ in range(5):
        factories.batch(status="held", reasons=["ROW_ERROR_RATIO"], finished_at=timezone.now(), held_key="k")
    assert found() == ["batch-held"]
    assert ran("batch-held").seen.endswith(" And 2 more.")


def test_a_mart_that_is_old_and_stale_is_named(well, transactional_db):
    PeriodicTask.objects.update(last_run_at=timezone.now())
    marts.refresh()
    Facility.objects.create(name="Somewhere", state="KANO", lga="Dala")
    sql("UPDATE mart_states SET as_of = as_of - interval '2 days'")
    assert "mart-stale" in found()


def test_alerts_that_nobody_could_be_told_of_are_named(well, settings):
    settings.ALERT_EMAIL = ["stewards@example.org"]
    alert = Alert.objects.create(cause="a:1", what="Something", link="/")
    Alert.objects.filter(pk=alert.pk).update(opened_at=timezone.now() - timedelta(hours=2))
    assert found() == ["alert-untold"]


def test_every_kind_of_cause_has_its_words():
    assert work_checks.CAUSES.keys() == CAUSES


def a_backup(**columns):
    long_ago = timezone.now() - timedelta(hours=27)
    Backup.objects.create(place="s3://b/k", **{"started_at": long_ago, "finished_at": long_ago} | columns)


def test_a_backup_that_is_too_old_is_named(well, settings):
    settings.BACKUP_URL = "s3://backups/nightly/"
    a_backup()
    assert found() == ["no-backup"]


def test_a_backup_that_went_wrong_is_named(well, settings):
    settings.BACKUP_URL = "s3://backups/nightly/"
    a_backup(started_at=timezone.now(), error="Broken")
    a_backup(started_at=timezone.now(), finished_at=None)  # at work
    assert found(gravity=Gravity.WARNING) == ["backup-failed"]


def test_the_schedule_that_is_looked_for_is_the_one_that_the_migrations_make(db):
    made = {*PeriodicTask.objects.values_list("task", flat=True)} - {"celery.backend_cleanup"}  # beat's own
    assert made == schedule_checks.EXPECTED


@pytest.mark.parametrize(
    ("made", "drilled", "named"),
    [(40, None, ["backup-undrilled"]), (80, 40, ["backup-undrilled"]), (80, 20, []), (20, None, [])],
)
def test_backups_that_nobody_tries_out_are_named(well, settings, made, drilled, named):
    settings.BACKUP_URL = "s3://backups/nightly/"
    then, now = (timezone.now() - timedelta(days=days) for days in (made, 0))
    last = timezone.now() - timedelta(days=drilled) if drilled else None
    Backup.objects.create(place="s3://backups/first.backup", started_at=then, finished_at=then, drilled_at=last)
    Backup.objects.create(place="s3://backups/last.backup", started_at=now, finished_at=now)
    assert found() == named
    if named:
        assert ran("backup-undrilled").command == "manage.py restore_drill s3://backups/last.backup"
