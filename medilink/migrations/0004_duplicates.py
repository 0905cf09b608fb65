"""Probable duplicates are searched for after the night, never in it."""

from typing import Any

from django.db import migrations


def seed(apps: Any, _schema_editor: Any) -> None:
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    after_the_night, _ = crontabs.objects.get_or_create(
        minute="30", hour="4", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Find duplicates",
        defaults={
            "task": "clinical.tasks.find_duplicates",
            "crontab": after_the_night,
            "expire_seconds": 12 * 3600,
            "description": "Compares patients and facilities that have changed with all others, for stewards to decide.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("medilink", "0003_alerts")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
