"""Who syncs by `changed_since` is told which rows are restricted: their ids alone, of the scope that a statement has."""

from django.db import migrations, models

# Of the owner, so that it sees what the policies hide from the web; it cuts by scope itself. By the patients, few of
# whom are restricted, to their events by an index.
VIEW = """
CREATE VIEW restricted_rows AS
SELECT 'patients' AS "table", p.id AS object_id, p.restricted_at AS at, p.facility_id, p.id AS patient_id
FROM patients p
WHERE p.restricted_at IS NOT NULL
  AND ((SELECT scope_is_national('read', 'patients')) OR p.facility_id IN (SELECT scope_facilities('read', 'patients')))
UNION ALL
SELECT 'medical_records', e.id, p.restricted_at, e.facility_id, p.id
FROM patients p JOIN medical_records e ON e.patient_id = p.id
WHERE p.restricted_at IS NOT NULL
  AND ((SELECT scope_is_national('read', 'records')) OR e.facility_id IN (SELECT scope_facilities('read', 'records')))
UNION ALL
SELECT 'triage_visits', e.id, p.restricted_at, e.facility_id, p.id
FROM patients p JOIN triage_visits e ON e.patient_id = p.id
WHERE p.restricted_at IS NOT NULL
  AND ((SELECT scope_is_national('read', 'visits')) OR e.facility_id IN (SELECT scope_facilities('read', 'visits')));

CREATE FUNCTION is_anybody_restricted(since timestamptz) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public AS
'SELECT EXISTS (SELECT FROM public.patients WHERE restricted_at >= since)';
"""


class Migration(migrations.Migration):
    dependencies = [("clinical", "0016_policies_of_logs")]

    operations = [
        migrations.RunSQL(
            VIEW, "DROP FUNCTION is_anybody_restricted(timestamptz); DROP VIEW restricted_rows;"
        ),
        migrations.CreateModel(
            name="RestrictedRow",
            fields=[
                ("table", models.TextField()),
                ("object_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("facility_id", models.BigIntegerField()),
                ("patient_id", models.BigIntegerField()),
            ],
            options={"db_table": "restricted_rows", "managed": False},
        ),
    ]
