"""What the law lets a patient ask for, and what is left of one who was erased."""

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import F, Q

from clinical.models.columns import holds


class Restrictable(models.Model):
    """A patient or an event of one. Where processing is restricted only stewards see it, on the desk; loads go on.

    An event bears its patient's mark, so that no list has to ask the patient; the trigger `restrict` keeps it so.
    """

    restricted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True


class RestrictedRow(models.Model):
    """A restricted patient or an event of one, by its id alone, to whoever has the scope: a consumer must drop it."""

    table = models.TextField()
    object_id = models.BigIntegerField(primary_key=True)  # of its table
    at = models.DateTimeField()
    facility_id = models.BigIntegerField()
    patient_id = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "restricted_rows"

    def __str__(self) -> str:
        return f"{self.table} {self.object_id}"


class Why(models.TextChoices):
    """Fixed words: a free text would tell of the person what the audit must not hold."""

    REQUEST = "request", "the patient asks for it"
    CONSENT = "consent", "consent was withdrawn"
    ACCURACY = "accuracy", "the patient contests that it is true"
    UNLAWFUL = "unlawful", "it was processed unlawfully"
    CLAIM = "claim", "it is needed for a legal claim"
    ORDER = "order", "a court or the Commission orders it"


class Erasure(models.Model):
    """That one person asks to erase a patient, and another one confirms it: asked → confirmed → done."""

    patient = models.ForeignKey("Patient", models.PROTECT, related_name="erasures")
    why = models.CharField(max_length=10, choices=Why.choices)
    asked_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(null=True, blank=True)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "erasures"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["patient"], name="erasures_one_of_a_patient"),
            holds(~Q(confirmed_by=F("asked_by")), "erasures_by_two_persons"),
            holds(
                Q(confirmed_at__isnull=True, confirmed_by__isnull=True)
                | Q(confirmed_at__isnull=False, confirmed_by__isnull=False),
                "erasures_confirmed_by_somebody",
            ),
            holds(Q(done_at__isnull=True) | Q(confirmed_at__isnull=False), "erasures_done_once_confirmed"),
        ]

    def __str__(self) -> str:
        return f"Erasure {self.pk}"


class ErasedIdentity(models.Model):
    """A name by which files spoke of an erased patient, as keyed hashes only: loads know it again, and drop its rows.

    Neither patient nor facility is a foreign key: who takes a batch back removes rows, and this must outlive them.
    """

    patient_id = models.BigIntegerField()
    facility_id = models.BigIntegerField()
    name_key = models.UUIDField(help_text="keyed hash of both names")
    identity_key = models.UUIDField(help_text="keyed hash of names and date of birth")

    class Meta:
        db_table = "erased_identities"
        constraints = [
            models.UniqueConstraint(
                fields=["facility_id", "identity_key", "patient_id"], name="erased_identities_identity"
            )
        ]

    def __str__(self) -> str:
        return f"Erased identity {self.pk}"
