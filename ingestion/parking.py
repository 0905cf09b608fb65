"""Lines that came in by a rule, put among the refused rows so that they can wait again."""

from typing import Any

from django.db.models import QuerySet

from clinical import keyed
from ingestion import originals
from ingestion.cells import names_of
from ingestion.models import IngestBatch, RejectedRow, RuleUse
from ingestion.reverting import MODELS, unsettle


def park_lines(uses: "QuerySet[RuleUse]", reason: str) -> list[int]:
    """The refused rows of these lines: those that they were, and new ones for lines that went in at once.

    Reads the files of the latter; raises StorageError where one cannot be read. To be called while their rows are
    still stored, since those know their day and ordinal.
    """
    parked: list[int] = []
    for batch in IngestBatch.objects.filter(pk__in=uses.values("batch_id")).order_by("pk"):
        lines = [*uses.filter(batch=batch).values_list("line", flat=True)]
        if batch.parent_id:
            were = [*RejectedRow.objects.filter(replay_batch=batch, line__in=lines).values_list("pk", flat=True)]
            unsettle(batch, RejectedRow.objects.filter(pk__in=were))
            parked += were
        else:
            parked += _park(batch, uses.filter(batch=batch), reason)
    return parked


def _park(batch: IngestBatch, uses: "QuerySet[RuleUse]", reason: str) -> list[int]:
    stored, hashes = _stored(batch, uses), keyed.hashes()
    raw = originals.lines_of(batch, stored)
    new = [
        RejectedRow(
            batch=batch,
            line=line,
            reasons=[reason],
            dataset=batch.kind_of_rows,
            source=batch.source,
            event_on=row.get("event_on"),
            ordinal=row.get("ordinal", 1),
            **{key: hashes.of(name) for key, name in names_of(batch.kind_of_rows, raw[line]).items()},
        )
        for line, row in stored.items()
    ]
    for one in new:
        one.put_raw(raw[one.line], hashes)
    RejectedRow.objects.bulk_create(new, ignore_conflicts=True, batch_size=1000)  # parked from an earlier file
    rows = RejectedRow.objects.filter(batch=batch, line__in=[*stored], reasons=[reason])
    return [*rows.values_list("pk", flat=True)]


def _stored(batch: IngestBatch, uses: "QuerySet[RuleUse]") -> dict[int, dict[str, Any]]:
    """By line, what tells events of equal cells apart. A line that only repeated a stored event is not among them."""
    model, columns = MODELS[batch.kind_of_rows], ["event_on", "ordinal"] if batch.kind_of_rows.is_event else []
    mine = model.objects.filter(batch_id=batch.pk, line__in=uses.values("line")).values("line", *columns)
    met = dict(uses.exclude(row_id=None).values_list("row_id", "line"))
    theirs = model.objects.filter(pk__in=[*met]).values("pk", *columns)
    found = {met[row["pk"]]: row for row in theirs}
    return dict(sorted((found | {row["line"]: row for row in mine}).items()))
