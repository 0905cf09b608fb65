"""Exports of everything as FHIR, their files, and programs that log in with a key of their own."""

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# To whom the erasures themselves are not shown.
ERASED = """
CREATE FUNCTION is_anybody_erased(since timestamptz) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public AS
'SELECT EXISTS (SELECT FROM public.erasures WHERE done_at >= since)';
"""
# An export is its asker's alone; a worker is the owner, whom no policy binds.
POLICIES = """
ALTER TABLE fhir_exports ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_own ON fhir_exports
USING (user_id = (SELECT scope_user())) WITH CHECK (user_id = (SELECT scope_user()));
ALTER TABLE fhir_export_parts ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON fhir_export_parts FOR SELECT USING (
    EXISTS (SELECT FROM fhir_exports e WHERE e.id = export_id AND e.user_id = (SELECT scope_user()))
);
-- A token is asked for before it is known by whom; who may ask is registered by a superuser alone.
ALTER TABLE smart_clients ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope_read ON smart_clients FOR SELECT USING (true);
CREATE POLICY scope_write ON smart_clients USING ((SELECT scope_is_superuser()));
"""
NO_POLICIES = """
ALTER TABLE fhir_exports DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_own ON fhir_exports;
ALTER TABLE fhir_export_parts DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_read ON fhir_export_parts;
ALTER TABLE smart_clients DISABLE ROW LEVEL SECURITY;
DROP POLICY scope_read ON smart_clients;
DROP POLICY scope_write ON smart_clients;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("clinical", "0019_terms"),
    ]

    operations = [
        migrations.CreateModel(
            name="SmartClient",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("client_id", models.CharField(max_length=64, unique=True)),
                ("keys", models.JSONField(help_text="a JWKS of public keys; they are pasted, never fetched")),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        help_text="the widest that it may ask for, as system/*.rs",
                        size=None,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="smart_clients",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "SMART client",
                "db_table": "smart_clients",
                "ordering": ["client_id"],
            },
        ),
        migrations.CreateModel(
            name="FhirExport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "level",
                    models.CharField(
                        choices=[("system", "System"), ("patient", "Patient"), ("group", "Group")], max_length=7
                    ),
                ),
                ("group", models.TextField(blank=True, db_default="", default="", help_text="its id")),
                (
                    "types",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        help_text="of resources, as they were found to be allowed",
                        size=None,
                    ),
                ),
                (
                    "patient_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), help_text="of these alone", null=True, size=None
                    ),
                ),
                ("since", models.DateTimeField(null=True)),
                ("until", models.DateTimeField(null=True)),
                ("request", models.TextField(help_text="the address that it was asked for at")),
                (
                    "ignored",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        default=list,
                        help_text="parameters that could be, as the caller said",
                        size=None,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=9,
                    ),
                ),
                ("attempts", models.IntegerField(default=0)),
                ("lease_until", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False),
                ),
                ("grants", models.JSONField(default=list, help_text="what who asked for it held when it was read")),
                (
                    "transaction_at",
                    models.DateTimeField(
                        help_text="what was changed until then is in it, and nothing later", null=True
                    ),
                ),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("polled_at", models.DateTimeField(null=True)),
                (
                    "token",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="clinical.programtoken",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "client",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="clinical.smartclient",
                    ),
                ),
            ],
            options={
                "db_table": "fhir_exports",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="SmartToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("jti", models.TextField()),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("scopes", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False),
                ),
                (
                    "expires_at",
                    models.DateTimeField(help_text="kept an hour longer, by when its assertion is over too"),
                ),
                (
                    "client",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tokens",
                        to="clinical.smartclient",
                    ),
                ),
            ],
            options={
                "db_table": "smart_tokens",
            },
        ),
        migrations.CreateModel(
            name="FhirExportPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "of",
                    models.CharField(
                        choices=[("output", "Output"), ("deleted", "Deleted"), ("error", "Error")], max_length=7
                    ),
                ),
                ("type", models.TextField()),
                ("table", models.IntegerField(default=0, help_text="which of those that the type is made of")),
                ("after_id", models.BigIntegerField(default=0)),
                ("upto_id", models.BigIntegerField(default=0)),
                ("digest", models.BinaryField(max_length=32)),
                ("file", models.TextField(help_text="its name in the store")),
                ("resources", models.IntegerField()),
                ("size", models.BigIntegerField(help_text="bytes, as stored")),
                (
                    "patient_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, help_text="of whom it tells", size=None
                    ),
                ),
                (
                    "export",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parts",
                        to="clinical.fhirexport",
                    ),
                ),
            ],
            options={
                "db_table": "fhir_export_parts",
                "ordering": ["id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("export", "of", "type", "table", "after_id"), name="fhir_export_parts_identity"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("of__in", ["output", "deleted", "error"])),
                        name="fhir_export_parts_of_is_known",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="smartclient",
            constraint=models.CheckConstraint(
                condition=models.Q(("client_id__regex", "^[A-Za-z0-9._-]{1,64}$")), name="smart_clients_id_is_plain"
            ),
        ),
        migrations.AddConstraint(
            model_name="smartclient",
            constraint=models.CheckConstraint(
                condition=models.Q(("scopes__len__gt", 0)), name="smart_clients_may_something"
            ),
        ),
        migrations.AddConstraint(
            model_name="fhirexport",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=("user",),
                name="fhir_exports_one_of_a_user",
            ),
        ),
        migrations.AddConstraint(
            model_name="fhirexport",
            constraint=models.CheckConstraint(
                condition=models.Q(("level__in", ["system", "patient", "group"])), name="fhir_exports_level_is_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="fhirexport",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["queued", "running", "done", "failed", "cancelled"])),
                name="fhir_exports_status_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="fhirexport",
            constraint=models.CheckConstraint(
                condition=models.Q(("level", "group"), ("group", ""), _connector="OR"),
                name="fhir_exports_group_of_a_group",
            ),
        ),
        migrations.AddConstraint(
            model_name="fhirexport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "running"), _negated=True), ("lease_until__isnull", False), _connector="OR"
                ),
                name="fhir_exports_running_has_a_lease",
            ),
        ),
        migrations.AddConstraint(
            model_name="fhirexport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "done"), _negated=True),
                    models.Q(("expires_at__isnull", False), ("transaction_at__isnull", False)),
                    _connector="OR",
                ),
                name="fhir_exports_done_says_when",
            ),
        ),
        migrations.AddIndex(
            model_name="smarttoken",
            index=models.Index(fields=["expires_at"], name="smart_tokens_age"),
        ),
        migrations.AddConstraint(
            model_name="smarttoken",
            constraint=models.UniqueConstraint(fields=("client", "jti"), name="smart_tokens_one_of_an_assertion"),
        ),
        migrations.RunSQL(POLICIES, NO_POLICIES),
        migrations.RunSQL(ERASED, "DROP FUNCTION is_anybody_erased(timestamptz)"),
    ]
