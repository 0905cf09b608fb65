"""Runs and batches: what was delivered and what became of it.

A batch is one object version (or one replay of refused rows); its counts add up by a constraint and, once it is
loaded, never change (migration 0002). A steward who takes its rows back marks it as reverted.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models import Exists, F, Func, OuterRef, Q
from django.db.models.functions import Now

from clinical.access import READ, UPDATE, Scope
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
    BUNDLE = "bundle"


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


class IngestRunQuerySet(models.QuerySet["IngestRun"]):
    def visible_to(self, user: "User") -> "IngestRunQuerySet":
        """Of a state: the nights', one's own, and those with a batch that one sees."""
        if user.access.scope(READ, "deliveries").is_national:
            return self
        seen = IngestBatch.objects.visible_to(user).filter(run=OuterRef("pk"))
        return self.filter(Q(night_on__isnull=False) | Q(requested_by=user) | Exists(seen))

    def nightly(self) -> "IngestRunQuerySet":
        """The newest night first."""
        return self.filter(kind=Kind.NIGHTLY, night_on__isnull=False).order_by("-night_on")


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

    objects = IngestRunQuerySet.as_manager()

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


# One step into the index for each folder; DISTINCT would read all batches.
FOLDERS = """
WITH RECURSIVE known AS (
    (SELECT folder FROM ingest_batches ORDER BY folder LIMIT 1)
    UNION ALL
    SELECT (SELECT b.folder FROM ingest_batches b WHERE b.folder > known.folder ORDER BY b.folder LIMIT 1)
    FROM known WHERE known.folder IS NOT NULL
)
SELECT folder FROM known WHERE folder IS NOT NULL
"""


def folders_in(states: Collection[str]) -> list[str]:
    """The folders that name one of the states; there are few, however many batches."""
    with connection.cursor() as cursor:
        cursor.execute(FOLDERS)
        return [folder for (folder,) in cursor.fetchall() if folder_state(folder) in states]


class IngestBatchQuerySet(models.QuerySet["IngestBatch"]):
    def inside(self, scope: Scope) -> "IngestBatchQuerySet":
        """Of a state: its folders' batches, and those with a refused row that is in the scope."""
        if scope.is_national:
            return self
        rows = apps.get_model("ingestion.RejectedRow").objects.speaking_of(scope).filter(batch=OuterRef("pk"))
        return self.filter(Q(folder__in=folders_in(scope.states)) | Exists(rows))

    def visible_to(self, user: "User") -> "IngestBatchQuerySet":
        return self.inside(user.access.scope(READ, "deliveries"))

    def decidable_by(self, user: "User") -> "IngestBatchQuerySet":
        """Those of which all is the user's to decide: a state's own folders, not every file that has a row of it."""
        scope = user.access.scope(UPDATE, "deliveries")
        return self if scope.is_national else self.filter(folder__in=folders_in(scope.states))

    def loaded(self) -> "IngestBatchQuerySet":
        """Those whose rows are in the tables: not those that a steward has reverted."""
        return self.filter(status__in=LOADED, reverted_at=None)

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
    reverted_at = models.DateTimeField(null=True, blank=True, help_text="when a steward took its rows back")
    reverted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    reverted_why = models.TextField(blank=True, default="", db_default="")

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
            models.CheckConstraint(
                condition=Q(reverted_at__isnull=True) | Q(status__in=LOADED),
                name="ingest_batches_only_loaded_ones_are_reverted",
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
            models.Index(fields=["folder"], name="ingest_batches_folder"),  # which folders there are
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
