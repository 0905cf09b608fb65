"""Rules in place of facility names, what was said of a cause, and batches that were taken back."""

import django.contrib.postgres.functions
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


# A name that a source means is a rule about that source.
NAMINGS_TO_RULES = """
INSERT INTO rules (about, text, facility_id, source, decided_by_id, decided_at)
SELECT 'facility', name, facility_id, source, decided_by_id, decided_at FROM facility_namings WHERE name <> ''
"""
RULES_TO_NAMINGS = """
INSERT INTO facility_namings (name, facility_id, source, decided_by_id, decided_at)
SELECT text, facility_id, source, decided_by_id, decided_at FROM rules
WHERE about = 'facility' AND source <> '' AND state = '' AND ended_at IS NULL
"""
KEEP = """
CREATE TRIGGER keep_update AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keep_revision({ignored});
CREATE TRIGGER keep_delete AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keep_revision();
"""
KEEP_NEW = """
CREATE TRIGGER keep_insert AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keep_revision();
"""
DROP = "DROP TRIGGER keep_update ON {table}; DROP TRIGGER keep_delete ON {table};"
DROP_NEW = "DROP TRIGGER keep_insert ON {table};"
COUNTED_ONLY = "'raw_hash', 'times_seen', 'last_seen_at', 'tried_at'"  # of a refused row: nothing that anybody decided
WRITTEN_BY_PEOPLE = {"rules": "'text_key'", "ingest_sources": "", "causes": ""}


class Migration(migrations.Migration):

    dependencies = [
        ('clinical', '0006_history'),
        ('ingestion', '0004_lanes'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Cause',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.TextField()),
                ('value_key', models.TextField()),
                ('assigned_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'db_table': 'causes',
            },
        ),
        migrations.CreateModel(
            name='CauseComment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('text', models.TextField()),
            ],
            options={
                'db_table': 'cause_comments',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Rule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('about', models.CharField(choices=[('facility', 'facility'), ('state', 'State'), ('lga', 'LGA'), ('sex', 'Sex'), ('diagnosis', 'Diagnosis')], max_length=10)),
                ('text', models.TextField(help_text='as the files write it; case does not matter')),
                ('text_key', models.GeneratedField(db_persist=True, expression=models.Func(models.F('text'), template='lower(%(expressions)s COLLATE pg_c_utf8)'), output_field=models.TextField(db_collation='C'))),
                ('value', models.TextField(blank=True, db_default='', default='', help_text='what it means, where that is no facility')),
                ('source', models.TextField(blank=True, db_default='', default='', help_text='only in the files of this source; empty: in all')),
                ('state', models.CharField(blank=True, choices=[('ABIA', 'ABIA'), ('ADAMAWA', 'ADAMAWA'), ('AKWA IBOM', 'AKWA IBOM'), ('ANAMBRA', 'ANAMBRA'), ('BAUCHI', 'BAUCHI'), ('BAYELSA', 'BAYELSA'), ('BENUE', 'BENUE'), ('BORNO', 'BORNO'), ('CROSS RIVER', 'CROSS RIVER'), ('DELTA', 'DELTA'), ('EBONYI', 'EBONYI'), ('EDO', 'EDO'), ('EKITI', 'EKITI'), ('ENUGU', 'ENUGU'), ('FCT', 'FCT'), ('GOMBE', 'GOMBE'), ('IMO', 'IMO'), ('JIGAWA', 'JIGAWA'), ('KADUNA', 'KADUNA'), ('KANO', 'KANO'), ('KATSINA', 'KATSINA'), ('KEBBI', 'KEBBI'), ('KOGI', 'KOGI'), ('KWARA', 'KWARA'), ('LAGOS', 'LAGOS'), ('NASARAWA', 'NASARAWA'), ('NIGER', 'NIGER'), ('OGUN', 'OGUN'), ('ONDO', 'ONDO'), ('OSUN', 'OSUN'), ('OYO', 'OYO'), ('PLATEAU', 'PLATEAU'), ('RIVERS', 'RIVERS'), ('SOKOTO', 'SOKOTO'), ('TARABA', 'TARABA'), ('YOBE', 'YOBE'), ('ZAMFARA', 'ZAMFARA')], db_default='', default='', help_text='only where row or folder name this state; empty: everywhere', max_length=100)),
                ('version', models.IntegerField(db_default=1, default=1)),
                ('decided_at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False)),
                ('why', models.TextField(blank=True, db_default='', default='')),
                ('expires_on', models.DateField(blank=True, help_text='the first day on which it applies no more', null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('ended_why', models.TextField(blank=True, db_default='', default='')),
                ('is_taken_back', models.BooleanField(db_default=False, default=False, help_text='its rows wait again')),
            ],
            options={
                'db_table': 'rules',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='RuleUse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('line', models.IntegerField()),
                ('row_id', models.BigIntegerField(help_text='null: the row that bears batch and line, if any', null=True)),
            ],
            options={
                'db_table': 'rule_uses',
            },
        ),
        migrations.AddField(
            model_name='ingestbatch',
            name='reverted_at',
            field=models.DateTimeField(blank=True, help_text='when a steward took its rows back', null=True),
        ),
        migrations.AddField(
            model_name='ingestbatch',
            name='reverted_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='ingestbatch',
            name='reverted_why',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddConstraint(
            model_name='ingestbatch',
            constraint=models.CheckConstraint(condition=models.Q(('reverted_at__isnull', True), ('status__in', ('loaded', 'archived')), _connector='OR'), name='ingest_batches_only_loaded_ones_are_reverted'),
        ),
        migrations.AddField(
            model_name='cause',
            name='assigned_to',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='causecomment',
            name='by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='causecomment',
            name='cause',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='comments', to='ingestion.cause'),
        ),
        migrations.AddField(
            model_name='rule',
            name='decided_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='rule',
            name='ended_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='rule',
            name='facility',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='clinical.facility'),
        ),
        migrations.AddField(
            model_name='rule',
            name='replaces',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='replaced_by', to='ingestion.rule'),
        ),
        migrations.AddField(
            model_name='ruleuse',
            name='batch',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ingestion.ingestbatch'),
        ),
        migrations.AddField(
            model_name='ruleuse',
            name='rule',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='ingestion.rule'),
        ),
        migrations.RunSQL(NAMINGS_TO_RULES, RULES_TO_NAMINGS),
        migrations.DeleteModel(
            name='FacilityNaming',
        ),
        migrations.AddConstraint(
            model_name='cause',
            constraint=models.UniqueConstraint(fields=('reason', 'value_key'), name='causes_identity'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True)), fields=('about', 'text_key', 'source', 'state'), name='rules_one_answer'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('about', 'facility'), ('facility__isnull', False), ('value', '')), models.Q(models.Q(('about', 'facility'), _negated=True), ('facility__isnull', True), models.Q(('value', ''), _negated=True)), _connector='OR'), name='rules_mean_one_thing'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(('text', ''), _negated=True), name='rules_of_a_text'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('about', 'lga'), _negated=True), models.Q(('state', ''), _negated=True), _connector='OR'), name='rules_lga_of_a_state'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(('is_taken_back', False), ('ended_at__isnull', False), _connector='OR'), name='rules_taken_back_are_ended'),
        ),
        migrations.AddIndex(
            model_name='ruleuse',
            index=models.Index(fields=['batch', 'line'], name='rule_uses_of_a_line'),
        ),
        migrations.AddConstraint(
            model_name='ruleuse',
            constraint=models.UniqueConstraint(fields=('rule', 'batch', 'line'), name='rule_uses_identity'),
        ),
        migrations.RunSQL(
            KEEP.format(table="rejected_rows", ignored=COUNTED_ONLY), DROP.format(table="rejected_rows")
        ),
        *(
            migrations.RunSQL(
                KEEP.format(table=table, ignored=ignored) + KEEP_NEW.format(table=table),
                DROP.format(table=table) + DROP_NEW.format(table=table),
            )
            for table, ignored in WRITTEN_BY_PEOPLE.items()
        ),
    ]
