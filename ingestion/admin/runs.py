"""The runs: what each was asked for, how it ended, and what became of each of its files."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from clinical.access import READ
from clinical.models import User
from ingestion.admin.batches import COLOURS, COUNTS, refused_rows
from ingestion.admin.desk import Desk, Why, person
from ingestion.models import STOPPED, IngestBatch, IngestRun

STAGES = ("facilities", "patients", "records and visits")
RUN_COLOURS = {
    IngestRun.State.QUEUED: "info",
    IngestRun.State.RUNNING: "info",
    IngestRun.State.DONE: "success",
    IngestRun.State.SOME_ROWS_REFUSED: "warning",
    IngestRun.State.SOME_FILES_STOPPED: "danger",
    IngestRun.State.BROKEN_OFF: "danger",
}
SHOWN = 100  # batches of a run


@admin.register(IngestRun)
class RunAdmin(Desk):
    list_display = ("id", "kind", "status_label", "night_on", "requested_by", "created_at", "started_at", "finished_at")
    list_select_related = ("requested_by",)
    list_filter = (("kind", ChoicesDropdownFilter), ("status", ChoicesDropdownFilter))
    change_form_outer_before_template = "ingestion/run.html"
    fields = ("kind", "night_on", "requested_by", "created_at", "started_at", "finished_at")

    @display(description="status", ordering="status", label=RUN_COLOURS)
    def status_label(self, run: IngestRun) -> tuple[str, str]:
        return run.status, run.get_status_display()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        extra = _story(run, person(request)) if run else {}
        return super().change_view(request, object_id, form_url, extra | (extra_context or {}))


def _story(run: IngestRun, user: User) -> dict[str, Any]:
    """What the page on a run tells above its columns; of its files those that the steward may see, stopped first."""
    batches = IngestBatch.objects.visible_to(user).filter(run=run)
    is_told_all = run.requested_by_id == user.pk or user.access.scope(READ, "deliveries").is_national
    stopped = [*batches.filter(status__in=STOPPED).order_by("id")[:SHOWN]]
    others = batches.exclude(status__in=STOPPED).order_by("id")[: SHOWN - len(stopped)]
    shown = [_line(batch) for batch in (*stopped, *others)]
    sums = batches.aggregate(**{name: Sum(name, default=0) for name in COUNTS})
    count = batches.count()
    return {
        "run": run,
        "status_colour": RUN_COLOURS[IngestRun.State(run.status)],
        "at_work": _at_work(run),
        "took": (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None,
        "is_told_all": is_told_all,
        "asked_for": run.keys or [],
        "batches": shown,
        "sums": [f"{sums[name]:,}" for name in COUNTS],
        "count": count,
        "more": count - len(shown),
        "all_batches": f"{reverse('admin:ingestion_ingestbatch_changelist')}?run__id__exact={run.pk}",
    }


def _line(batch: IngestBatch) -> dict[str, Any]:
    return {
        "batch": batch,
        "colour": COLOURS.get(batch.status, ""),  # type: ignore[call-overload]  # a member of it, as text
        "key": batch.object_key.removeprefix(settings.S3_INPUT_PREFIX),
        "whys": [Why(reason) for reason in batch.reasons],
        "counts": [f"{getattr(batch, name):,}" if getattr(batch, name) else "" for name in COUNTS[:-1]],
        "refused": f"{batch.rejected:,}" if batch.rejected else "",
        "refused_rows": refused_rows(batch),
    }


def _at_work(run: IngestRun) -> str:
    if run.status != IngestRun.State.RUNNING or run.at_stage is None:
        return ""
    return f"{STAGES[run.at_stage]} of {run.at_day:%Y-%m-%d}"
