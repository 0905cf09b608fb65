"""Which database this is, as the settings say it at the first migration."""

from typing import Any

from django.conf import settings
from django.db import migrations, models


def mark(apps: Any, _schema_editor: Any) -> None:
    apps.get_model("medilink", "Environment").objects.create(name=settings.ENVIRONMENT)


class Migration(migrations.Migration):
    dependencies = [("medilink", "0006_log_ins")]
    operations = [
        migrations.CreateModel(
            name="Environment",
            fields=[
                ("id", models.BigIntegerField(default=1, primary_key=True, serialize=False)),
                (
                    "name",
                    models.TextField(
                        choices=[
                            ("production", "Production"),
                            ("staging", "Staging"),
                            ("development", "Development"),
                        ]
                    ),
                ),
            ],
            options={
                "db_table": "environment",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="environment_one_row"),
                    models.CheckConstraint(
                        condition=models.Q(("name__in", ["production", "staging", "development"])),
                        name="environment_name",
                    ),
                ],
            },
        ),
        migrations.RunPython(mark, migrations.RunPython.noop),
    ]
