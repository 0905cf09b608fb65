"""What Django's models cannot say: the composite foreign keys, what people's edits leave behind, names past and present."""

from django.db import migrations

EVENT_BELONGS = """
ALTER TABLE {table} ADD CONSTRAINT {table}_patient_at_facility
    FOREIGN KEY (patient_id, facility_id) REFERENCES patients (id, facility_id) ON UPDATE CASCADE
"""

TOUCH = """
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$
"""

# A load names itself in the setting medilink.batch; whoever writes without it is a person (or the API for one).
REMEMBER = """
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    name text;
    was jsonb := '{}';
    now_is jsonb := to_jsonb(NEW);
BEGIN
    IF coalesce(current_setting('medilink.batch', true), '') <> '' THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        was := to_jsonb(OLD);
    END IF;
    FOREACH name IN ARRAY TG_ARGV LOOP
        IF was -> name IS DISTINCT FROM now_is -> name AND NOT NEW.delivered ? name
           AND NOT (TG_OP = 'INSERT' AND now_is -> name = 'null') THEN
            NEW.delivered := NEW.delivered || jsonb_build_object(name, was -> name);
        END IF;
        -- What a person has seen and settled is no longer a difference.
        IF was -> name IS DISTINCT FROM now_is -> name THEN
            NEW.overridden := NEW.overridden - name;
        END IF;
    END LOOP;
    RETURN NEW;
END $$
"""

ALIAS = """
CREATE FUNCTION keep_facility_alias() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM facility_aliases
    WHERE name_key = NEW.name_key AND state = NEW.state AND lga_key = NEW.lga_key AND facility_id = NEW.id;
    INSERT INTO facility_aliases (facility_id, name, state, lga_name)
    VALUES (OLD.id, OLD.name, OLD.state, OLD.lga_name)
    ON CONFLICT (name_key, state, lga_key) DO UPDATE SET facility_id = EXCLUDED.facility_id;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_alias AFTER UPDATE ON facilities FOR EACH ROW
WHEN ((OLD.name_key, OLD.state, OLD.lga_key) IS DISTINCT FROM (NEW.name_key, NEW.state, NEW.lga_key))
EXECUTE FUNCTION keep_facility_alias();
CREATE FUNCTION keep_patient_alias() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM patient_aliases
    WHERE facility_id = NEW.facility_id AND first_name_key = NEW.first_name_key
      AND last_name_key = NEW.last_name_key AND dob = NEW.dob AND patient_id = NEW.id;
    INSERT INTO patient_aliases (patient_id, facility_id, first_name, last_name, dob)
    VALUES (OLD.id, OLD.facility_id, OLD.first_name, OLD.last_name, OLD.dob)
    ON CONFLICT (facility_id, first_name_key, last_name_key, dob) DO UPDATE SET patient_id = EXCLUDED.patient_id;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_alias AFTER UPDATE ON patients FOR EACH ROW
WHEN ((OLD.facility_id, OLD.first_name_key, OLD.last_name_key, OLD.dob)
      IS DISTINCT FROM (NEW.facility_id, NEW.first_name_key, NEW.last_name_key, NEW.dob))
EXECUTE FUNCTION keep_patient_alias();
"""

NO_ALIAS = """
DROP TRIGGER keep_alias ON facilities;
DROP TRIGGER keep_alias ON patients;
DROP FUNCTION keep_facility_alias();
DROP FUNCTION keep_patient_alias();
"""

NAMES = """
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

# Transactions that have only read so far count too: they may write rows that carry the instant of their beginning.
OLDEST_WRITER = """
CREATE FUNCTION oldest_writer() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT least(now(), min(xact_start)) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
$$
"""

TABLES = ("facilities", "patients", "medical_records", "triage_visits")
EDITED = {
    "facilities": ("lat", "lon", "type", "ownership", "level", "hfr_code"),
    "patients": ("sex", "phone", "patient_number"),
}


def _remember(table: str) -> migrations.RunSQL:
    columns = ", ".join(f"'{column}'" for column in EDITED[table])
    return migrations.RunSQL(
        f"CREATE TRIGGER remember BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION remember({columns});"
        # A row of a load is not looked at: the condition is all that it costs.
        f"CREATE TRIGGER remember_new BEFORE INSERT ON {table} FOR EACH ROW WHEN (NEW.batch_id IS NULL)"
        f" EXECUTE FUNCTION remember({columns})",
        f"DROP TRIGGER remember ON {table}; DROP TRIGGER remember_new ON {table}",
    )


class Migration(migrations.Migration):
    dependencies = [("clinical", "0001_initial")]
    operations = [
        *(
            migrations.RunSQL(
                EVENT_BELONGS.format(table=table),
                f"ALTER TABLE {table} DROP CONSTRAINT {table}_patient_at_facility",
            )
            for table in ("medical_records", "triage_visits")
        ),
        migrations.RunSQL(OLDEST_WRITER, "DROP FUNCTION oldest_writer()"),
        migrations.RunSQL(TOUCH, "DROP FUNCTION touch()"),
        *(
            migrations.RunSQL(
                f"CREATE TRIGGER touch BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION touch()",
                f"DROP TRIGGER touch ON {table}",
            )
            for table in TABLES
        ),
        migrations.RunSQL(REMEMBER, "DROP FUNCTION remember()"),
        *map(_remember, EDITED),
        migrations.RunSQL(ALIAS, NO_ALIAS),
        migrations.RunSQL(NAMES, "DROP VIEW facility_names; DROP VIEW patient_names"),
    ]
