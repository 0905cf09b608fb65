"""How people and programs get in: log-ins with an end, narrower tokens, second factors, failures that are counted."""

import clinical.sealing
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models


# Whoever disables a user or changes a password, in whichever way, ends what was opened with it.
END_LOGINS = """
CREATE FUNCTION end_logins() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE logins SET ended_at = now() WHERE user_id = NEW.id AND ended_at IS NULL;
    IF NOT NEW.is_active THEN
        UPDATE program_tokens SET revoked_at = now() WHERE user_id = NEW.id AND revoked_at IS NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER end_logins AFTER UPDATE OF password, is_active ON clinical_user FOR EACH ROW
WHEN (OLD.password IS DISTINCT FROM NEW.password OR (OLD.is_active AND NOT NEW.is_active))
EXECUTE FUNCTION end_logins();
"""
# The lock: of two superusers who disable one another at the same moment, one stays.
KEEP_A_SUPERUSER = """
CREATE FUNCTION keep_a_superuser() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7340215);
    IF NOT EXISTS (SELECT FROM clinical_user WHERE is_superuser AND is_active AND id <> OLD.id) THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'clinical_user_a_superuser_stays',
            MESSAGE = 'the last superuser stays one';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_a_superuser BEFORE UPDATE OF is_superuser, is_active ON clinical_user FOR EACH ROW
WHEN (OLD.is_superuser AND OLD.is_active AND NOT (NEW.is_superuser AND NEW.is_active))
EXECUTE FUNCTION keep_a_superuser();
"""
# Where a facility is, for the query that finds out who asks: it runs before anybody's scope is known.
PLACE_OF_FACILITY = """
CREATE FUNCTION place_of_facility(bigint) RETURNS TABLE (state text, lga_key text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
AS 'SELECT f.state::text, f.lga_key FROM public.facilities f WHERE f.id = $1';
"""
# Of the package that kept refresh tokens before; whoever has one logs in anew.
FORMER = "DROP TABLE IF EXISTS token_blacklist_blacklistedtoken, token_blacklist_outstandingtoken"


class Migration(migrations.Migration):

    dependencies = [
        ('clinical', '0011_sealed_values'),
    ]

    operations = [
        migrations.CreateModel(
            name='Login',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('browser', 'Browser'), ('app', 'App')], max_length=7)),
                ('began_at', models.DateTimeField()),
                ('seen_at', models.DateTimeField(help_text='to the minute in a browser, at the last refresh in an app')),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('verified_at', models.DateTimeField(blank=True, help_text='when the second factor was given', null=True)),
                ('address', models.CharField(blank=True, max_length=45)),
                ('refresh_digest', models.BinaryField(max_length=32, null=True)),
            ],
            options={
                'db_table': 'logins',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='LoginFailures',
            fields=[
                ('who', models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ('failed', models.IntegerField()),
                ('since', models.DateTimeField(help_text='the first one, or the one that was too many')),
            ],
            options={
                'db_table': 'login_failures',
            },
        ),
        migrations.CreateModel(
            name='RecoveryCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.BinaryField(max_length=32)),
            ],
            options={
                'db_table': 'recovery_codes',
            },
        ),
        migrations.CreateModel(
            name='SecondFactor',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='second_factor', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('secret', clinical.sealing.SealedField(bound_to=('user_id',))),
                ('confirmed_at', models.DateTimeField(blank=True, null=True)),
                ('last_step', models.BigIntegerField(default=0, help_text='of the last code that was taken: none is taken twice')),
            ],
            options={
                'db_table': 'second_factors',
            },
        ),
        migrations.AddField(
            model_name='programtoken',
            name='facility',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='clinical.facility'),
        ),
        migrations.AddField(
            model_name='programtoken',
            name='is_read_only',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='programtoken',
            name='last_used_at',
            field=models.DateTimeField(blank=True, help_text='to the hour', null=True),
        ),
        migrations.AddField(
            model_name='programtoken',
            name='lga',
            field=models.CharField(blank=True, default='', max_length=100, verbose_name='LGA'),
        ),
        migrations.AddField(
            model_name='programtoken',
            name='networks',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=43), blank=True, default=list, help_text='where it may come from; none: anywhere', size=None),
        ),
        migrations.AddField(
            model_name='programtoken',
            name='role',
            field=models.CharField(blank=True, choices=[('steward', 'Steward'), ('clinician', 'Clinician'), ('clerk', 'Clerk'), ('analyst', 'Analyst'), ('auditor', 'Auditor'), ('service', 'Service')], default='', max_length=10),
        ),
        migrations.AddField(
            model_name='programtoken',
            name='state',
            field=models.CharField(blank=True, choices=[('ABIA', 'ABIA'), ('ADAMAWA', 'ADAMAWA'), ('AKWA IBOM', 'AKWA IBOM'), ('ANAMBRA', 'ANAMBRA'), ('BAUCHI', 'BAUCHI'), ('BAYELSA', 'BAYELSA'), ('BENUE', 'BENUE'), ('BORNO', 'BORNO'), ('CROSS RIVER', 'CROSS RIVER'), ('DELTA', 'DELTA'), ('EBONYI', 'EBONYI'), ('EDO', 'EDO'), ('EKITI', 'EKITI'), ('ENUGU', 'ENUGU'), ('FCT', 'FCT'), ('GOMBE', 'GOMBE'), ('IMO', 'IMO'), ('JIGAWA', 'JIGAWA'), ('KADUNA', 'KADUNA'), ('KANO', 'KANO'), ('KATSINA', 'KATSINA'), ('KEBBI', 'KEBBI'), ('KOGI', 'KOGI'), ('KWARA', 'KWARA'), ('LAGOS', 'LAGOS'), ('NASARAWA', 'NASARAWA'), ('NIGER', 'NIGER'), ('OGUN', 'OGUN'), ('ONDO', 'ONDO'), ('OSUN', 'OSUN'), ('OYO', 'OYO'), ('PLATEAU', 'PLATEAU'), ('RIVERS', 'RIVERS'), ('SOKOTO', 'SOKOTO'), ('TARABA', 'TARABA'), ('YOBE', 'YOBE'), ('ZAMFARA', 'ZAMFARA')], default='', max_length=100),
        ),
        migrations.AddField(
            model_name='user',
            name='must_change_password',
            field=models.BooleanField(default=False, help_text="the password is somebody else's choice: it lets in to choose another, and no further"),
        ),
        migrations.AddConstraint(
            model_name='programtoken',
            constraint=models.CheckConstraint(condition=models.Q(('role', ''), ('role__in', ['steward', 'clinician', 'clerk', 'analyst', 'auditor', 'service']), _connector='OR'), name='program_tokens_role_is_known'),
        ),
        migrations.AddConstraint(
            model_name='programtoken',
            constraint=models.CheckConstraint(condition=models.Q(('lga', ''), models.Q(('state', ''), _negated=True), _connector='OR'), name='program_tokens_lga_of_a_state'),
        ),
        migrations.AddConstraint(
            model_name='programtoken',
            constraint=models.CheckConstraint(condition=models.Q(('facility__isnull', True), ('state', ''), _connector='OR'), name='program_tokens_one_scope'),
        ),
        migrations.AddField(
            model_name='login',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='logins', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='recoverycode',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='recovery_codes', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='programtoken',
            name='lga_key',
            field=models.GeneratedField(db_persist=True, expression=django.db.models.functions.text.Lower(django.db.models.functions.comparison.Collate('lga', 'pg_c_utf8')), output_field=models.TextField(db_collation='C')),
        ),
        migrations.AddIndex(
            model_name='login',
            index=models.Index(condition=models.Q(('ended_at__isnull', True)), fields=['user', 'id'], name='logins_open_of_a_user'),
        ),
        migrations.AddConstraint(
            model_name='login',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['browser', 'app'])), name='logins_kind_is_known'),
        ),
        migrations.AddConstraint(
            model_name='login',
            constraint=models.CheckConstraint(condition=models.Q(('kind', 'browser'), ('refresh_digest__isnull', False), _connector='OR'), name='logins_of_apps_have_a_refresh_token'),
        ),
        migrations.AddConstraint(
            model_name='recoverycode',
            constraint=models.UniqueConstraint(fields=('user', 'digest'), name='recovery_codes_identity'),
        ),
        migrations.RunSQL(
            END_LOGINS, "DROP TRIGGER end_logins ON clinical_user; DROP FUNCTION end_logins()"
        ),
        migrations.RunSQL(
            KEEP_A_SUPERUSER, "DROP TRIGGER keep_a_superuser ON clinical_user; DROP FUNCTION keep_a_superuser()"
        ),
        migrations.RunSQL(PLACE_OF_FACILITY, "DROP FUNCTION place_of_facility(bigint)"),
        migrations.RunSQL(FORMER, migrations.RunSQL.noop),
    ]
