"""The audit is sealed every few minutes, and its months are made before they begin."""

from typing import Any

from django.db import migrations


def seed(apps: Any, _schema_editor: Any) -> None:
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    every_five, _ = crontabs.objects.get_or_create(
        minute="*/5", hour="*", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    once_a_day, _ = crontabs.objects.get_or_create(
        minute="15", hour="5", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    tasks.objects.get_or_create(
        name="Seal the audit",
        defaults={
            "task": "medilink.tasks.seal_audit",
            "crontab": every_five,
            "expire_seconds": 240,
            "description": "Digests of what was written to the audit, each over the one before.",
        },
    )
    tasks.objects.get_or_create(
        name="Make the audit's months",
        defaults={
            "task": "clinical.tasks.make_audit_months",
            "crontab": once_a_day,
            "expire_seconds": 12 * 3600,
            "description": "Lines of a month that was not made are kept all the same, and move over.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("medilink", "0007_environment"), ("clinical", "0013_audit_of_reads")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
