"""Refused rows tried again: by themselves when parents have come, or by a steward, corrected or not.

A replay is a batch of its own with the file's batch as its parent; it takes the same way through ingestion/load and
stands in version order where the file stood. Each row lands exactly once, because only open rows are taken, locked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import Max, QuerySet
from django.db.models.functions import Now

from clinical import access, audit
from clinical.locks import oldest_writer
from clinical.models import AuditEvent, Facility, Patient
from ingestion import load, outages, rules
from ingestion.datasets import COLUMNS, Dataset
from ingestion.load import refused
from ingestion.models import IngestBatch, IngestRun, Kind, RejectedRow, Rule, Status
from ingestion.refusals import PARENT_CODES
from ingestion.rows import STEWARD_CELLS

ROWS_PER_CHUNK = 2000
LATELY = timedelta(days=1)


@dataclass(frozen=True)
class RefusedRows:
    """Refused rows as a chunk of records."""

    lines: Sequence[int]
    rows: Sequence[Sequence[str]]
    suspects: frozenset[int] = field(default_factory=frozenset)


class _NothingLanded(Exception):
    pass


def retry_waiting(run: IngestRun | None, *, stages: Sequence[int]) -> list[IngestBatch]:
    """Tries the rows again that wait for a parent, where parents have changed since; makes a batch where any landed.

    Stage by stage, because the patients that land in one are parents of the events in the next.
    """
    done = [again for stage in sorted(stages) for again in _retry_stage(run, stage)]
    return done + [again for rule in _new_rules() for again in _retry_ruled(run, rule, stages)]


def _new_rules() -> "QuerySet[Rule]":
    """A load that was at work when they were made has parked its rows without them."""
    return Rule.objects.active().filter(decided_at__gt=Now() - LATELY)


def _retry_ruled(run: IngestRun | None, rule: Rule, stages: Sequence[int]) -> list[IngestBatch]:
    datasets = [dataset.value for dataset in Dataset if dataset.stage in stages]
    rows = rules.waiting(rule).filter(dataset__in=datasets, tried_at__lte=rule.decided_at)
    batches = IngestBatch.objects.filter(pk__in=rows.values("batch_id")).in_version_order()
    tried = [_replay(batch, rows.filter(batch=batch), run, None, is_automatic=True) for batch in batches]
    return [batch for batch in tried if batch]


def _retry_stage(run: IngestRun | None, stage: int) -> list[IngestBatch]:
    changed_at = _parents_changed_at()
    if changed_at is None:
        return []
    waiting = RejectedRow.objects.filter(
        state=RejectedRow.State.OPEN, reasons__overlap=sorted(PARENT_CODES), tried_at__lte=changed_at
    )
    datasets = [dataset.value for dataset in Dataset if dataset.stage == stage]
    batches = IngestBatch.objects.filter(pk__in=waiting.filter(dataset__in=datasets).values("batch_id"))
    tried = [
        _replay(batch, waiting.filter(batch=batch), run, None, is_automatic=True)
        for batch in batches.in_version_order()
    ]
    return [batch for batch in tried if batch]


def replay(
    rows: "QuerySet[RejectedRow]", run: IngestRun | None = None, *, deed: AuditEvent | None = None
) -> list[IngestBatch]:
    """Tries open rows again, as corrected; one batch per file that they come from, parents' files first.

    `deed`: the line of the audit on the person who asked for it.
    """
    ids: dict[int, list[int]] = {}
    for batch_id, pk in rows.filter(state=RejectedRow.State.OPEN).order_by().values_list("batch_id", "pk"):
        ids.setdefault(batch_id, []).append(pk)
    batches = IngestBatch.objects.filter(pk__in=[*ids]).in_version_order()
    done = [
        _replay(batch, RejectedRow.objects.filter(pk__in=ids[batch.pk]), run, deed)
        for batch in sorted(batches, key=lambda b: b.kind_of_rows.stage)
    ]
    return [batch for batch in done if batch]


def _parents_changed_at() -> datetime | None:
    """The last change of anything that a row may wait for."""
    instants = [
        Facility.objects.aggregate(at=Max("updated_at"))["at"],
        Patient.objects.aggregate(at=Max("updated_at"))["at"],
        Rule.objects.filter(about=Rule.About.FACILITY).aggregate(at=Max("decided_at"))["at"],
        RejectedRow.objects.filter(dataset=Dataset.PATIENTS).aggregate(at=Max("settled_at"))["at"],
    ]
    return max((at for at in instants if at), default=None)


def _replay(
    parent: IngestBatch,
    rows: "QuerySet[RejectedRow]",
    run: IngestRun | None,
    deed: AuditEvent | None,
    *,
    is_automatic: bool = False,
) -> IngestBatch | None:
    looked_at = oldest_writer()
    for tries_left in reversed(range(outages.TRIES)):
        try:
            with transaction.atomic(), audit.under(deed):
                return _attempt(parent, rows, run, deed, is_automatic)
        except _NothingLanded:
            rows.update(tried_at=looked_at)
            return None
        except OperationalError as error:
            if connection.in_atomic_block or not tries_left or not outages.is_passing(error):
                raise
    raise AssertionError("the last try raises or returns")


def _attempt(
    parent: IngestBatch,
    rows: "QuerySet[RejectedRow]",
    run: IngestRun | None,
    deed: AuditEvent | None,
    is_automatic: bool,
) -> IngestBatch | None:
    locked = rows.filter(state=RejectedRow.State.OPEN).select_for_update().order_by("line")
    taken = [row.pk for row in locked.only("pk", "reasons", "corrections_sealed") if _is_readable(row)]
    if not taken:
        return None
    ours = RejectedRow.objects.filter(pk__in=taken)
    header = header_of(parent)
    by_id = deed.actor_id if deed else None
    batch = _batch_of(parent, run, by_id)
    inside = deed.actor.access.scope(access.UPDATE, "deliveries") if deed and deed.actor else access.NATION
    staged = load.stage_again(batch, ours, header, chunks(ours, header), inside)
    refused_own = 0 if is_automatic else load.judge(staged)
    counts = load.publish(staged, settle=lambda loaded: refused.settle_replayed(loaded, by_id))
    if is_automatic:
        counts["rows_read"] -= counts["rejected"]
        counts["rejected"] = 0
        if not counts["rows_read"]:
            raise _NothingLanded
    IngestBatch.objects.filter(pk=batch.pk).update(
        status=Status.LOADED,
        lease_until=None,
        finished_at=Now(),
        warnings=dict(staged.delivery.warnings),
        refused_own=refused_own,
        **counts,
    )
    audit.note(deed.actor if deed else None, "load", "ingest_batches", batch.pk, rows=counts["rows_read"])
    batch.refresh_from_db()
    return batch


def _is_readable(row: RejectedRow) -> bool:
    """A record that could not be split into cells needs a steward's cells first."""
    return row.corrections_sealed is not None or not set(row.reasons) & set(refused.UNREADABLE)


def _batch_of(parent: IngestBatch, run: IngestRun | None, by_id: int | None) -> IngestBatch:
    return IngestBatch.objects.create(
        kind=Kind.REPLAY,
        settled_by_id=by_id,
        parent=parent,
        run=run,
        object_key=parent.object_key,
        last_modified=parent.last_modified,
        business_date=parent.business_date,
        folder=parent.folder,
        source=parent.source,
        dataset=parent.dataset,
        status=Status.LOADING,
        attempts=1,
        lease_until=Now(),
        started_at=Now(),
    )


def header_of(batch: IngestBatch) -> tuple[str, ...]:
    return (*COLUMNS[batch.kind_of_rows].all, *STEWARD_CELLS)


def chunks(rows: "QuerySet[RejectedRow]", header: Sequence[str]) -> Iterator[RefusedRows]:
    """The rows as they are tried: each cell as corrected, else as delivered."""
    ordered = (
        rows.order_by("line").only("batch_id", "line", "raw_sealed", "corrections_sealed").iterator(ROWS_PER_CHUNK)
    )
    while block := [*islice(ordered, ROWS_PER_CHUNK)]:
        yield RefusedRows([row.line for row in block], [_cells(row, header) for row in block])


def _cells(row: RejectedRow, header: Sequence[str]) -> list[str]:
    raw = {column: cell for column, cell in row.raw.items() if column not in STEWARD_CELLS}  # ids of the sender's own
    cells: dict[str, Any] = raw | row.corrections
    return [str(cells.get(column) or "") for column in header]
