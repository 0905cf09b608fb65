"""Every change of a row with what stood there before, by triggers; rows merged into others, and whose name a file used."""

import clinical.models.history
import django.contrib.postgres.functions
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# What changed, column by column; generated columns and instants of writing say nothing. One statement per statement of
# the writer: a load that updates a hundred thousand rows pays for them together. OFFSET 0 keeps the row from being made
# JSON anew for each of its columns; and the plan is that of a session's first statement, which may have had one row.
KEEP_REVISION = """
CREATE FUNCTION keep_revision() RETURNS trigger LANGUAGE plpgsql SET timezone = 'UTC' SET enable_nestloop = off AS $$
DECLARE
    event bigint := nullif(current_setting('medilink.event', true), '')::bigint;
    batch bigint := nullif(nullif(current_setting('medilink.batch', true), ''), '0')::bigint;
    ignored text[] := coalesce(TG_ARGV, '{}') || '{id,updated_at}'::text[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO revisions ("table", object_id, was, became, event_id, batch_id)
        SELECT TG_TABLE_NAME, o.id, change.was, change.became, event, batch
        FROM old_rows o JOIN new_rows n USING (id) CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(b.key, b.value) AS was, jsonb_object_agg(b.key, a.j -> b.key) AS became
            FROM (SELECT to_jsonb(n) AS j OFFSET 0) a, jsonb_each(to_jsonb(o) - ignored) b
            WHERE a.j -> b.key IS DISTINCT FROM b.value
        ) change
        WHERE change.was IS NOT NULL;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO revisions ("table", object_id, was, event_id, batch_id)
        SELECT TG_TABLE_NAME, id, to_jsonb(o), event, batch FROM old_rows o;
    ELSE
        INSERT INTO revisions ("table", object_id, became, event_id, batch_id)
        SELECT TG_TABLE_NAME, id, to_jsonb(n), event, batch FROM new_rows n;
    END IF;
    RETURN NULL;
END $$
"""
ON_UPDATE = """
CREATE TRIGGER keep_update AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keep_revision({ignored});
CREATE TRIGGER keep_delete AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keep_revision();
"""
ON_INSERT = """
CREATE TRIGGER keep_insert AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keep_revision();
"""
# Tables of a batch's rows, which are found by their batch; and those in which people write, whose new rows are noted.
KEPT = {
    "facilities": "'name_key', 'lga_key'",
    "patients": "'first_name_key', 'last_name_key'",
    "medical_records": "'event_on'",
    "triage_visits": "'event_on'",
}
WRITTEN_BY_PEOPLE = {
    "facility_aliases": "'name_key', 'lga_key'",
    "patient_aliases": "'first_name_key', 'last_name_key'",
    "memberships": "'lga_key'",
}


def keep(table: str, ignored: str, with_inserts: bool) -> migrations.RunSQL:
    forwards = ON_UPDATE.format(table=table, ignored=ignored)
    backwards = f"DROP TRIGGER keep_update ON {table}; DROP TRIGGER keep_delete ON {table};"
    if with_inserts:
        forwards += ON_INSERT.format(table=table)
        backwards += f"DROP TRIGGER keep_insert ON {table};"
    return migrations.RunSQL(forwards, backwards)


# What is put back leaves no identity behind and is nobody's edit.
NOT_WHEN_PUTTING_BACK = """
DROP TRIGGER keep_alias ON facilities;
CREATE TRIGGER keep_alias AFTER UPDATE ON facilities FOR EACH ROW
WHEN ((OLD.name_key, OLD.state, OLD.lga_key) IS DISTINCT FROM (NEW.name_key, NEW.state, NEW.lga_key)
      AND current_setting('medilink.batch', true) IS DISTINCT FROM '0')
EXECUTE FUNCTION keep_facility_alias();
DROP TRIGGER keep_alias ON patients;
CREATE TRIGGER keep_alias AFTER UPDATE ON patients FOR EACH ROW
WHEN ((OLD.facility_id, OLD.first_name_key, OLD.last_name_key, OLD.dob)
      IS DISTINCT FROM (NEW.facility_id, NEW.first_name_key, NEW.last_name_key, NEW.dob)
      AND current_setting('medilink.batch', true) IS DISTINCT FROM '0')
EXECUTE FUNCTION keep_patient_alias();
"""
ALWAYS = """
DROP TRIGGER keep_alias ON facilities;
CREATE TRIGGER keep_alias AFTER UPDATE ON facilities FOR EACH ROW
WHEN ((OLD.name_key, OLD.state, OLD.lga_key) IS DISTINCT FROM (NEW.name_key, NEW.state, NEW.lga_key))
EXECUTE FUNCTION keep_facility_alias();
DROP TRIGGER keep_alias ON patients;
CREATE TRIGGER keep_alias AFTER UPDATE ON patients FOR EACH ROW
WHEN ((OLD.facility_id, OLD.first_name_key, OLD.last_name_key, OLD.dob)
      IS DISTINCT FROM (NEW.facility_id, NEW.first_name_key, NEW.last_name_key, NEW.dob))
EXECUTE FUNCTION keep_patient_alias();
"""

NAMES = """
CREATE OR REPLACE VIEW facility_names AS
SELECT id AS facility_id, name_key, state::text, lga_key, NULL::bigint AS of_id
FROM facilities WHERE deleted_at IS NULL
UNION ALL
SELECT a.facility_id, a.name_key, a.state, a.lga_key, a.of_id
FROM facility_aliases a JOIN facilities f ON f.id = a.facility_id WHERE f.deleted_at IS NULL;
CREATE OR REPLACE VIEW patient_names AS
SELECT id AS patient_id, facility_id, facility_id AS home_id, first_name_key, last_name_key, dob, phone,
       NULL::bigint AS of_id
FROM patients WHERE deleted_at IS NULL
UNION ALL
SELECT a.patient_id, a.facility_id, p.facility_id, a.first_name_key, a.last_name_key, a.dob, p.phone, a.of_id
FROM patient_aliases a JOIN patients p ON p.id = a.patient_id WHERE p.deleted_at IS NULL;
"""
FORMER_NAMES = """
DROP VIEW facility_names;
DROP VIEW patient_names;
CREATE VIEW facility_names AS
SELECT id AS facility_id, name_key, state::text, lga_key FROM facilities WHERE deleted_at IS NULL
UNION ALL
SELECT a.facility_id, a.name_key, a.state, a.lga_key
FROM facility_aliases a JOIN facilities f ON f.id = a.facility_id WHERE f.deleted_at IS NULL;
CREATE VIEW patient_names AS
SELECT id AS patient_id, facility_id, facility_id AS home_id, first_name_key, last_name_key, dob, phone
FROM patients WHERE deleted_at IS NULL
UNION ALL
SELECT a.patient_id, a.facility_id, p.facility_id, a.first_name_key, a.last_name_key, a.dob, p.phone
FROM patient_aliases a JOIN patients p ON p.id = a.patient_id WHERE p.deleted_at IS NULL;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('clinical', '0005_lean_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='Merge',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('table', models.CharField(choices=[('patients', 'Patients'), ('facilities', 'Facilities')], max_length=12)),
                ('survivor_id', models.BigIntegerField()),
                ('merged_id', models.BigIntegerField()),
                ('undone_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'db_table': 'merges',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Revision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False)),
                ('table', models.CharField(max_length=40)),
                ('object_id', models.BigIntegerField()),
                ('was', models.JSONField(null=True)),
                ('became', models.JSONField(null=True)),
                ('batch_id', models.BigIntegerField(help_text='of the load that changed it', null=True)),
                ('role', models.TextField(db_default=clinical.models.history.DatabaseRole(), help_text='the role of the database, for what is done past us')),
            ],
            options={
                'db_table': 'revisions',
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='facility',
            name='merged_into',
            field=models.ForeignKey(blank=True, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='clinical.facility'),
        ),
        migrations.AddField(
            model_name='facilityalias',
            name='of',
            field=models.ForeignKey(blank=True, help_text='the one merged into it', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='clinical.facility'),
        ),
        migrations.AddField(
            model_name='medicalrecord',
            name='arrived_as',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='clinical.patient'),
        ),
        migrations.AddField(
            model_name='patient',
            name='arrived_as',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='clinical.facility'),
        ),
        migrations.AddField(
            model_name='patient',
            name='merged_into',
            field=models.ForeignKey(blank=True, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='clinical.patient'),
        ),
        migrations.AddField(
            model_name='patientalias',
            name='of',
            field=models.ForeignKey(blank=True, help_text='the one merged into them', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='clinical.patient'),
        ),
        migrations.AddField(
            model_name='triagevisit',
            name='arrived_as',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='clinical.patient'),
        ),
        migrations.AddIndex(
            model_name='facility',
            index=django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['batch_id'], name='facilities_batch', pages_per_range=32),
        ),
        migrations.AddIndex(
            model_name='medicalrecord',
            index=django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['batch_id'], name='medical_records_batch', pages_per_range=32),
        ),
        migrations.AddIndex(
            model_name='patient',
            index=django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['batch_id'], name='patients_batch', pages_per_range=32),
        ),
        migrations.AddIndex(
            model_name='triagevisit',
            index=django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['batch_id'], name='triage_visits_batch', pages_per_range=32),
        ),
        migrations.AddConstraint(
            model_name='facility',
            constraint=models.CheckConstraint(condition=models.Q(('merged_into__isnull', True), ('deleted_at__isnull', False), _connector='OR'), name='facilities_merged_is_deleted'),
        ),
        migrations.AddConstraint(
            model_name='patient',
            constraint=models.CheckConstraint(condition=models.Q(('merged_into__isnull', True), ('deleted_at__isnull', False), _connector='OR'), name='patients_merged_is_deleted'),
        ),
        migrations.AddField(
            model_name='merge',
            name='event',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='merge', to='clinical.auditevent'),
        ),
        migrations.AddField(
            model_name='merge',
            name='undone_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='revision',
            name='event',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='revisions', to='clinical.auditevent'),
        ),
        migrations.AddIndex(
            model_name='merge',
            index=models.Index(fields=['table', 'survivor_id'], name='merges_of_a_survivor'),
        ),
        migrations.AddConstraint(
            model_name='merge',
            constraint=models.UniqueConstraint(condition=models.Q(('undone_at__isnull', True)), fields=('table', 'merged_id'), name='merges_one_survivor'),
        ),
        migrations.AddConstraint(
            model_name='merge',
            constraint=models.CheckConstraint(condition=models.Q(('table__in', ['patients', 'facilities'])), name='merges_table_is_known'),
        ),
        migrations.AddConstraint(
            model_name='merge',
            constraint=models.CheckConstraint(condition=models.Q(('survivor_id', models.F('merged_id')), _negated=True), name='merges_of_two_rows'),
        ),
        migrations.AddIndex(
            model_name='revision',
            index=models.Index(fields=['table', 'object_id', 'id'], name='revisions_of_a_row'),
        ),
        migrations.AddIndex(
            model_name='revision',
            index=models.Index(condition=models.Q(('batch_id__isnull', False)), fields=['batch_id'], name='revisions_of_a_batch'),
        ),
        migrations.AddIndex(
            model_name='revision',
            index=models.Index(condition=models.Q(('event__isnull', False)), fields=['event'], name='revisions_of_an_event'),
        ),
        migrations.AddConstraint(
            model_name='revision',
            constraint=models.CheckConstraint(condition=models.Q(('was__isnull', False), ('became__isnull', False), _connector='OR'), name='revisions_say_something'),
        ),
        *(
            migrations.AddIndex(
                model_name=model,
                index=models.Index(
                    condition=models.Q(("merged_into__isnull", False)), fields=["merged_into"], name=f"{table}_merged"
                ),
            )
            for model, table in (("facility", "facilities"), ("patient", "patients"))
        ),
        migrations.RunSQL(NAMES, FORMER_NAMES),
        migrations.RunSQL(KEEP_REVISION, "DROP FUNCTION keep_revision()"),
        *(keep(table, ignored, False) for table, ignored in KEPT.items()),
        *(keep(table, ignored, True) for table, ignored in WRITTEN_BY_PEOPLE.items()),
        migrations.RunSQL(NOT_WHEN_PUTTING_BACK, ALWAYS),
    ]
