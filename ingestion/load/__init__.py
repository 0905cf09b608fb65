"""From records to tables, set-based, inside one transaction that the caller owns. The only bulk writer.

stage → resolve → judge → publish. Callers never learn which way a row went; they get counts, warnings, or `Held`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from tempfile import TemporaryFile
from typing import Any

from django.db.models import BigIntegerField, Count, F, Func, QuerySet, TextField, Value

from clinical import geography
from clinical.access import Scope
from clinical.locks import oldest_writer
from ingestion import failpoints, rows, rules, staging
from ingestion.datasets import Dataset
from ingestion.load import events, facilities, patients, places, refused, uses
from ingestion.load.context import Load, end_session, lock_content, prepare_session
from ingestion.models import IngestBatch, RejectedRow, Release, Source
from ingestion.models.excluded import Places
from ingestion.objects import folder_state
from ingestion.rows import Chunk, Delivery
from ingestion.upsert import upsert

__all__ = ["Held", "begin", "judge", "lock_content", "places_of", "publish", "stage", "stage_again"]
SPOOL_BLOCK = 1 << 18
ERROR_RATIO, ERRORS_AT_LEAST = 0.1, 20
_SUBJECTS: dict[Dataset, Any] = {
    Dataset.FACILITIES: facilities,
    Dataset.PATIENTS: patients,
    Dataset.MEDICAL_RECORDS: events,
    Dataset.TRIAGE_VISITS: events,
}


class Held(Exception):
    """The rows were read and judged, and a steward must say whether they may load; nothing was written."""

    def __init__(self, reasons: list[str], evidence: dict[str, Any], places: Places) -> None:
        super().__init__(", ".join(reasons))
        self.reasons, self.evidence, self.places = reasons, evidence, places


def stage(
    batch: IngestBatch,
    header: Sequence[str],
    delivery: Delivery,
    blocks: Iterator[bytes],
    pick: refused.Pick,
    *,
    is_look: bool = False,
) -> Load:
    """Reads and judges every row against the tables; writes none of them. Raises what the blocks raise.

    `is_look`: none will be written, whatever comes of it.
    """
    header = rows.delivered(header)
    load = begin(batch, header, delivery, blocks, is_look=is_look)
    _SUBJECTS[load.dataset].resolve(load)
    refused.stage(load, header, pick)
    return load


def stage_again(
    batch: IngestBatch, again: "QuerySet[RejectedRow]", header: Sequence[str], chunks: Iterable[Chunk], inside: Scope
) -> Load:
    """The same for refused rows, whose ordinals were fixed when their file was read.

    Names are resolved among all facilities; what would land outside the scope of who asked is refused like a facility
    that is not there.
    """
    delivery = Delivery(batch.kind_of_rows, batch.last_modified, rules.in_force(batch))
    with TemporaryFile() as spool:  # they come from the very connection that COPY is about to occupy
        spool.writelines(rows.staged(delivery, header, chunks))
        spool.seek(0)
        load = begin(batch, header, delivery, iter(partial(spool.read, SPOOL_BLOCK), b""))
    refused.number_replayed(load, again)
    _SUBJECTS[load.dataset].resolve(load)
    if not inside.is_national:
        load.stop(places.landing_outside(load, inside), "FACILITY_NOT_FOUND")
    refused.stage(load, header, lambda lines: ((line, ()) for line in lines))
    return load


def begin(
    batch: IngestBatch, header: Sequence[str], delivery: Delivery, blocks: Iterator[bytes], *, is_look: bool = False
) -> Load:
    """The rows cleaned, in tables that go with this transaction; nothing is asked of the clinical tables."""
    prepare_session(batch)
    looked_at = oldest_writer()
    dataset = batch.kind_of_rows
    model = staging.create(dataset)
    staging.copy(model, rows.columns_of(delivery, header), blocks)
    failpoints.at("mid_validate")
    load = Load(
        batch,
        dataset,
        delivery,
        model,
        folder_state=folder_state(batch.folder),
        is_replay=batch.parent_id is not None,
        is_snapshot=_is_snapshot(batch),
        looked_at=looked_at,
        is_look=is_look,
    )
    reasons = load.rows.filter(reasons__isnull=False)
    upsert(
        staging.Stopped,
        reasons,
        {"line": "line", "reason": Func(F("reasons"), function="unnest", output_field=TextField())},
    )
    return load


def _is_snapshot(batch: IngestBatch) -> bool:
    """A steward's answer for the batch, else the one kept for its source."""
    if batch.release_as:
        return batch.release_as == Release.SNAPSHOT
    return Source.objects.filter(source=batch.source, delivers=Source.Delivers.SNAPSHOT).exists()


def judge(load: Load) -> int:
    """How many rows are refused for their own content. Raises Held where they are so many, or so much was loaded
    before, that a steward must say what the delivery is."""
    own = refused.count_own(load)
    if load.batch.release_as or load.is_replay:
        return own
    reasons = []
    if own >= ERRORS_AT_LEAST and own > ERROR_RATIO * load.delivery.rows_read:
        reasons.append("ROW_ERROR_RATIO")
    is_asked = load.dataset.is_event and not Source.objects.filter(source=load.batch.source).exists()
    overlap = events.overlap(load) if is_asked else events.Overlap()
    if overlap.share > events.OVERLAP:
        reasons.append("OVERLAP_SUSPECT")
    if reasons:
        raise Held(reasons, _evidence(load, own, overlap), places_of(load))
    return own


def places_of(load: Load) -> Places:
    """How many of the staged rows are of which facility, else of which state, as far as either is known."""
    known: Any = {"at": Value(None, BigIntegerField()), "named": F("state")}
    if load.dataset != Dataset.FACILITIES:
        known = {"at": refused.facility(), "named": F("facility_state")}
    found: Counter[tuple[int | None, str | None]] = Counter()
    for at, named, count in load.rows.values_list(known["at"], known["named"]).annotate(Count("line")):
        state = named if named in geography.STATES else load.folder_state
        found[(at, None) if at else (None, state)] += count
    return found


def _evidence(load: Load, own: int, overlap: events.Overlap) -> dict[str, Any]:
    """Counts and line numbers only: what a steward needs to decide, and nothing of a patient."""
    stopped = staging.Stopped.objects.filter(reason__isnull=False)
    by_reason: Counter[str] = Counter(stopped.values_list("reason", flat=True))
    first_lines = [*stopped.order_by("line").values_list("line", flat=True)[:20]]
    return {
        "rows_read": load.delivery.rows_read,
        "refused_for_own_content": own,
        "reasons": dict(by_reason.most_common()),
        "first_lines": sorted({*first_lines}),
        "overlap_pct": round(100 * overlap.share, 1),
        "overlap": overlap._asdict(),
    }


def publish(load: Load, settle: Callable[[Load], None] = refused.keep) -> dict[str, int]:
    """Writes the good rows and keeps (or, of a replay, settles) the refused ones; returns counts that add up."""
    counts = load.counts = dict.fromkeys(("inserted", "updated", "unchanged", "collapsed", "rejected"), 0)
    _SUBJECTS[load.dataset].publish(load)
    failpoints.at("mid_upsert")
    counts["rejected"] = staging.Reasons.objects.count()
    settle(load)
    uses.note(load)
    counts["collapsed"] += staging.Stopped.objects.filter(reason=None).count()
    counts["rows_read"] = load.delivery.rows_read
    settled = ("inserted", "updated", "collapsed", "rejected")
    counts["unchanged"] = counts["rows_read"] - sum(counts[name] for name in settled)
    staging.drop()
    end_session()
    return counts
