"""The mart of conditions by code (clinical/terms), its forms for analysts, and its first state."""

from importlib import import_module
from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"
BY_STATE = import_module("analytics.migrations.0004_row_security").BY_STATE.format(resource="analytics")
SCOPED = "\n".join(
    f"CREATE VIEW scoped.{name} WITH (security_barrier) AS SELECT * FROM {mart} WHERE {BY_STATE};"
    for name, mart in (
        ("condition_codes", "marts.condition_codes"),
        ("suppressed_condition_codes", "bi.condition_codes"),
    )
)
NOT_SCOPED = "DROP VIEW scoped.suppressed_condition_codes; DROP VIEW scoped.condition_codes;"
# As stale as a mart can be: the next refresh fills in what the words mean.
KNOWN = """
INSERT INTO mart_states (mart, as_of, snapshot, system, lagos_day, reads, rows, has_failed)
SELECT 'condition_codes', now(), pg_current_snapshot()::text, system_identifier, DATE '1900-01-01',
    '{facilities,patients,term_texts,triage_visits}'::text[], 0, false
FROM pg_control_system()
"""


def _run(file: str, reverse: str) -> migrations.RunSQL:
    return migrations.RunSQL((SQL / f"{file}.sql").read_text(), reverse)


class Migration(migrations.Migration):
    dependencies = [("analytics", "0012_publications_tell_less"), ("clinical", "0019_terms")]
    operations = [
        _run("condition_codes", "DROP MATERIALIZED VIEW marts.condition_codes"),
        _run("bi_condition_codes", "DROP VIEW bi.condition_codes"),
        _run("bi_comments", migrations.RunSQL.noop),
        migrations.RunSQL(SCOPED, NOT_SCOPED),
        migrations.RunSQL(KNOWN, "DELETE FROM mart_states WHERE mart = 'condition_codes'"),
        migrations.CreateModel(
            name='ConditionCode',
            fields=[
                ('state', models.CharField(max_length=100)),
                ('month', models.DateField()),
                ('system', models.TextField()),
                ('code', models.TextField()),
                ('display', models.TextField()),
                ('pk', models.CompositePrimaryKey('code', 'month', 'state', 'system', blank=True, editable=False, primary_key=True, serialize=False)),
                ('occurrence_count', models.BigIntegerField()),
                ('critical_count', models.BigIntegerField()),
                ('at_least_count', models.BigIntegerField()),
                ('is_small', models.BooleanField()),
            ],
            options={
                'db_table': 'scoped"."condition_codes',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='SuppressedConditionCode',
            fields=[
                ('state', models.CharField(max_length=100)),
                ('month', models.DateField()),
                ('system', models.TextField()),
                ('code', models.TextField()),
                ('display', models.TextField()),
                ('pk', models.CompositePrimaryKey('code', 'month', 'state', 'system', blank=True, editable=False, primary_key=True, serialize=False)),
                ('occurrence_count', models.BigIntegerField(null=True)),
                ('critical_count', models.BigIntegerField(null=True)),
                ('at_least_count', models.BigIntegerField()),
                ('suppressed', models.BooleanField()),
            ],
            options={
                'db_table': 'scoped"."suppressed_condition_codes',
                'managed': False,
            },
        ),
    ]
