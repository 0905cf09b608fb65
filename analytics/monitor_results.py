"""What the monitors saw of each source on each day, and what they had expected."""

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from clinical.access import READ, Scope
from ingestion.models.batches import folders_in

if TYPE_CHECKING:
    from clinical.models import User

MEASURES = {
    "volume": "rows of the day",
    "freshness": "hours since something came",
    "refused": "refused for their own content",
}
NARROWEST = 0.001  # of a band: that of a share may have no width
PARTS = {"empty": "empty: {}", "spread": "mixture unlike the usual: {}"}


class MonitorResultQuerySet(models.QuerySet["MonitorResult"]):
    def inside(self, scope: Scope) -> "MonitorResultQuerySet":
        """Of a state: its own folders' sources."""
        return self if scope.is_national else self.filter(folder__in=folders_in(scope.states))

    def visible_to(self, user: "User") -> "MonitorResultQuerySet":
        return self.inside(user.access.scope(READ, "deliveries"))

    def alarming(self) -> "MonitorResultQuerySet":
        return self.filter(verdict__in=(MonitorResult.Verdict.LOW, MonitorResult.Verdict.HIGH))


class MonitorResult(models.Model):
    """One measure of one source's dataset on one business date, with the band that it was expected in."""

    class Verdict(models.TextChoices):
        IN_ORDER = "in order", "in order"
        LOW = "low", "lower than usual"
        HIGH = "high", "higher than usual"
        LEARNING = "learning", "learning: too few days to say what is usual"
        NOT_JUDGED = "not judged", "not judged: a holiday, or a file that waits for a steward"

    NOT_SAID = (Verdict.LEARNING, Verdict.NOT_JUDGED)

    day = models.DateField()
    folder = models.TextField(blank=True, default="")
    source = models.TextField()
    dataset = models.TextField()
    measure = models.TextField(help_text="volume, freshness, refused, empty:column or spread:column")
    value = models.FloatField(help_text="rows, hours, or a share of 1")
    among = models.IntegerField(help_text="rows that it was seen in")
    shares = models.JSONField(null=True, help_text="of a spread: what share each value has")
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    baseline_days = models.SmallIntegerField(default=0, help_text="days that it was compared with")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    found_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = MonitorResultQuerySet.as_manager()

    class Meta:
        db_table = "monitor_results"
        verbose_name = "monitor of a source"
        verbose_name_plural = "monitors of sources"
        ordering = ["-id"]
        constraints = [
            # One line per day, and the history of one measure.
            models.UniqueConstraint(fields=["source", "dataset", "measure", "day"], name="monitor_results_one_a_day"),
            models.CheckConstraint(
                condition=Q(verdict__in=["in order", "low", "high", "learning", "not judged"]),
                name="monitor_results_verdict_is_known",
            ),
            models.CheckConstraint(
                condition=Q(verdict__in=["learning", "not judged"]) | Q(low__isnull=False, high__isnull=False),
                name="monitor_results_judged_by_a_band",
            ),
        ]
        indexes = [models.Index(fields=["day", "verdict"], name="monitor_results_of_a_day")]

    def __str__(self) -> str:
        return f"{self.measure} of {self.dataset}, {self.day}"

    @property
    def measured(self) -> str:
        """In words."""
        kind, _, column = self.measure.partition(":")
        return PARTS[kind].format(column) if kind in PARTS else MEASURES.get(self.measure, self.measure)

    @property
    def beyond(self) -> float:
        """How far it is out of its band, in widths of the band; 0 inside, or without one."""
        if self.low is None or self.high is None:
            return 0.0
        return max(self.low - self.value, self.value - self.high, 0.0) / max(self.high - self.low, NARROWEST)
