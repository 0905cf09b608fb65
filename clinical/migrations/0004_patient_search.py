"""Finding a patient by part of a name or by phone, in millions."""

import django.contrib.postgres.indexes
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("clinical", "0003_access_and_lists")]
    operations = [
        TrigramExtension(),
        migrations.AddIndex(
            model_name="patient",
            index=django.contrib.postgres.indexes.GinIndex(
                fields=["first_name_key", "last_name_key"],
                name="patients_name_parts",
                opclasses=["gin_trgm_ops", "gin_trgm_ops"],
            ),
        ),
        migrations.AddIndex(
            model_name="patient",
            index=models.Index(
                condition=models.Q(("phone__isnull", False)), fields=["phone"], name="patients_phone"
            ),
        ),
    ]
