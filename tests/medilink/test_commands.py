from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

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
