"""Rows that could not be loaded, kept with their evidence until a steward has dealt with them."""

from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Func, Q

from clinical.access import READ, UPDATE, Scope
from ingestion.datasets import Dataset
from ingestion.models.batches import IngestBatch, folders_in

if TYPE_CHECKING:
    from clinical.models import User


def hash_of(field: str) -> models.GeneratedField:
    """128 bits over the cells as jsonb writes them: sorted by column, so that their order in a file says nothing."""
    return models.GeneratedField(
        expression=Func(F(field), template="(md5((%(expressions)s)::text))::uuid"),
        output_field=models.UUIDField(),
        db_persist=True,
    )


class Codes(Func):
    """The codes of an array of reasons, without their columns."""

    template = "ARRAY(SELECT split_part(reason, ':', 1) FROM unnest(%(expressions)s) AS reason)"
    output_field = ArrayField(models.TextField())


def state_in(field: str) -> models.GeneratedField:
    """The state that a row's own cell names, as far as it is written like one."""
    template = "regexp_replace(upper(btrim(%(expressions)s ->> 'facility_state')), '[ -]+STATE$', '')"
    return models.GeneratedField(
        expression=Func(F(field), template=template), output_field=models.TextField(null=True), db_persist=True
    )


def _speaks_of(scope: Scope) -> Q:
    facilities = apps.get_model("clinical.Facility").objects.inside(scope).order_by()
    mine = Q(facility_id__in=[*facilities.values_list("pk", flat=True)])  # a subquery inside OR meets no index
    return mine | Q(facility=None, named_state__in=sorted(scope.states)) if scope.states else mine


class RejectedRowQuerySet(models.QuerySet["RejectedRow"]):
    def inside(self, scope: Scope) -> "RejectedRowQuerySet":
        """Of the scope's facilities; where the facility is not known, of the state that folder or row names."""
        if scope.is_national:
            return self
        folders = folders_in(scope.states) if scope.states else []
        delivered = Q(facility=None, batch__folder__in=folders) if folders else Q(pk__in=[])
        return self.filter(delivered | _speaks_of(scope))

    def speaking_of(self, scope: Scope) -> "RejectedRowQuerySet":
        """Without those that only lie in a folder of the state."""
        return self.filter(_speaks_of(scope))

    def visible_to(self, user: "User") -> "RejectedRowQuerySet":
        return self.inside(user.access.scope(READ, "deliveries"))

    def decidable_by(self, user: "User") -> "RejectedRowQuerySet":
        return self.inside(user.access.scope(UPDATE, "deliveries"))

    def with_reason(self, reason: str) -> "RejectedRowQuerySet":
        """Refused for `CODE:column`, or for a bare CODE whatever the column."""
        if ":" in reason:
            return self.filter(reasons__contains=[reason])
        return self.alias(codes=Codes("reasons")).filter(codes__contains=[reason])  # type: ignore[misc]  # an alias


class RejectedRow(models.Model):
    """One row that could not be loaded, kept with its evidence until a steward has dealt with it.

    open → replayed (it became a row of the dataset's table) or dismissed.
    """

    class State(models.TextChoices):
        OPEN = "open"
        REPLAYED = "replayed"
        DISMISSED = "dismissed"

    batch = models.ForeignKey(IngestBatch, models.PROTECT, related_name="rejected_rows", help_text="that first held it")
    line = models.IntegerField(help_text="of the file, on which the record starts; the header is line 1")
    reasons = ArrayField(models.TextField())
    raw = models.JSONField(help_text="column → cell as delivered; cells beyond the header stand under an empty name")
    corrections = models.JSONField(default=dict, blank=True, help_text="column → what a steward put instead")
    dataset = models.CharField(max_length=20, choices=Dataset.choices)
    source = models.TextField()
    event_on = models.DateField(null=True, blank=True)
    ordinal = models.IntegerField(default=1)
    raw_hash = hash_of("raw")
    # As far as they are known: who may see the row, and which names are in doubt while it is open.
    facility = models.ForeignKey("clinical.Facility", models.SET_NULL, null=True, blank=True, related_name="+")
    named_state = state_in("raw")
    facility_key = models.TextField(blank=True, default="")
    first_name_key = models.TextField(blank=True, default="")
    last_name_key = models.TextField(blank=True, default="")
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    first_seen_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    last_seen_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    times_seen = models.IntegerField(default=1)
    tried_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    settled_why = models.TextField(blank=True, default="")
    replay_batch = models.ForeignKey(IngestBatch, models.PROTECT, null=True, blank=True, related_name="replayed_rows")
    became_id = models.BigIntegerField(null=True, blank=True, help_text="the id in the dataset's table")

    objects = RejectedRowQuerySet.as_manager()

    class Meta:
        db_table = "rejected_rows"
        verbose_name = "refused row"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "source", "raw_hash", "event_on", "ordinal"],
                nulls_distinct=False,
                name="rejected_rows_identity",
            ),
            models.CheckConstraint(condition=Q(reasons__len__gte=1), name="rejected_rows_have_a_reason"),
            models.CheckConstraint(
                condition=Q(state="open") | Q(settled_at__isnull=False), name="rejected_rows_settled_when"
            ),
            models.CheckConstraint(
                condition=~Q(state="replayed") | Q(replay_batch__isnull=False), name="rejected_rows_replayed_by"
            ),
            models.CheckConstraint(condition=Q(times_seen__gte=1), name="rejected_rows_seen"),
        ]
        indexes = [
            models.Index(fields=["batch", "line"], name="rejected_rows_batch"),
            # The parents' retry, and the doubt about a patient's name while a row with it is open.
            models.Index(
                fields=["facility_key", "last_name_key", "first_name_key"],
                condition=Q(state="open", dataset="patients"),
                name="rejected_rows_open_names",
            ),
            models.Index(fields=["dataset", "id"], condition=Q(state="open"), name="rejected_rows_open"),
            GinIndex(fields=["reasons"], name="rejected_rows_reasons"),
            # How many wait for the stewards of a state: told on every page of theirs.
            models.Index(fields=["facility"], condition=Q(state="open"), name="rejected_rows_open_facility"),
            models.Index(
                fields=["named_state"], condition=Q(state="open", facility=None), name="rejected_rows_open_state"
            ),
        ]

    def __str__(self) -> str:
        return f"Refused row {self.pk}"
