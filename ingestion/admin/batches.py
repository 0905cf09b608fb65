"""What became of each delivered object: batches, the audit log; and a steward's decision where one is needed."""

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, Func, QuerySet, TextField, Value
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RangeDateFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldBooleanSwitchWidget

from ingestion import reverting, stewards
from ingestion.admin.desk import Desk, OfBatches, Why, WhyForm, link, person, sentences
from ingestion.admin.passports import Asked
from ingestion.corrections import returned
from ingestion.datasets import Dataset
from ingestion.models import LOADED, STOPPED, AuditLog, IngestBatch, RejectedRow, Release, Sighting, Status
from ingestion.refusals import CODES, Level

COLOURS = {
    Status.DISCOVERED: "info",
    Status.LOADING: "info",
    Status.LOADED: "success",
    Status.ARCHIVED: "success",
    Status.HELD: "warning",
    Status.REJECTED: "danger",
    Status.FAILED: "danger",
}
NONE = format_html('<span class="desk-none">{}</span>', "\N{EN DASH}")  # not told on a phone
COUNTS = ("rows_read", "inserted", "updated", "unchanged", "collapsed", "rejected")


AS_IT_IS = [(Release.LOADED, "as it is (whatever was refused stays refused)")]


class ReleaseForm(forms.Form):
    release_as = forms.ChoiceField(
        label="Load it",
        choices=[
            *AS_IT_IS,
            (Release.NEW_EVENTS, "as new events of its own day"),
            (Release.SNAPSHOT, "as a snapshot: events stored under an earlier day are the same events"),
        ],
        widget=UnfoldAdminRadioSelectWidget(),
    )
    remember = forms.BooleanField(
        label="Answer so for every later file of this source",
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text="For new events and snapshots only; to be changed under Sources.",
    )


def _release_form(batch: IngestBatch) -> ReleaseForm:
    """Without what only events can be: new ones, or a snapshot, now and for later files."""
    form = ReleaseForm(initial={"release_as": Release.LOADED})
    if not (batch.dataset and Dataset(batch.dataset).is_event):
        cast(forms.ChoiceField, form.fields["release_as"]).choices = AS_IT_IS
        del form.fields["remember"]
    return form


class BatchReasonFilter(DropdownFilter):
    """By code, whatever the line, byte or column behind it."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name, code in CODES.items() if code.level not in (Level.ROW, Level.WARNING)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        code = self.value()
        if code not in CODES:
            return queryset
        words = Func(F("reasons"), Value("\n"), function="array_to_string", output_field=TextField())
        return queryset.alias(words=words).filter(words__regex=rf"(^|\n){code}(:|\n|$)")


def _count_of(column: str, description: str) -> Callable[[Any, IngestBatch], SafeString]:
    @admin.display(description=description, ordering=column)
    def shown(self: Any, batch: IngestBatch) -> SafeString:
        count = getattr(batch, column)
        return format_html('<span class="desk-count">{}</span>', f"{count:,}") if count else NONE

    return shown


@admin.register(IngestBatch)
class BatchAdmin(Asked, Desk):
    list_display = (
        *("status_label", "object", "read", "inserted_rows", "updated_rows"),
        *("unchanged_rows", "collapsed_rows", "refused"),
    )
    list_display_links = ("object",)
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("dataset", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        BatchReasonFilter,
        ("business_date", RangeDateFilter),
    )
    search_fields = ("id__exact", "object_key", "source", "sha256")
    actions = ("release", "discard", "retry")
    change_form_outer_before_template = "ingestion/batch.html"
    fieldsets = (
        ("Object", {"fields": ("bucket", "object_key", "etag", "version_id", "last_modified", "size", "sha256")}),
        ("Where its bytes are", {"fields": ("held_key", "archive_key", "archived_at")}),
        ("Origin", {"fields": ("kind", "run", "parent", "duplicate_of", "source", "folder")}),
        ("Work", {"fields": ("attempts", "discovered_at", "started_at", "finished_at", "lease_until")}),
    )

    read = _count_of("rows_read", "read")
    inserted_rows = _count_of("inserted", "inserted")
    updated_rows = _count_of("updated", "updated")
    unchanged_rows = _count_of("unchanged", "unchanged")
    collapsed_rows = _count_of("collapsed", "collapsed")

    @display(description="status", label=COLOURS | {"reverted": "warning"}, ordering="status")
    def status_label(self, batch: IngestBatch) -> str:
        return "reverted" if batch.reverted_at else batch.status

    @admin.display(description="object", ordering="business_date")
    def object(self, batch: IngestBatch) -> SafeString:
        key = batch.object_key.removeprefix(settings.S3_INPUT_PREFIX)
        dataset = batch.get_dataset_display() if batch.dataset else "no known dataset"
        seconds = f" · {_seconds(batch)}\N{NO-BREAK SPACE}s" if _seconds(batch) else ""
        about = f"{batch} · {dataset} of {date_format(batch.business_date, 'j M Y')}{seconds}"
        what = format_html('<div class="desk-key">{}</div><div class="desk-about">{}</div>', key, about)
        return format_html('<div class="desk-object">{}{}</div>', what, sentences(batch.reasons))

    @admin.display(description="refused", ordering="rejected")
    def refused(self, batch: IngestBatch) -> SafeString:
        if not batch.rejected:
            return NONE
        return format_html('<a class="desk-refused" href="{}">{}</a>', refused_rows(batch), f"{batch.rejected:,}")

    def get_urls(self) -> list[Any]:
        revert = self.admin_site.admin_view(self.revert_view)
        return [path("<int:pk>/revert/", revert, name="ingestion_batch_revert"), *super().get_urls()]

    def revert_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What taking the batch back would do, and what stands against it; then, with a reason, done."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        batch = IngestBatch.objects.loaded().decidable_by(person(request)).filter(pk=pk).first()
        if batch is None:
            self.tell(request, None, ["Only a loaded batch of your own states can be taken back, once."])
            return HttpResponseRedirect(reverse("admin:ingestion_ingestbatch_changelist"))
        form = WhyForm(request.POST or None)
        if form.is_bound and form.is_valid():
            try:
                done = reverting.revert(batch, reason=form.cleaned_data["reason"], by=person(request))
            except stewards.NotPossible as error:
                self.tell(request, None, [str(error)])
            else:
                self.tell(request, f"Taken back: {done.new_rows} rows are gone, {done.changed_rows} are as before.")
                return HttpResponseRedirect(reverse("admin:ingestion_ingestbatch_change", args=[pk]))
        context = self.admin_site.each_context(request) | {
            "title": f"Take batch {pk} back",
            "opts": self.opts,
            "batch": batch,
            "plan": reverting.plan(batch),
            "form": form,
        }
        return TemplateResponse(request, "ingestion/revert.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        batch = self.get_object(request, object_id)
        extra = _story(batch) | {"may_decide": self._may_decide(request, batch)} if batch else {}
        return super().change_view(request, object_id, form_url, extra | (extra_context or {}))

    def _may_decide(self, request: HttpRequest, batch: IngestBatch) -> bool:
        mine = IngestBatch.objects.decidable_by(person(request))
        return self.has_decide_permission(request) and mine.filter(pk=batch.pk).exists()

    @admin.action(description="Release…", permissions=["decide"])
    def release(self, request: HttpRequest, batches: "QuerySet[IngestBatch]") -> HttpResponse | None:
        answer = self.ask(request, batches, ReleaseForm, title="Release what was held", button="Release")
        if isinstance(answer, HttpResponse):
            return answer
        return self._decide(request, batches, lambda batch: stewards.release(batch, by=person(request), **answer))

    @admin.action(description="Discard…", permissions=["decide"])
    def discard(self, request: HttpRequest, batches: "QuerySet[IngestBatch]") -> HttpResponse | None:
        answer = self.ask(request, batches, WhyForm, title="Discard, so that nothing of it loads", button="Discard")
        if isinstance(answer, HttpResponse):
            return answer
        return self._decide(request, batches, lambda batch: stewards.discard(batch, by=person(request), **answer))

    @admin.action(description="Retry", permissions=["decide"])
    def retry(self, request: HttpRequest, batches: "QuerySet[IngestBatch]") -> HttpResponse | None:
        return self._decide(request, batches, lambda batch: stewards.retry(batch, by=person(request)))

    def _decide(
        self, request: HttpRequest, batches: "QuerySet[IngestBatch]", decide: Callable[[IngestBatch], None]
    ) -> HttpResponse | None:
        done, refusals = [], []
        for batch in batches:
            try:
                decide(batch)
            except stewards.NotPossible as error:
                refusals.append(str(error))
            else:
                done.append(str(batch.pk))
        if not done and not refusals:
            refusals.append("None of them is yours alone: a file with rows of other states is for national stewards.")
        self.tell(
            request, f"Decided for batch {', '.join(done)}; the next run carries it out." if done else None, refusals
        )
        return self.back(request)


def _seconds(batch: IngestBatch) -> str:
    if not (batch.started_at and batch.finished_at):
        return ""
    return f"{(batch.finished_at - batch.started_at).total_seconds():,.1f}"


def refused_rows(batch: IngestBatch) -> str:
    return f"{reverse('admin:ingestion_rejectedrow_changelist')}?batch__id__exact={batch.pk}"


def _story(batch: IngestBatch) -> dict[str, Any]:
    """What the page on a batch tells above its columns."""
    return {
        "batch": batch,
        "status_colour": COLOURS.get(Status(batch.status), ""),
        "whys": [Why(reason) for reason in batch.reasons],
        "warnings": [(Why(reason), count) for reason, count in sorted(batch.warnings.items())],
        "counts": [(name.replace("rows_", "").replace("rejected", "refused"), getattr(batch, name)) for name in COUNTS],
        "seconds": _seconds(batch),
        "corrected": returned.sentences(told) if (told := batch.evidence.get(returned.EVIDENCE)) else None,
        "corrected_in": told.get("replays") if told else None,
        "held_reasons": [(Why(reason), count) for reason, count in batch.evidence.get("reasons", {}).items()],
        "kept_rows": RejectedRow.objects.filter(batch=batch).count(),
        "open_rows": RejectedRow.objects.filter(batch=batch, state=RejectedRow.State.OPEN).count(),
        "refused_rows": refused_rows(batch),
        "replays": [*batch.replays.order_by("id")[:10]],
        "is_revertible": batch.status in LOADED and not batch.reverted_at,
        "is_held": batch.status == Status.HELD,
        "is_stopped": batch.status in STOPPED,
        "release_form": _release_form(batch),
        "why_form": WhyForm(),
    }


class TableFilter(DropdownFilter):
    """The tables are known; Django would look through all batches for those that occur."""

    title = "table"
    parameter_name = "table_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(dataset.value, dataset.value) for dataset in Dataset]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(table_name=self.value()) if self.value() else queryset


@admin.register(AuditLog)
class AuditLogAdmin(OfBatches):
    """By batch, in the words that SQL users know."""

    list_display = (
        *("batch_id", "table_name", "records_processed", "records_inserted", "records_updated", "records_failed"),
        *("started_at", "completed_at", "error_message"),
    )
    list_filter = (TableFilter,)
    ordering = ("-batch_id",)


@admin.register(Sighting)
class SightingAdmin(OfBatches):
    list_display = ("id", "of_batch", "columns", "rows")
    list_select_related = ("batch",)
    fields = ("of_batch", "columns", "rows")
    readonly_fields = ("of_batch", "rows")

    @admin.display(description="batch", ordering="batch_id")
    def of_batch(self, sighting: Sighting) -> SafeString:
        return link("ingestion_ingestbatch", sighting.batch_id, sighting.batch)

    def rows(self, sighting: Sighting) -> int:
        return len(sighting.ids)
