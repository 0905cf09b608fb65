"""Refused rows' cells are stored sealed, and compared by keyed hashes. There is no way back: keep a backup.

The table is written anew at the end, so that its file holds no cell any more; of the history, whose file is not,
`VACUUM FULL revisions` takes the rest out.
"""

import json
from collections.abc import Iterator
from typing import Any

from django.db import migrations, models

import clinical.sealing
from clinical.keyed import Hashes
from ingestion import cells
from ingestion.rulebook import key_of

OF_A_LINE = ("batch_id", "line")
ROWS = 2000

# What is only counted, and cells as delivered, which nobody changes. When keys are changed or cells purged, the same
# is done to the history: `medilink.resealing`.
KEEP = """
DROP TRIGGER keep_update ON rejected_rows;
CREATE TRIGGER keep_update AFTER UPDATE ON rejected_rows REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT WHEN (current_setting('medilink.resealing', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION keep_revision('raw_hash', 'times_seen', 'last_seen_at', 'tried_at');
"""
PAUSE = "SELECT set_config('medilink.resealing', 'on', true)"
GO_ON = "SELECT set_config('medilink.resealing', '', true)"

LAST = """
ALTER TABLE rejected_rows
    DROP COLUMN raw, DROP COLUMN corrections,
    ALTER facility_key DROP DEFAULT, ALTER facility_key DROP NOT NULL,
    ALTER first_name_key DROP DEFAULT, ALTER first_name_key DROP NOT NULL,
    ALTER last_name_key DROP DEFAULT, ALTER last_name_key DROP NOT NULL,
    ALTER facility_key TYPE uuid USING nullif(facility_key, '')::uuid,
    ALTER first_name_key TYPE uuid USING nullif(first_name_key, '')::uuid,
    ALTER last_name_key TYPE uuid USING nullif(last_name_key, '')::uuid;
"""


def hashes_of(apps: Any) -> Hashes:
    key = clinical.sealing.field_of(apps.get_model("clinical", "IndexKey"), "key")
    return Hashes(key.unseal_in(key.model._base_manager.get()) or b"")


def seal_rows(apps: Any, schema_editor: Any) -> None:
    sealing = _Sealing(apps)
    with schema_editor.connection.cursor() as cursor:
        after = 0
        while True:
            cursor.execute(
                "SELECT id, batch_id, line, reasons, raw, corrections, facility_key, first_name_key, last_name_key"
                " FROM rejected_rows WHERE id > %s ORDER BY id LIMIT %s",
                [after, ROWS],
            )
            rows = cursor.fetchall()
            if not rows:
                return
            after = rows[-1][0]
            new = [[*column] for column in zip(*map(sealing.row, rows), strict=True)]
            cursor.execute(
                "UPDATE rejected_rows r SET raw_sealed = n.raw, corrections_sealed = n.corrections,"
                " cell_keys = n.keys, raw_hash = n.hash, named_state = n.state, facility_key = n.facility,"
                " first_name_key = n.first, last_name_key = n.last"
                " FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::jsonb[], %s::uuid[], %s::text[], %s::text[],"
                " %s::text[], %s::text[]) AS n (id, raw, corrections, keys, hash, state, facility, first, last)"
                " WHERE r.id = n.id",
                new,
            )


class _Sealing:
    def __init__(self, apps: Any) -> None:
        model = apps.get_model("ingestion", "RejectedRow")
        self.raw = clinical.sealing.field_of(model, "raw_sealed")
        self.corrections = clinical.sealing.field_of(model, "corrections_sealed")
        self.hashes = hashes_of(apps)

    def row(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        pk, batch_id, line, reasons, raw, corrections, *names = row
        raw, corrections = (json.loads(doc) if isinstance(doc, str) else doc for doc in (raw, corrections))
        kept = cells.kept(raw, reasons, self.hashes)
        keys = cells.keys_of(raw | corrections, reasons, self.hashes)
        return (
            pk,
            self.sealed(self.raw, raw, (batch_id, line)),
            self.sealed(self.corrections, corrections, (batch_id, line)),
            json.dumps(keys),
            str(kept.raw_hash),
            kept.named_state,
            *map(self.hashes.hex_of, names),
        )

    @staticmethod
    def sealed(field: clinical.sealing.SealedField, doc: Any, bound: tuple[Any, ...]) -> bytes | None:
        return clinical.sealing.seal(cells.dumped(doc).encode(), field.place(bound)) if doc else None

    def revision(self, columns: Any, bound: tuple[Any, ...], raw: Any, reasons: Any) -> Any:
        """The columns of a refused row as its history has them; of the whole row, or of those that were changed."""
        if columns is None:
            return None
        for name in ("named_state", "raw_hash"):
            columns.pop(name, None)
        raw, reasons = columns.get("raw", raw), columns.get("reasons", reasons)
        if "raw" in columns:
            kept = cells.kept(raw, reasons, self.hashes)
            columns |= {"raw_hash": str(kept.raw_hash), "named_state": kept.named_state}
        if "corrections" in columns and raw is not None:
            columns["cell_keys"] = cells.keys_of(raw | columns["corrections"], reasons, self.hashes)
        for name, field in (("raw", self.raw), ("corrections", self.corrections)):
            if name in columns:
                sealed = self.sealed(field, columns.pop(name), bound)
                columns[field.column] = sealed and f"\\x{sealed.hex()}"
        for name in ("facility_key", "first_name_key", "last_name_key"):
            if name in columns:
                text = self.hashes.of(columns[name] or "")
                columns[name] = text and str(text)
        return columns


def seal_history(apps: Any, schema_editor: Any) -> None:
    sealing = _Sealing(apps)
    with schema_editor.connection.cursor() as cursor:
        for pk, batch_id, line, reasons, raw, was, became in _revisions(cursor):
            whole = was or became or {}
            bound = (batch_id or whole.get("batch_id"), line or whole.get("line"))
            docs = [doc and json.dumps(sealing.revision(doc, bound, raw, reasons)) for doc in (was, became)]
            cursor.execute("UPDATE revisions SET was = %s::jsonb, became = %s::jsonb WHERE id = %s", [*docs, pk])


def _revisions(cursor: Any) -> Iterator[tuple[Any, ...]]:
    cursor.execute(
        "SELECT v.id, r.batch_id, r.line, r.reasons, r.raw, v.was, v.became FROM revisions v"
        " LEFT JOIN rejected_rows r ON r.id = v.object_id WHERE v.\"table\" = 'rejected_rows'"
    )
    for pk, batch_id, line, reasons, *docs in cursor.fetchall():
        yield pk, batch_id, line, reasons, *(json.loads(doc) if isinstance(doc, str) else doc for doc in docs)


def hash_causes(apps: Any, schema_editor: Any) -> None:
    """By the open rows that show the cause; of the others, what was the text of one cell is still found."""
    hashes = hashes_of(apps)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT id, reason, value_key FROM causes")
        for pk, reason, text in cursor.fetchall():
            if reason.partition(":")[0] in cells.OF_PATIENT or reason in cells.OF_PATIENT:
                key = _key_of_patient(cursor, reason, text, hashes)
            else:
                key = hashes.hex_of(text)
            cursor.execute("UPDATE causes SET value_key = %s WHERE id = %s", [key, pk])


def _key_of_patient(cursor: Any, reason: str, text: str, hashes: Hashes) -> str:
    cursor.execute("SELECT raw || corrections FROM rejected_rows WHERE state = 'open' AND %s = ANY(reasons)", [reason])
    for (found,) in cursor.fetchall():
        row = json.loads(found) if isinstance(found, str) else found
        if key_of(cells.value_of(row, reason)) == text:
            return ".".join(hashes.hex_of(key_of(str(row.get(column) or ""))) for column in cells.PERSON)
    return hashes.hex_of(text)


class Migration(migrations.Migration):
    dependencies = [
        ("clinical", "0011_sealed_values"),
        ("ingestion", "0006_rejected_rows_of_a_state"),
    ]

    # From there on a revision is only ever added to, and its digest sealed.
    run_before = [("clinical", "0013_audit_of_reads")]

    operations = [
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    "ALTER TABLE rejected_rows ALTER raw_hash DROP EXPRESSION, ALTER named_state DROP EXPRESSION;"
                    + KEEP
                    + PAUSE
                )
            ],
            [
                migrations.AlterField(
                    "rejectedrow", "raw_hash", models.UUIDField(help_text="keyed, over the cells whatever their order")
                ),
                migrations.AlterField("rejectedrow", "named_state", models.TextField(blank=True, null=True)),
            ],
        ),
        migrations.AddField(
            "rejectedrow",
            "raw_sealed",
            clinical.sealing.SealedField(
                bound_to=OF_A_LINE, help_text="`raw`; null: purged, long after it was settled", null=True
            ),
        ),
        migrations.AddField(
            "rejectedrow",
            "corrections_sealed",
            clinical.sealing.SealedField(blank=True, bound_to=OF_A_LINE, help_text="`corrections`", null=True),
        ),
        migrations.AddField(
            "rejectedrow",
            "cell_keys",
            models.JSONField(blank=True, default=dict, help_text="column → keyed hash of what would be tried now"),
        ),
        migrations.RunPython(hash_causes),
        migrations.RunPython(seal_history),
        migrations.RunPython(seal_rows),
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(LAST + GO_ON)],
            [
                migrations.RemoveField("rejectedrow", "raw"),
                migrations.RemoveField("rejectedrow", "corrections"),
                migrations.AlterField(
                    "rejectedrow",
                    "facility_key",
                    models.UUIDField(blank=True, help_text="keyed, like the next two", null=True),
                ),
                migrations.AlterField("rejectedrow", "first_name_key", models.UUIDField(blank=True, null=True)),
                migrations.AlterField("rejectedrow", "last_name_key", models.UUIDField(blank=True, null=True)),
            ],
        ),
    ]
