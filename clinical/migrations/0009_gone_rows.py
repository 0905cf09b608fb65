"""An index of the rows that are gone, for those who sync by what has changed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clinical", "0008_events_by_time"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="revision",
            index=models.Index(
                condition=models.Q(("became__isnull", True)),
                fields=["table", "at", "object_id"],
                name="revisions_of_gone_rows",
            ),
        ),
    ]
