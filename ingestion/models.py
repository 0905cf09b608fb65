"""What was delivered and what became of it: runs, batches, refused rows, and what stewards have decided for a source.

A batch is one object version (or one replay of refused rows); its counts add up by a constraint and, once it is
loaded, never change (migration 0002). Nothing here knows S3 or CSV.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q
from django.db.models.functions import Now
from django.db.models.lookups import In

from clinical.access import READ, Scope
from ingestion.datasets import Dataset
from ingestion.objects import folder_state

if TYPE_CHECKING:
    from clinical.models import User

COUNTS = ("rows_read", "inserted", "updated", "unchanged", "collapsed", "rejected", "blank")
MAX_ATTEMPTS = 3
LEASE = timedelta(seconds=45)  # renewed every 10 s by the holder's heartbeat; a dead holder is replaced within a minute


class Kind(models.TextChoices):
    """Who asked for it. `nightly` is everything that beat starts, the watch of the input included."""

    NIGHTLY = "nightly"
    MANUAL = "manual"
    BACKFILL = "backfill"
    REPLAY = "replay"


class Status(models.TextChoices):
    """discovered → loading → loaded → archived, or loading → duplicate | rejected | held | failed.

    held → discovered (released) or discarded; rejected, failed → discovered (retried) or discarded.
    """

    DISCOVERED = "discovered"
    LOADING = "loading"
    LOADED = "loaded"
    ARCHIVED = "archived"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    HELD = "held"
    FAILED = "failed"
    DISCARDED = "discarded"


LOADED = (Status.LOADED, Status.ARCHIVED)
SETTLED = (*LOADED, Status.DUPLICATE, Status.DISCARDED)  # nothing is left to decide; the bytes belong in the archive
STOPPED = (Status.REJECTED, Status.HELD, Status.FAILED)  # a steward decides; the bytes are kept safe


class Release(models.TextChoices):
    """A steward's answer to a hold: load it, load it as events of its own day, or as the same events again."""

    LOADED = "loaded"
    NEW_EVENTS = "new_events"
    SNAPSHOT = "snapshot"


class IngestRun(models.Model):
    """One pass over what is due. The broker carries its id only; what to do stands here."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        SOME_ROWS_REFUSED = "some_rows_refused"
        SOME_FILES_STOPPED = "some_files_stopped"
        BROKEN_OFF = "broken_off"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    night_on = models.DateField(null=True, blank=True, help_text="the night of a nightly run; each has one run")
    prefix = models.TextField(blank=True, default="")
    keys = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=20, choices=State.choices, default=State.QUEUED)
    lease_until = models.DateTimeField(null=True, blank=True, help_text="renewed while somebody carries it out")
    at_stage = models.SmallIntegerField(null=True, blank=True, help_text="0 facilities, 1 patients, 2 events")
    at_day = models.DateField(null=True, blank=True, help_text="the business date that is being loaded")
    is_dry = models.BooleanField(default=False, help_text="the same verdicts, and nothing written")
    report = models.JSONField(default=list, blank=True, help_text="of a dry run: what would have become of each batch")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, default="", help_text="why it broke off, in words that name no patient")

    class Meta:
        db_table = "ingest_runs"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["night_on"], name="ingest_runs_one_per_night")]

    def __str__(self) -> str:
        return f"Run {self.pk} ({self.kind})"


class BackendIsGone(Func):
    """True where no server process (pid, started at) exists any more: its worker cannot commit, whatever it believes.

    A start that we may not see is null and says nothing.
    """

    template = (
        "NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = holder_pid"
        " AND (a.backend_start IS NULL OR a.backend_start = holder_started_at))"
    )
    output_field = models.BooleanField()
    arity = 0


class IngestBatchQuerySet(models.QuerySet["IngestBatch"]):
    def inside(self, scope: Scope) -> "IngestBatchQuerySet":
        """Of a state: its folders' batches, and those with a refused row that is in the scope."""
        if scope.is_national:
            return self
        rows = RejectedRow.objects.inside(scope).filter(batch=OuterRef("pk"))
        return self.filter(Q(folder__in=_folders_of(scope)) | Exists(rows))

    def visible_to(self, user: "User") -> "IngestBatchQuerySet":
        return self.inside(user.access.scope(READ, "deliveries"))

    def loaded(self) -> "IngestBatchQuerySet":
        return self.filter(status__in=LOADED)

    def claimable(self) -> "IngestBatchQuerySet":
        """Discovered, or left `loading` by a worker that is dead: its lease is over or its connection is gone."""
        return self.annotate(holder_is_gone=BackendIsGone()).filter(
            Q(status=Status.DISCOVERED) | Q(status=Status.LOADING) & (Q(lease_until__lt=Now()) | Q(holder_is_gone=True))
        )

    def held(self) -> "IngestBatchQuerySet":
        """Being loaded by somebody alive, as far as anybody can see."""
        loading = self.filter(status=Status.LOADING, lease_until__gte=Now())
        return loading.annotate(holder_is_gone=BackendIsGone()).filter(holder_is_gone=False)

    def newer_than(self, batch: "IngestBatch") -> "IngestBatchQuerySet":
        """By the version order of deliveries: business date, LastModified, key."""
        return self.filter(
            Q(business_date__gt=batch.business_date)
            | Q(business_date=batch.business_date, last_modified__gt=batch.last_modified)
            | Q(business_date=batch.business_date, last_modified=batch.last_modified, object_key__gt=batch.object_key)
        )

    def in_version_order(self) -> "IngestBatchQuerySet":
        return self.order_by("business_date", "last_modified", "object_key", "id")


class IngestBatch(models.Model):
    """One object version that was delivered, or one replay of refused rows of such a batch."""

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.MANUAL)
    run = models.ForeignKey(IngestRun, models.SET_NULL, null=True, blank=True, related_name="batches")
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="replays")
    bucket = models.TextField(blank=True, default="")
    object_key = models.TextField()
    etag = models.TextField(blank=True, default="")
    version_id = models.TextField(null=True, blank=True)
    last_modified = models.DateTimeField()
    size = models.BigIntegerField(default=0)
    # Versions of the key that were older when this one was found: a delete may uncover them, but they are never due.
    older_versions = ArrayField(models.TextField(), default=list, blank=True)
    folder = models.TextField(blank=True, default="", help_text="below the prefix")
    source = models.TextField()
    dataset = models.CharField(max_length=20, choices=Dataset.choices, null=True, blank=True)
    business_date = models.DateField()
    sha256 = models.CharField(max_length=64, null=True, blank=True, help_text="of the decoded bytes")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.DISCOVERED)
    reasons = ArrayField(models.TextField(), default=list, blank=True)
    warnings = models.JSONField(default=dict, blank=True)
    evidence = models.JSONField(default=dict, blank=True, help_text="of a hold: what loading it would have done")
    release_as = models.CharField(max_length=10, choices=Release.choices, null=True, blank=True)
    duplicate_of = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="duplicates")
    rows_read = models.IntegerField(default=0)
    inserted = models.IntegerField(default=0)
    updated = models.IntegerField(default=0)
    unchanged = models.IntegerField(default=0)
    collapsed = models.IntegerField(default=0)
    rejected = models.IntegerField(default=0)
    blank = models.IntegerField(default=0)
    refused_own = models.IntegerField(
        default=0, db_default=0, help_text="rows refused for their own content, not for want of parents"
    )
    attempts = models.SmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    holder_pid = models.IntegerField(null=True, blank=True)
    holder_started_at = models.DateTimeField(null=True, blank=True)
    discovered_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    held_key = models.TextField(null=True, blank=True, help_text="where the bytes are kept safe")
    archive_key = models.TextField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    settled_why = models.TextField(blank=True, default="")

    objects = IngestBatchQuerySet.as_manager()

    class Meta:
        db_table = "ingest_batches"
        verbose_name = "batch"
        verbose_name_plural = "batches"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(rows_read=F("inserted") + F("updated") + F("unchanged") + F("collapsed") + F("rejected")),
                name="ingest_batches_counts_add_up",
            ),
            models.CheckConstraint(
                condition=Q(*((f"{count}__gte", 0) for count in COUNTS)), name="ingest_batches_counts_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(status__in=LOADED) | Q(rows_read=0) | Q(status=Status.DUPLICATE),
                name="ingest_batches_only_loaded_ones_count",
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="ingest_batches_status_is_known"),
            models.CheckConstraint(
                condition=~Q(status=Status.LOADING) | Q(lease_until__isnull=False),
                name="ingest_batches_loading_under_a_lease",
            ),
            # An object version is one delivery, however often it is listed. Replays have no object of their own.
            models.UniqueConstraint(
                fields=["bucket", "object_key", "etag", "version_id", "last_modified"],
                condition=Q(parent__isnull=True),
                nulls_distinct=False,
                name="ingest_batches_one_per_object_version",
            ),
        ]
        indexes = [
            models.Index(fields=["dataset", "sha256"], name="ingest_batches_content"),
            models.Index(fields=["dataset", "business_date", "last_modified"], name="ingest_batches_version"),
            models.Index(fields=["status"], name="ingest_batches_status"),
            models.Index(fields=["source"], name="ingest_batches_source"),
            # What is still to do: a handful of rows, however long the history.
            models.Index(
                fields=["business_date", "last_modified"],
                condition=Q(status__in=["discovered", "loading"]),
                name="ingest_batches_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"Batch {self.pk}"

    @property
    def kind_of_rows(self) -> Dataset:
        """The dataset of a batch that has one: of every batch that may load."""
        return Dataset(str(self.dataset))


def hash_of(field: str) -> models.GeneratedField:
    """128 bits over the cells as jsonb writes them: sorted by column, so that their order in a file says nothing."""
    return models.GeneratedField(
        expression=Func(F(field), template="(md5((%(expressions)s)::text))::uuid"),
        output_field=models.UUIDField(),
        db_persist=True,
    )


class Codes(Func):
    """The codes of an array of reasons, without their columns."""

    template = "ARRAY(SELECT split_part(reason, ':', 1) FROM unnest(%(expressions)s) AS reason)"
    output_field = ArrayField(models.TextField())


def _folders_of(scope: Scope) -> list[str]:
    """The folders that name one of the scope's states; there are few, however many batches."""
    folders = IngestBatch.objects.order_by().values_list("folder", flat=True).distinct()
    return [folder for folder in folders if folder_state(folder) in scope.states]


class NamedState(Func):
    """The state that a refused row's own cell names, as far as it is written like one."""

    template = "regexp_replace(upper(btrim(raw ->> 'facility_state')), '[ -]+STATE$', '')"
    output_field = models.TextField()
    arity = 0


class RejectedRowQuerySet(models.QuerySet["RejectedRow"]):
    def inside(self, scope: Scope) -> "RejectedRowQuerySet":
        """Of the scope's facilities; where the facility is not known, of the state that folder or row names."""
        if scope.is_national:
            return self
        facilities = apps.get_model("clinical.Facility").objects.inside(scope).values("pk")
        mine = Q(facility_id__in=facilities)
        if scope.states:
            mine |= Q(facility=None, batch__folder__in=_folders_of(scope))
            mine |= Q(facility=None) & Q(In(NamedState(), sorted(scope.states)))
        return self.filter(mine)

    def visible_to(self, user: "User") -> "RejectedRowQuerySet":
        return self.inside(user.access.scope(READ, "deliveries"))

    def with_reason(self, reason: str) -> "RejectedRowQuerySet":
        """Refused for `CODE:column`, or for a bare CODE whatever the column."""
        if ":" in reason:
            return self.filter(reasons__contains=[reason])
        return self.alias(codes=Codes("reasons")).filter(codes__contains=[reason])  # type: ignore[misc]  # an alias


class RejectedRow(models.Model):
    """One row that could not be loaded, kept with its evidence until a steward has dealt with it.

    open → replayed (it became a row of the dataset's table) or dismissed.
    """

    class State(models.TextChoices):
        OPEN = "open"
        REPLAYED = "replayed"
        DISMISSED = "dismissed"

    batch = models.ForeignKey(IngestBatch, models.PROTECT, related_name="rejected_rows", help_text="that first held it")
    line = models.IntegerField(help_text="of the file, on which the record starts; the header is line 1")
    reasons = ArrayField(models.TextField())
    raw = models.JSONField(help_text="column → cell as delivered; cells beyond the header stand under an empty name")
    corrections = models.JSONField(default=dict, blank=True, help_text="column → what a steward put instead")
    dataset = models.CharField(max_length=20, choices=Dataset.choices)
    source = models.TextField()
    event_on = models.DateField(null=True, blank=True)
    ordinal = models.IntegerField(default=1)
    raw_hash = hash_of("raw")
    # As far as they are known: who may see the row, and which names are in doubt while it is open.
    facility = models.ForeignKey("clinical.Facility", models.SET_NULL, null=True, blank=True, related_name="+")
    facility_key = models.TextField(blank=True, default="")
    first_name_key = models.TextField(blank=True, default="")
    last_name_key = models.TextField(blank=True, default="")
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    first_seen_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    last_seen_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    times_seen = models.IntegerField(default=1)
    tried_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    settled_why = models.TextField(blank=True, default="")
    replay_batch = models.ForeignKey(IngestBatch, models.PROTECT, null=True, blank=True, related_name="replayed_rows")
    became_id = models.BigIntegerField(null=True, blank=True, help_text="the id in the dataset's table")

    objects = RejectedRowQuerySet.as_manager()

    class Meta:
        db_table = "rejected_rows"
        verbose_name = "refused row"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "source", "raw_hash", "event_on", "ordinal"],
                nulls_distinct=False,
                name="rejected_rows_identity",
            ),
            models.CheckConstraint(condition=Q(reasons__len__gte=1), name="rejected_rows_have_a_reason"),
            models.CheckConstraint(
                condition=Q(state="open") | Q(settled_at__isnull=False), name="rejected_rows_settled_when"
            ),
            models.CheckConstraint(
                condition=~Q(state="replayed") | Q(replay_batch__isnull=False), name="rejected_rows_replayed_by"
            ),
            models.CheckConstraint(condition=Q(times_seen__gte=1), name="rejected_rows_seen"),
        ]
        indexes = [
            models.Index(fields=["batch", "line"], name="rejected_rows_batch"),
            # The parents' retry, and the doubt about a patient's name while a row with it is open.
            models.Index(
                fields=["facility_key", "last_name_key", "first_name_key"],
                condition=Q(state="open", dataset="patients"),
                name="rejected_rows_open_names",
            ),
            models.Index(fields=["dataset", "id"], condition=Q(state="open"), name="rejected_rows_open"),
            GinIndex(fields=["reasons"], name="rejected_rows_reasons"),
        ]

    def __str__(self) -> str:
        return f"Refused row {self.pk}"


class Source(models.Model):
    """What stewards have answered once and for all about the files of one sender."""

    class Delivers(models.TextChoices):
        APPEND = "append", "new events each time (never held as a repetition)"
        SNAPSHOT = "snapshot", "everything again each time (repetitions are the same events)"

    source = models.TextField(unique=True)
    delivers = models.CharField(max_length=10, choices=Delivers.choices)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "ingest_sources"
        ordering = ["source"]

    def __str__(self) -> str:
        return self.source


class FacilityNaming(models.Model):
    """A steward's word that a name in the files of a source means this facility."""

    source = models.TextField()
    name = models.TextField(help_text="as the files write it; case does not matter")
    name_key = models.GeneratedField(
        expression=Func(F("name"), template="lower(%(expressions)s COLLATE pg_c_utf8)"),
        output_field=models.TextField(db_collation="C"),
        db_persist=True,
    )
    facility = models.ForeignKey("clinical.Facility", models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(db_default=TransactionNow(), editable=False)

    class Meta:
        db_table = "facility_namings"
        ordering = ["source", "name"]
        constraints = [models.UniqueConstraint(fields=["source", "name_key"], name="facility_namings_one_answer")]

    def __str__(self) -> str:
        return self.name


class Sighting(models.Model):
    """Which rows of the dataset's table a batch contained with which columns filled, a thousand or so in one row.

    So an older delivery that comes late knows what a newer one has said, and a row that a newer delivery merely
    repeated need not be written to say so. `columns` are bits in the order of the dataset's updatable columns.
    """

    batch = models.ForeignKey(IngestBatch, models.CASCADE, related_name="sightings")
    columns = models.IntegerField()
    ids = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "ingest_sightings"

    def __str__(self) -> str:
        return f"Sighting {self.pk}"


class AuditLog(models.Model):
    """A view: one row per batch, in the words that SQL users of the predecessor know."""

    batch = models.OneToOneField(IngestBatch, models.DO_NOTHING, primary_key=True, related_name="+")
    table_name = models.TextField()
    records_processed = models.IntegerField()
    records_inserted = models.IntegerField()
    records_updated = models.IntegerField()
    records_failed = models.IntegerField()
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField()
    error_message = models.TextField()

    class Meta:
        managed = False
        db_table = "etl_audit_log"
        verbose_name = "audit log entry"
        verbose_name_plural = "audit log"

    def __str__(self) -> str:
        return f"Audit of batch {self.pk}"
