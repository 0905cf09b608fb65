"""Whether beat keeps its schedule, for a health check: says nothing about what its tasks came to."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask

SLACK = timedelta(minutes=10)  # beat writes its times down every three minutes only
OFTEN = timedelta(minutes=10)  # seldomer ones may wait longer than that when beat has just begun
EVERY_HOUR = [24, 7, 31, 12]


class Command(BaseCommand):
    help = "Fails where a task that runs every few minutes is overdue by ten."

    def handle(self, **options: Any) -> None:
        if overdue := [task.name for task in PeriodicTask.objects.filter(enabled=True) if is_overdue(task, now())]:
            raise CommandError(f"Overdue: {', '.join(overdue)}. See beat's log, and start it again.")


def is_overdue(task: PeriodicTask, instant: datetime) -> bool:
    """Only what is due every few minutes: a nightly one that has not run for a day is another check's affair."""
    every = _every(task)
    return every is not None and (task.last_run_at or task.date_changed) + every + SLACK < instant


def _every(task: PeriodicTask) -> timedelta | None:
    if task.interval is not None:
        return task.interval.schedule.run_every
    if task.crontab is None:
        return None
    try:
        cron = task.crontab.schedule
    except ValueError:  # a day that never comes
        return None
    if [*map(len, (cron.hour, cron.day_of_week, cron.day_of_month, cron.month_of_year))] != EVERY_HOUR:
        return None
    minutes = sorted(cron.minute)
    longest = timedelta(minutes=max(b - a for a, b in pairwise([*minutes, minutes[0] + 60])))
    return longest if longest <= OFTEN else None
