"""Whether beat keeps its schedule, for a health check: says nothing about what its tasks came to."""

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask

SLACK = timedelta(minutes=10)  # beat writes its times down every three minutes only


class Command(BaseCommand):
    help = "Fails where a task that runs every few minutes is overdue by ten."

    def handle(self, **options: Any) -> None:
        if overdue := [task.name for task in PeriodicTask.objects.filter(enabled=True) if is_overdue(task, now())]:
            raise CommandError(f"Overdue: {', '.join(overdue)}. See beat's log, and start it again.")


def is_overdue(task: PeriodicTask, instant: datetime) -> bool:
    """Only tasks by interval: a nightly one that has not run for a day is another check's affair."""
    if task.interval is None:
        return False
    return (task.last_run_at or task.date_changed) + task.interval.schedule.run_every + SLACK < instant
