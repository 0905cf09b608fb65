"""Refused rows with their evidence: staged with their raw cells, judged as a whole, kept one per row ever delivered."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.contrib.postgres.functions import TransactionNow
from django.db import connection
from django.db.models import Case, F, OuterRef, QuerySet, Subquery, TextField, Value, When, Window
from django.db.models.functions import Coalesce, RowNumber

from clinical import sealing
from clinical.keyed import Hashes
from ingestion import cells, failpoints, staging
from ingestion.datasets import Dataset
from ingestion.load import events
from ingestion.load.context import Load
from ingestion.models import RejectedRow
from ingestion.refusals import PARENT_CODES
from ingestion.rows import as_kept, csv_block
from ingestion.staging import Keyed, Known, RawRow, Reasons, Refusal, Stopped
from ingestion.upsert import upsert

Pick = Callable[[list[int]], Iterable[tuple[int, Sequence[str]]]]
RAW = ("line", "raw_sealed", "raw_hash", "named_state", "cell_keys")
RAW_SEALED = sealing.field_of(RejectedRow, "raw_sealed")
UNREADABLE = ("FIELD_COUNT", "QUOTE_SUSPECT")
ROWS_PER_BLOCK = 2000


def stage(load: Load, header: Sequence[str], pick: Pick) -> None:
    """Puts together what will be kept of each refused row; the raw cells are read from the file a second time."""
    reasons = (
        Stopped.objects.filter(reason__isnull=False).values("line").annotate(all=ArrayAgg("reason", order_by="reason"))
    )
    if not upsert(Reasons, reasons, {"line": "line", "reasons": "all"}):
        return
    whys = _Whys()
    load.hashes  # noqa: B018  asked for now: the connection is about to be taken by COPY
    staging.copy(RawRow, RAW, _blocks(load, header, pick(whys.lines), whys))
    staging.analyze(Reasons)
    rows = load.rows.filter(why__reasons__isnull=False)
    nth = Window(RowNumber(), partition_by=["raw_row__raw_hash"], order_by="line")
    if load.dataset.is_event:
        is_void = {"reasons__overlap": UNREADABLE}
        _stage(load, rows.exclude(reasons__isnull=False, **is_void), events.ordinal(), header)
        rows = rows.filter(**is_void)
    _stage(load, rows, nth, header)
    staging.analyze(Refusal)


def _stage(load: Load, rows: "QuerySet[Any, Any]", ordinal: Any, header: Sequence[str]) -> None:
    columns: dict[str, Any] = {
        "line": "line",
        "reasons": "why__reasons",
        "ordinal": ordinal,
    } | {name: f"raw_row__{name}" for name in RAW if name != "line"}
    if load.dataset.is_event:
        columns["event_on"] = events.event_on(load)
    if load.dataset != Dataset.FACILITIES:
        columns |= {name: Keyed(name) for name in ("facility_key", "first_name_key", "last_name_key")}
        columns["facility_id"] = facility()
    upsert(Refusal, rows, columns)


def facility() -> Coalesce:
    """Of a staged row of a patient or event; null where it is unknown or uncertain."""
    return Coalesce("given_facility_id", Case(When(place__candidates=1, then="place__facility_id")))


class _Whys:
    """The refused lines and each one's reasons: by number, since there are few kinds and maybe a million lines."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self._kinds: list[tuple[str, ...]] = []
        self._kind_of = array("L")
        known: dict[tuple[str, ...], int] = {}
        for line, reasons in Reasons.objects.order_by("line").values_list("line", "reasons").iterator(ROWS_PER_BLOCK):
            kind = known.setdefault(tuple(reasons), len(known))
            self.lines.append(line)
            self._kind_of.append(kind)
        self._kinds.extend(known)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return (self._kinds[kind] for kind in self._kind_of)


def _blocks(
    load: Load, header: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]], whys: Iterable[tuple[str, ...]]
) -> Iterator[bytes]:
    numbered = zip(rows, whys, strict=True)
    while block := [*islice(numbered, ROWS_PER_BLOCK)]:
        yield csv_block(_kept(load, header, line, row, reasons) for (line, row), reasons in block)


def _kept(
    load: Load, header: Sequence[str], line: int, row: Sequence[str], reasons: Iterable[str]
) -> tuple[int, str, str, str, str]:
    """What is kept of the cells, in the order of RAW. Of a replay nothing: it is there already."""
    kept = cells.kept(as_kept(header, row) if row else {}, reasons, load.hashes)
    raw = sealing.seal(kept.raw, RAW_SEALED.place((load.batch.pk, line)))
    return line, f"\\x{raw.hex()}", kept.raw_hash.hex, kept.named_state or "", cells.dumped(kept.cell_keys)


def seen(load: Load) -> "QuerySet[Any, Any]":
    """Those that were refused before: the same cells from the same source, for events on the same day."""
    rows = Refusal.objects.filter(seen__dataset=load.dataset, seen__source=load.batch.source)
    return rows.filter(seen__event_on=F("event_on") if load.dataset.is_event else None)


def count_own(load: Load) -> int:
    """Rows refused for their own content that nobody has dealt with: what makes a file suspect as a whole."""
    own = Stopped.objects.filter(reason__isnull=False).exclude(reason__in=PARENT_CODES)
    settled = seen(load).exclude(seen__state=RejectedRow.State.OPEN)
    return own.exclude(line__in=settled.values("line")).values("line").distinct().count()


def keep(load: Load) -> None:
    """Keeps what is new and counts what was seen before; a row that was replayed since is no refusal any more."""
    counts = load.counts
    if not counts["rejected"]:
        return
    before = seen(load)
    counts["rejected"] -= before.filter(seen__state=RejectedRow.State.REPLAYED).count()
    known = RejectedRow.objects.filter(pk__in=[*before.values_list("seen__id", flat=True)])
    new = Refusal.objects.exclude(line__in=before.values("line"))
    columns = {f.attname: f.attname for f in Refusal._meta.concrete_fields}
    upsert(
        RejectedRow,
        new,
        columns
        | {
            "batch_id": Value(load.batch.pk),
            "dataset": Value(load.dataset.value, TextField()),
            "source": Value(load.batch.source, TextField()),
            "state": Value(RejectedRow.State.OPEN.value, TextField()),
            "times_seen": Value(1),
            "settled_why": Value("", TextField()),
            "tried_at": Value(load.looked_at),
        },
        ignore_conflicts=True,
    )
    failpoints.at("mid_quarantine")
    known.update(times_seen=F("times_seen") + 1, last_seen_at=TransactionNow())


# --- Replays: the refused rows are there already


def number_replayed(load: Load, rows: "QuerySet[RejectedRow]") -> None:
    if load.dataset.is_event:
        upsert(staging.Repeated, rows.filter(ordinal__gt=1), {"line": "line", "ordinal": "ordinal"})


def settle_replayed(load: Load, by_id: int | None) -> None:
    """What landed is linked with what it became; what did not says why now."""
    # By their lines, which are staged: thousands of ids in a statement would be compared row by row.
    rows = RejectedRow.objects.filter(batch=load.batch.parent_id, line__in=load.rows.values("line"))
    rows = rows.filter(state=RejectedRow.State.OPEN)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX ON {connection.ops.quote_name(Reasons._meta.db_table)} (line)")
    refused = Reasons.objects.filter(line=OuterRef("line"))
    became = Known.objects.filter(line=OuterRef("line")).values("row_id")[:1]
    still = Reasons.objects.values("line")
    now = Subquery(refused.values("reasons")[:1])
    others = [*rows.filter(line__in=still).annotate(now=now).exclude(reasons=F("now")).values_list("pk", flat=True)]
    rows.filter(line__in=still).update(reasons=now, tried_at=load.looked_at)
    _key_anew(others, load.hashes)
    rows.exclude(line__in=still).update(
        state=RejectedRow.State.REPLAYED,
        settled_at=TransactionNow(),
        settled_by_id=by_id,
        replay_batch=load.batch,
        became_id=Subquery(became),
        tried_at=load.looked_at,
    )


def _key_anew(ids: Sequence[int], hashes: Hashes) -> None:
    """Their reasons have changed, and may speak of cells that have no hash yet."""
    for start in range(0, len(ids), ROWS_PER_BLOCK):
        rows = [*RejectedRow.objects.filter(pk__in=ids[start : start + ROWS_PER_BLOCK])]
        for row in rows:
            row.cell_keys = cells.keys_of(row.cells, row.reasons, hashes)
        RejectedRow.objects.write_cells(rows)
