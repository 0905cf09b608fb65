"""What every step of one load shares: the batch, its staged rows, and the questions that all datasets ask of them."""

from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Exists, Func, OuterRef, QuerySet, Value
from django.db.models.expressions import RawSQL

from ingestion import staging
from ingestion.datasets import Dataset
from ingestion.models import IngestBatch
from ingestion.rows import Delivery
from ingestion.staging import Stopped
from ingestion.upsert import upsert


@dataclass
class Load:
    """One batch on its way into the tables; lives as long as the transaction that holds its staging tables."""

    batch: IngestBatch
    dataset: Dataset
    delivery: Delivery
    stage: Any  # the staging model of the dataset
    folder_state: str | None
    is_replay: bool
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> "QuerySet[Any, Any]":
        return QuerySet(self.stage)

    @property
    def good(self) -> "QuerySet[Any, Any]":
        """The rows that still go on: neither refused nor collapsed into a later one."""
        return self.rows.filter(~Exists(Stopped.objects.filter(line=OuterRef("line"))))

    def stop(self, rows: "QuerySet[Any, Any]", reason: str | None) -> int:
        """Refuses the rows for a reason, or (None) collapses them."""
        why = Value(reason) if reason else RawSQL("null::text", ())
        stopped = upsert(Stopped, rows.annotate(reason=why).values("line", "reason"))
        if stopped:
            staging.analyze(Stopped)
        return stopped

    def warn(self, warning: str, count: int) -> None:
        if count:
            self.delivery.warnings[warning] += count


class IsDistinct(Func):
    """True where two values differ, null being a value like any other."""

    template = "(%(expressions)s)"
    arg_joiner = " IS DISTINCT FROM "
    output_field = BooleanField()
    arity = 2


def prepare_session(batch: IngestBatch) -> None:
    """What this transaction needs: room to sort, no JIT, and the mark by which triggers know a load from a person."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('medilink.batch', %s, true), set_config('work_mem', '128MB', true),"
            " set_config('jit', 'off', true), set_config('temp_buffers', '64MB', true)",
            [str(batch.pk)],
        )
