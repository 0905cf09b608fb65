"""Words of events and their codes: decisions that are only added to, the texts there are, and how often they are."""

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

ONLY_ADDED = """
CREATE FUNCTION term_decisions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE integrity_constraint_violation USING
        MESSAGE = 'decisions on words are only added to', CONSTRAINT = 'term_decisions_stay';
END $$;
CREATE TRIGGER term_decisions_stay BEFORE UPDATE OR DELETE ON term_decisions
FOR EACH ROW EXECUTE FUNCTION term_decisions_stay();
"""
NOT_ONLY_ADDED = "DROP TRIGGER term_decisions_stay ON term_decisions; DROP FUNCTION term_decisions_stay;"
# The mart of codes is stale where the meaning of a text has changed.
NOTE = """
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON term_texts
FOR EACH STATEMENT EXECUTE FUNCTION note_change()
"""
# Words are free text of events: they are seen where the events may be changed, never by who sees them masked. A national
# steward alone decides: who may delete records of the whole nation. What texts mean is written by the application.
POLICIES = """
ALTER TABLE term_counts ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON term_counts FOR SELECT USING (
    (SELECT scope_is_national('update', 'records')) OR facility_id IN (SELECT scope_facilities('update', 'records'))
);
ALTER TABLE term_texts ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON term_texts FOR SELECT USING (
    (SELECT scope_is_national('update', 'records'))
    OR id IN (SELECT text_id FROM term_counts WHERE facility_id IN (SELECT scope_facilities('update', 'records')))
);
CREATE POLICY scope_write ON term_texts USING ((SELECT scope_user() = 0));
ALTER TABLE term_decisions ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON term_decisions FOR SELECT USING (
    (SELECT scope_is_national('update', 'records')) OR EXISTS (SELECT scope_facilities('update', 'records'))
);
CREATE POLICY scope_create ON term_decisions FOR INSERT WITH CHECK (
    (SELECT scope_is_national('delete', 'records')) AND decided_by_id = (SELECT scope_user())
);
"""
NO_POLICIES = """
ALTER TABLE term_counts DISABLE ROW LEVEL SECURITY;
ALTER TABLE term_texts DISABLE ROW LEVEL SECURITY;
ALTER TABLE term_decisions DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_read ON term_counts;
DROP POLICY scope_read ON term_texts;
DROP POLICY scope_write ON term_texts;
DROP POLICY scope_read ON term_decisions;
DROP POLICY scope_create ON term_decisions;
"""
# A facility that is removed for good takes its counts along; so does a text.
CASCADE = """
ALTER TABLE term_counts
    ADD CONSTRAINT term_counts_of_a_text FOREIGN KEY (text_id) REFERENCES term_texts ON DELETE CASCADE,
    ADD CONSTRAINT term_counts_at_a_facility FOREIGN KEY (facility_id) REFERENCES facilities ON DELETE CASCADE;
"""
NO_CASCADE = "ALTER TABLE term_counts DROP CONSTRAINT term_counts_of_a_text, DROP CONSTRAINT term_counts_at_a_facility;"


class Migration(migrations.Migration):

    dependencies = [
        ('clinical', '0018_vital_signs'),
    ]

    operations = [
        migrations.CreateModel(
            name='TermText',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('diagnosis', 'diagnosis'), ('medication', 'medication')], max_length=10)),
                ('text', models.CharField(max_length=200)),
                ('keys', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, help_text='of its parts', size=None)),
                ('unknown', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, help_text='keys of those parts that are not on the map', size=None)),
                ('codings', models.JSONField(default=list, help_text='system, code, display: of the parts that it is sure of')),
                ('state', models.CharField(choices=[('mapped', 'Mapped'), ('qualified', 'Qualified'), ('unmapped', 'Unmapped')], max_length=9)),
                ('times', models.IntegerField(db_default=0, default=0, help_text='that events of the nation bear it')),
                ('version', models.CharField(max_length=20)),
            ],
            options={
                'verbose_name': 'word without a code',
                'verbose_name_plural': 'words without a code',
                'db_table': 'term_texts',
                'constraints': [models.UniqueConstraint(fields=('kind', 'text'), name='term_texts_identity'), models.CheckConstraint(condition=models.Q(('kind__in', ('diagnosis', 'medication'))), name='term_texts_kind_is_known'), models.CheckConstraint(condition=models.Q(('state__in', ['mapped', 'qualified', 'unmapped'])), name='term_texts_state_is_known'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'unmapped'), ('unknown__len__gt', 0)), models.Q(('state', 'unmapped'), _negated=True), _connector='OR'), name='term_texts_unmapped_has_unknown')],
            },
        ),
        migrations.CreateModel(
            name='TermDecision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('diagnosis', 'diagnosis'), ('medication', 'medication')], max_length=10)),
                ('key', models.CharField(help_text='the word as clinical/terms compares it', max_length=200)),
                ('text', models.CharField(help_text='as some event bears it', max_length=200, verbose_name='word')),
                ('system', models.CharField(blank=True, db_default='', default='', max_length=80)),
                ('code', models.CharField(blank=True, db_default='', default='', max_length=60)),
                ('display', models.CharField(blank=True, db_default='', default='', max_length=200, verbose_name='meaning')),
                ('reason', models.CharField(max_length=500)),
                ('decided_at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False)),
                ('decided_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('takes_back', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='taken_back_by', to='clinical.termdecision')),
            ],
            options={
                'verbose_name': 'decision on a word',
                'verbose_name_plural': 'decisions on words',
                'db_table': 'term_decisions',
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('kind__in', ('diagnosis', 'medication'))), name='term_decisions_kind_is_known'), models.CheckConstraint(condition=models.Q(models.Q(('key', ''), _negated=True), models.Q(('reason', ''), _negated=True)), name='term_decisions_key_and_reason_filled'), models.CheckConstraint(condition=models.Q(models.Q(('code', ''), ('display', ''), ('system', '')), models.Q(models.Q(('system', ''), _negated=True), models.Q(('code', ''), _negated=True), models.Q(('display', ''), _negated=True)), _connector='OR'), name='term_decisions_whole_code'), models.CheckConstraint(condition=models.Q(('takes_back', None), ('code', ''), _connector='OR'), name='term_decisions_taking_back_codes_nothing')],
            },
        ),
        migrations.CreateModel(
            name='TermCount',
            fields=[
                ('pk', models.CompositePrimaryKey('text_id', 'facility_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('times', models.IntegerField()),
                ('facility', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='clinical.facility')),
                ('text', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='counts', to='clinical.termtext')),
            ],
            options={
                'db_table': 'term_counts',
                'constraints': [models.CheckConstraint(condition=models.Q(('times__gte', 1)), name='term_counts_times_from_1')],
            },
        ),
        migrations.AddIndex(
            model_name='termtext',
            index=django.contrib.postgres.indexes.GinIndex(fields=['keys'], name='term_texts_keys'),
        ),
        migrations.RunSQL(ONLY_ADDED, NOT_ONLY_ADDED),
        migrations.RunSQL(NOTE, "DROP TRIGGER note_change ON term_texts"),
        migrations.RunSQL(POLICIES, NO_POLICIES),
        migrations.RunSQL(CASCADE, NO_CASCADE),
    ]
