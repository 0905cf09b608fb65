"""What became of a line of a delivered file: one fate each, and together they are the counts of its batch.

Where a row or a refusal bears the line, that decides. Of lines that changed, met or repeated something nothing is kept:
the file is staged once more by the code that loads, against today's tables, and all of that is rolled back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unicodedata import normalize
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet, TextChoices

from clinical import row_security
from clinical.models import Revision
from ingestion import load, originals, rows, rules
from ingestion.cells import dumped
from ingestion.load import events, refused
from ingestion.load.context import Load
from ingestion.models import LOADED, IngestBatch, RejectedRow, RuleUse
from ingestion.originals import Part, Place
from ingestion.records import Records
from ingestion.refusals import FileRefused
from ingestion.reverting import MODELS
from ingestion.rows import Delivery
from ingestion.sources import StorageError
from ingestion.staging import Known, Stopped


class Fate(TextChoices):
    HEADER = "header", "It is the header."
    BLANK = "blank", "It is blank, and was skipped."
    INSERTED = "inserted", "It became a new row."
    UPDATED = "updated", "It changed a row that was stored already."
    UNCHANGED = "unchanged", "It said what was stored already, and changed nothing."
    COLLAPSED = "collapsed", "Another line of its file says the same, and was taken instead."
    REFUSED = "refused", "It was refused."
    PARKED = "parked", "It came in by a rule that was taken back since, and was put among the refused rows."
    NOT_LOADED = "not_loaded", "Nothing of its file was loaded."
    REVERTED = "reverted", "Its batch was loaded, and taken back since."
    NO_LINE = "no_line", "The file has no such line."
    UNKNOWN = "unknown", "The file cannot be read at the moment, and no row bears the line; ask again later."


@dataclass(frozen=True)
class LineFate:
    """What became of the record that starts on `line`."""

    batch: IngestBatch  # of the file
    line: int
    fate: Fate
    raw: Mapping[str, Any] | None = None  # its cells, where they could be read
    row_id: int | None = None  # of the dataset's table: what it became, changed or met
    refused: RejectedRow | None = None
    other_line: int | None = None  # the one that counts instead of it

    @property
    def meaning(self) -> str:
        return str(self.fate.label)


@row_security.lifted()
def of_line(batch: IngestBatch, line: int) -> LineFate:
    """Of a physical line: one inside a record that spans several tells what became of the record."""
    batch = batch.parent or batch
    try:
        place = originals.find(batch, line) if batch.dataset else None
    except (StorageError, FileRefused, OSError):
        place = None
    if place and place.part != Part.RECORD:
        return LineFate(batch, line, _OF_PART[place.part])
    return _of_record(batch, line, place)


_OF_PART = {Part.HEADER: Fate.HEADER, Part.BLANK: Fate.BLANK, Part.NONE: Fate.NO_LINE}


def _of_record(batch: IngestBatch, line: int, place: Place | None) -> LineFate:
    start, raw = (place.start, place.raw) if place else (line, None)
    if batch.status not in LOADED:
        return LineFate(batch, start, Fate.NOT_LOADED, raw)
    if batch.reverted_at:
        return LineFate(batch, start, Fate.REVERTED, raw)
    if row_id := MODELS[batch.kind_of_rows].objects.filter(batch_id=batch.pk, line=start).values("pk").first():
        return LineFate(batch, start, Fate.INSERTED, raw, row_id["pk"])
    if row := RejectedRow.objects.filter(batch=batch, line=start).first():
        return LineFate(batch, start, _fate_of(row), raw or row.raw, row.became_id, row)
    if place is None:
        return LineFate(batch, start, Fate.UNKNOWN)
    try:
        with _staged_again(batch, start) as look:
            return look.of(start, raw or {})
    except StorageError:
        return LineFate(batch, start, Fate.UNKNOWN, raw)


def _fate_of(row: RejectedRow) -> Fate:
    """Of a line that stands among the refused rows: put there by its load, or later by whoever took a rule back."""
    finished_at = row.batch.finished_at
    return Fate.PARKED if finished_at and row.first_seen_at > finished_at else Fate.REFUSED


@row_security.lifted()
def counts(batch: IngestBatch) -> Counter[Fate]:
    """How many records of a loaded file met which fate; blank lines apart. Raises StorageError."""
    own: dict[int, Fate] = {}
    for row in RejectedRow.objects.filter(batch=batch).select_related("batch"):
        own[row.line] = _fate_of(row)
    stored = MODELS[batch.kind_of_rows].objects.filter(batch_id=batch.pk)
    own |= dict.fromkeys(stored.values_list("line", flat=True), Fate.INSERTED)
    with _staged_again(batch) as look:
        rest = sorted({*look.load.rows.values_list("line", flat=True)} - own.keys())
        header = rows.delivered(look.file.header)
        raw = {line: rows.as_kept(header, cells) for line, cells in look.file.pick(rest)}
        return Counter(own.values()) + Counter(look.of(line, raw[line]).fate for line in rest)


@contextmanager
def _staged_again(batch: IngestBatch, line: int | None = None) -> Iterator["_Look"]:
    """By the rules by which it was loaded. Nothing waits for it, and nothing stays of it.

    Of one line, the whole file only where lines of it have collapsed into others, whoever they are.
    """
    with originals.opened(batch) as found, transaction.atomic():
        near = None if line is None or batch.collapsed else _same_name(batch, found, line)
        chunks = found.chunks() if near is None else originals.chunks_of(found, near)
        delivery = Delivery(batch.kind_of_rows, batch.last_modified, rules.used_by(batch))
        blocks = rows.staged(delivery, rows.delivered(found.header), chunks)
        staged = load.stage(batch, found.header, delivery, blocks, found.pick, is_look=True)
        said_before = {}
        if staged.dataset.is_event:
            said_before = events.said_before(staged)
            events.meet_stored(staged)
        yield _Look(staged, found, said_before)
        transaction.set_rollback(True)


def _same_name(batch: IngestBatch, found: Records, line: int) -> list[int]:
    """The line, and of events all that may be numbered with it: those of the same name, roughly written."""
    if not batch.kind_of_rows.is_event:
        return [line]
    cells = [found.header.index(column) for column in ("patient_first_name", "patient_last_name")]
    names = {}
    for chunk in found.chunks():
        for start, row in zip(chunk.lines, chunk.rows, strict=True):
            names[start] = _roughly("".join(row[cell] for cell in cells if cell < len(row)))
    return [start for start, name in names.items() if name == names[line]]


def _roughly(name: str) -> str:
    return "".join(filter(str.isalnum, normalize("NFKD", name))).casefold()


@dataclass
class _Look:
    """A file as it would be loaded today: what is not borne by a row tells so what it was."""

    load: Load
    file: Records
    said_before: Mapping[int, int]

    def of(self, line: int, raw: Mapping[str, Any]) -> LineFate:
        batch = self.load.batch
        met, day, ordinal = self._rows[line]
        if row := self._seen_again.get(line) or self._before.get((self.load.hashes.of(dumped(raw)), day, ordinal)):
            return LineFate(batch, line, self._fate_of(row), raw, row.became_id, row)
        if batch.collapsed and (line in self.said_before or line in self._collapsed):
            other = self.said_before.get(line) or self._standing.get(met)
            return LineFate(batch, line, Fate.COLLAPSED, raw, met, other_line=other)
        met = met or RuleUse.objects.filter(batch=batch, line=line).values_list("row_id", flat=True).first()
        return LineFate(batch, line, Fate.UPDATED if met in self._changed else Fate.UNCHANGED, raw, met)

    def _fate_of(self, row: RejectedRow) -> Fate:
        """Of one that was refused in an earlier file: it may have been replayed before this one came."""
        settled_at, finished_at = row.settled_at, self.load.batch.finished_at
        is_in = row.state == RejectedRow.State.REPLAYED and settled_at and finished_at and settled_at <= finished_at
        return Fate.UNCHANGED if is_in else Fate.REFUSED

    @cached_property
    def _rows(self) -> dict[int, tuple[int | None, Any, int]]:
        """By line the stored row that it meets; of an event also its day and ordinal."""
        if not self.load.dataset.is_event:
            return {line: (met, None, 1) for line, met in self.load.rows.values_list("line", "known__row_id")}
        found = self.load.rows.annotate(day=events.event_on(self.load), nth=events.ordinal())
        told = found.values_list("line", "known__row_id", "day", "nth")
        return {line: (met, day, nth) for line, met, day, nth in told}

    @cached_property
    def _changed(self) -> set[int | None]:
        """The rows that the batch has changed, and those that stand for them now."""
        batch = self.load.batch
        changed = Revision.objects.filter(batch_id=batch.pk, table=batch.dataset, became__isnull=False)
        ids: set[int | None] = {*changed.values_list("object_id", flat=True)}
        if not self.load.dataset.is_event:
            merged = MODELS[self.load.dataset].objects.filter(pk__in=ids, merged_into__isnull=False)
            ids |= {*merged.values_list("merged_into_id", flat=True)}
        return ids

    # --- Said elsewhere in the file

    @cached_property
    def _collapsed(self) -> set[int]:
        return {*Stopped.objects.filter(reason=None).values_list("line", flat=True)}

    @cached_property
    def _standing(self) -> dict[int | None, int]:
        """By the stored row that they meet, the lines into which others have collapsed."""
        met = Known.objects.filter(line__in=self._collapsed).values("row_id")
        found = self.load.good.filter(known__row_id__in=met).values_list("known__row_id", "line")
        return dict(found)

    # --- Refused before

    def _earlier(self) -> "QuerySet[RejectedRow]":
        """Of earlier files of the source, what this one may have repeated while it was refused."""
        batch = self.load.batch
        rows = RejectedRow.objects.filter(dataset=batch.dataset, source=batch.source, times_seen__gt=1)
        return rows.filter(last_seen_at__gte=batch.started_at, first_seen_at__lt=batch.finished_at).exclude(batch=batch)

    @cached_property
    def _seen_again(self) -> dict[int, RejectedRow]:
        """By line, where it would be refused today as well."""
        earlier = self._earlier().in_bulk()
        seen = refused.seen(self.load).values_list("line", "seen__id")
        return {line: earlier[pk] for line, pk in seen if pk in earlier}

    @cached_property
    def _before(self) -> dict[tuple[UUID | None, Any, int], RejectedRow]:
        return {(row.raw_hash, row.event_on, row.ordinal): row for row in self._earlier()}
