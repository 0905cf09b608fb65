"""What runs when, as stewards find it at first: they may change it in the admin, and a change stays."""

from typing import Any

from django.db import migrations


def seed(apps: Any, _schema_editor: Any) -> None:
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    at_two, _ = crontabs.objects.get_or_create(
        minute="0", hour="2", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    every_five, _ = crontabs.objects.get_or_create(
        minute="*/5", hour="*", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    # A message that was not taken within its period is dropped: the next one, or the sweep, does its work.
    tasks.objects.get_or_create(
        name="Nightly run",
        defaults={
            "task": "ingestion.tasks.nightly",
            "crontab": at_two,
            "expire_seconds": 6 * 3600,
            "description": "Loads what the web app has delivered. Once a night, however often it is started.",
        },
    )
    tasks.objects.get_or_create(
        name="Sweep",
        defaults={
            "task": "ingestion.tasks.sweep",
            "crontab": every_five,
            "expire_seconds": 240,
            "description": "Loads what is due and nobody has taken: new objects, and what a lost worker left behind.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("django_celery_beat", "0016_alter_crontabschedule_timezone")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
