"""The night goes on to the marts; between nights they are refreshed where something was written."""

from typing import Any

from django.db import migrations

EVERY = 15


def seed(apps: Any, _schema_editor: Any) -> None:
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    tasks.objects.filter(name="Nightly run", task="ingestion.tasks.nightly").update(
        task="medilink.tasks.nightly",
        description="Loads what the web app has delivered, refreshes the marts, checks the data. Once a night, "
        "however often it is started.",
    )
    quarterly, _ = crontabs.objects.get_or_create(
        minute=f"*/{EVERY}", hour="*", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    tasks.objects.get_or_create(
        name="Refresh marts",
        defaults={
            "task": "analytics.tasks.refresh_marts",
            "crontab": quarterly,
            "expire_seconds": EVERY * 60 - 60,
            "description": "Refreshes the marts whose tables have changed, and checks the data afterwards.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("medilink", "0001_schedule")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
