"""Who did what to which row, what stood there before, and which rows were found to be one."""

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import F, Func, Q

from clinical.models.columns import holds


class AuditEvent(models.Model):
    """Who did what to which row; names the row by its id and holds nothing of its content. Only ever added to."""

    at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=20)
    table = models.CharField(max_length=40)
    object_id = models.BigIntegerField(null=True)
    request_id = models.CharField(max_length=36, blank=True, default="")
    details = models.JSONField(default=dict, help_text="which columns, which reason: no values of a person")

    class Meta:
        db_table = "audit_events"
        verbose_name = "line of the audit"
        verbose_name_plural = "lines of the audit"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["table", "object_id", "id"], name="audit_events_of_a_row"),
            models.Index(fields=["actor", "id"], name="audit_events_of_an_actor"),
            models.Index(fields=["at"], name="audit_events_at"),
        ]

    def __str__(self) -> str:
        return f"Event {self.pk}"


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
    event = models.ForeignKey(AuditEvent, models.PROTECT, null=True, related_name="revisions", db_index=False)
    batch_id = models.BigIntegerField(null=True, help_text="of the load that changed it")
    role = models.TextField(db_default=DatabaseRole(), help_text="the role of the database, for what is done past us")

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
    event = models.OneToOneField(AuditEvent, models.PROTECT, related_name="merge")
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
