"""Where a stored row comes from: the file, its line and cells, the rules and corrections, and all that came after.

The line is read from the archive. Where that is away, everything else is told, and a sentence stands for the cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from clinical import history
from clinical.access import Scope
from clinical.audit import reads
from clinical.audit.deeds import patients_at
from clinical.history import Change
from clinical.models import Merge, Revision
from ingestion import originals
from ingestion.datasets import COLUMNS, Dataset
from ingestion.fates import LineFate
from ingestion.models import IngestBatch, RejectedRow, Rule, RuleUse, Sighting
from ingestion.models.batches import folders_in
from ingestion.refusals import FileRefused
from ingestion.reverting import MODELS
from ingestion.sources import StorageError

MOST_LATER = 50  # deliveries of the source, the first after its own, in which the row is looked for
NOT_READABLE = "The file cannot be read at the moment; what is stored here does not need it."
PURGED = "It was refused at first; its cells were let go of long after it was settled, as all such cells are."
BY_A_PERSON = "No file has brought this row; a person has made it."


class Cell(NamedTuple):
    """A cell of the line beside what is stored now. `corrected`: what a steward put instead, if anybody did."""

    column: str
    raw: Any
    corrected: str | None
    stored: Any

    @property
    def said(self) -> str:
        if isinstance(self.stored, list):
            return "; ".join(self.stored)
        return "nothing" if self.stored in (None, "") else str(self.stored)


class Later(NamedTuple):
    """A later delivery that changed these columns of the row, or (none) only contained it."""

    batch: IngestBatch
    columns: list[str]


@dataclass(frozen=True)
class Passport:
    table: str
    row: Any
    loaded_by: IngestBatch | None = None  # the file's batch, or a replay of its refused rows
    refused: RejectedRow | None = None  # where it came in by such a replay
    raw: Mapping[str, Any] | None = None
    why_no_cells: str = ""
    rules: list[Rule] = field(default_factory=list)
    corrections: list[Change] = field(default_factory=list)
    later: list[Later] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)

    @property
    def file(self) -> IngestBatch | None:
        return self.loaded_by.parent or self.loaded_by if self.loaded_by else None

    @property
    def bytes_are_at(self) -> str:
        return (self.file.archive_key or self.file.held_key or self.file.object_key) if self.file else ""

    @property
    def cells(self) -> list[Cell]:
        corrected = self.refused.corrections if self.refused else {}
        raw = self.raw or {}
        known = [column for column in COLUMNS[Dataset(self.table)].all if column in raw or column in corrected]
        columns = dict.fromkeys([*known, *raw, *corrected])  # in the contract's order, whatever jsonb has made of it
        return [Cell(column, raw.get(column), corrected.get(column), stored_as(self.row, column)) for column in columns]


def of_row(table: str, pk: int) -> Passport | None:
    """Of a stored row, deleted and merged ones among them; None where there is none."""
    row = MODELS[Dataset(table)].objects.filter(pk=pk).first()
    if row is None:
        return None
    batch = IngestBatch.objects.select_related("parent").filter(pk=row.batch_id).first()
    refused = None
    if batch and batch.parent_id:
        refused = RejectedRow.objects.filter(replay_batch=batch, line=row.line).select_related("settled_by").first()
    raw, why_no_cells = _cells(batch, row, refused)
    uses = RuleUse.objects.filter(batch=batch, line=row.line) if batch else RuleUse.objects.none()
    rules = Rule.objects.filter(pk__in=uses.values("rule")).select_related("decided_by", "facility").order_by("pk")
    return Passport(
        table=table,
        row=row,
        loaded_by=batch,
        refused=refused,
        raw=raw,
        why_no_cells=why_no_cells,
        rules=[*rules],
        corrections=history.of_row("rejected_rows", refused.pk) if refused else [],
        later=_later(table, pk, batch),
        changes=history.of_row(table, pk),
        merges=history.merges_of(table, pk),
    )


def _cells(batch: IngestBatch | None, row: Any, refused: RejectedRow | None) -> tuple[Mapping[str, Any] | None, str]:
    if batch is None:
        return None, BY_A_PERSON
    if refused:
        return (refused.raw, "") if refused.raw_sealed is not None else (None, PURGED)
    try:
        return originals.lines_of(batch.parent or batch, [row.line])[row.line], ""
    except (StorageError, FileRefused, OSError, KeyError):
        return None, NOT_READABLE


def _later(table: str, pk: int, batch: IngestBatch | None) -> list[Later]:
    """The first ones. That events without an id were repeated leaves no trace, and is not told."""
    columns: dict[int, list[str]] = {}
    changed = Revision.objects.filter(table=table, object_id=pk, batch_id__isnull=False, became__isnull=False)
    for revision in changed.order_by("id"):
        columns.setdefault(cast(int, revision.batch_id), []).extend(revision.became or {})
    if batch:
        source = IngestBatch.objects.filter(dataset=table, source=batch.source, pk__gt=batch.pk).loaded()
        after = [*source.order_by("pk").values_list("pk", flat=True)[:MOST_LATER]]
        seen = Sighting.objects.filter(batch__in=after, ids__contains=[pk])
        columns |= {batch_id: columns.get(batch_id, []) for batch_id in seen.values_list("batch_id", flat=True)}
    batches = IngestBatch.objects.in_bulk(columns)
    return [Later(batches[batch_id], sorted({*columns[batch_id]})) for batch_id in sorted(columns)]


def stored_as(row: Any, column: str) -> Any:
    """What stands in the row, its patient or its facility for a column of the file."""
    data = getattr(row, "data", {})
    if column in data:
        return data[column]
    name = {"facility_name": "name", "facility_state": "state", "facility_lga": "lga"}.get(column)
    if name:
        return getattr(row.facility, name, None)
    if column.startswith("patient_") and hasattr(row, "patient_id") and column != "patient_id":
        return getattr(row.patient, column.removeprefix("patient_"), None)
    return getattr(row, column, None)


def note_line(told: LineFate) -> None:
    """For the audit: what became of a line is part of the answer, and with it what stood there of whom."""
    patients = patients_at(str(told.batch.dataset), told.row_id) if told.row_id else None
    batch = told.batch.pk
    reads.seen(
        "ingest_batches", "passport", object_id=batch, batch_id=batch, patient_ids=patients or (), line=told.line
    )


def may_see(told: LineFate, scope: Scope) -> bool:
    """Whether the line is in the scope: its row, its refusal, or else its whole file."""
    if scope.is_national or told.batch.dataset is None:
        return True
    if told.row_id:
        return bool(MODELS[told.batch.kind_of_rows].objects.inside(scope).filter(pk=told.row_id).exists())
    if told.refused:
        return RejectedRow.objects.inside(scope).filter(pk=told.refused.pk).exists()
    return told.raw is None or told.batch.folder in folders_in(scope.states)
