"""Probable duplicates: the pairs that were found, what a steward decided of each, and the searches that found them."""

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import F, Q

from clinical import access
from clinical.models.accounts import User
from clinical.models.columns import holds


class Table(models.TextChoices):
    """Whose rows may be duplicates of one another, by the name of the table."""

    PATIENTS = "patients"
    FACILITIES = "facilities"


class DuplicatePairQuerySet(models.QuerySet["DuplicatePair"]):
    """Pairs of rows of one table."""

    def waiting(self) -> "DuplicatePairQuerySet":
        return self.filter(state=DuplicatePair.State.OPEN)

    def visible_to(self, user: User, action: str = access.UPDATE) -> "DuplicatePairQuerySet":
        """Pairs of which both sides are in the user's scope: who may only read one side has nothing to decide."""
        return self._of(Table.PATIENTS, user, action) | self._of(Table.FACILITIES, user, action)

    def _of(self, table: Table, user: User, action: str) -> "DuplicatePairQuerySet":
        scope = user.access.scope(action, table)
        pairs = self.filter(table=table)
        for side in ("facility", "other_facility"):
            pairs = pairs.filter(scope.of_places(f"{side}__state", f"{side}__lga_key", f"{side}_id"))
        return pairs


class DuplicatePair(models.Model):
    """Two rows of one table that may be one person or place. Found again or not, a decision stays.

    open → same (merged) or different; back to open where the decision is taken back.
    """

    class State(models.TextChoices):
        OPEN = "open"
        SAME = "same", "the same"
        DIFFERENT = "different"

    table = models.CharField("what", max_length=10, choices=Table.choices)
    low_id = models.BigIntegerField()
    high_id = models.BigIntegerField()
    # Where the two are: two patients at one facility; of two facilities they are the two themselves.
    facility = models.ForeignKey("Facility", models.CASCADE, related_name="+")
    other_facility = models.ForeignKey("Facility", models.CASCADE, related_name="+")
    score = models.FloatField(help_text="bits: 0 is as probable as not, each one more doubles the odds")
    evidence = models.JSONField(help_text="a field, what agrees, its weight: no values of a person")
    version = models.SmallIntegerField(help_text="of the rules by which it was scored")
    found_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN, db_default=State.OPEN)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    merge = models.OneToOneField("Merge", models.PROTECT, null=True, blank=True, related_name="+")
    why = models.CharField(max_length=500, blank=True, default="", db_default="")

    objects = DuplicatePairQuerySet.as_manager()

    class Meta:
        db_table = "duplicate_pairs"
        verbose_name = "probable duplicate"
        ordering = ["-score", "id"]
        constraints = [
            models.UniqueConstraint(fields=["table", "low_id", "high_id"], name="duplicate_pairs_identity"),
            holds(Q(low_id__lt=F("high_id")), "duplicate_pairs_of_two"),
            holds(Q(table__in=Table.values), "duplicate_pairs_table_is_known"),
            holds(
                Q(table="patients", facility_id=F("other_facility_id"))
                | Q(table="facilities", facility_id=F("low_id"), other_facility_id=F("high_id")),
                "duplicate_pairs_where_they_are",
            ),
            holds(
                Q(state="open", decided_at=None, decided_by=None, merge=None)
                | Q(state="same", decided_at__isnull=False, decided_by__isnull=False, merge__isnull=False)
                | Q(state="different", decided_at__isnull=False, decided_by__isnull=False, merge=None),
                "duplicate_pairs_decided_by_somebody",
            ),
        ]
        indexes = [
            # The desk's list and its count.
            models.Index(fields=["-score", "id"], condition=Q(state="open"), name="duplicate_pairs_open"),
            # Open pairs of rows that have changed since.
            models.Index(fields=["table", "high_id"], name="duplicate_pairs_of_a_row"),
        ]

    def __str__(self) -> str:
        return f"Pair {self.pk} of {self.table}"


class DuplicateSearch(models.Model):
    """One finished search of one table; the next one looks at rows that have changed since `horizon`."""

    table = models.CharField(max_length=10, choices=Table.choices)
    is_full = models.BooleanField(help_text="all rows, not only those that had changed")
    version = models.SmallIntegerField()
    horizon = models.DateTimeField(help_text="what was written before it has been seen")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    rows = models.IntegerField(help_text="rows that had changed")
    blocked = models.BigIntegerField(help_text="pairs that share a key")
    compared = models.BigIntegerField(help_text="of these, pairs with names alike enough to be scored")
    found = models.IntegerField(help_text="of these, pairs that are probably one")
    capped = models.JSONField(default=dict, help_text="blocks too large to compare all with all, by kind of key")

    class Meta:
        db_table = "duplicate_searches"
        verbose_name_plural = "duplicate searches"
        ordering = ["-id"]
        constraints = [holds(Q(table__in=Table.values), "duplicate_searches_table_is_known")]

    def __str__(self) -> str:
        return f"Search {self.pk} of {self.table}"

    @property
    def seconds(self) -> float:
        return (self.finished_at - self.started_at).total_seconds()
