"""Facilities that have fallen silent: what was delivered of each, what is wrong, and how each watched day went."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from clinical.access import READ, Scope

if TYPE_CHECKING:
    from clinical.models import User


class BatchShare(models.Model):
    """How many events of which facility a batch of events wrote when it was loaded; counted once and kept."""

    batch = models.OneToOneField("ingestion.IngestBatch", models.CASCADE, primary_key=True, related_name="share")
    facilities = ArrayField(models.BigIntegerField(), help_text="ids, ascending")
    rows = ArrayField(models.IntegerField(), help_text="of each of them")

    class Meta:
        db_table = "facility_shares"
        # Which batches a facility's numbers are made of: analytics/trust.py.
        indexes = [GinIndex(fields=["facilities"], name="facility_shares_of_a_facility")]
        constraints = [
            models.CheckConstraint(
                condition=Q(facilities__len=F("rows__len")), name="facility_shares_a_number_for_each_facility"
            )
        ]

    def __str__(self) -> str:
        return f"Share {self.pk}"


class FacilitySignalQuerySet(models.QuerySet["FacilitySignal"]):
    def inside(self, scope: Scope) -> "FacilitySignalQuerySet":
        if scope.is_national:
            return self
        return self.filter(scope.of_places("facility__state", "facility__lga_key", "facility_id"))

    def visible_to(self, user: "User") -> "FacilitySignalQuerySet":
        return self.inside(user.access.scope(READ, "deliveries"))

    def open(self) -> "FacilitySignalQuerySet":
        return self.filter(state=FacilitySignal.State.OPEN)

    def unsettled(self) -> "FacilitySignalQuerySet":
        return self.exclude(state=FacilitySignal.State.OVER)

    def worst_first(self) -> "FacilitySignalQuerySet":
        return self.order_by("-rows_amiss", "began_on", "id")


class FacilitySignal(models.Model):
    """One facility that is silent, or whose volume is off, from its first day to its last.

    open → over by itself, once a day was in order. open ↔ muted by a steward, until a day; then it is open again.
    """

    class Kind(models.TextChoices):
        NO_FILE = "no_file", "No file"
        EMPTY_FILE = "empty_file", "File without rows"
        SAME_FILE = "same_file", "Same file as before"
        VOLUME_LOW = "volume_low", "Too few rows"
        VOLUME_HIGH = "volume_high", "Too many rows"

    class State(models.TextChoices):
        OPEN = "open"
        MUTED = "muted"
        OVER = "over"

    facility = models.ForeignKey("clinical.Facility", models.CASCADE, related_name="signals", db_index=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    state = models.CharField(max_length=6, choices=State.choices, default=State.OPEN)
    began_on = models.DateField(help_text="the first day on which it was so")
    last_on = models.DateField(help_text="the last day on which it was so")
    over_on = models.DateField(null=True, blank=True, help_text="the day that was in order again")
    last_rows_on = models.DateField(null=True, blank=True, help_text="the last day with rows of the facility")
    observed = models.IntegerField(help_text="rows in the last `over_days` days")
    expected_low = models.IntegerField(help_text="of rows in the same days")
    expected_high = models.IntegerField()
    over_days = models.SmallIntegerField(default=1, help_text="days over which rows were added up to see it")
    baseline_days = models.SmallIntegerField(help_text="days of the same weekday that it was compared with")
    rows_amiss = models.IntegerField(help_text="missing since it began, or too many")
    recent = ArrayField(models.IntegerField(null=True), help_text="rows of the last 28 days; null where no file came")
    found_at = models.DateTimeField(db_default=Now(), editable=False)
    muted_until = models.DateField(null=True, blank=True, help_text="the last day of it")
    muted_why = models.TextField(blank=True, default="")
    muted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = FacilitySignalQuerySet.as_manager()

    class Meta:
        db_table = "facility_signals"
        verbose_name = "silent facility"
        verbose_name_plural = "silent facilities"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["facility"], condition=~Q(state="over"), name="facility_signals_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["no_file", "empty_file", "same_file", "volume_low", "volume_high"]),
                name="facility_signals_kind_is_known",
            ),
            models.CheckConstraint(
                condition=Q(state="open", over_on=None)
                | Q(state="muted", over_on=None, muted_until__isnull=False)
                | Q(state="over", over_on__isnull=False),
                name="facility_signals_state_says_until_when",
            ),
            models.CheckConstraint(
                condition=~Q(state="muted") | ~Q(muted_why=""), name="facility_signals_muted_for_a_reason"
            ),
            models.CheckConstraint(condition=Q(last_on__gte=F("began_on")), name="facility_signals_begin_first"),
        ]
        indexes = [
            models.Index(fields=["facility", "-id"], name="facility_signals_of_facility"),
            # The navigation's badge, the first page and the list: what is open, the worst first.
            models.Index(
                fields=["-rows_amiss", "began_on", "id"], condition=Q(state="open"), name="facility_signals_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.facility}: {self.get_kind_display().lower()}"


class WatchedDay(models.Model):
    """One day on which every facility was judged, and what came of it; judged again, its numbers are replaced."""

    day = models.DateField(primary_key=True)
    watched_at = models.DateTimeField()
    facilities = models.IntegerField(help_text="of which anything came in the twelve weeks before")
    in_order = models.IntegerField(default=0)
    silent = models.IntegerField(default=0)
    too_new = models.IntegerField(default=0, help_text="with fewer than four comparable days")
    not_due = models.IntegerField(default=0, help_text="on this weekday, or at all")
    stopped = models.IntegerField(default=0, help_text="whose file waits for a steward")
    holiday = models.IntegerField(default=0)
    together = models.IntegerField(default=0, help_text="quiet like most others: a holiday, or one cause")

    class Meta:
        db_table = "watched_days"
        ordering = ["-day"]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    facilities=F("in_order")
                    + F("silent")
                    + F("too_new")
                    + F("not_due")
                    + F("stopped")
                    + F("holiday")
                    + F("together")
                ),
                name="watched_days_add_up",
            )
        ]

    def __str__(self) -> str:
        return f"{self.day}"
