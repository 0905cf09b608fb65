"""Exports of everything as FHIR, and the files that they are made of."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q

from clinical.models.columns import holds


class FhirExport(models.Model):
    """One export that somebody has asked for: all that is to be known to carry it out, or to take it up again.

    queued → running → done or failed; cancelled at any time. A running one whose lease is over is taken up by another
    worker: `attempts` tells the two apart.
    """

    class Level(models.TextChoices):
        SYSTEM = "system"
        PATIENT = "patient"
        GROUP = "group"

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    # By which of the user's keys it was asked for, where it is narrower than the user: it stays as narrow.
    token = models.ForeignKey("ProgramToken", models.CASCADE, null=True, related_name="+", db_index=False)
    client = models.ForeignKey("SmartClient", models.CASCADE, null=True, related_name="+", db_index=False)
    level = models.CharField(max_length=7, choices=Level.choices)
    group = models.TextField(blank=True, db_default="", default="", help_text="its id")
    types = ArrayField(models.TextField(), help_text="of resources, as they were found to be allowed")
    patient_ids = ArrayField(models.BigIntegerField(), null=True, help_text="of these alone")
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)
    request = models.TextField(help_text="the address that it was asked for at")
    ignored = ArrayField(models.TextField(), default=list, help_text="parameters that could be, as the caller said")
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.QUEUED)
    attempts = models.IntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    grants = models.JSONField(default=list, help_text="what who asked for it held when it was read")
    transaction_at = models.DateTimeField(
        null=True, help_text="what was changed until then is in it, and nothing later"
    )
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    polled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "fhir_exports"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(status__in=["queued", "running"]), name="fhir_exports_one_of_a_user"
            ),
            holds(Q(level__in=["system", "patient", "group"]), "fhir_exports_level_is_known"),
            holds(Q(status__in=["queued", "running", "done", "failed", "cancelled"]), "fhir_exports_status_is_known"),
            holds(Q(level="group") | Q(group=""), "fhir_exports_group_of_a_group"),
            holds(~Q(status="running") | Q(lease_until__isnull=False), "fhir_exports_running_has_a_lease"),
            holds(
                ~Q(status="done") | Q(transaction_at__isnull=False, expires_at__isnull=False),
                "fhir_exports_done_says_when",
            ),
        ]

    def __str__(self) -> str:
        return f"Export {self.pk}"


class FhirExportPart(models.Model):
    """One file of an export: the resources of one type that rows (after_id, upto_id] of one table make.

    `digest` is over those rows' ids and versions: a part is as good as new while it would come out the same.
    """

    class Of(models.TextChoices):
        OUTPUT = "output"
        DELETED = "deleted"
        ERROR = "error"

    export = models.ForeignKey(FhirExport, models.CASCADE, related_name="parts", db_index=False)
    of = models.CharField(max_length=7, choices=Of.choices)
    type = models.TextField()
    table = models.IntegerField(default=0, help_text="which of those that the type is made of")
    after_id = models.BigIntegerField(default=0)
    upto_id = models.BigIntegerField(default=0)
    digest = models.BinaryField(max_length=32)
    file = models.TextField(help_text="its name in the store")
    resources = models.IntegerField()
    size = models.BigIntegerField(help_text="bytes, as stored")
    patient_ids = ArrayField(models.BigIntegerField(), default=list, help_text="of whom it tells")

    class Meta:
        db_table = "fhir_export_parts"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["export", "of", "type", "table", "after_id"], name="fhir_export_parts_identity"
            ),
            holds(Q(of__in=["output", "deleted", "error"]), "fhir_export_parts_of_is_known"),
        ]

    def __str__(self) -> str:
        return f"Part {self.pk}"
