"""Which backups were made; and the nightly ones, where a place is configured, and what is kept no longer."""

from typing import Any

from django.db import migrations, models


def seed(apps: Any, _schema_editor: Any) -> None:
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, hour, task, about in (
        ("Purge", "2", "medilink.tasks.purge", "Lets go of what is kept no longer: see `manage.py purge --help`."),
        ("Back up", "5", "medilink.tasks.back_up", "A sealed backup, where BACKUP_URL says where it goes."),
    ):
        nightly, _ = crontabs.objects.get_or_create(
            minute="40", hour=hour, day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
        )
        tasks.objects.get_or_create(
            name=name,
            defaults={"task": task, "crontab": nightly, "expire_seconds": 12 * 3600, "description": about},
        )


class Migration(migrations.Migration):

    dependencies = [
        ('medilink', '0004_duplicates'),
    ]

    operations = [
        migrations.CreateModel(
            name='Backup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('place', models.TextField()),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('bytes', models.BigIntegerField(null=True)),
                ('sha256', models.TextField(blank=True, default='')),
                ('error', models.TextField(blank=True, default='', help_text='of which kind; in words that name nobody')),
            ],
            options={
                'db_table': 'backups',
                'ordering': ['-id'],
            },
        ),
        migrations.RunPython(seed, migrations.RunPython.noop),
    ]
