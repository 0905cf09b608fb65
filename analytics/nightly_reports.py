"""The nightly report: what was made of each night, who is sent it, and what was sent. Who has a whole state sees its.

It holds aggregates only, with small numbers hidden from everybody, since nobody knows who reads a mail.
"""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from clinical.access import READ, UPDATE, Scope
from clinical.geography import STATES, in_words

if TYPE_CHECKING:
    from clinical.models import User


class OfStatesQuerySet(models.QuerySet[Any]):
    def inside(self, scope: Scope) -> "OfStatesQuerySet":
        """The nation's are for who has the nation; nothing is of less than a state."""
        return self.filter(scope.of_states())

    def visible_to(self, user: "User") -> "OfStatesQuerySet":
        return self.inside(user.access.scope(READ, "analytics"))


class NightlyReport(models.Model):
    """What the report of one night said of the nation, or of one state; it stays as it was made."""

    night = models.DateField(help_text="the night after which it was made; its figures end with the day before")
    state = models.TextField(blank=True, default="", help_text="empty: the nation")
    as_of = models.DateTimeField(help_text="the figures are those of this instant")
    made_at = models.DateTimeField(db_default=Now(), editable=False)
    facts = models.JSONField(help_text="what it says, for programs")
    html = models.TextField()
    pdf = models.BinaryField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the PDF")
    sent_at = models.DateTimeField(null=True, help_text="since when all who are to have it have it")

    objects = OfStatesQuerySet.as_manager()

    class Meta:
        db_table = "nightly_reports"
        ordering = ["-night", "state"]
        constraints = [
            models.UniqueConstraint(fields=["night", "state"], name="nightly_reports_one_a_night"),
            models.CheckConstraint(condition=Q(state="") | Q(state__in=STATES), name="nightly_reports_state"),
        ]

    def __str__(self) -> str:
        return f"{self.place}, {self.night:%-d %B %Y}"

    @property
    def place(self) -> str:
        return in_words(self.state)

    @property
    def file_name(self) -> str:
        return f"medilink-{self.place.lower().replace(' ', '-')}-{self.night}.pdf"


class AddresseeQuerySet(OfStatesQuerySet):
    def visible_to(self, user: "User") -> OfStatesQuerySet:
        """An address is a person's: of stewards alone."""
        return self.inside(user.access.scope(UPDATE, "deliveries"))


class ReportAddressee(models.Model):
    """Who has asked to be sent the reports of the nation or of one state."""

    email = models.EmailField()
    state = models.TextField(
        blank=True, default="", choices=[(state, in_words(state)) for state in STATES], help_text="Empty: the nation's."
    )
    is_active = models.BooleanField(default=True, help_text="Whether the next report is sent here.")
    added_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = AddresseeQuerySet.as_manager()

    class Meta:
        db_table = "report_addressees"
        ordering = ["state", "email"]
        constraints = [
            models.UniqueConstraint(fields=["email", "state"], name="report_addressees_once_a_state"),
            models.CheckConstraint(condition=Q(state="") | Q(state__in=STATES), name="report_addressees_state"),
        ]

    def __str__(self) -> str:
        return f"Addressee {self.pk}"


class ReportMail(models.Model):
    """One report for one addressee: due until `sent_at`; once only, however often it is tried."""

    report = models.ForeignKey(NightlyReport, models.CASCADE, related_name="mails")
    addressee = models.ForeignKey(ReportAddressee, models.CASCADE, related_name="mails")
    sent_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True, default="", help_text="of which kind; in words that name nobody")

    class Meta:
        db_table = "report_mails"
        constraints = [
            models.UniqueConstraint(fields=["report", "addressee"], name="report_mails_one_each"),
            models.CheckConstraint(condition=Q(sent_at=None) | Q(error=""), name="report_mails_sent_without_error"),
        ]
        indexes = [models.Index(fields=["report"], condition=Q(sent_at=None), name="report_mails_due")]

    def __str__(self) -> str:
        return f"Mail {self.pk}"
