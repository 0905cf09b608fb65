"""The refused rows: what stood in each cell, what is wrong with it, what to do; corrected, replayed or dismissed."""

from collections.abc import Iterable
from functools import reduce
from operator import and_
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.db.models import Func, Q, QuerySet, TextField, Value
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminExpandableTextareaWidget, UnfoldAdminSelectWidget

from clinical import keyed
from clinical.actions import NotPossible
from clinical.audit import reads
from clinical.models import AuditEvent, Facility, FacilityName, Patient, PatientName
from clinical.stories import Storied
from ingestion import outages, queue, stewards
from ingestion.admin import causes
from ingestion.admin.causes import CauseFilter
from ingestion.admin.corrections import CorrectionFiles
from ingestion.admin.desk import Why, WhyForm, labels, link, person
from ingestion.cells import OF_FACILITY, name_key, names_of
from ingestion.datasets import COLUMNS, Dataset
from ingestion.models import IngestBatch, RejectedRow
from ingestion.refusals import CODES, Level
from ingestion.rows import STEWARD_CELLS

COLOURS = {
    RejectedRow.State.OPEN: "warning",
    RejectedRow.State.REPLAYED: "success",
    RejectedRow.State.DISMISSED: "",
}
CANDIDATES = 20
COLUMN_NAMES = sorted({column for columns in COLUMNS.values() for column in columns.all})
# Cells to look at where the reason names no column.
_PLACE = {"facility_name", "facility_state", "facility_lga"}
_PERSON = {"patient_first_name", "patient_last_name", "patient_dob"}
SUSPECT_CELLS: dict[str, set[str]] = {
    "FACILITY_NOT_FOUND": _PLACE,
    "FACILITY_AMBIGUOUS": _PLACE,
    "PATIENT_NOT_FOUND": _PERSON,
    "PATIENT_AMBIGUOUS": _PERSON,
    "IDENTITY_CONFLICT:patient": _PERSON,
}


class Unjudged(Func):
    """A value that the planner does not see: so many spellings would seem to be those of every fifth row."""

    template = "(SELECT %(expressions)s)"


class RowReasonFilter(DropdownFilter):
    """By code, whatever the column. All spellings are named, so that the index on the array serves."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name, code in CODES.items() if code.level == Level.ROW]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        code = self.value()
        if code not in CODES:
            return queryset
        spellings = [code, *(f"{code}:{name}" for name in (*COLUMN_NAMES, "patient"))]
        return queryset.filter(reasons__overlap=Unjudged(Value(spellings, ArrayField(TextField()))))


def _cell_widget() -> forms.Widget:
    """A text area even for short cells: an input would eat line ends, and the cell would look corrected."""
    return UnfoldAdminExpandableTextareaWidget({"rows": 1})


def correctable(dataset: str) -> tuple[str, ...]:
    """The cells that a steward may fill: the dataset's columns, and ids in place of names."""
    ids = {Dataset.FACILITIES: (), Dataset.PATIENTS: STEWARD_CELLS[:1]}.get(Dataset(dataset), STEWARD_CELLS)
    return *COLUMNS[Dataset(dataset)].all, *ids


class CellsForm(forms.Form):
    """A field for each cell, holding what would be tried now."""

    def __init__(self, row: RejectedRow, posted: Any = None) -> None:
        super().__init__(posted, prefix="cell")
        cells = row.cells
        for column in correctable(row.dataset):
            shown = str(cells.get(column) or "")
            field = forms.CharField(required=False, strip=False, initial=shown, widget=_cell_widget())
            field.widget.attrs["aria-label"] = f"Correction of {column}"
            self.fields[column] = field

    def changed(self) -> dict[str, str]:
        """What was typed over. A browser's own line ends are no correction."""
        typed = {column: _line_ends(cell) for column, cell in self.cleaned_data.items()}
        return {column: cell for column, cell in typed.items() if cell != _line_ends(self.fields[column].initial)}


def _line_ends(cell: str) -> str:
    return cell.replace("\r\n", "\n").replace("\r", "\n")


class OneCellForm(forms.Form):
    column = forms.ChoiceField(
        label="Column",
        choices=[(name, name) for name in (*COLUMN_NAMES, *STEWARD_CELLS)],
        widget=UnfoldAdminSelectWidget(),
    )
    cell = forms.CharField(
        label="What should stand in it, in every chosen row", required=False, widget=_cell_widget(), strip=False
    )


@admin.register(RejectedRow)
class RejectedRowAdmin(Storied, CorrectionFiles):
    list_display = ("place", "reason_labels", "state_label", "times_seen", "last_seen_at")
    list_select_related = ("batch",)
    list_filter = (("state", ChoicesDropdownFilter), ("dataset", ChoicesDropdownFilter), RowReasonFilter, CauseFilter)
    sortable_by = ("place", "times_seen", "last_seen_at")
    search_fields = ("source",)
    search_help_text = "Known facility, source; a whole first or last name, or the whole name of a facility"
    actions = ("replay", "correct", "dismiss")
    change_form_outer_before_template = "ingestion/rejected_row.html"
    fieldsets = (
        (
            "Kept with the row",
            {
                "fields": (
                    *("source", "event_on", "ordinal", "first_seen_at", "last_seen_at", "times_seen", "tried_at"),
                    *("settled_at", "settled_by", "settled_why", "replay_batch"),
                )
            },
        ),
    )

    def check_undo(self, request: HttpRequest, event: AuditEvent) -> None:
        super().check_undo(request, event)
        rows = RejectedRow.objects.filter(pk__in=event.revisions.filter(table="rejected_rows").values("object_id"))
        if rows.filter(raw_sealed=None).exists():
            raise NotPossible("The cells were let go of long after the row was settled; it cannot wait again.")
        if event.action == "correct" and rows.filter(state=RejectedRow.State.REPLAYED).exists():
            raise NotPossible("A row that was corrected so has landed since; its cells tell how.")

    def get_urls(self) -> list[Any]:
        return causes.urls(self) + super().get_urls()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[RejectedRow]":
        rows = super().get_queryset(request)
        return (
            rows.defer("raw_sealed", "corrections_sealed", "cell_keys")
            if request.path.endswith("/rejectedrow/")
            else rows
        )

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        """Names are sealed: by their hashes a whole one is found, and a facility that is known by any part of it."""
        if not search_term.strip():
            return queryset, False
        hashes = keyed.hashes()
        is_facility = Q(facility_key=hashes.of(name_key(search_term)))
        found = []
        for word in search_term.split():
            named = hashes.of(name_key(word))
            places = Facility.objects.filter(name_key__contains=word.lower()).values("pk")
            is_name = Q(last_name_key=named) | Q(first_name_key=named)
            found.append(is_name | Q(source__contains=word) | Q(facility__in=places))
        return queryset.filter(is_facility | reduce(and_, found)), False

    @admin.display(description="row", ordering="id")
    def place(self, row: RejectedRow) -> SafeString:
        file_name = row.batch.object_key.rpartition("/")[2]
        where = format_html('<div class="desk-key">{}, line {}</div>', file_name, row.line)
        about = f"Row {row.pk} · {row.get_dataset_display()} · {row.batch}"
        return format_html('<div class="desk-object">{}<div class="desk-about">{}</div></div>', where, about)

    @admin.display(description="reasons")
    def reason_labels(self, row: RejectedRow) -> SafeString:
        return labels(row.reasons)

    @display(description="state", label=COLOURS, ordering="state")
    def state_label(self, row: RejectedRow) -> str:
        return row.state

    # --- One row

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return super().change_view(request, object_id, form_url, extra_context)
        form = CellsForm(row, request.POST or None)
        if request.method == "POST":
            if not self.has_decide_permission(request):
                raise PermissionDenied
            if form.is_valid():
                self._correct_one(request, row, form.changed())
                return HttpResponseRedirect(request.path)
            request.method = "GET"  # the form with its errors; the page itself takes no other post
        page = _page(row, form) | {"may_decide": self.has_decide_permission(request)}
        return super().change_view(request, object_id, form_url, page | (extra_context or {}))

    def _correct_one(self, request: HttpRequest, row: RejectedRow, cells: dict[str, str]) -> None:
        rows = RejectedRow.objects.filter(pk=row.pk)
        if not self._correct(request, rows, cells):
            return
        if "replay" not in request.POST:
            self.tell(request, "Saved; nothing was tried yet.")
            return
        if self._try(request, rows) is None:
            return
        row.refresh_from_db()
        if row.state == RejectedRow.State.REPLAYED:
            self.message_user(request, format_html("It has landed: {}.", _became(row)), messages.SUCCESS)
        else:
            self.message_user(request, format_html("Still refused: {}", labels(row.reasons)), messages.WARNING)

    def _correct(self, request: HttpRequest, rows: "QuerySet[RejectedRow]", cells: dict[str, str]) -> bool:
        try:
            count = stewards.correct(rows, cells, by=person(request))
        except stewards.NotPossible as error:
            self.tell(request, None, [str(error)])
            return False
        if not count:
            self.tell(request, None, ["Nothing was changed: the row is settled already."])
        return count > 0

    # --- Many rows

    @admin.action(description="Replay", permissions=["decide"])
    def replay(self, request: HttpRequest, rows: "QuerySet[RejectedRow]") -> HttpResponse | None:
        self.try_rows(request, rows)
        return self.back(request)

    @admin.action(description="Correct one column and replay…", permissions=["decide"])
    def correct(self, request: HttpRequest, rows: "QuerySet[RejectedRow]") -> HttpResponse | None:
        answer = self.ask(request, rows, OneCellForm, title="Correct one cell of each row", button="Save and replay")
        if isinstance(answer, HttpResponse):
            return answer
        if self._correct(request, rows, {answer["column"]: _line_ends(answer["cell"])}):
            self.try_rows(request, rows)
        return self.back(request)

    @admin.action(description="Dismiss…", permissions=["decide"])
    def dismiss(self, request: HttpRequest, rows: "QuerySet[RejectedRow]") -> HttpResponse | None:
        answer = self.ask(request, rows, WhyForm, title="Dismiss, so that they never load", button="Dismiss")
        if isinstance(answer, HttpResponse):
            return answer
        try:
            self.tell(request, f"{stewards.dismiss(rows, by=person(request), **answer)} dismissed.")
        except stewards.NotPossible as error:
            self.tell(request, None, [str(error)])
        return self.back(request)

    def try_rows(self, request: HttpRequest, rows: "QuerySet[RejectedRow]") -> None:
        batches = self._try(request, rows)
        if batches is None:
            return
        landed = sum(batch.rows_read - batch.rejected for batch in batches)
        refused = sum(batch.rejected for batch in batches)
        self.tell(request, f"{landed} landed, {refused} are still refused.")

    def _try(self, request: HttpRequest, rows: "QuerySet[RejectedRow]") -> list[IngestBatch] | None:
        """None where it has to wait for a load that speaks of the same facilities; then a worker does it."""
        ids = [*rows.values_list("pk", flat=True)]
        try:
            return stewards.replay(rows, by=person(request))
        except OperationalError as error:
            if outages.is_lost(error):
                raise
        queue.send("replay_rows", ids, person(request).pk)
        self.tell(request, "A load is at work on the same facilities; the rows will be tried when it is done.")
        return None


def _page(row: RejectedRow, form: CellsForm) -> dict[str, Any]:
    """What the page on a row tells above its columns."""
    whys = [Why(reason) for reason in row.reasons]
    suspects = _suspects(whys)
    return {
        "row": row,
        "batch": row.batch,
        "file_name": row.batch.object_key.rpartition("/")[2],
        "state_colour": COLOURS[RejectedRow.State(row.state)],
        "whys": whys,
        "cells": [
            {
                "column": column,
                "raw": row.raw.get(column),
                "codes": [why.code for why in whys if why.detail == column],
                "is_suspect": column in suspects,
                "is_corrected": column in row.corrections,
                "field": form[column],
            }
            for column in form.fields
        ],
        "unread": [(column, cell) for column, cell in row.raw.items() if column not in form.fields],
        "is_open": row.state == RejectedRow.State.OPEN,
        "became": _became(row) if row.became_id else "",
        "facilities": _facilities(row, whys),
        "patients": _told_of(row, _patients(row, whys)),
        "naming": _naming_url(row),
        "why_form": WhyForm(),
    }


def _suspects(whys: Iterable[Why]) -> set[str]:
    suspects: set[str] = set()
    for why in whys:
        suspects |= SUSPECT_CELLS.get(why.reason, {why.detail})
    return suspects


def _became(row: RejectedRow) -> SafeString:
    """The stored row: a dataset is called like its table."""
    models = apps.get_app_config("clinical").get_models()
    model = next(model for model in models if model._meta.db_table == row.dataset)
    return link(f"clinical_{model._meta.model_name}", row.became_id, f"{model._meta.verbose_name} {row.became_id}")


def _facilities(row: RejectedRow, whys: Iterable[Why]) -> "QuerySet[Facility] | None":
    """Those that carry the name, wherever they are; None where that is not what is in doubt."""
    if not {why.code for why in whys} & {"FACILITY_NOT_FOUND", "FACILITY_AMBIGUOUS"}:
        return None
    named = FacilityName.objects.filter(name_key=name_key(row.cells.get("facility_name"))).values("facility_id")
    return Facility.objects.filter(pk__in=named)[:CANDIDATES]


def _patients(row: RejectedRow, whys: Iterable[Why]) -> "QuerySet[Patient] | None":
    """Those of the facility who carry the last name; None where that is not what is in doubt."""
    if row.facility_id is None or not {why.code for why in whys} & {"PATIENT_NOT_FOUND", "PATIENT_AMBIGUOUS"}:
        return None
    last = names_of(row.dataset, row.cells)["last_name_key"]
    named = PatientName.objects.filter(facility=row.facility_id, last_name_key=last).values("patient_id")
    return Patient.objects.filter(pk__in=named).order_by("first_name_key", "dob")[:CANDIDATES]


def _told_of(row: RejectedRow, patients: "QuerySet[Patient] | None") -> "list[Patient] | None":
    """The same, of whom the audit knows now that they are shown."""
    if patients is None:
        return None
    found = [*patients]
    reads.seen("rejected_rows", "read", object_id=row.pk, patient_ids=[one.pk for one in found], rows=1)
    return found


def _naming_url(row: RejectedRow) -> str:
    """Where a steward says for all rows of the source which facility this one means."""
    number = next((n for n, reason in enumerate(row.reasons) if reason in OF_FACILITY), 0)
    said = {"about": "facility", "row": f"{row.pk}.{number}"}
    return f"{reverse('admin:ingestion_rule_add')}?{urlencode(said)}"
