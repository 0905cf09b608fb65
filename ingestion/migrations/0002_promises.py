"""Counts that never change once a batch is loaded, and the audit log of the predecessor as a view over batches."""

from django.db import migrations

COUNTS_ARE_FINAL = """
CREATE FUNCTION counts_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The counts of loaded batch % are final; a replay is a batch of its own.', OLD.id
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ingest_batches_counts_are_final';
END $$;
CREATE TRIGGER counts_are_final BEFORE UPDATE ON ingest_batches FOR EACH ROW
WHEN (OLD.status IN ('loaded', 'archived')
      AND (OLD.rows_read, OLD.inserted, OLD.updated, OLD.unchanged, OLD.collapsed, OLD.rejected, OLD.blank)
      IS DISTINCT FROM (NEW.rows_read, NEW.inserted, NEW.updated, NEW.unchanged, NEW.collapsed, NEW.rejected, NEW.blank))
EXECUTE FUNCTION counts_are_final();
"""

AUDIT_LOG = """
CREATE VIEW etl_audit_log AS
SELECT id AS batch_id, coalesce(dataset, 'unknown') AS table_name, rows_read AS records_processed,
       inserted AS records_inserted, updated AS records_updated, rejected AS records_failed,
       started_at, finished_at AS completed_at, nullif(array_to_string(reasons, ', '), '') AS error_message
FROM ingest_batches
"""


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0001_initial"), ("clinical", "0002_promises")]
    operations = [
        migrations.RunSQL(
            COUNTS_ARE_FINAL, "DROP TRIGGER counts_are_final ON ingest_batches; DROP FUNCTION counts_are_final()"
        ),
        migrations.RunSQL(AUDIT_LOG, "DROP VIEW etl_audit_log"),
    ]
