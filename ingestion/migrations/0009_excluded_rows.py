"""Rows that are in no table, counted where they change: so that every answer of the analytics can say how many it lacks."""

import django.db.models.deletion
from django.db import migrations, models

PARENTS = "'{FACILITY_NOT_FOUND,FACILITY_AMBIGUOUS,PATIENT_NOT_FOUND,PATIENT_AMBIGUOUS}'::text[]"
# By place first: the state that a folder names is looked up once per batch, not per row.
COUNT = """
    INSERT INTO excluded_rows (dataset, kind, facility_id, state, is_total, rows)
    WITH changed AS (
        SELECT dataset, facility_id, CASE WHEN reasons <@ {parents} THEN 'waiting' ELSE 'refused' END AS kind,
               CASE WHEN facility_id IS NULL THEN named_state END AS named_state,
               CASE WHEN facility_id IS NULL THEN batch_id END AS batch_id, sum(change) AS rows
        FROM ({source}) AS c WHERE c.state = 'open'
        GROUP BY 1, 2, 3, 4, 5 HAVING sum(change) <> 0
    ),
    placed AS (
        SELECT c.dataset, c.kind, c.facility_id, c.rows, CASE WHEN c.facility_id IS NULL THEN coalesce(
            (SELECT s.state FROM state_names s WHERE s.state = c.named_state LIMIT 1),
            (SELECT state_in_folder(b.folder) FROM ingest_batches b WHERE b.id = c.batch_id)) END AS state
        FROM changed c
    )
    SELECT dataset, kind, facility_id, state, grouping(facility_id) = 1, sum(rows)
    FROM placed GROUP BY GROUPING SETS ((dataset, kind, facility_id, state), (dataset, kind))
    HAVING sum(rows) <> 0;
"""
COLUMNS = "dataset, facility_id, reasons, named_state, batch_id, state"
NEW = f"SELECT {COLUMNS}, 1 AS change FROM new_rows"
OLD = f"SELECT {COLUMNS}, -1 AS change FROM old_rows"
AS_OWNER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS"


def count(source: str) -> str:
    return COUNT.format(parents=PARENTS, source=source)


REFUSED = f"""
CREATE FUNCTION count_refused_rows() RETURNS trigger {AS_OWNER} $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        {count(NEW)}
    ELSIF TG_OP = 'DELETE' THEN
        {count(OLD)}
    ELSE
        {count(f"{NEW} UNION ALL {OLD}")}
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER counts_new AFTER INSERT ON rejected_rows
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_refused_rows();
CREATE TRIGGER counts_changed AFTER UPDATE ON rejected_rows
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_refused_rows();
CREATE TRIGGER counts_gone AFTER DELETE ON rejected_rows
REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_refused_rows();
"""
NO_REFUSED = """
DROP TRIGGER counts_new ON rejected_rows;
DROP TRIGGER counts_changed ON rejected_rows;
DROP TRIGGER counts_gone ON rejected_rows;
DROP FUNCTION count_refused_rows;
"""
# The rows of a held file are written by the pipeline, which has read them. A file of corrections holds no rows of its own.
UNREAD = """
    INSERT INTO excluded_rows (dataset, kind, state, is_total, rows, batch_id)
    SELECT b.dataset, 'unread', CASE WHEN NOT is_total THEN state_in_folder(b.folder) END, is_total, 1, b.id
    FROM {source} AS b, (VALUES (true), (false)) AS line (is_total)
    WHERE {condition} AND b.dataset IS NOT NULL AND NOT b.evidence ? 'corrections';
"""
FILES = f"""
CREATE FUNCTION count_stopped_files() RETURNS trigger {AS_OWNER} $$
BEGIN
    DELETE FROM excluded_rows WHERE batch_id = NEW.id;
    {UNREAD.format(source="ingest_batches", condition="b.id = NEW.id AND b.status IN ('rejected', 'failed')")}
    RETURN NULL;
END $$;
CREATE TRIGGER counts_stopped AFTER INSERT ON ingest_batches FOR EACH ROW
WHEN (NEW.status IN ('rejected', 'failed')) EXECUTE FUNCTION count_stopped_files();
CREATE TRIGGER counts_stopped_or_not AFTER UPDATE ON ingest_batches FOR EACH ROW
WHEN (OLD.status <> NEW.status
      AND (OLD.status IN ('held', 'rejected', 'failed') OR NEW.status IN ('rejected', 'failed')))
EXECUTE FUNCTION count_stopped_files();
"""
NO_FILES = """
DROP TRIGGER counts_stopped ON ingest_batches;
DROP TRIGGER counts_stopped_or_not ON ingest_batches;
DROP FUNCTION count_stopped_files;
"""
# What is open already; whose the rows of files are that were held before, nobody has counted.
FILL = f"""
{count(f"SELECT {COLUMNS}, 1 AS change FROM rejected_rows")}
{UNREAD.format(source="ingest_batches", condition="b.status IN ('rejected', 'failed', 'held')")}
"""
# They say how many, and nothing else: whoever sees the analytics of a place. What names no place may be of any.
POLICIES = """
ALTER TABLE excluded_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON excluded_rows FOR SELECT USING (
    (SELECT scope_is_national('read', 'analytics'))
    OR facility_id IN (SELECT scope_facilities('read', 'analytics'))
    OR NOT is_total AND facility_id IS NULL AND (
        state IS NULL AND (SELECT scope_user() IS NOT NULL)
        OR state = ANY ((SELECT scope_places('read', 'analytics'))::text[]))
);
CREATE POLICY scope_write ON excluded_rows USING ((SELECT scope_user() = 0));
"""
NO_POLICIES = """
ALTER TABLE excluded_rows DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_read ON excluded_rows;
DROP POLICY scope_write ON excluded_rows;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0008_row_security'),
    ]

    operations = [
        migrations.CreateModel(
            name='ExcludedRows',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('dataset', models.CharField(choices=[('facilities', 'Facilities'), ('patients', 'Patients'), ('medical_records', 'Medical Records'), ('triage_visits', 'Triage Visits')], max_length=20)),
                ('kind', models.CharField(choices=[('refused', 'Refused'), ('waiting', 'waiting for a parent alone'), ('held', 'in a file that is held'), ('unread', 'a file that could not be read; its rows are not known')], max_length=10)),
                ('facility_id', models.BigIntegerField(help_text='no foreign key: nothing waits for a number to be put', null=True)),
                ('state', models.TextField(help_text='where the facility is not known: which row or folder names', null=True)),
                ('is_total', models.BooleanField(default=False)),
                ('rows', models.BigIntegerField()),
                ('batch', models.ForeignKey(db_index=False, help_text='the stopped file', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='ingestion.ingestbatch')),
            ],
            options={
                'db_table': 'excluded_rows',
                'indexes': [models.Index(condition=models.Q(('is_total', True)), fields=['dataset'], include=('kind', 'rows'), name='excluded_rows_of_the_nation'), models.Index(condition=models.Q(('facility_id', None), ('is_total', False)), fields=['state', 'dataset'], include=('kind', 'rows'), name='excluded_rows_of_a_state'), models.Index(condition=models.Q(('facility_id__isnull', False)), fields=['facility_id', 'dataset'], include=('kind', 'rows'), name='excluded_rows_of_a_facility'), models.Index(condition=models.Q(('batch__isnull', False)), fields=['batch'], name='excluded_rows_of_a_file')],
                'constraints': [models.CheckConstraint(condition=models.Q(('kind__in', ['refused', 'waiting', 'held', 'unread'])), name='excluded_rows_kind_is_known'), models.CheckConstraint(condition=models.Q(models.Q(('facility_id', None), ('state', None)), models.Q(('is_total', False), models.Q(('facility_id', None), ('state', None), _connector='OR')), _connector='OR'), name='excluded_rows_at_one_place'), models.CheckConstraint(condition=models.Q(models.Q(('batch', None), ('kind__in', ['refused', 'waiting'])), models.Q(('batch__isnull', False), ('kind__in', ['held', 'unread']), ('rows__gt', 0)), _connector='OR'), name='excluded_rows_of_a_stopped_file_go_with_it')],
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(REFUSED, NO_REFUSED),
        migrations.RunSQL(FILES, NO_FILES),
        migrations.RunSQL(POLICIES, NO_POLICIES),
    ]
