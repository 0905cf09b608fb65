"""Whether stored rows are what was delivered: read again from raw cells, corrections and rules by the code that loads,
and compared with what is stored, less every change that has been recorded since. Writes nothing that stays."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryFile
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Cast, JSONObject

from clinical import history
from ingestion import load, originals, replay, rows, rules
from ingestion.datasets import Dataset
from ingestion.load import events, facilities, patients
from ingestion.load.context import Load
from ingestion.models import IngestBatch, RejectedRow
from ingestion.reverting import MODELS
from ingestion.rows import Chunk, Delivery

BLOCK = 1 << 18


def unexplained(batch: IngestBatch, lines: Collection[int]) -> dict[int, dict[str, tuple[Any, Any]]]:
    """Of the rows that these lines became: by line, the columns that say something else than line, corrections, rules
    and recorded changes together: (derived, stored). Empty where all is explained. Raises StorageError.
    """
    table = batch.kind_of_rows.value
    stored = MODELS[batch.kind_of_rows].objects.filter(batch_id=batch.pk, line__in=lines)
    ids = dict(stored.values_list("line", "pk"))
    first = history.at_first(table, ids.values())
    found = {}
    for line, derived in derive(batch, ids).items():
        row = first[ids[line]]
        differing = {name: (value, row[name]) for name, value in derived.items() if row[name] != value}
        if differing:
            found[line] = differing
    return found


def derive(batch: IngestBatch, lines: Collection[int]) -> dict[int, dict[str, Any]]:
    """By line, what its cells say for the columns of a new row, as it stands in JSON."""
    with _cells(batch, sorted(lines)) as (header, chunks), transaction.atomic(), TemporaryFile() as spool:
        delivery = Delivery(batch.kind_of_rows, batch.last_modified, rules.used_by(batch))
        spool.writelines(rows.staged(delivery, header, chunks))  # refused rows come from the connection that COPY takes
        spool.seek(0)
        staged = load.begin(batch, header, delivery, iter(partial(spool.read, BLOCK), b""), is_look=True)
        found = dict(staged.rows.values_list("line", JSONObject(**_columns(staged))))
        transaction.set_rollback(True)
    return found


def _columns(staged: Load) -> dict[str, Any]:
    model = MODELS[staged.dataset]
    inserted = {Dataset.FACILITIES: facilities.INSERTED, Dataset.PATIENTS: patients.INSERTED}
    if staged.dataset.is_event:
        columns = events.said(staged)
    else:
        columns = {name: name for name in inserted[staged.dataset] if name != "line"}
    return {
        name: Cast(F(said) if isinstance(said, str) else said, model._meta.get_field(name))
        for name, said in columns.items()
    }


@contextmanager
def _cells(batch: IngestBatch, lines: Sequence[int]) -> Iterator[tuple[Sequence[str], Iterator[Chunk]]]:
    if batch.parent_id:
        # Of rows whose cells were purged nothing can be derived, and nothing is claimed.
        ours = RejectedRow.objects.filter(replay_batch=batch, line__in=lines, raw_sealed__isnull=False)
        header = replay.header_of(batch)
        yield header, replay.chunks(ours, header)
        return
    with originals.opened(batch) as found:
        yield rows.delivered(found.header), originals.chunks_of(found, lines)
