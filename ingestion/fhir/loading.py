"""A bundle in the tables: the same code as for a file's rows, in one transaction, all of it or nothing.

Each dataset's lines are a CSV file of their own, kept in the archive beside the bundle as it came: so all that asks
where a row comes from, takes a load back or loads the archive anew needs to know nothing of FHIR.
"""

import csv
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from clinical import access, audit, row_security
from clinical.models import User
from ingestion import load, objects, reader, rows, rules, sources, staging
from ingestion.datasets import COLUMNS, Dataset
from ingestion.fhir.composing import RESOURCES, Composed, Line
from ingestion.fhir.issues import BundleRefused, Issue, element_of
from ingestion.load import events, places
from ingestion.load.context import Load, meet
from ingestion.models import IngestBatch, Kind, Status
from ingestion.objects import ENTRY
from ingestion.reader import Fetched
from ingestion.records import Chunk, Records, records
from ingestion.refusals import PARENT_CODES, FileRefused, code_of
from ingestion.reverting import MODELS
from ingestion.rows import Delivery
from ingestion.sources import Headers, S3Object, StorageError

logger = logging.getLogger(__name__)


@dataclass
class Landed:
    """What became of the lines of one dataset: by entry the row's id, which of them are new, and what was warned of."""

    ids: dict[int, int] = field(default_factory=dict)
    new: set[int] = field(default_factory=set)
    changed_at: dict[int, datetime] = field(default_factory=dict)
    warnings: dict[int, list[Issue]] = field(default_factory=dict)


@dataclass
class _Part:
    """The file of one dataset, and its batch."""

    batch: IngestBatch
    fetched: Fetched
    lines: Sequence[Line]
    entry_of: dict[int, Line] = field(default_factory=dict)  # by the number of the line in the file
    landed: Landed = field(default_factory=Landed)


@contextmanager
def archive() -> Iterator[list[S3Object]]:
    """What is kept of a bundle, from outside its transaction: where that comes to nothing, neither is anything kept.

    Where the connection was lost nobody knows whether the commit was done: then the objects stay, and are named.
    """
    written: list[S3Object] = []
    try:
        yield written
    except BaseException:
        for kept in written:
            _forget(kept)
        raise


def _forget(kept: S3Object) -> None:
    with suppress(StorageError):
        if connection.is_usable():
            sources.delete(kept)
            return
    logger.error("What may be of no stored bundle lies in the archive: %s", kept.key)


@row_security.lifted()
def store(bundle: Composed, body: bytes, user: User, written: list[S3Object]) -> dict[Dataset, Landed]:
    """Raises BundleRefused, or StorageError where the archive is away; then nothing is stored.

    `written` takes what is kept in the archive.
    """
    folder = _Folder(bundle, user, written)
    parts: list[_Part] = []
    try:
        with transaction.atomic():
            issues: list[Issue] = []
            is_torn = False  # some of its patients are refused
            for dataset, lines in bundle.lines.items():
                parts.append(folder.part(dataset, lines))
                issues += _load(parts[-1], user, is_torn=is_torn)
                is_torn = is_torn or (dataset == Dataset.PATIENTS and bool(issues))
            if issues:
                raise BundleRefused(issues)
            is_repeated = all(map(_is_repeated, parts))
            if is_repeated:
                transaction.set_rollback(True)  # nothing has changed, and who said so is known
            else:
                folder.keep(parts, body)
        _note(bundle, parts, user, is_repeated)
    finally:
        for part in parts:
            part.fetched.spool.close()
    return {part.batch.kind_of_rows: part.landed for part in parts}


# --- One dataset


def _load(part: _Part, user: User, *, is_torn: bool) -> list[Issue]:
    """The part's rows in the tables, and the reasons against some of them."""
    batch = part.batch
    load.lock_content(batch.kind_of_rows, part.fetched.sha256)
    try:
        found = records(part.fetched, batch.kind_of_rows)
        delivery = Delivery(batch.kind_of_rows, batch.last_modified, rules.in_force(batch))
        blocks = rows.staged(delivery, rows.delivered(found.header), _one_by_one(found, delivery, part))
        staged = load.stage(batch, found.header, delivery, blocks, found.pick)
    except FileRefused as refused:
        return [Issue(refused.reason)]
    issues = [*_refusals(staged, part, is_torn=is_torn), *_gone(staged, part), *_outside(staged, part, user)]
    counts = load.publish(staged, settle=lambda loaded: _land(loaded, part))
    issues += _deleted(part)
    IngestBatch.objects.filter(pk=batch.pk).update(
        status=Status.LOADED, lease_until=None, finished_at=Now(), warnings=dict(delivery.warnings), **counts
    )
    batch.refresh_from_db()
    return issues


def _one_by_one(found: Records, delivery: Delivery, part: _Part) -> Iterator[Chunk]:
    """Each row by itself, so that it is known what was warned of it."""
    lines = iter(part.lines)
    for chunk in found.chunks():
        for index, (number, cells) in enumerate(zip(chunk.lines, chunk.rows, strict=True)):
            line = part.entry_of[number] = next(lines)
            before = Counter(delivery.warnings)
            yield Chunk([number], [cells], frozenset({0} if index in chunk.suspects else ()))
            for warning in sorted((delivery.warnings - before).elements()):
                at = element_of(part.batch.kind_of_rows, warning, line.entry.at)
                issue = Issue(warning, at, severity="warning")
                part.landed.warnings.setdefault(line.entry.number, []).append(issue)


def _refusals(staged: Load, part: _Part, *, is_torn: bool) -> Iterator[Issue]:
    """Whoever was refused in this very bundle is not also missing."""
    for number, reasons in staging.Reasons.objects.order_by("line").values_list("line", "reasons"):
        own = [reason for reason in reasons if code_of(reason) not in PARENT_CODES]
        for reason in own if is_torn else reasons:
            line = part.entry_of[number]
            at = line.origins.get(reason.partition(":")[2]) or line.entry.at
            yield Issue(reason, element_of(staged.dataset, reason, at))


def _gone(staged: Load, part: _Part) -> Iterator[Issue]:
    """Rows about somebody who was erased were left out."""
    left = {*staged.rows.values_list("line", flat=True)}
    for number in sorted(part.entry_of.keys() - left):
        yield Issue("DELETED_BY_STEWARD", part.entry_of[number].entry.at)


def _outside(staged: Load, part: _Part, user: User) -> Iterator[Issue]:
    """Rows that would land at a facility where the caller may not write: a patient may have moved."""
    resource = RESOURCES[staged.dataset]
    for action in (access.CREATE, access.UPDATE):
        inside = user.access.scope(action, resource)
        if not inside.is_national:
            outside = places.landing_outside(staged, inside).order_by("line").values_list("line", flat=True)
            for number in outside:
                line = part.entry_of[number]
                yield Issue("FACILITY_NOT_FOUND", element_of(staged.dataset, "FACILITY_NOT_FOUND", line.entry.at))
            return


def _land(staged: Load, part: _Part) -> None:
    """Which row each line has become or met; also of those that say again what another line says."""
    if staged.dataset.is_event:
        events.meet_stored(staged)
    else:
        at = places.facility_of_row()
        meet(staged, staged.rows.filter(identity__facility_id=at, identity__merged_into=None), "identity__id")
        meet(staged, staged.rows.filter(alias__facility_id=at), "alias__patient_id")
    landed, model = part.landed, MODELS[staged.dataset]
    met = dict(staging.Known.objects.values_list("line", "row_id"))
    landed.ids = {part.entry_of[number].entry.number: pk for number, pk in met.items()}
    stored = model.objects.filter(pk__in=landed.ids.values())
    landed.new = {*stored.filter(batch_id=part.batch.pk).values_list("pk", flat=True)}
    landed.changed_at = dict(stored.values_list("pk", "updated_at"))


def _deleted(part: _Part) -> Iterator[Issue]:
    rows_ = MODELS[part.batch.kind_of_rows].objects.filter(pk__in=part.landed.ids.values(), deleted_at__isnull=False)
    gone = {*rows_.values_list("pk", flat=True)}
    for line in part.lines:
        if part.landed.ids.get(line.entry.number) in gone:
            yield Issue("DELETED_BY_STEWARD", line.entry.at)


def _is_repeated(part: _Part) -> bool:
    """That it has changed nothing, and its content was taken before."""
    batch = part.batch
    before = IngestBatch.objects.loaded().filter(dataset=batch.dataset, sha256=batch.sha256, source=batch.source)
    return not (batch.inserted or batch.updated) and before.exclude(pk=batch.pk).exists()


def _note(bundle: Composed, parts: Sequence[_Part], user: User, is_repeated: bool) -> None:
    whom = {one.pk for one in bundle.stored.values()}
    for part in parts:
        if part.batch.kind_of_rows == Dataset.PATIENTS:
            whom |= {*part.landed.ids.values()}
        else:
            model = MODELS[part.batch.kind_of_rows]
            whom |= {*model.objects.filter(pk__in=part.landed.ids.values()).values_list("patient_id", flat=True)}
    batches = [] if is_repeated else [part.batch.pk for part in parts]
    counts = {name: total for name in ("inserted", "updated") if (total := sum(getattr(p.batch, name) for p in parts))}
    read = sum(len(part.lines) for part in parts)
    first = batches[0] if batches else None
    audit.note(
        user,
        "load",
        "ingest_batches",
        first,
        patient_ids=sorted(whom),
        rows=read,
        bundle=True,
        batches=batches,
        **counts,
    )


# --- The archive


class _Folder:
    """Where the bundle and its files are kept, and what says so."""

    def __init__(self, bundle: Composed, user: User, written: list[S3Object]) -> None:
        self.at = timezone.now()
        self.day = objects.lagos_day(self.at)
        self.folder = f"{settings.S3_ARCHIVE_PREFIX}{self.day:%Y-%m-%d}/fhir-{uuid4().hex}/"
        self.delivered_to = f"{settings.S3_INPUT_PREFIX}fhir/{user.username}/{bundle.facility.state}/"
        self.written = written

    def part(self, dataset: Dataset, lines: Sequence[Line]) -> _Part:
        body = _csv(dataset, lines)
        fetched = reader.fetch(
            io.BytesIO(body), Headers(len(body), None), is_gzip=False, max_bytes=settings.INGEST_MAX_BYTES
        )
        key = f"{self.delivered_to}{dataset}.csv"
        batch = IngestBatch.objects.create(
            kind=Kind.BUNDLE,
            bucket=settings.S3_BUCKET_NAME,
            object_key=f"{self.folder}{dataset}.csv",
            etag=hashlib.md5(body, usedforsecurity=False).hexdigest(),
            last_modified=self.at,
            size=len(body),
            folder=objects.folder_of(key, settings.S3_INPUT_PREFIX),
            source=objects.source_of(key, settings.S3_INPUT_PREFIX),
            dataset=dataset,
            business_date=self.day,
            sha256=fetched.sha256,
            status=Status.LOADING,
            attempts=1,
            lease_until=Now(),
            started_at=Now(),
        )
        return _Part(batch, fetched, lines)

    def keep(self, parts: Sequence[_Part], body: bytes) -> None:
        """All bytes are safe before any row can be seen."""
        self._put(objects.bundle_key(self.folder), body, hashlib.sha256(body).hexdigest(), parts[0].batch.pk)
        for part in parts:
            part.fetched.spool.seek(0)
            kept = self._put(part.batch.object_key, part.fetched.spool.read(), part.batch.sha256, part.batch.pk)
            IngestBatch.objects.filter(pk=part.batch.pk).update(
                status=Status.ARCHIVED,
                etag=kept.etag,
                version_id=kept.version_id,
                archive_key=F("object_key"),
                archived_at=Now(),
            )

    def _put(self, key: str, body: bytes, sha256: str | None, batch_id: int) -> S3Object:
        delivered_as = f"{self.delivered_to}{objects.file_name(key)}"
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        origin = S3Object(delivered_as, etag, None, self.at, len(body))
        kept = sources.put_new(key, body, sources.custody(origin, self.day, sha256, batch_id))
        self.written.append(kept)
        return kept


def _csv(dataset: Dataset, lines: Sequence[Line]) -> bytes:
    """The lines as a file; each says where in the bundle it comes from."""
    columns = (*COLUMNS[dataset].all, ENTRY)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        cells = line.cells | {ENTRY: f"{objects.BUNDLE}#/entry/{line.entry.number}"}
        writer.writerow([cells.get(column, "") for column in columns])
    return out.getvalue().encode()
