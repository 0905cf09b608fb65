"""What the wiring itself remembers: whom it has told what."""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Alert(models.Model):
    """One thing that is wrong, from when it was first seen until it is over. One open alert per cause."""

    cause = models.TextField(help_text="what kind of trouble, and of what: batch-held:17")
    what = models.TextField(help_text="in words that name no patient")
    link = models.TextField(help_text="the page where something can be done about it")
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    closed_at = models.DateTimeField(null=True)
    told_opened_at = models.DateTimeField(null=True)
    told_closed_at = models.DateTimeField(null=True)

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
