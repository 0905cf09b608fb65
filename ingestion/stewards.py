"""What stewards decide: release, discard or retry a batch; correct, replay or dismiss refused rows; name a facility."""

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from clinical import audit, keyed, row_security
from ingestion import replay as replays
from ingestion.datasets import COLUMNS, Dataset
from ingestion.models import STOPPED, IngestBatch, RejectedRow, Release, Source, Status
from ingestion.rows import STEWARD_CELLS

if TYPE_CHECKING:
    from clinical.models import User

AT_ONCE = 2_000  # rows of one statement
TABLE, ROWS = "ingest_batches", "rejected_rows"  # as the audit names them
DELIVERS = {Release.NEW_EVENTS: Source.Delivers.APPEND, Release.SNAPSHOT: Source.Delivers.SNAPSHOT}


class NotPossible(Exception):
    """The state does not allow it; the message says what does."""


@row_security.lifted()
@transaction.atomic
def release(batch: IngestBatch, *, release_as: str, by: "User | None", remember: bool = False) -> None:
    """The held batch is due again and loads as the steward says; with `remember`, so do later files of its source."""
    answer = Release(release_as)
    batch = _locked(batch)
    if batch.status != Status.HELD:
        raise NotPossible(f"Batch {batch.pk} is {batch.status}, not held; only a held batch can be released.")
    if answer in DELIVERS and not batch.kind_of_rows.is_event:
        raise NotPossible("Facilities and patients are released as loaded: they are no events.")
    if remember and answer not in DELIVERS:
        raise NotPossible("Only the answers new_events and snapshot can be remembered for a source.")
    with audit.acting(by, "release", TABLE, batch.pk, release_as=answer.value, is_remembered=remember):
        if remember:
            said = {"delivers": DELIVERS[answer], "decided_by": by}
            Source.objects.update_or_create(source=batch.source, defaults=said)
        _due_again(batch, by, release_as=answer)


@row_security.lifted()
@transaction.atomic
def retry(batch: IngestBatch, *, by: "User | None") -> None:
    """A rejected or failed batch is due again, from its kept bytes, with its attempts counted anew."""
    batch = _locked(batch)
    if batch.status not in (Status.REJECTED, Status.FAILED):
        raise NotPossible(f"Batch {batch.pk} is {batch.status}; only rejected and failed batches can be retried.")
    if batch.dataset is None:
        raise NotPossible(f"Batch {batch.pk} is of no known dataset: rename the object in the bucket.")
    with audit.acting(by, "retry", TABLE, batch.pk):
        _due_again(batch, by)


@row_security.lifted()
@transaction.atomic
def discard(batch: IngestBatch, *, reason: str, by: "User | None") -> None:
    """Nothing of the batch will load; its bytes go to the archive with the next run."""
    if not reason.strip():
        raise NotPossible("Say why the batch is discarded.")
    batch = _locked(batch)
    if batch.status not in STOPPED:
        raise NotPossible(f"Batch {batch.pk} is {batch.status}; only held, rejected and failed ones can be discarded.")
    with audit.acting(by, "discard", TABLE, batch.pk):
        IngestBatch.objects.filter(pk=batch.pk).update(
            status=Status.DISCARDED, settled_by=by, settled_why=reason, finished_at=Now()
        )


def _locked(batch: IngestBatch) -> IngestBatch:
    return IngestBatch.objects.select_for_update().get(pk=batch.pk)


def _due_again(batch: IngestBatch, by: "User | None", **columns: object) -> None:
    IngestBatch.objects.filter(pk=batch.pk).update(
        status=Status.DISCOVERED, reasons=[], attempts=0, finished_at=None, settled_by=by, **columns
    )


# --- Refused rows


@row_security.lifted()
def correct(rows: "QuerySet[RejectedRow]", cells: dict[str, str], *, by: "User | None") -> int:
    """Puts these cells in place of what the open rows were delivered with; the raw cells stay. Returns how many."""
    with transaction.atomic():
        open_rows, hashes = [*rows.filter(state=RejectedRow.State.OPEN).select_for_update()], keyed.hashes()
        for row in open_rows:
            unknown = set(cells) - {*COLUMNS[Dataset(row.dataset)].all, *STEWARD_CELLS}
            if unknown:
                raise NotPossible(f"{row.dataset} has no column {', '.join(sorted(unknown))}.")
            row.put_corrections(row.corrections | cells, hashes)
            row.settled_by = by
        which = _which([row.pk for row in open_rows])
        with audit.acting(by, "correct", ROWS, **which, fields=sorted(cells)):
            _write(open_rows)
    return len(open_rows)


def _write(rows: "list[RejectedRow]") -> None:
    for start in range(0, len(rows), AT_ONCE):
        RejectedRow.objects.write_cells(rows[start : start + AT_ONCE])


@row_security.lifted()
def correct_each(cells_by_row: dict[int, dict[str, str]], *, by: "User | None", **details: Any) -> list[int]:
    """The same with cells of its own for each row, by id. Returns the ids of those that were still open."""
    with transaction.atomic():
        rows = RejectedRow.objects.filter(pk__in=cells_by_row, state=RejectedRow.State.OPEN).order_by("pk")
        open_rows, hashes = [*rows.select_for_update()], keyed.hashes()
        ids = [row.pk for row in open_rows]
        if not ids:
            return []
        for row in open_rows:
            row.put_corrections(row.corrections | cells_by_row[row.pk], hashes)
            row.settled_by = by
        fields = sorted({column for pk in ids for column in cells_by_row[pk]})
        with audit.acting(by, "correct", ROWS, **_which(ids), fields=fields, **details):
            _write(open_rows)
    return ids


@row_security.lifted()
def replay(rows: "QuerySet[RejectedRow]", *, by: "User | None") -> list[IngestBatch]:
    """Tries the open rows again, as corrected; returns the replay batches, whose counts say what landed."""
    chosen = [*rows.filter(state=RejectedRow.State.OPEN).values_list("pk", flat=True)]
    deed = audit.note(by, "replay", ROWS, **_which(chosen)) if chosen else None
    return replays.replay(rows, deed=deed)


@row_security.lifted()
@transaction.atomic
def dismiss(rows: "QuerySet[RejectedRow]", *, reason: str, by: "User | None") -> int:
    """The open rows will not load, and stay dismissed when they are delivered again. Returns how many."""
    if not reason.strip():
        raise NotPossible("Say why the rows are dismissed.")
    open_rows = rows.filter(state=RejectedRow.State.OPEN).select_for_update(of=("self",))
    chosen = [*open_rows.values_list("pk", flat=True)]
    with audit.acting(by, "dismiss", ROWS, **_which(chosen)):
        return RejectedRow.objects.filter(pk__in=chosen).update(
            state=RejectedRow.State.DISMISSED, settled_at=Now(), settled_by=by, settled_why=reason
        )


def _which(ids: list[int]) -> dict[str, Any]:
    """The one row, or how many."""
    return {"object_id": ids[0]} if len(ids) == 1 else {"rows": len(ids)}
