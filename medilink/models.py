"""What the wiring itself remembers: whom it has told what, and which database this is."""

from datetime import datetime

from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Cast, Now

from clinical.access import READ
from clinical.models import User
from ingestion.models import IngestBatch

OF_THE_SITE = "^(night-unfinished|no-good-run|mart-failed)"


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> "AlertQuerySet":
        return self.filter(closed_at=None)

    def visible_to(self, user: User) -> "AlertQuerySet":
        """Of less than the nation: those of batches that one sees, and those that tell of the site alone."""
        if user.access.scope(READ, "deliveries").is_national:
            return self
        number = Func(F("cause"), Value(r"^batch-[a-z]+:(\d+)$"), function="substring")
        batches = IngestBatch.objects.visible_to(user).values("pk")
        seen = self.alias(batch=Cast(number, models.BigIntegerField()))
        return seen.filter(Q(batch__in=batches) | Q(cause__regex=OF_THE_SITE))


class Alert(models.Model):
    """One thing that is wrong, from when it was first seen until it is over. One open alert per cause."""

    cause = models.TextField(help_text="what kind of trouble, and of what: batch-held:17")
    what = models.TextField(help_text="in words that name no patient")
    link = models.TextField(help_text="the page where something can be done about it")
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    closed_at = models.DateTimeField(null=True)
    told_opened_at = models.DateTimeField(null=True)
    told_closed_at = models.DateTimeField(null=True)
    owner = models.TextField(default="", db_default="", help_text="of the data (`DataOwner`); empty: of the site")
    is_critical = models.BooleanField(default=False, db_default=False, help_text="told in quiet hours, too")
    was_held = models.BooleanField(default=False, db_default=False, help_text="not told at once: the hours were quiet")

    objects = AlertQuerySet.as_manager()

    class Meta:
        db_table = "alerts"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["cause"], condition=Q(closed_at__isnull=True), name="alerts_one_open_per_cause"
            )
        ]

    def __str__(self) -> str:
        return self.what


class Backup(models.Model):
    """One backup: at work until `finished_at`; good where `error` is empty then."""

    place = models.TextField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    bytes = models.BigIntegerField(null=True)
    sha256 = models.TextField(blank=True, default="")
    error = models.TextField(blank=True, default="", help_text="of which kind; in words that name nobody")
    drilled_at = models.DateTimeField(null=True, help_text="when a drill has last found that it would do")

    class Meta:
        db_table = "backups"
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.place

    @classmethod
    def last_good(cls) -> datetime | None:
        """The instant of which its rows are."""
        good = cls.objects.filter(error="", finished_at__isnull=False).order_by("-id")
        return good.values_list("started_at", flat=True).first()


class Environment(models.Model):
    """Which of our databases this is: one row, written by the first `migrate`, changed by nobody's page.

    A copy of production remains production until somebody says otherwise in SQL.
    """

    class Name(models.TextChoices):
        PRODUCTION = "production"
        STAGING = "staging"
        DEVELOPMENT = "development"

    id = models.BigIntegerField(primary_key=True, default=1)
    name = models.TextField(choices=Name.choices)

    class Meta:
        db_table = "environment"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="environment_one_row"),
            models.CheckConstraint(
                condition=Q(name__in=["production", "staging", "development"]), name="environment_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name


def is_production() -> bool:
    return Environment.objects.filter(name=Environment.Name.PRODUCTION).exists()
