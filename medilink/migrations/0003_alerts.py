"""Telling people, every five minutes."""

from typing import Any

import django.db.models.functions.datetime
from django.db import migrations, models


def seed(apps: Any, _schema_editor: Any) -> None:
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    every_five, _ = crontabs.objects.get_or_create(
        minute="*/5", hour="*", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Tell people",
        defaults={
            "task": "medilink.tasks.tell",
            "crontab": every_five,
            "expire_seconds": 240,
            "description": "Mails and calls the webhook when something went wrong, once per cause, and when it is over.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("medilink", "0002_marts_by_themselves")]
    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("cause", models.TextField(help_text="what kind of trouble, and of what: batch-held:17")),
                ("what", models.TextField(help_text="in words that name no patient")),
                ("link", models.TextField(help_text="the page where something can be done about it")),
                (
                    "opened_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("closed_at", models.DateTimeField(null=True)),
                ("told_opened_at", models.DateTimeField(null=True)),
                ("told_closed_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "alerts", "ordering": ["-id"]},
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at__isnull", True)), fields=("cause",), name="alerts_one_open_per_cause"
            ),
        ),
        migrations.RunPython(seed, migrations.RunPython.noop),
    ]
