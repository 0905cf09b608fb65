"""Exports that a worker has left behind are taken up, every five minutes."""

from typing import Any

from django.db import migrations


def seed(apps: Any, _schema_editor: Any) -> None:
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    every_five, _ = crontabs.objects.get_or_create(
        minute="*/5", hour="*", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Take up FHIR exports",
        defaults={
            "task": "medilink.tasks.sweep_fhir_exports",
            "crontab": every_five,
            "expire_seconds": 240,
            "description": "Carries out exports whose message was lost, or whose worker has died.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("medilink", "0013_vital_signs")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
