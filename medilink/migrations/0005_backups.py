"""Which backups were made; and the nightly ones, where a place is configured, and what is kept no longer."""

from django.db import migrations, models


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
    ]
