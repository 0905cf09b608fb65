"""The mart of patients by facility, age group and sex; and the metrics' meanings as comments of their columns."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"
SCOPED = """
CREATE VIEW scoped.patient_groups WITH (security_barrier) AS SELECT * FROM marts.patient_groups
WHERE (SELECT current_user <> 'medilink_web') OR (SELECT scope_is_national('read', 'analytics'))
    OR facility_id IN (SELECT scope_facilities('read', 'analytics'))
"""
# As stale as a mart can be: the next refresh fills in the rest.
KNOWN = """
INSERT INTO mart_states (mart, as_of, snapshot, system, lagos_day, reads, rows, has_failed)
SELECT 'patient_groups', now(), pg_current_snapshot()::text, system_identifier, DATE '1900-01-01',
    '{facilities,medical_records,patients,triage_visits}'::text[], 0, false
FROM pg_control_system()
"""
# The dashboard's conditions: all states, a few months.
OF_MONTHS = "CREATE INDEX condition_analysis_month ON marts.condition_analysis (month)"


def _run(file: str, reverse: str) -> migrations.RunSQL:
    return migrations.RunSQL((SQL / f"{file}.sql").read_text(), reverse)


class Migration(migrations.Migration):
    dependencies = [("analytics", "0005_restricted_patients")]
    operations = [
        _run("patient_groups", "DROP MATERIALIZED VIEW marts.patient_groups"),
        migrations.RunSQL(SCOPED, "DROP VIEW scoped.patient_groups"),
        migrations.RunSQL(KNOWN, "DELETE FROM mart_states WHERE mart = 'patient_groups'"),
        migrations.RunSQL(OF_MONTHS, "DROP INDEX marts.condition_analysis_month"),
        _run("metric_comments", migrations.RunSQL.noop),
        _run("bi_comments", migrations.RunSQL.noop),
        migrations.CreateModel(
            name="PatientGroup",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "facility_id",
                        "age_group",
                        "sex",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("facility_id", models.BigIntegerField()),
                ("state", models.CharField(max_length=100)),
                ("age_group", models.TextField()),
                ("sex", models.TextField()),
                ("patients", models.BigIntegerField()),
                ("patients_with_phone", models.BigIntegerField()),
                ("records", models.BigIntegerField()),
                ("records_with_diagnosis", models.BigIntegerField()),
                ("visits", models.BigIntegerField()),
                ("visits_with_conditions", models.BigIntegerField()),
            ],
            options={"db_table": 'scoped"."patient_groups', "managed": False},
        ),
    ]
