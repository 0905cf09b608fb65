"""Django's own log of the admin keeps which row and which columns, and never what the row is called: a patient's name."""

from django.db import migrations

NAMES_NOBODY = """
CREATE FUNCTION admin_log_names_nobody() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    NEW.object_repr := '';
    IF NEW.change_message IS JSON ARRAY THEN
        NEW.change_message := (
            SELECT coalesce(jsonb_agg(said), '[]') FROM jsonb_array_elements(NEW.change_message::jsonb) AS deed,
            LATERAL (
                SELECT jsonb_object_agg(key, value || CASE WHEN value ? 'object' THEN '{"object": ""}' ELSE '{}' END::jsonb)
                FROM jsonb_each(deed)
            ) AS without (said)
        );
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER names_nobody BEFORE INSERT OR UPDATE ON django_admin_log
FOR EACH ROW EXECUTE FUNCTION admin_log_names_nobody();
UPDATE django_admin_log SET object_repr = '';
"""
NAMES = "DROP TRIGGER names_nobody ON django_admin_log; DROP FUNCTION admin_log_names_nobody;"


class Migration(migrations.Migration):
    dependencies = [("medilink", "0009_one_purge"), ("admin", "0003_logentry_add_action_flag_choices")]
    operations = [migrations.RunSQL(NAMES_NOBODY, NAMES)]
