"""Who may do what; indexes for the lists of a facility; and a trace of every transaction that changed rows."""

import django.contrib.postgres.functions
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models


# The events' foreign key rests on a unique key whose columns change places: facility first, which lists need.
BELONGS = """
ALTER TABLE {table} ADD CONSTRAINT {table}_patient_at_facility
    FOREIGN KEY (patient_id, facility_id) REFERENCES patients (id, facility_id) ON UPDATE CASCADE
"""
FREE = "ALTER TABLE {table} DROP CONSTRAINT {table}_patient_at_facility"
EVENTS = ("medical_records", "triage_visits")
TABLES = ("facilities", "patients", *EVENTS)

# A snapshot taken earlier is still true of a table while it sees all of the table's rows here. Only ever added to, so
# that writers never wait for one another. Counts of a table that nothing has been written to are zero; those of the
# transactions just before may still be in them, and then one row too many says "changed", which does no harm.
CHANGES = """
CREATE TABLE row_changes (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    table_name text NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX row_changes_of_a_table ON row_changes (table_name, xid);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' OR current_setting('track_counts') = 'off'
       OR pg_stat_get_xact_tuples_inserted(TG_RELID) > 0
       OR pg_stat_get_xact_tuples_updated(TG_RELID) > 0
       OR pg_stat_get_xact_tuples_deleted(TG_RELID) > 0 THEN
        INSERT INTO row_changes (table_name)
        SELECT TG_TABLE_NAME
        WHERE NOT EXISTS (SELECT FROM row_changes WHERE table_name = TG_TABLE_NAME AND xid = pg_current_xact_id());
    END IF;
    RETURN NULL;
END $$
"""
NOTE = """
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION note_change()
"""


class Migration(migrations.Migration):

    dependencies = [
        ('clinical', '0002_promises'),
    ]

    operations = [
        *(migrations.RunSQL(FREE.format(table=table), BELONGS.format(table=table)) for table in EVENTS),
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False)),
                ('action', models.CharField(max_length=20)),
                ('table', models.CharField(max_length=40)),
                ('object_id', models.BigIntegerField(null=True)),
                ('request_id', models.CharField(blank=True, default='', max_length=36)),
                ('details', models.JSONField(default=dict, help_text='which columns, which reason: no values of a person')),
            ],
            options={
                'db_table': 'audit_events',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('route', models.TextField()),
                ('key', models.CharField(max_length=255)),
                ('body_digest', models.BinaryField(max_length=32)),
                ('status', models.SmallIntegerField()),
                ('body', models.BinaryField()),
                ('headers', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow())),
            ],
            options={
                'db_table': 'idempotency_keys',
            },
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('steward', 'Steward'), ('clinician', 'Clinician'), ('clerk', 'Clerk'), ('analyst', 'Analyst'), ('auditor', 'Auditor'), ('service', 'Service')], max_length=10)),
                ('state', models.CharField(blank=True, choices=[('ABIA', 'ABIA'), ('ADAMAWA', 'ADAMAWA'), ('AKWA IBOM', 'AKWA IBOM'), ('ANAMBRA', 'ANAMBRA'), ('BAUCHI', 'BAUCHI'), ('BAYELSA', 'BAYELSA'), ('BENUE', 'BENUE'), ('BORNO', 'BORNO'), ('CROSS RIVER', 'CROSS RIVER'), ('DELTA', 'DELTA'), ('EBONYI', 'EBONYI'), ('EDO', 'EDO'), ('EKITI', 'EKITI'), ('ENUGU', 'ENUGU'), ('FCT', 'FCT'), ('GOMBE', 'GOMBE'), ('IMO', 'IMO'), ('JIGAWA', 'JIGAWA'), ('KADUNA', 'KADUNA'), ('KANO', 'KANO'), ('KATSINA', 'KATSINA'), ('KEBBI', 'KEBBI'), ('KOGI', 'KOGI'), ('KWARA', 'KWARA'), ('LAGOS', 'LAGOS'), ('NASARAWA', 'NASARAWA'), ('NIGER', 'NIGER'), ('OGUN', 'OGUN'), ('ONDO', 'ONDO'), ('OSUN', 'OSUN'), ('OYO', 'OYO'), ('PLATEAU', 'PLATEAU'), ('RIVERS', 'RIVERS'), ('SOKOTO', 'SOKOTO'), ('TARABA', 'TARABA'), ('YOBE', 'YOBE'), ('ZAMFARA', 'ZAMFARA')], max_length=100)),
                ('lga', models.CharField(blank=True, max_length=100, verbose_name='LGA')),
                ('lga_key', models.GeneratedField(db_persist=True, expression=django.db.models.functions.text.Lower(django.db.models.functions.comparison.Collate('lga', 'pg_c_utf8')), output_field=models.TextField(db_collation='C'))),
            ],
            options={
                'db_table': 'memberships',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='ProgramToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.BinaryField(max_length=32, unique=True)),
                ('created_at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False)),
                ('expires_at', models.DateTimeField()),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'db_table': 'program_tokens',
                'ordering': ['-id'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='patient',
            name='patients_at_facility',
        ),
        migrations.AlterField(
            model_name='medicalrecord',
            name='facility',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='%(class)ss', to='clinical.facility'),
        ),
        migrations.AlterField(
            model_name='triagevisit',
            name='facility',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='%(class)ss', to='clinical.facility'),
        ),
        migrations.AddIndex(
            model_name='medicalrecord',
            index=models.Index(fields=['facility', 'id'], name='medical_records_of_facility'),
        ),
        migrations.AddIndex(
            model_name='triagevisit',
            index=models.Index(fields=['facility', 'id'], name='triage_visits_of_facility'),
        ),
        migrations.AddConstraint(
            model_name='patient',
            constraint=models.UniqueConstraint(fields=('facility', 'id'), name='patients_at_facility'),
        ),
        migrations.AddField(
            model_name='auditevent',
            name='actor',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='idempotencykey',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='membership',
            name='facility',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='clinical.facility'),
        ),
        migrations.AddField(
            model_name='membership',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='programtoken',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tokens', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['table', 'object_id', 'id'], name='audit_events_of_a_row'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['actor', 'id'], name='audit_events_of_an_actor'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['at'], name='audit_events_at'),
        ),
        migrations.AddIndex(
            model_name='idempotencykey',
            index=models.Index(fields=['created_at'], name='idempotency_keys_age'),
        ),
        migrations.AddConstraint(
            model_name='idempotencykey',
            constraint=models.UniqueConstraint(fields=('user', 'route', 'key'), name='idempotency_keys_identity'),
        ),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.UniqueConstraint(fields=('user', 'role', 'state', 'lga_key', 'facility'), name='memberships_identity', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.CheckConstraint(condition=models.Q(('role__in', ['steward', 'clinician', 'clerk', 'analyst', 'auditor', 'service'])), name='memberships_role_is_known'),
        ),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.CheckConstraint(condition=models.Q(('state', ''), ('state__in', ('ABIA', 'ADAMAWA', 'AKWA IBOM', 'ANAMBRA', 'BAUCHI', 'BAYELSA', 'BENUE', 'BORNO', 'CROSS RIVER', 'DELTA', 'EBONYI', 'EDO', 'EKITI', 'ENUGU', 'FCT', 'GOMBE', 'IMO', 'JIGAWA', 'KADUNA', 'KANO', 'KATSINA', 'KEBBI', 'KOGI', 'KWARA', 'LAGOS', 'NASARAWA', 'NIGER', 'OGUN', 'ONDO', 'OSUN', 'OYO', 'PLATEAU', 'RIVERS', 'SOKOTO', 'TARABA', 'YOBE', 'ZAMFARA')), _connector='OR'), name='memberships_state_is_known'),
        ),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.CheckConstraint(condition=models.Q(('lga', ''), models.Q(('state', ''), _negated=True), _connector='OR'), name='memberships_lga_of_a_state'),
        ),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.CheckConstraint(condition=models.Q(('facility__isnull', True), ('state', ''), _connector='OR'), name='memberships_one_scope'),
        ),
        *(migrations.RunSQL(BELONGS.format(table=table), FREE.format(table=table)) for table in EVENTS),
        migrations.RunSQL(CHANGES, "DROP TABLE row_changes; DROP FUNCTION note_change()"),
        *(
            migrations.RunSQL(NOTE.format(table=table), f"DROP TRIGGER note_change ON {table}") for table in TABLES
        ),
    ]
