"""Answers to requests are stored sealed; and the key of the hashes by which sealed values are compared."""

import secrets
from typing import Any

from django.db import migrations, models

import clinical.sealing


def make_key(apps: Any, schema_editor: Any) -> None:
    field = clinical.sealing.field_of(apps.get_model("clinical", "IndexKey"), "key")
    row = field.model()
    field.seal_in(row, secrets.token_bytes(32))
    row.save()


def seal_answers(apps: Any, schema_editor: Any) -> None:
    field = clinical.sealing.field_of(apps.get_model("clinical", "IdempotencyKey"), "body")
    row: Any
    for row in field.model._base_manager.iterator():
        field.seal_in(row, bytes(row.body))
        row.save(update_fields=["body"])


def open_answers(apps: Any, schema_editor: Any) -> None:
    field = clinical.sealing.field_of(apps.get_model("clinical", "IdempotencyKey"), "body")
    row: Any
    for row in field.model._base_manager.iterator():
        row.body = field.unseal_in(row)
        row.save(update_fields=["body"])


class Migration(migrations.Migration):
    dependencies = [
        ("clinical", "0010_row_security"),
    ]

    operations = [
        migrations.AlterField(
            model_name="idempotencykey",
            name="body",
            field=clinical.sealing.SealedField(
                bound_to=("user_id", "route", "key"), help_text="it may hold a person's values"
            ),
        ),
        migrations.RunPython(seal_answers, open_answers),
        migrations.CreateModel(
            name="IndexKey",
            fields=[
                ("id", models.BigIntegerField(default=1, primary_key=True, serialize=False)),
                ("key", clinical.sealing.SealedField(bound_to=())),
            ],
            options={
                "db_table": "index_keys",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="index_keys_only_one")],
            },
        ),
        migrations.RunPython(make_key, migrations.RunPython.noop),
    ]
