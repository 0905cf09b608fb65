"""Takes back what a batch, or some of its lines, did to the tables: new rows go, changed ones are as before.

All or nothing, in one transaction: where anything has been built on it since, nothing is touched and that is listed.
Past files stay where they are; delivered again, they load anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from clinical import audit, locks, row_security, undo
from clinical.models import (
    DuplicatePair,
    Facility,
    FacilityAlias,
    MedicalRecord,
    Membership,
    Merge,
    Patient,
    PatientAlias,
    Revision,
    TriageVisit,
)
from ingestion.datasets import Dataset
from ingestion.load.context import lock_whole
from ingestion.models import LOADED, IngestBatch, RejectedRow, Release, Rule, RuleUse, Sighting, Source
from ingestion.stewards import TABLE, NotPossible

if TYPE_CHECKING:
    from clinical.models import User

MODELS: dict[Dataset, Any] = {
    Dataset.FACILITIES: Facility,
    Dataset.PATIENTS: Patient,
    Dataset.MEDICAL_RECORDS: MedicalRecord,
    Dataset.TRIAGE_VISITS: TriageVisit,
}
MOST_LISTED = 200


class Obstacle(NamedTuple):
    """Something later that rests on a row, in words that name no person."""

    table: str
    object_id: int
    what: str


class Obstructed(NotPossible):
    """Later changes would be lost."""

    def __init__(self, obstacles: list[Obstacle]) -> None:
        super().__init__(f"{len(obstacles)} later changes rest on these rows; undo those first.")
        self.obstacles = obstacles


@dataclass
class Footprint:
    """What one batch, or some of its lines, left in the tables."""

    batch: IngestBatch
    new_ids: list[int] = field(default_factory=list)
    changed: "QuerySet[Revision]" = field(default_factory=Revision.objects.none)
    uses: "QuerySet[RuleUse]" = field(default_factory=RuleUse.objects.none)

    @property
    def table(self) -> str:
        return self.batch.kind_of_rows.value

    @property
    def changed_ids(self) -> set[int]:
        return {*self.changed.values_list("object_id", flat=True)}


def footprint(batch: IngestBatch, uses: "QuerySet[RuleUse] | None" = None) -> Footprint:
    """Of the whole batch, or of the lines of these uses."""
    model = MODELS[batch.kind_of_rows]
    new = model.objects.filter(batch_id=batch.pk)
    changed = Revision.objects.filter(batch_id=batch.pk, table=batch.dataset, became__isnull=False)
    if uses is not None:
        new = new.filter(line__in=uses.values("line"))
        changed = changed.filter(object_id__in=uses.exclude(row_id=None).values("row_id"))
    else:
        uses = RuleUse.objects.filter(batch=batch)
    return Footprint(batch, [*new.order_by("pk").values_list("pk", flat=True)], changed, uses)


@dataclass(frozen=True)
class Plan:
    """What reverting a batch would do, for the person who decides it."""

    footprints: list[Footprint]
    obstacles: list[Obstacle]

    @property
    def new_rows(self) -> int:
        return sum(len(one.new_ids) for one in self.footprints)

    @property
    def changed_rows(self) -> int:
        return sum(len(one.changed_ids) for one in self.footprints)

    @property
    def refused_rows(self) -> int:
        return RejectedRow.objects.filter(batch__in=[one.batch.pk for one in self.footprints]).count()

    @property
    def parked_again(self) -> int:
        return RejectedRow.objects.filter(replay_batch__in=[one.batch.pk for one in self.footprints]).count()


@row_security.lifted()
def plan(batch: IngestBatch) -> Plan:
    """Looks, and changes nothing. Replays of the batch's rows go with it."""
    with transaction.atomic(), audit.unhurried():
        footprints = [footprint(one) for one in _with_replays(batch)]
        return Plan(footprints, [obstacle for one in footprints for obstacle in obstacles(one)])


@row_security.lifted()
def revert(batch: IngestBatch, *, reason: str, by: "User | None") -> Plan:
    """Takes the batch and the replays of its rows back. Raises NotPossible, or Obstructed with what stands against."""
    if not reason.strip():
        raise NotPossible("Say why the batch is taken back.")
    with audit.acting(by, "revert", TABLE, batch.pk), audit.unhurried():
        batch = IngestBatch.objects.select_for_update().get(pk=batch.pk)
        if batch.status not in LOADED or batch.reverted_at:
            raise NotPossible(f"Batch {batch.pk} has nothing in the tables: it is {_what_it_is(batch)}.")
        _lock(batch.kind_of_rows)
        planned = plan(batch)
        if planned.obstacles:
            raise Obstructed(planned.obstacles)
        for one in planned.footprints:
            remove(one)
            one.uses.delete()
            _settle_refused(one.batch)
            IngestBatch.objects.filter(pk=one.batch.pk).update(
                reverted_at=Now(), reverted_by=by, reverted_why=reason.strip()
            )
    return planned


def _lock(dataset: Dataset) -> None:
    """Patient for as long as a page may take."""
    try:
        with locks.impatient():
            lock_whole(dataset)
    except OperationalError:
        raise NotPossible("A load is at work; try again when it is done.") from None


def _what_it_is(batch: IngestBatch) -> str:
    return "taken back already" if batch.reverted_at else batch.status


def _with_replays(batch: IngestBatch) -> list[IngestBatch]:
    """The newest first."""
    return [*batch.replays.loaded().order_by("-pk"), batch]


def remove(one: Footprint) -> None:
    """The rows as they were before; the caller has looked for obstacles in this transaction."""
    try:
        with transaction.atomic(), audit.putting_back():
            undo.put_back(one.changed)
            _let_go(one)
            with connection.cursor() as cursor:
                table = connection.ops.quote_name(one.table)
                cursor.execute(f"DELETE FROM {table} WHERE id = ANY(%s)", [one.new_ids])  # noqa: S608  a dataset
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    except IntegrityError:
        raise NotPossible("Something was built on these rows at this very moment; look again.") from None


def _let_go(one: Footprint) -> None:
    """What merely mentions the new rows: a refused row's place, a former name, the question whether two are one."""
    pairs = DuplicatePair.objects.filter(table=one.table)
    pairs.filter(Q(low_id__in=one.new_ids) | Q(high_id__in=one.new_ids)).delete()
    if one.batch.kind_of_rows == Dataset.FACILITIES:
        RejectedRow.objects.filter(facility__in=one.new_ids).update(facility=None)
        FacilityAlias.objects.filter(facility__in=one.new_ids).delete()
    if one.batch.kind_of_rows == Dataset.PATIENTS:
        PatientAlias.objects.filter(patient__in=one.new_ids).delete()


def _settle_refused(batch: IngestBatch) -> None:
    """What it parked has never come; what it let in waits again."""
    Sighting.objects.filter(batch=batch).delete()
    unsettle(batch, RejectedRow.objects.all())
    if batch.parent_id is None:
        _forget_parked(batch)


def _forget_parked(batch: IngestBatch) -> None:
    """Open rows that only deliveries which were taken back have held. A row that was seen again may be held by a later
    one of its source."""
    rows = RejectedRow.objects.filter(dataset=batch.dataset, source=batch.source, state=RejectedRow.State.OPEN)
    later = IngestBatch.objects.loaded().filter(
        dataset=batch.dataset, source=batch.source, parent=None, pk__gt=OuterRef("batch_id")
    )
    taken_back = Q(batch=batch) | Q(batch__reverted_at__isnull=False)
    rows.filter(taken_back, Q(times_seen=1) | ~Exists(later.exclude(pk=batch.pk))).delete()


def unsettle(replay: IngestBatch, rows: "QuerySet[RejectedRow]") -> None:
    """The refused rows among these that the replay has tried are as before it, with what people had put in them."""
    tried = Revision.objects.filter(batch_id=replay.pk, table="rejected_rows", object_id__in=rows.values("pk"))
    with audit.putting_back():
        undo.put_back(tried)


# --- What stands against it


def obstacles(one: Footprint) -> list[Obstacle]:
    """At most MOST_LISTED of each kind."""
    found = [
        *_changed_later(one),
        *_referred_to(one),
        *_seen_again(one),
        *_said_again(one),
        *_replayed_onto(one),
        *_without_cells(one),
    ]
    return [*dict.fromkeys(found)]


def _changed_later(one: Footprint) -> Iterable[Obstacle]:
    later = undo.changed_since(one.changed)
    later += undo.changed_since(Revision.objects.filter(table=one.table, object_id__in=one.new_ids), to_the_first=True)
    for row in later[:MOST_LISTED]:
        yield Obstacle(row.table, row.object_id, f"was changed later: {', '.join(row.columns)}")


_REFERRERS: dict[Dataset, list[tuple[Any, str, str]]] = {
    Dataset.FACILITIES: [
        (Patient, "facility_id", "has {n} patients of other files"),
        (Membership, "facility_id", "is the scope of {n} users"),
        (Rule, "facility_id", "is what {n} rules mean"),
    ],
    Dataset.PATIENTS: [
        (MedicalRecord, "patient_id", "has {n} records"),
        (TriageVisit, "patient_id", "has {n} visits"),
    ],
}


def _referred_to(one: Footprint) -> Iterable[Obstacle]:
    for model, column, words in _REFERRERS.get(one.batch.kind_of_rows, []):
        referring = model.objects.filter(**{f"{column}__in": one.new_ids}).order_by().values(column)
        for row in referring.annotate(n=Count("pk")).order_by(column)[:MOST_LISTED]:
            yield Obstacle(one.table, row[column], words.format(n=row["n"]))
    merged = Merge.objects.filter(table=one.table, undone_at=None)
    for merge in merged.filter(survivor_id__in=one.new_ids).union(merged.filter(merged_id__in=one.new_ids)):
        yield Obstacle(one.table, merge.survivor_id, "was merged since")


def _seen_again(one: Footprint) -> Iterable[Obstacle]:
    """Other deliveries that contained the same rows: what they said rests on this one.

    Of a row that was changed, only what came later rests on the change.
    """
    family = _family(one)
    for ids, is_later in ((one.new_ids, ""), ([*one.changed_ids], "AND b.finished_at > %(at)s")):
        if not ids:
            continue
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT seen.id, min(seen.batch_id) FROM ("  # noqa: S608  one of two conditions above
                "  SELECT s.batch_id, unnest(s.ids) AS id FROM ingest_sightings s"
                "  JOIN ingest_batches b ON b.id = s.batch_id"
                "  WHERE b.id <> ALL(%(family)s) AND b.dataset = %(dataset)s AND b.reverted_at IS NULL"
                f" {is_later}) seen"
                " JOIN unnest(%(ids)s::bigint[]) AS mine (id) USING (id)"
                " WHERE NOT EXISTS (SELECT FROM rule_uses u WHERE u.batch_id = seen.batch_id AND u.row_id = seen.id"
                "   AND u.rule_id = ANY(%(rules)s)) GROUP BY seen.id ORDER BY seen.id LIMIT %(most)s",
                {
                    "family": family,
                    "dataset": one.batch.dataset,
                    "at": one.batch.finished_at,
                    "ids": ids,
                    "rules": _rules_of(one),
                    "most": MOST_LISTED,
                },
            )
            for pk, batch_id in cursor.fetchall():
                yield Obstacle(one.table, pk, f"was delivered again in batch {batch_id}")


def _family(one: Footprint) -> list[int]:
    """The file's batch and the replays of its rows: they go together, or their rows are each other's."""
    root = one.batch.parent_id or one.batch.pk
    return [root, *IngestBatch.objects.filter(parent=root).values_list("pk", flat=True)]


def _rules_of(one: Footprint) -> list[int]:
    """Lines of later files that came in by the same rule go with it, and are no obstacle."""
    return [*one.uses.order_by().values_list("rule_id", flat=True).distinct()]


def _said_again(one: Footprint) -> Iterable[Obstacle]:
    """Events without ids leave no sighting: any later file that may have repeated them stands against it."""
    if not one.batch.kind_of_rows.is_event or one.batch.parent_id or not one.new_ids:
        return
    model = MODELS[one.batch.kind_of_rows]
    later = IngestBatch.objects.loaded().filter(
        dataset=one.batch.dataset, finished_at__gt=one.batch.finished_at, parent=None, unchanged__gt=0
    )
    new = model.objects.filter(pk__in=one.new_ids)
    if not new.filter(time_is_estimated=False).exists():  # then their day is that of the file
        snapshots = Source.objects.filter(delivers=Source.Delivers.SNAPSHOT).values("source")
        is_any_day = Q(release_as=Release.SNAPSHOT) | Q(release_as=None, source__in=snapshots)
        later = later.filter(Q(business_date=one.batch.business_date) | is_any_day)
    found = {batch.pk: batch for batch in later.order_by("pk")}
    # A file of another source stands against it where it speaks of the same facilities.
    places = [*new.order_by().values_list("facility_id", flat=True).distinct()]
    theirs = model.objects.filter(batch_id__in=[*found], facility__in=places).order_by()
    speaking = {*theirs.values_list("batch_id", flat=True).distinct()} if found else set()
    for batch in found.values():
        if batch.source == one.batch.source or batch.pk in speaking:
            yield Obstacle(TABLE, batch.pk, f"repeats {batch.unchanged} stored events: take it back first")


def _replayed_onto(one: Footprint) -> Iterable[Obstacle]:
    """Refused rows of other files that turned out to be these rows."""
    rows = RejectedRow.objects.filter(
        dataset=one.batch.dataset, state=RejectedRow.State.REPLAYED, became_id__in=one.new_ids
    )
    for row in rows.exclude(replay_batch__in=_family(one)).order_by("pk")[:MOST_LISTED]:
        yield Obstacle(one.table, cast(int, row.became_id), f"is what refused row {row.pk} has become")


def _without_cells(one: Footprint) -> Iterable[Obstacle]:
    """Refused rows that would wait again, and cannot be tried any more."""
    rows = RejectedRow.objects.filter(replay_batch=one.batch, raw_sealed=None)
    for row in rows.order_by("pk")[:MOST_LISTED]:
        yield Obstacle("rejected_rows", row.pk, "has no cells any more: they are kept 180 days once it is settled")


@transaction.atomic
def undo_uses(uses: "QuerySet[RuleUse]") -> None:
    """Takes back the lines of these uses, batch by batch, the newest first. Raises Obstructed."""
    batches = [*IngestBatch.objects.filter(pk__in=uses.values("batch_id")).order_by("-pk")]
    for dataset in sorted({batch.kind_of_rows for batch in batches}):
        _lock(dataset)
    for batch in batches:  # what a later one did is undone when an earlier one is looked at
        one = footprint(batch, uses.filter(batch=batch))
        if standing := obstacles(one):
            raise Obstructed(standing)
        remove(one)
    uses.delete()
