"""Row-level security for the audit and for pairs of duplicates; log-ins that no second factor has verified say so."""

from django.db import migrations

# Anybody's request leaves a line, also that of nobody. What the web has written in this transaction it may read back,
# as INSERT ... RETURNING does; else the audit is read by national auditors, as clinical/roles.csv has it.
AUDIT = """
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_create ON audit_events FOR INSERT WITH CHECK (true);
CREATE POLICY scope_read ON audit_events FOR SELECT USING (
    xid = (SELECT (pg_current_xact_id_if_assigned()::text)::bigint)
    OR (SELECT scope_is_national('read', 'audit'))
);
"""
NO_AUDIT = """
ALTER TABLE audit_events DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_create ON audit_events;
DROP POLICY scope_read ON audit_events;
"""
# A pair is seen by whom both sides are to decide; it is written by the application alone, once that was found out.
PAIRS = """
ALTER TABLE duplicate_pairs ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON duplicate_pairs FOR SELECT USING (
    CASE "table"
        WHEN 'patients' THEN (SELECT scope_is_national('update', 'patients'))
            OR facility_id IN (SELECT scope_facilities('update', 'patients'))
               AND other_facility_id IN (SELECT scope_facilities('update', 'patients'))
        ELSE (SELECT scope_is_national('update', 'facilities'))
            OR facility_id IN (SELECT scope_facilities('update', 'facilities'))
               AND other_facility_id IN (SELECT scope_facilities('update', 'facilities'))
    END
);
CREATE POLICY scope_write ON duplicate_pairs USING ((SELECT scope_user() = 0));
"""
NO_PAIRS = """
ALTER TABLE duplicate_pairs DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_read ON duplicate_pairs;
DROP POLICY scope_write ON duplicate_pairs;
"""
# A log-in asks for the secret before it is known whose it is; only its owner makes or changes one, and only a superuser
# takes it away, as the desk does for who has lost the phone.
FACTORS = """
ALTER TABLE second_factors ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON second_factors FOR SELECT USING (true);
CREATE POLICY scope_create ON second_factors FOR INSERT WITH CHECK (user_id = (SELECT scope_user()));
CREATE POLICY scope_update ON second_factors FOR UPDATE USING (user_id = (SELECT scope_user()));
CREATE POLICY scope_delete ON second_factors FOR DELETE USING ((SELECT scope_is_superuser()));
ALTER TABLE recovery_codes ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_own ON recovery_codes
USING (user_id = (SELECT scope_user()) OR (SELECT scope_is_superuser()))
WITH CHECK (user_id = (SELECT scope_user()));
"""
NO_FACTORS = """
ALTER TABLE second_factors DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_read ON second_factors;
DROP POLICY scope_create ON second_factors;
DROP POLICY scope_update ON second_factors;
DROP POLICY scope_delete ON second_factors;
ALTER TABLE recovery_codes DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_own ON recovery_codes;
"""
# Until now a browser's log-in for which no second factor was asked bore the instant of its beginning.
UNVERIFIED = "UPDATE logins SET verified_at = NULL WHERE kind = 'browser' AND verified_at = began_at"


class Migration(migrations.Migration):
    dependencies = [("clinical", "0015_who_sees_and_gives")]
    operations = [
        migrations.RunSQL(AUDIT, NO_AUDIT),
        migrations.RunSQL(PAIRS, NO_PAIRS),
        migrations.RunSQL(FACTORS, NO_FACTORS),
        migrations.RunSQL(UNVERIFIED, migrations.RunSQL.noop),
    ]
