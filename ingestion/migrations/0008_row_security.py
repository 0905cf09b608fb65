"""Row-level security for refused rows: of the scope's facilities, else of the state that row or folder names."""

from django.db import migrations

# As ingestion/objects.folder_state, on names without accents: what it does not know belongs to national stewards.
FOLDERS = """
CREATE FUNCTION state_in_folder(folder text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT s.state
    FROM unnest(string_to_array(folder, '/')) WITH ORDINALITY AS part (name, place)
    CROSS JOIN LATERAL (SELECT lower(regexp_replace(part.name, '[^[:alnum:]]', '', 'g') COLLATE pg_c_utf8) AS key) k
    JOIN state_names s ON s.key IN (k.key, regexp_replace(k.key, 'state$', ''))
    WHERE length(part.name) > 2 ORDER BY place DESC LIMIT 1
$$;
"""
OF_A_SCOPE = """(
    (SELECT scope_is_national('{action}', 'deliveries'))
    OR facility_id IN (SELECT scope_facilities('{action}', 'deliveries'))
    OR facility_id IS NULL AND (
        named_state = ANY ((SELECT scope_places('{action}', 'deliveries'))::text[])
        OR EXISTS (SELECT FROM ingest_batches b WHERE b.id = batch_id AND state_in_folder(b.folder)
                   = ANY ((SELECT scope_places('{action}', 'deliveries'))::text[])))
)"""
# Only loads make and remove refused rows.
POLICIES = f"""
ALTER TABLE rejected_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON rejected_rows FOR SELECT USING {OF_A_SCOPE.format(action="read")};
CREATE POLICY scope_update ON rejected_rows FOR UPDATE USING {OF_A_SCOPE.format(action="update")};
CREATE POLICY scope_create ON rejected_rows FOR INSERT WITH CHECK ((SELECT scope_user() = 0));
CREATE POLICY scope_delete ON rejected_rows FOR DELETE USING ((SELECT scope_user() = 0));
"""
# What stood in a refused row; and in what stewards have written, which is told to whom it is shown by the desk.
REVISIONS = """
CREATE POLICY scope_of_refused_rows ON revisions FOR SELECT USING (
    "table" = 'rejected_rows' AND EXISTS (SELECT FROM rejected_rows r WHERE r.id = object_id)
    OR "table" IN ('rules', 'ingest_sources', 'causes') AND (SELECT scope_user() IS NOT NULL)
);
"""
NO_POLICIES = """
ALTER TABLE rejected_rows DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_read ON rejected_rows;
DROP POLICY scope_update ON rejected_rows;
DROP POLICY scope_create ON rejected_rows;
DROP POLICY scope_delete ON rejected_rows;
"""


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0007_sealed_cells"), ("clinical", "0010_row_security")]
    operations = [
        migrations.RunSQL(FOLDERS, "DROP FUNCTION state_in_folder"),
        migrations.RunSQL(POLICIES, NO_POLICIES),
        migrations.RunSQL(REVISIONS, "DROP POLICY scope_of_refused_rows ON revisions"),
    ]
