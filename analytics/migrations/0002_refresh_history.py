"""How far the marts are, what became of each refresh, and what the data checks found."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

# The marts were filled when they were made; since then anything may have been written, so they count as of yesterday.
FILLED = """
INSERT INTO mart_states (mart, as_of, snapshot, system, lagos_day, reads, rows, has_failed)
SELECT mart, now(), pg_current_snapshot()::text, system_identifier, DATE '1900-01-01', reads::text[], 0, false
FROM pg_control_system(), (VALUES
    ('dim_facilities', '{facilities,medical_records,patients,triage_visits}'),
    ('dim_patients', '{facilities,medical_records,patients,triage_visits}'),
    ('patient_summary', '{facilities,medical_records,patients,triage_visits}'),
    ('facility_performance', '{facilities,medical_records,patients,triage_visits}'),
    ('triage_trends', '{facilities,triage_visits}'),
    ('condition_analysis', '{facilities,patients,triage_visits}')
) AS made (mart, reads)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0001_marts'),
    ]

    operations = [
        migrations.CreateModel(
            name='CheckRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('passed', models.IntegerField(default=0)),
                ('failed', models.IntegerField(default=0)),
                ('skipped', models.IntegerField(default=0)),
            ],
            options={
                'verbose_name': 'run of the data checks',
                'verbose_name_plural': 'data checks',
                'db_table': 'data_check_runs',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='MartState',
            fields=[
                ('mart', models.TextField(primary_key=True, serialize=False)),
                ('as_of', models.DateTimeField()),
                ('snapshot', models.TextField(help_text='pg_snapshot at the beginning of the last refresh that went well')),
                ('system', models.BigIntegerField(help_text="the server's identity; another one's transactions say nothing here")),
                ('lagos_day', models.DateField()),
                ('reads', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='the base tables below it', size=None)),
                ('rows', models.BigIntegerField()),
                ('has_failed', models.BooleanField(default=False, help_text='the last refresh')),
            ],
            options={
                'verbose_name': 'mart',
                'db_table': 'mart_states',
                'ordering': ['mart'],
            },
        ),
        migrations.CreateModel(
            name='MartRefresh',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('mart', models.TextField()),
                ('as_of', models.DateTimeField(help_text='the rows are those of this instant', null=True)),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('rows', models.BigIntegerField(null=True)),
                ('status', models.CharField(choices=[('running', 'Running'), ('done', 'Done'), ('failed', 'Failed')], default='running', max_length=10)),
                ('why', models.CharField(choices=[('first', 'never refreshed before'), ('inputs', 'its tables have changed'), ('day', 'a new day in Lagos'), ('failed', 'the last refresh failed'), ('restored', 'the database was restored from another server'), ('forced', 'somebody asked for it')], max_length=10)),
                ('error', models.TextField(blank=True, default='', help_text='in words that name no patient')),
                ('batch_id', models.BigIntegerField(help_text='the last batch that was loaded by then', null=True)),
            ],
            options={
                'verbose_name': 'refresh',
                'verbose_name_plural': 'refreshes',
                'db_table': 'mart_refreshes',
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['mart', '-id'], name='mart_refreshes_of_a_mart')],
            },
        ),
        migrations.CreateModel(
            name='CheckResult',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.TextField()),
                ('relation', models.TextField()),
                ('kind', models.TextField()),
                ('status', models.CharField(choices=[('passed', 'Passed'), ('failed', 'Failed'), ('skipped', 'skipped: its mart is older than its tables'), ('broken', 'broken: the check itself could not run')], max_length=10)),
                ('failing_rows', models.BigIntegerField(default=0)),
                ('sample', models.JSONField(default=list, help_text='the keys of up to 100 failing rows')),
                ('seconds', models.FloatField(default=0)),
                ('error', models.TextField(blank=True, default='')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='results', to='analytics.checkrun')),
            ],
            options={
                'db_table': 'data_check_results',
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['name', '-id'], name='data_check_results_of_a_check')],
            },
        ),
        migrations.RunSQL(FILLED, migrations.RunSQL.noop),
    ]
