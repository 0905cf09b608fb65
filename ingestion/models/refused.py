"""Rows that could not be loaded, kept with their evidence until a steward has dealt with them."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.contrib.postgres.indexes import GinIndex
from django.db import connection, models
from django.db.models import Func, Q

from clinical import keyed, sealing
from clinical.access import READ, UPDATE, Scope
from clinical.sealing import SealedField
from ingestion import cells
from ingestion.datasets import Dataset
from ingestion.models.batches import IngestBatch, folders_in

if TYPE_CHECKING:
    from clinical.models import User


OF_A_LINE = ("batch_id", "line")  # to which its cells are bound
FREQUENT = """
SELECT split_part(reason, ':', 1) AS code, count(*)
FROM ({rows}) AS refused, unnest(refused.reasons) AS reason GROUP BY code ORDER BY count(*) DESC, code LIMIT %s
"""


class Codes(Func):
    """The codes of an array of reasons, without their columns."""

    template = "ARRAY(SELECT split_part(reason, ':', 1) FROM unnest(%(expressions)s) AS reason)"
    output_field = ArrayField(models.TextField())


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

    def write_cells(self, rows: "Sequence[RejectedRow]") -> None:
        """Corrections and hashes of these rows, and who settled them, in one statement."""
        columns = [(row.pk, row.corrections_sealed, json.dumps(row.cell_keys), row.settled_by_id) for row in rows]
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE rejected_rows r SET corrections_sealed = new.corrections, cell_keys = new.keys,"
                " settled_by_id = new.by FROM unnest(%s::bigint[], %s::bytea[], %s::jsonb[], %s::bigint[])"
                " AS new (id, corrections, keys, by) WHERE r.id = new.id",
                [[*column] for column in zip(*columns, strict=True)] if columns else [[], [], [], []],
            )

    def frequent_codes(self, most: int) -> list[tuple[str, int]]:
        """Why these rows were refused, and how often each; the most frequent first."""
        sql, params = self.values_list("reasons", flat=True).query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(FREQUENT.format(rows=sql), [*params, most])
            return cursor.fetchall()

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
    raw_sealed = SealedField(null=True, bound_to=OF_A_LINE, help_text="`raw`; null: purged, long after it was settled")
    corrections_sealed = SealedField(null=True, blank=True, bound_to=OF_A_LINE, help_text="`corrections`")
    cell_keys = models.JSONField(default=dict, blank=True, help_text="column → keyed hash of what would be tried now")
    dataset = models.CharField(max_length=20, choices=Dataset.choices)
    source = models.TextField()
    event_on = models.DateField(null=True, blank=True)
    ordinal = models.IntegerField(default=1)
    raw_hash = models.UUIDField(help_text="keyed, over the cells whatever their order")
    # As far as they are known: who may see the row, and which names are in doubt while it is open.
    facility = models.ForeignKey("clinical.Facility", models.SET_NULL, null=True, blank=True, related_name="+")
    named_state = models.TextField(null=True, blank=True)
    facility_key = models.UUIDField(null=True, blank=True, help_text="keyed, like the next two")
    first_name_key = models.UUIDField(null=True, blank=True)
    last_name_key = models.UUIDField(null=True, blank=True)
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

    @property
    def raw(self) -> dict[str, Any]:
        """Column → cell as delivered; cells beyond the header stand under an empty name. Opened anew each time."""
        return cells.loaded(sealing.field_of(RejectedRow, "raw_sealed").unseal_in(self))

    @raw.setter
    def raw(self, raw: dict[str, Any]) -> None:
        self.put_raw(raw, keyed.hashes())

    @property
    def corrections(self) -> dict[str, str]:
        """Column → what a steward put instead."""
        return cells.loaded(sealing.field_of(RejectedRow, "corrections_sealed").unseal_in(self))

    @corrections.setter
    def corrections(self, corrections: dict[str, str]) -> None:
        self.put_corrections(corrections, keyed.hashes())

    @property
    def cells(self) -> dict[str, Any]:
        """Column → what would be tried now."""
        return self.raw | self.corrections

    def put_raw(self, raw: dict[str, Any], hashes: keyed.Hashes) -> None:
        kept = cells.kept(raw, self.reasons, hashes)
        sealing.field_of(RejectedRow, "raw_sealed").seal_in(self, kept.raw)
        self.raw_hash, self.named_state, self.cell_keys = kept.raw_hash, kept.named_state, kept.cell_keys

    def put_corrections(self, corrections: dict[str, str], hashes: keyed.Hashes) -> None:
        plain = cells.dumped(corrections).encode() if corrections else None
        sealing.field_of(RejectedRow, "corrections_sealed").seal_in(self, plain)
        self.cell_keys = cells.keys_of(self.raw | corrections, self.reasons, hashes)
