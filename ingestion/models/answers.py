"""What stewards have answered once and for all: about a source, and about what a text in the files means."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now
from django.utils import timezone

from clinical import geography
from clinical.access import READ, UPDATE, Scope
from ingestion.models.batches import IngestBatch
from ingestion.objects import folder_state, lagos_day

if TYPE_CHECKING:
    from clinical.models import User


class SourceQuerySet(models.QuerySet["Source"]):
    def visible_to(self, user: "User") -> "SourceQuerySet":
        """Of a state: those of its own folders."""
        scope = user.access.scope(READ, "deliveries")
        if scope.is_national:
            return self
        sources = self.values_list("source", flat=True)
        return self.filter(source__in=[source for source in sources if _state_of(source) in scope.states])


class Source(models.Model):
    """What stewards have answered once and for all about the files of one sender."""

    class Delivers(models.TextChoices):
        APPEND = "append", "new events each time (never held as a repetition)"
        SNAPSHOT = "snapshot", "everything again each time (repetitions are the same events)"

    source = models.TextField(unique=True)
    delivers = models.CharField(max_length=10, choices=Delivers.choices)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = SourceQuerySet.as_manager()

    class Meta:
        db_table = "ingest_sources"
        ordering = ["source"]

    def __str__(self) -> str:
        return self.source


class RuleQuerySet(models.QuerySet["Rule"]):
    def active(self) -> "RuleQuerySet":
        """Those that apply to what is read now."""
        today = lagos_day(timezone.now())
        return self.filter(Q(expires_on=None) | Q(expires_on__gt=today), ended_at=None)

    def for_source(self, source: str) -> "RuleQuerySet":
        """Those that may apply to a file of the source, the most particular first."""
        return self.filter(source__in=("", source)).order_by("-source", "-state", "id")

    def inside(self, scope: Scope) -> "RuleQuerySet":
        """Of a state: those that reach no further than its own files."""
        if scope.is_national:
            return self
        return self.filter(Q(state__in=scope.states) | ~Q(source="") & Q(source__in=_sources_of(scope)))

    def visible_to(self, user: "User") -> "RuleQuerySet":
        return self.inside(user.access.scope(READ, "deliveries"))

    def decidable_by(self, user: "User") -> "RuleQuerySet":
        return self.inside(user.access.scope(UPDATE, "deliveries"))


def _sources_of(scope: Scope) -> list[str]:
    sources = IngestBatch.objects.order_by().values_list("source", flat=True).distinct()
    return [source for source in sources if _state_of(source) in scope.states]


def _state_of(source: str) -> str | None:
    return folder_state(source.rpartition("/")[0])


class Rule(models.Model):
    """A steward's word that a text in the files means this: in force → ended (a newer version, or taken back).

    Never changed once it is in force: a change is a new version, so that a row tells by which one it came in.
    """

    class About(models.TextChoices):
        FACILITY = "facility", "facility"
        STATE = "state"
        LGA = "lga", "LGA"
        SEX = "sex"
        DIAGNOSIS = "diagnosis"

    about = models.CharField(max_length=10, choices=About.choices)
    text = models.TextField(help_text="as the files write it; case does not matter")
    text_key = models.GeneratedField(
        expression=Func(F("text"), template="lower(%(expressions)s COLLATE pg_c_utf8)"),
        output_field=models.TextField(db_collation="C"),
        db_persist=True,
    )
    facility = models.ForeignKey("clinical.Facility", models.PROTECT, null=True, blank=True, related_name="+")
    value = models.TextField(
        blank=True, default="", db_default="", help_text="what it means, where that is no facility"
    )
    source = models.TextField(
        blank=True, default="", db_default="", help_text="only in the files of this source; empty: in all"
    )
    state = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        choices=[(s, s) for s in geography.STATES],
        help_text="only where row or folder name this state; empty: everywhere",
    )
    version = models.IntegerField(default=1, db_default=1)
    replaces = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="replaced_by")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    why = models.TextField(blank=True, default="", db_default="")
    expires_on = models.DateField(null=True, blank=True, help_text="the first day on which it applies no more")
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    ended_why = models.TextField(blank=True, default="", db_default="")
    is_taken_back = models.BooleanField(default=False, db_default=False, help_text="its rows wait again")

    objects = RuleQuerySet.as_manager()

    class Meta:
        db_table = "rules"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["about", "text_key", "source", "state"],
                condition=Q(ended_at__isnull=True),
                name="rules_one_answer",
            ),
            models.CheckConstraint(
                condition=Q(about="facility", facility__isnull=False, value="")
                | ~Q(about="facility") & Q(facility__isnull=True) & ~Q(value=""),
                name="rules_mean_one_thing",
            ),
            models.CheckConstraint(condition=~Q(text=""), name="rules_of_a_text"),
            models.CheckConstraint(condition=~Q(about="lga") | ~Q(state=""), name="rules_lga_of_a_state"),
            models.CheckConstraint(
                condition=Q(is_taken_back=False) | Q(ended_at__isnull=False), name="rules_taken_back_are_ended"
            ),
        ]

    def __str__(self) -> str:
        return f"“{self.text}” means {self.meaning}"

    @property
    def meaning(self) -> str:
        return str(self.facility) if self.facility_id else self.value

    @property
    def reach(self) -> str:
        """Where it applies, in words."""
        return " · ".join(filter(None, (self.source, self.state))) or "everywhere"


class RuleUse(models.Model):
    """One line of one batch that came in by a rule, and the row that it became or met."""

    rule = models.ForeignKey(Rule, models.PROTECT, related_name="uses", db_index=False)
    batch = models.ForeignKey(IngestBatch, models.PROTECT, related_name="+", db_index=False)
    line = models.IntegerField()
    row_id = models.BigIntegerField(null=True, help_text="null: the row that bears batch and line, if any")

    class Meta:
        db_table = "rule_uses"
        constraints = [models.UniqueConstraint(fields=["rule", "batch", "line"], name="rule_uses_identity")]
        indexes = [models.Index(fields=["batch", "line"], name="rule_uses_of_a_line")]

    def __str__(self) -> str:
        return f"Use {self.pk}"


class Cause(models.Model):
    """What many refused rows have in common, a reason and the text that it is about: who sees to it, and what was said.

    Only those that somebody has taken on or commented have a row here; the others are found in the refused rows.
    """

    reason = models.TextField()
    value_key = models.TextField()
    assigned_to = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    assigned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "causes"
        constraints = [models.UniqueConstraint(fields=["reason", "value_key"], name="causes_identity")]

    def __str__(self) -> str:
        return f"Cause {self.pk}"


class CauseComment(models.Model):
    cause = models.ForeignKey(Cause, models.CASCADE, related_name="comments")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(db_default=Now(), editable=False)
    text = models.TextField()

    class Meta:
        db_table = "cause_comments"
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Comment {self.pk}"
