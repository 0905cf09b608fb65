from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from ingestion.models import IngestRun, Kind

pytestmark = pytest.mark.django_db


@pytest.fixture
def every_five_minutes():
    PeriodicTask.objects.all().delete()
    interval = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.MINUTES)
    return PeriodicTask.objects.create(name="sweep", task="sweep", interval=interval)


def ran(task, ago):
    PeriodicTask.objects.filter(pk=task.pk).update(last_run_at=now() - ago)


def test_check_beat_is_content_when_a_task_has_just_been_made(every_five_minutes):
    assert call_command("check_beat") is None


def test_check_beat_is_content_when_a_task_is_not_overdue(every_five_minutes):
    ran(every_five_minutes, timedelta(minutes=14))
    assert call_command("check_beat") is None


def test_check_beat_fails_and_names_the_task_when_it_is_overdue(every_five_minutes):
    ran(every_five_minutes, timedelta(minutes=16))
    with pytest.raises(CommandError, match="sweep"):
        call_command("check_beat")


def test_check_beat_is_content_when_the_overdue_task_is_disabled(every_five_minutes):
    ran(every_five_minutes, timedelta(days=1))
    PeriodicTask.objects.update(enabled=False)
    assert call_command("check_beat") is None


def test_check_beat_does_not_judge_nightly_tasks(every_five_minutes):
    nightly = CrontabSchedule.objects.create(minute="0", hour="2")
    ran(PeriodicTask.objects.create(name="nightly", task="nightly", crontab=nightly), timedelta(days=3))
    assert call_command("check_beat") is None


@pytest.mark.parametrize(("minutes", "is_judged"), [(14, False), (16, True)])
def test_check_beat_judges_what_the_migrations_have_put_there(minutes, is_judged):
    PeriodicTask.objects.update(last_run_at=now() - timedelta(minutes=minutes))
    if not is_judged:
        assert call_command("check_beat") is None
        return
    with pytest.raises(CommandError, match="Sweep"):
        call_command("check_beat")


def test_check_beat_does_not_break_off_at_a_day_that_never_comes(every_five_minutes):
    never = CrontabSchedule.objects.create(minute="*/5", day_of_month="31", month_of_year="2")
    PeriodicTask.objects.create(name="never", task="never", crontab=never)
    assert call_command("check_beat") is None


def test_last_good_run_says_how_many_seconds_ago_a_run_ended_well():
    ended = now() - timedelta(hours=3)
    IngestRun.objects.create(kind=Kind.NIGHTLY, status=IngestRun.State.DONE, finished_at=ended)
    IngestRun.objects.create(kind=Kind.NIGHTLY, status=IngestRun.State.BROKEN_OFF, finished_at=now())
    said = StringIO()
    call_command("last_good_run", stdout=said)
    assert 3 * 3600 <= int(said.getvalue()) < 3 * 3600 + 60


def test_last_good_run_fails_when_none_ever_ended_well():
    with pytest.raises(CommandError, match="No run"):
        call_command("last_good_run")
