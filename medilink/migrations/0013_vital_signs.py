"""Vital signs are read soon after whatever wrote the visit; the night looks whether anything was missed."""

from typing import Any

from django.db import migrations

EACH = (
    (
        "Read vital signs",
        "clinical.tasks.read_vitals",
        {"minute": "*/5", "hour": "*"},
        240,
        "Reads the vital signs of visits that were written lately, and scores them.",
    ),
    (
        "Read all vital signs that are due",
        "clinical.tasks.read_all_vitals",
        {"minute": "20", "hour": "3"},
        6 * 3600,
        "Reads the vital signs of all visits that no pass of today's versions has read.",
    ),
)


def seed(apps: Any, _schema_editor: Any) -> None:
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    for name, task, when, expires, description in EACH:
        crontab, _ = crontabs.objects.get_or_create(
            **when, day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
        )
        defaults = {"task": task, "crontab": crontab, "expire_seconds": expires, "description": description}
        tasks.objects.get_or_create(name=name, defaults=defaults)


class Migration(migrations.Migration):
    dependencies = [("medilink", "0012_nightly_reports")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
