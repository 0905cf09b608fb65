"""Events from one day to another, for lists and the API, without an index that each load would pay for."""

import django.contrib.postgres.indexes
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("clinical", "0007_duplicate_pairs"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="auditevent",
            options={
                "ordering": ["-id"],
                "verbose_name": "line of the audit",
                "verbose_name_plural": "lines of the audit",
            },
        ),
        migrations.AddIndex(
            model_name="medicalrecord",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["recorded_at"], name="medical_records_by_time", pages_per_range=32
            ),
        ),
        migrations.AddIndex(
            model_name="triagevisit",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["visited_at"], name="triage_visits_by_time", pages_per_range=32
            ),
        ),
    ]
