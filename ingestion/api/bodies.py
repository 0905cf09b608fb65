"""What batches, runs and refused rows look like, and what decisions about them say."""

from typing import Any

from rest_framework import serializers

from clinical.api.fields import Id, Truth, Verbatim
from clinical.api.writing import Strict
from ingestion.datasets import Dataset
from ingestion.models import IngestBatch, IngestRun, RejectedRow, Release

BATCH = (
    *("id", "kind", "run_id", "parent_id", "object_key", "source", "dataset", "business_date", "status", "reasons"),
    *("warnings", "rows_read", "inserted", "updated", "unchanged", "collapsed", "rejected", "blank", "attempts"),
    *("evidence", "duplicate_of_id", "discovered_at", "started_at", "finished_at", "archived_at", "settled_why"),
)
ROW = (
    *("id", "batch_id", "line", "dataset", "source", "facility_id", "reasons", "state"),
    *("raw_sealed", "corrections_sealed"),
    *("event_on", "first_seen_at", "last_seen_at", "times_seen", "settled_at", "settled_why"),
    *("replay_batch_id", "became_id"),
)


RENAMED = {"state": "status", "raw_sealed": "raw", "corrections_sealed": "corrections"}


class Batch(serializers.ModelSerializer[IngestBatch]):
    run_id = serializers.IntegerField(allow_null=True)
    parent_id = serializers.IntegerField(allow_null=True)
    duplicate_of_id = serializers.IntegerField(allow_null=True)

    class Meta:
        model = IngestBatch
        fields = BATCH


class Row(serializers.ModelSerializer[RejectedRow]):
    batch_id = serializers.IntegerField()
    facility_id = serializers.IntegerField(allow_null=True)
    replay_batch_id = serializers.IntegerField(allow_null=True)
    status = serializers.ChoiceField(RejectedRow.State.choices)
    raw = serializers.JSONField(allow_null=True, help_text="column → cell as delivered; null: masked, or purged")
    corrections = serializers.JSONField(allow_null=True, help_text="column → what a steward put instead")

    class Meta:
        model = RejectedRow
        fields = tuple(RENAMED.get(name, name) for name in ROW)


class RunBody(Strict):
    prefix = Verbatim(required=False, max_length=1024, trim_whitespace=False)
    keys = serializers.ListField(
        child=Verbatim(max_length=1024, trim_whitespace=False), required=False, max_length=1000
    )
    dry_run = Truth(required=False, default=False)


class Queued(serializers.Serializer[Any]):
    run_id = serializers.IntegerField()
    status = serializers.CharField()


class RunState(serializers.Serializer[Any]):
    run_id = serializers.IntegerField()
    kind = serializers.CharField()
    status = serializers.ChoiceField(IngestRun.State.choices)
    dry_run = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField()
    batches = serializers.ListField(child=serializers.DictField(), help_text="of a dry run: what would have become")


class ReleaseBody(Strict):
    remember = Truth(required=False, default=False)

    def get_fields(self) -> dict[str, Any]:
        """`as` is a word of Python's own."""
        return {"as": serializers.ChoiceField(Release.choices), **super().get_fields()}


class ReasonBody(Strict):
    reason = Verbatim(max_length=1000)


class CellsBody(Strict):
    cells = serializers.DictField(
        child=Verbatim(allow_blank=True, max_length=65536, trim_whitespace=False), required=False
    )


class RowFilter(Strict):
    """As the list's own filters; at least one of them."""

    dataset = serializers.ChoiceField(Dataset.choices, required=False)
    status = serializers.ChoiceField(RejectedRow.State.choices, required=False)
    reason = Verbatim(required=False)
    batch_id = Id(required=False)
    facility_id = Id(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Name at least one condition.", code="required")
        return attrs


class ReplaySelection(CellsBody):
    filter = RowFilter()


class DismissSelection(ReasonBody):
    filter = RowFilter()


class Selected(serializers.Serializer[Any]):
    rows = serializers.IntegerField(help_text="how many open rows the filter has selected")
