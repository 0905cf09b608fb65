"""What the web's role must see to tell what has changed, and what it must not make: tokens, passwords, second factors."""

from django.db import migrations

# Of others' sessions only their role, and who is a member of it, sees when their transaction began.
SEEING = """
ALTER FUNCTION oldest_writer() SECURITY DEFINER;
ALTER FUNCTION oldest_writer() SET search_path = pg_catalog;
"""
NOT_SEEING = """
ALTER FUNCTION oldest_writer() SECURITY INVOKER;
ALTER FUNCTION oldest_writer() RESET search_path;
"""
# A password is set by its owner or a superuser, in a transaction that stands for one of them.
PASSWORDS = """
CREATE FUNCTION passwords_are_ones_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('public.memberships')
       AND NOT coalesce(public.scope_is_superuser() OR public.scope_user() = NEW.id, false) THEN
        RAISE insufficient_privilege USING MESSAGE = 'only its owner or a superuser sets a password';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER passwords_are_ones_own BEFORE UPDATE ON clinical_user FOR EACH ROW
WHEN (NEW.password <> OLD.password) EXECUTE FUNCTION passwords_are_ones_own();
"""
NO_PASSWORDS = """
DROP TRIGGER passwords_are_ones_own ON clinical_user;
DROP FUNCTION passwords_are_ones_own;
"""
# Whose identity was erased is asked by loading code alone.
ERASED = """
ALTER TABLE erased_identities ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON erased_identities FOR SELECT USING ((SELECT scope_user() = 0));
"""
NOT_ERASED = "ALTER TABLE erased_identities DISABLE ROW LEVEL SECURITY; DROP POLICY scope_read ON erased_identities;"


class Migration(migrations.Migration):
    dependencies = [("clinical", "0014_data_subjects")]
    operations = [
        migrations.RunSQL(SEEING, NOT_SEEING),
        migrations.RunSQL(PASSWORDS, NO_PASSWORDS),
        migrations.RunSQL(ERASED, NOT_ERASED),
    ]
