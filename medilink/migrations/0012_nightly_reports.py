"""The nightly reports: looked after every quarter of an hour, so that a late night has its report all the same."""

from typing import Any

from django.db import migrations


def seed(apps: Any, _schema_editor: Any) -> None:
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    quarterly, _ = crontabs.objects.get_or_create(
        minute="*/15", hour="*", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    tasks.objects.get_or_create(
        name="Nightly reports",
        defaults={
            "task": "analytics.tasks.nightly_reports",
            "crontab": quarterly,
            "expire_seconds": 600,
            "description": "Makes the reports of nights that have none, and sends what could not be sent before.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("medilink", "0011_quality"), ("analytics", "0011_nightly_reports")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
