"""Row-level security for the role that the web connects as; clinical/row_security.py tells how a statement says whose it is.

The owner of the tables (workers, commands) is bound by no policy. Functions run as the owner and name every relation
with its schema: a caller can only put temporary ones in front of those that bear none.
"""

from django.db import migrations, models

import clinical.models.history

# What policies ask. `row_security_keys` and `role_rights` are filled after each migrate: medilink/web_role.py.
TABLES = """
CREATE TABLE row_security_keys (key bytea PRIMARY KEY);
CREATE TABLE role_rights (role text, resource text, action text, PRIMARY KEY (role, resource, action));
CREATE TABLE state_names (key text PRIMARY KEY, state text NOT NULL);
CREATE INDEX facilities_of_a_state ON facilities (state);
"""
NO_TABLES = """
DROP INDEX facilities_of_a_state;
DROP TABLE row_security_keys, role_rights, state_names;
"""

FUNCTIONS = """
-- For whom this transaction stands; 0 is the application itself, null is nobody.
CREATE FUNCTION scope_user() RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE AS $$
DECLARE
    said text := current_setting('medilink.scope', true);
    name text;
BEGIN
    IF said IS NULL OR said !~ '^[0-9]{1,18}:[0-9]{1,12}:[0-9a-f]{64}$'
       OR split_part(said, ':', 2)::bigint < extract(epoch FROM clock_timestamp()) THEN
        RETURN NULL;
    END IF;
    name := split_part(said, ':', 1) || ':' || split_part(said, ':', 2);
    IF EXISTS (SELECT FROM public.row_security_keys
               WHERE encode(sha256(key || sha256(key || convert_to(name, 'UTF8'))), 'hex') = split_part(said, ':', 3))
    THEN
        RETURN split_part(said, ':', 1)::bigint;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION scope_is_superuser() RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE AS $$
DECLARE
    who bigint := public.scope_user();
BEGIN
    RETURN who = 0 OR EXISTS (SELECT FROM public.clinical_user WHERE id = who AND is_active AND is_superuser);
END $$;

CREATE FUNCTION scope_is_national(action text, resource text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE AS $$
DECLARE
    who bigint := public.scope_user();
BEGIN
    RETURN who = 0 OR EXISTS (
        SELECT FROM public.clinical_user u
        WHERE u.id = who AND u.is_active AND (u.is_superuser OR EXISTS (
            SELECT FROM public.memberships m JOIN public.role_rights r ON r.role = m.role
            WHERE m.user_id = who AND m.state = '' AND m.facility_id IS NULL
              AND r.action = scope_is_national.action AND r.resource = scope_is_national.resource)));
END $$;

-- States, and LGAs as STATE/key.
CREATE FUNCTION scope_places(action text, resource text) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE AS $$
BEGIN
    RETURN (
        SELECT array_agg(m.state || CASE WHEN m.lga_key = '' THEN '' ELSE '/' || m.lga_key END)
        FROM public.memberships m
        JOIN public.clinical_user u ON u.id = m.user_id AND u.is_active
        JOIN public.role_rights r ON r.role = m.role
        WHERE m.user_id = public.scope_user() AND m.state <> ''
          AND r.action = scope_places.action AND r.resource = scope_places.resource);
END $$;

CREATE FUNCTION scope_facilities(action text, resource text) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE AS $$
DECLARE
    who bigint := public.scope_user();
BEGIN
    IF who IS NULL THEN RETURN; END IF;
    RETURN QUERY
    SELECT f.id FROM public.memberships m
    JOIN public.clinical_user u ON u.id = m.user_id AND u.is_active
    JOIN public.role_rights r ON r.role = m.role
    JOIN public.facilities f ON f.state = m.state AND (m.lga_key = '' OR f.lga_key = m.lga_key)
    WHERE m.user_id = who AND m.state <> ''
      AND r.action = scope_facilities.action AND r.resource = scope_facilities.resource
    UNION ALL
    SELECT m.facility_id FROM public.memberships m
    JOIN public.clinical_user u ON u.id = m.user_id AND u.is_active
    JOIN public.role_rights r ON r.role = m.role
    WHERE m.user_id = who AND m.facility_id IS NOT NULL
      AND r.action = scope_facilities.action AND r.resource = scope_facilities.resource;
END $$;

-- Facilities that a revert has removed, by their last state.
CREATE FUNCTION scope_former_facilities(action text, resource text) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE AS $$
DECLARE
    places text[] := public.scope_places(action, resource);
BEGIN
    RETURN QUERY
    SELECT r.object_id FROM public.revisions r
    WHERE r."table" = 'facilities' AND r.became IS NULL
      AND (r.was ->> 'state' = ANY (places) OR (r.was ->> 'state') || '/' || (r.was ->> 'lga_key') = ANY (places));
END $$;

-- A condition that is no leakproof function may not meet an index before the policy has been asked. So the search by
-- parts of names asks the policy here, beside the index on trigrams; each word is a part of the first or last name.
CREATE FUNCTION patients_named(words text[]) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
DECLARE
    conditions text := '';
    word text;
BEGIN
    FOREACH word IN ARRAY words LOOP
        word := replace(replace(replace(lower(word COLLATE pg_c_utf8), '\\', '\\\\'), '%', '\\%'), '_', '\\_');
        word := '%' || word || '%';
        conditions := conditions || format(' AND (first_name_key LIKE %L OR last_name_key LIKE %L)', word, word);
    END LOOP;
    IF public.scope_is_national('read', 'patients') THEN
        RETURN QUERY EXECUTE 'SELECT id FROM public.patients WHERE true' || conditions;
    ELSE
        RETURN QUERY EXECUTE 'SELECT id FROM public.patients WHERE facility_id IN ('
            'SELECT public.scope_facilities(''read'', ''patients''))' || conditions;
    END IF;
END $$;
"""
NO_FUNCTIONS = """
DROP FUNCTION patients_named, scope_former_facilities, scope_facilities, scope_places, scope_is_national, scope_is_superuser, scope_user;
"""

BY_FACILITY = (
    "((SELECT scope_is_national('{action}', '{resource}'))"
    " OR {facility} IN (SELECT scope_facilities('{action}', '{resource}')))"
)
# A new facility is in no list of facilities yet: its own columns say where it is.
BY_PLACE = (
    "((SELECT scope_is_national('{action}', '{resource}'))"
    " OR state = ANY ((SELECT scope_places('{action}', '{resource}'))::text[])"
    " OR state || '/' || lga_key = ANY ((SELECT scope_places('{action}', '{resource}'))::text[])"
    " OR id IN (SELECT scope_facilities('{action}', '{resource}')))"
)


def policies(table: str, resource: str, condition: str = BY_FACILITY, facility: str = "facility_id") -> migrations.RunSQL:
    """Who may read, create, update and delete rows of a table: as the table of roles says of the resource."""

    def of(action: str) -> str:
        return condition.format(action=action, resource=resource, facility=facility)

    return migrations.RunSQL(
        f"""
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        CREATE POLICY scope_read ON {table} FOR SELECT USING {of("read")};
        CREATE POLICY scope_create ON {table} FOR INSERT WITH CHECK {of("create")};
        CREATE POLICY scope_update ON {table} FOR UPDATE USING {of("update")};
        CREATE POLICY scope_delete ON {table} FOR DELETE USING {of("delete")};
        """,
        f"""
        ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
        DROP POLICY scope_read ON {table};
        DROP POLICY scope_create ON {table};
        DROP POLICY scope_update ON {table};
        DROP POLICY scope_delete ON {table};
        """,
    )


# What stood in a row before is seen by whom the row is seen; of a row that is gone by whom its place is seen.
REVISIONS = """
ALTER TABLE revisions ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON revisions FOR SELECT USING (
    CASE "table"
        WHEN 'facilities' THEN EXISTS (SELECT FROM facilities f WHERE f.id = object_id)
            OR (SELECT scope_is_national('read', 'facilities'))
            OR was ->> 'state' = ANY ((SELECT scope_places('read', 'facilities'))::text[])
            OR (was ->> 'state') || '/' || (was ->> 'lga_key') = ANY ((SELECT scope_places('read', 'facilities'))::text[])
        WHEN 'patients' THEN EXISTS (SELECT FROM patients p WHERE p.id = object_id)
            OR (SELECT scope_is_national('read', 'patients'))
            OR (was ->> 'facility_id')::bigint IN (SELECT scope_facilities('read', 'patients'))
            OR (was ->> 'facility_id')::bigint IN (SELECT scope_former_facilities('read', 'patients'))
        WHEN 'medical_records' THEN EXISTS (SELECT FROM medical_records r WHERE r.id = object_id)
            OR (SELECT scope_is_national('read', 'records'))
            OR (was ->> 'facility_id')::bigint IN (SELECT scope_facilities('read', 'records'))
            OR (was ->> 'facility_id')::bigint IN (SELECT scope_former_facilities('read', 'records'))
        WHEN 'triage_visits' THEN EXISTS (SELECT FROM triage_visits v WHERE v.id = object_id)
            OR (SELECT scope_is_national('read', 'visits'))
            OR (was ->> 'facility_id')::bigint IN (SELECT scope_facilities('read', 'visits'))
            OR (was ->> 'facility_id')::bigint IN (SELECT scope_former_facilities('read', 'visits'))
        WHEN 'patient_aliases' THEN (SELECT scope_is_national('read', 'patients'))
            OR (coalesce(became, was) ->> 'facility_id')::bigint IN (SELECT scope_facilities('read', 'patients'))
        WHEN 'facility_aliases' THEN (SELECT scope_is_national('read', 'facilities'))
            OR (coalesce(became, was) ->> 'facility_id')::bigint IN (SELECT scope_facilities('read', 'facilities'))
        ELSE (SELECT scope_is_national('read', 'audit'))
    END
);
"""
NO_REVISIONS = "ALTER TABLE revisions DISABLE ROW LEVEL SECURITY; DROP POLICY scope_read ON revisions;"

# Bodies of answers, kept for who sent the request.
IDEMPOTENCY = """
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_own ON idempotency_keys USING (user_id = (SELECT scope_user()));
"""
NO_IDEMPOTENCY = "ALTER TABLE idempotency_keys DISABLE ROW LEVEL SECURITY; DROP POLICY scope_own ON idempotency_keys;"

# Everybody's log-in reads these; only a superuser's transaction gives anybody more than they have.
POWERS = """
ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON memberships FOR SELECT USING (true);
CREATE POLICY scope_write ON memberships USING ((SELECT scope_is_superuser()));
CREATE FUNCTION powers_are_given() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('public.memberships') AND NOT coalesce(public.scope_is_superuser(), false) THEN
        RAISE insufficient_privilege USING MESSAGE = 'only a superuser gives this power';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER powers_are_given BEFORE UPDATE ON clinical_user FOR EACH ROW
WHEN (NEW.is_superuser > OLD.is_superuser OR NEW.is_active > OLD.is_active OR NEW.is_staff > OLD.is_staff
      OR NEW.id <> OLD.id)
EXECUTE FUNCTION powers_are_given();
CREATE TRIGGER powers_are_given_anew BEFORE INSERT ON clinical_user FOR EACH ROW EXECUTE FUNCTION powers_are_given();
"""
NO_POWERS = """
DROP TRIGGER powers_are_given ON clinical_user;
DROP TRIGGER powers_are_given_anew ON clinical_user;
DROP FUNCTION powers_are_given;
ALTER TABLE memberships DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_read ON memberships;
DROP POLICY scope_write ON memberships;
"""

# Views ask the policies in their reader's name; what triggers write is no business of whoever set them off.
VIEWS = """
ALTER VIEW facility_names SET (security_invoker = true);
ALTER VIEW patient_names SET (security_invoker = true);
"""
NO_VIEWS = """
ALTER VIEW facility_names RESET (security_invoker);
ALTER VIEW patient_names RESET (security_invoker);
"""
WRITERS = ("keep_revision", "keep_facility_alias", "keep_patient_alias", "note_change")
TRIGGERS = ";".join(
    f"ALTER FUNCTION {name}() SECURITY DEFINER; ALTER FUNCTION {name}() SET search_path = pg_catalog, public"
    for name in WRITERS
)
NO_TRIGGERS = ";".join(
    f"ALTER FUNCTION {name}() SECURITY INVOKER; ALTER FUNCTION {name}() RESET search_path" for name in WRITERS
)


class Migration(migrations.Migration):
    dependencies = [("clinical", "0009_gone_rows")]
    operations = [
        migrations.RunSQL(TABLES, NO_TABLES),
        migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS),
        policies("facilities", "facilities", BY_PLACE),
        policies("patients", "patients"),
        policies("medical_records", "records"),
        policies("triage_visits", "visits"),
        policies("facility_aliases", "facilities"),
        policies("patient_aliases", "patients"),
        migrations.RunSQL(REVISIONS, NO_REVISIONS),
        migrations.RunSQL(IDEMPOTENCY, NO_IDEMPOTENCY),
        migrations.RunSQL(POWERS, NO_POWERS),
        migrations.RunSQL(VIEWS, NO_VIEWS),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
        # As whom the session logged in: inside those functions everybody is the owner.
        migrations.AlterField(
            model_name="revision",
            name="role",
            field=models.TextField(
                db_default=clinical.models.history.DatabaseRole(),
                help_text="the role of the database, for what is done past us",
            ),
        ),
    ]
