"""Dry runs that are asked for over the API keep what they have to say."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0002_promises'),
    ]

    operations = [
        migrations.AddField(
            model_name='ingestrun',
            name='is_dry',
            field=models.BooleanField(default=False, help_text='the same verdicts, and nothing written'),
        ),
        migrations.AddField(
            model_name='ingestrun',
            name='report',
            field=models.JSONField(blank=True, default=list, help_text='of a dry run: what would have become of each batch'),
        ),
    ]
