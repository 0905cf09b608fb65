"""Which state a refused row speaks of, so that its stewards' lists and counts are answered by an index."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingestion", "0005_rules"),
    ]

    operations = [
        migrations.AddField(
            model_name="rejectedrow",
            name="named_state",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Func(
                    models.F("raw"),
                    template="regexp_replace(upper(btrim(%(expressions)s ->> 'facility_state')), '[ -]+STATE$', '')",
                ),
                output_field=models.TextField(null=True),
            ),
        ),
        migrations.AddIndex(
            model_name="ingestbatch",
            index=models.Index(fields=["folder"], name="ingest_batches_folder"),
        ),
        migrations.AddIndex(
            model_name="rejectedrow",
            index=models.Index(
                condition=models.Q(("state", "open")), fields=["facility"], name="rejected_rows_open_facility"
            ),
        ),
        migrations.AddIndex(
            model_name="rejectedrow",
            index=models.Index(
                condition=models.Q(("facility", None), ("state", "open")),
                fields=["named_state"],
                name="rejected_rows_open_state",
            ),
        ),
    ]
