"""Rows that were delivered and are in no table: how many, of which dataset, at which place."""

from collections.abc import Mapping

from django.db import connection, models
from django.db.models import Q

from ingestion.datasets import Dataset
from ingestion.models.batches import IngestBatch

Places = Mapping[tuple[int | None, str | None], int]  # (facility, else state, as far as either is known) → rows
MANY = 100
FOLD = """
WITH gone AS (DELETE FROM excluded_rows WHERE batch_id IS NULL RETURNING *)
INSERT INTO excluded_rows (dataset, kind, facility_id, state, is_total, rows)
SELECT dataset, kind, facility_id, state, is_total, sum(rows) FROM gone
GROUP BY dataset, kind, facility_id, state, is_total HAVING sum(rows) <> 0
"""


class ExcludedRowsQuerySet(models.QuerySet["ExcludedRows"]):
    def hold(self, batch: IngestBatch, places: Places) -> None:
        """The rows of a file that has just been held, until it is held no longer."""
        lines = [(place, rows, False) for place, rows in places.items()] + [((None, None), sum(places.values()), True)]
        found = [
            ExcludedRows(
                batch=batch,
                dataset=batch.kind_of_rows,
                kind=ExcludedRows.Kind.HELD,
                facility_id=facility_id,
                state=state,
                is_total=is_total,
                rows=rows,
            )
            for (facility_id, state), rows, is_total in lines
            if rows
        ]
        ExcludedRows.objects.bulk_create(found)

    def fold(self) -> None:
        """Makes one line of those that add up, once there are many. What a line says is never changed otherwise, so
        that two loads do not wait for each other here."""
        if self.filter(is_total=True, batch=None).count() > MANY:
            with connection.cursor() as cursor:
                cursor.execute(FOLD)


class ExcludedRows(models.Model):
    """So many rows more, or fewer, of a dataset at a place: the sum of all lines is what is excluded at this moment.

    Triggers write them with each change of a refused row and of a stopped file (migration 0009): who counts never
    reads the rows. `is_total` lines say the same of the whole country.
    """

    class Kind(models.TextChoices):
        REFUSED = "refused"
        WAITING = "waiting", "waiting for a parent alone"
        HELD = "held", "in a file that is held"
        UNREAD = "unread", "a file that could not be read; its rows are not known"

    dataset = models.CharField(max_length=20, choices=Dataset.choices)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    facility_id = models.BigIntegerField(null=True, help_text="no foreign key: nothing waits for a number to be put")
    state = models.TextField(null=True, help_text="where the facility is not known: which row or folder names")
    is_total = models.BooleanField(default=False)
    rows = models.BigIntegerField()
    batch = models.ForeignKey(
        IngestBatch, models.CASCADE, null=True, related_name="+", db_index=False, help_text="the stopped file"
    )

    objects = ExcludedRowsQuerySet.as_manager()

    class Meta:
        db_table = "excluded_rows"
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["refused", "waiting", "held", "unread"]), name="excluded_rows_kind_is_known"
            ),
            models.CheckConstraint(
                condition=Q(facility_id=None, state=None) | Q(is_total=False) & (Q(facility_id=None) | Q(state=None)),
                name="excluded_rows_at_one_place",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["refused", "waiting"], batch=None)
                | Q(kind__in=["held", "unread"], batch__isnull=False, rows__gt=0),
                name="excluded_rows_of_a_stopped_file_go_with_it",
            ),
        ]
        indexes = [
            models.Index(
                fields=["dataset"],
                include=["kind", "rows"],
                condition=Q(is_total=True),
                name="excluded_rows_of_the_nation",
            ),
            models.Index(
                fields=["state", "dataset"],
                include=["kind", "rows"],
                condition=Q(is_total=False, facility_id=None),
                name="excluded_rows_of_a_state",
            ),
            models.Index(
                fields=["facility_id", "dataset"],
                include=["kind", "rows"],
                condition=Q(facility_id__isnull=False),
                name="excluded_rows_of_a_facility",
            ),
            models.Index(fields=["batch"], condition=Q(batch__isnull=False), name="excluded_rows_of_a_file"),
        ]

    def __str__(self) -> str:
        return f"{self.rows} {self.kind} {self.dataset}"
