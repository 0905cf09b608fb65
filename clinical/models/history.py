"""Who did what to which row and who read it, what stood there before, and which rows were found to be one."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID, TransactionNow
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Func, Q

from clinical.models.columns import CurrentTransaction, Numbers, holds


class AuditEvent(models.Model):
    """Who did what to which row, who read what, and who was refused; nothing of any row's content. Only ever added to.

    One table, partitioned by month (0010); its rows are numbered, and sealed by AuditSeal.
    """

    class Outcome(models.TextChoices):
        OK = "ok"
        DENIED = "denied"
        FAILED = "failed"

    class Purpose(models.TextChoices):
        """What for, as the caller says, or as the role lets one suppose."""

        TREATMENT = "treatment"
        OPERATIONS = "operations"
        RESEARCH = "research"
        PUBLIC_HEALTH = "public_health"
        AUDIT = "audit"

    at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    # Held by PROTECT alone: the database's own check would lock and write the user's row with each page that is read.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    roles = ArrayField(models.CharField(max_length=10), db_default=[], default=list)
    action = models.CharField(max_length=20)
    outcome = models.CharField(max_length=6, choices=Outcome.choices, db_default=Outcome.OK, default=Outcome.OK)
    purpose = models.CharField(max_length=13, choices=Purpose.choices, blank=True, db_default="", default="")
    table = models.CharField(max_length=40)
    object_id = models.BigIntegerField(null=True)
    patient_ids = ArrayField(models.BigIntegerField(), null=True, help_text="of whom something was told, or changed")
    rows = models.IntegerField(null=True, help_text="how many were told, or changed")
    batch_id = models.BigIntegerField(null=True)
    route = models.CharField(max_length=60, blank=True, db_default="", default="")
    request_id = models.CharField(max_length=36, blank=True, default="", db_default="")
    address = models.CharField(max_length=45, blank=True, db_default="", default="")
    details = models.JSONField(
        default=dict, db_default={}, help_text="which columns, filters, reason: no values of a person"
    )
    xid = models.BigIntegerField(db_default=CurrentTransaction(), editable=False)

    class Meta:
        db_table = "audit_events"
        verbose_name = "line of the audit"
        verbose_name_plural = "lines of the audit"
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["table", "object_id", "action", "id"],
                condition=Q(object_id__isnull=False),
                name="audit_events_of_a_row",
            ),
            models.Index(fields=["actor", "id"], name="audit_events_of_an_actor"),
            # Lines are written in the order of time: these two cost next to nothing.
            BrinIndex(fields=["at"], pages_per_range=32, autosummarize=True, name="audit_events_at"),
            BrinIndex(fields=["xid"], pages_per_range=32, autosummarize=True, name="audit_events_xid"),
        ]

    def __str__(self) -> str:
        return f"Event {self.pk}"


class AuditSeal(models.Model):
    """What had been committed to one of the two logs since the seal before: digests of it, and of all seals so far.

    Covers the lines of one month (UTC) whose transaction is in [from_xid, to_xid) and whose id is above `above_id`,
    which is 0 until the database is restored into another cluster, where transactions are counted anew: an era each.
    """

    class Of(models.TextChoices):
        EVENTS = "audit_events"
        REVISIONS = "revisions"

    at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    table = models.CharField(max_length=12, choices=Of.choices)
    month = models.DateField()
    cluster = models.BigIntegerField()
    above_id = models.BigIntegerField()
    from_xid = models.BigIntegerField()
    to_xid = models.BigIntegerField()
    ids = Numbers()
    rows = models.IntegerField()
    content = models.BinaryField(max_length=32, help_text="SHA-256 of the lines, in the order of their ids")
    before = models.BinaryField(max_length=32, help_text="the digest of the seal before; the first has none")
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of all of the above")

    class Meta:
        db_table = "audit_seals"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["before"], name="audit_seals_are_a_chain"),
            models.UniqueConstraint(
                fields=["table", "above_id", "from_xid", "month"], name="audit_seals_of_a_stretch_once"
            ),
            holds(Q(rows__gt=0), "audit_seals_of_something"),
        ]

    def __str__(self) -> str:
        return f"Seal {self.pk}"


class DatabaseRole(Func):
    template = "SESSION_USER"
    output_field = models.TextField()
    arity = 0


class Revision(models.Model):
    """One change of one row: the columns that changed, before and after. Written by triggers, whoever changes the row.

    `became` is null where the row is gone (`was` is all of it then), `was` where it is new; new clinical rows have
    none, since they say themselves which batch brought them.
    """

    at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    table = models.CharField(max_length=40)
    object_id = models.BigIntegerField()
    was = models.JSONField(null=True)
    became = models.JSONField(null=True)
    event = models.ForeignKey(
        AuditEvent, models.PROTECT, null=True, related_name="revisions", db_index=False, db_constraint=False
    )
    batch_id = models.BigIntegerField(null=True, help_text="of the load that changed it")
    role = models.TextField(db_default=DatabaseRole(), help_text="the role of the database, for what is done past us")
    xid = models.BigIntegerField(db_default=CurrentTransaction(), editable=False)
    # Makes the digest of an erased content (0010) one that cannot be guessed from: it goes with the content.
    salt = models.UUIDField(db_default=RandomUUID(), null=True, editable=False)

    class Meta:
        db_table = "revisions"
        ordering = ["-id"]
        constraints = [holds(Q(was__isnull=False) | Q(became__isnull=False), "revisions_say_something")]
        indexes = [
            models.Index(fields=["table", "object_id", "id"], name="revisions_of_a_row"),
            models.Index(fields=["batch_id"], condition=Q(batch_id__isnull=False), name="revisions_of_a_batch"),
            models.Index(fields=["event"], condition=Q(event__isnull=False), name="revisions_of_an_event"),
            # changed_since of the API: whether any row is gone since, and its place in the walk.
            models.Index(
                fields=["table", "at", "object_id"], condition=Q(became__isnull=True), name="revisions_of_gone_rows"
            ),
            BrinIndex(fields=["xid"], pages_per_range=32, autosummarize=True, name="revisions_xid"),
        ]

    def __str__(self) -> str:
        return f"Revision {self.pk}"


class Merge(models.Model):
    """A steward's word that two rows are one patient, or one facility; in force until it is undone."""

    class Of(models.TextChoices):
        PATIENTS = "patients"
        FACILITIES = "facilities"

    table = models.CharField(max_length=12, choices=Of.choices)
    survivor_id = models.BigIntegerField()
    merged_id = models.BigIntegerField()
    event = models.OneToOneField(AuditEvent, models.PROTECT, related_name="merge", db_constraint=False)
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        db_table = "merges"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["table", "merged_id"], condition=Q(undone_at__isnull=True), name="merges_one_survivor"
            ),
            holds(Q(table__in=["patients", "facilities"]), "merges_table_is_known"),
            holds(~Q(survivor_id=F("merged_id")), "merges_of_two_rows"),
        ]
        indexes = [models.Index(fields=["table", "survivor_id"], name="merges_of_a_survivor")]

    def __str__(self) -> str:
        return f"Merge {self.pk}"
