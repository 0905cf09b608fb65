"""Old log-ins are forgotten after the night."""

from typing import Any

from django.db import migrations


def seed(apps: Any, _schema_editor: Any) -> None:
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    after_the_night, _ = crontabs.objects.get_or_create(
        minute="30", hour="4", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Forget old log-ins",
        defaults={
            "task": "clinical.tasks.forget_log_ins",
            "crontab": after_the_night,
            "expire_seconds": 12 * 3600,
            "description": "Deletes log-ins that ended long ago, expired sessions and counts of failed log-ins.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("medilink", "0005_backups"), ("clinical", "0012_log_ins")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
