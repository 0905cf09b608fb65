"""What a patient may ask for: a restriction that hides them, and an erasure that two persons decide."""

import django.contrib.postgres.functions
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Who sees a restricted row is who may delete patients there: its stewards. Beside the policies on the scope, not in
# their place.
UNRESTRICTED = """
CREATE POLICY unrestricted ON {table} AS RESTRICTIVE FOR SELECT USING (
    restricted_at IS NULL
    OR (SELECT scope_is_national('delete', 'patients'))
    OR facility_id IN (SELECT scope_facilities('delete', 'patients'))
);
"""
# By whichever door an event comes in, it bears its patient's mark. No transition table: a load of millions would pay
# for it, and nearly always nobody is restricted.
RESTRICT = """
CREATE FUNCTION restrict_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF EXISTS (SELECT FROM public.patients WHERE restricted_at IS NOT NULL) THEN
        EXECUTE format(
            'UPDATE public.%I e SET restricted_at = p.restricted_at FROM public.patients p'
            ' WHERE p.restricted_at IS NOT NULL AND e.patient_id = p.id AND e.restricted_at IS NULL', TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END $$;
"""
# The mark says nothing that the patient's own history does not.
EVENTS = """
CREATE TRIGGER restrict AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION restrict_events();
DROP TRIGGER keep_update ON {table};
CREATE TRIGGER keep_update AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keep_revision('event_on', 'restricted_at');
"""
NO_EVENTS = """
DROP TRIGGER restrict ON {table};
DROP TRIGGER keep_update ON {table};
CREATE TRIGGER keep_update AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keep_revision('event_on');
"""
ERASURES = """
ALTER TABLE erasures ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_stewards ON erasures USING (EXISTS (
    SELECT FROM patients p WHERE p.id = patient_id AND (
        (SELECT scope_is_national('delete', 'patients'))
        OR p.facility_id IN (SELECT scope_facilities('delete', 'patients')))
));
"""
NO_ERASURES = "ALTER TABLE erasures DISABLE ROW LEVEL SECURITY; DROP POLICY scope_stewards ON erasures;"
TABLES = ("patients", "medical_records", "triage_visits")


class Migration(migrations.Migration):
    dependencies = [
        ("clinical", "0013_audit_of_reads"),
    ]

    operations = [
        migrations.CreateModel(
            name="ErasedIdentity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("patient_id", models.BigIntegerField()),
                ("facility_id", models.BigIntegerField()),
                ("name_key", models.UUIDField(help_text="keyed hash of both names")),
                ("identity_key", models.UUIDField(help_text="keyed hash of names and date of birth")),
            ],
            options={
                "db_table": "erased_identities",
            },
        ),
        migrations.CreateModel(
            name="Erasure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "why",
                    models.CharField(
                        choices=[
                            ("request", "the patient asks for it"),
                            ("consent", "consent was withdrawn"),
                            ("accuracy", "the patient contests that it is true"),
                            ("unlawful", "it was processed unlawfully"),
                            ("claim", "it is needed for a legal claim"),
                            ("order", "a court or the Commission orders it"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "asked_at",
                    models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False),
                ),
                ("confirmed_at", models.DateTimeField(blank=True, null=True)),
                ("done_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "erasures",
                "ordering": ["-id"],
            },
        ),
        migrations.AddField(
            model_name="medicalrecord",
            name="restricted_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="patient",
            name="erased_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="patient",
            name="restricted_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="triagevisit",
            name="restricted_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="patient",
            index=models.Index(
                condition=models.Q(("restricted_at__isnull", False)), fields=["id"], name="patients_restricted"
            ),
        ),
        migrations.AddConstraint(
            model_name="patient",
            constraint=models.CheckConstraint(
                condition=models.Q(("erased_at__isnull", True), ("deleted_at__isnull", False), _connector="OR"),
                name="patients_erased_is_deleted",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasedidentity",
            constraint=models.UniqueConstraint(
                fields=("facility_id", "identity_key", "patient_id"), name="erased_identities_identity"
            ),
        ),
        migrations.AddField(
            model_name="erasure",
            name="asked_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="erasure",
            name="confirmed_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="erasure",
            name="patient",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="erasures", to="clinical.patient"
            ),
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.UniqueConstraint(fields=("patient",), name="erasures_one_of_a_patient"),
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.CheckConstraint(
                condition=models.Q(("confirmed_by", models.F("asked_by")), _negated=True),
                name="erasures_by_two_persons",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("confirmed_at__isnull", True), ("confirmed_by__isnull", True)),
                    models.Q(("confirmed_at__isnull", False), ("confirmed_by__isnull", False)),
                    _connector="OR",
                ),
                name="erasures_confirmed_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.CheckConstraint(
                condition=models.Q(("done_at__isnull", True), ("confirmed_at__isnull", False), _connector="OR"),
                name="erasures_done_once_confirmed",
            ),
        ),
        migrations.RunSQL(RESTRICT, "DROP FUNCTION restrict_events();"),
        *(
            migrations.RunSQL(EVENTS.format(table=table), NO_EVENTS.format(table=table))
            for table in ("medical_records", "triage_visits")
        ),
        *(
            migrations.RunSQL(UNRESTRICTED.format(table=table), f"DROP POLICY unrestricted ON {table};")
            for table in TABLES
        ),
        migrations.RunSQL(ERASURES, NO_ERASURES),
    ]
