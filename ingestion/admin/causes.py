"""Refused rows by cause: the few decisions that free the most, and one page for each of them."""

import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.search import TrigramSimilarity
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Value
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import urlencode
from unfold.contrib.filters.admin import DropdownFilter
from unfold.widgets import UnfoldAdminExpandableTextareaWidget, UnfoldAdminSelectWidget

from clinical.audit import reads
from clinical.models import Facility, User
from ingestion import causes, queue, stewards
from ingestion.admin.desk import AT_ONCE, Why, WhyForm, person
from ingestion.causes import Group
from ingestion.cells import OF_FACILITY, OF_PATIENT
from ingestion.datasets import COLUMNS, Dataset
from ingestion.models import RejectedRow, Rule
from ingestion.rows import STEWARD_CELLS
from ingestion.rulebook import key_of
from ingestion.stewards import NotPossible

if TYPE_CHECKING:
    from ingestion.admin.rejected import RejectedRowAdmin

PER_PAGE = 30
SHOWN = 10  # rows of a cause
CANDIDATES = 5
LIKE_ENOUGH, HALF = 0.25, 0.5


class CauseFilter(DropdownFilter):
    """The rows that are refused for the same reason and text as one of them: `row.reason`, by its number."""

    title = "same cause"
    parameter_name = "cause"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        asked = request.GET.get(self.parameter_name)
        return [(asked, f"As row {asked.partition('.')[0]}")] if asked else []

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        if not self.value():
            return queryset
        row, reason = _named(self.value() or "", queryset)
        return causes.like(row, reason, queryset) if row else queryset.none()


class CellForm(forms.Form):
    """One cell, put into every row of the cause."""

    column = forms.ChoiceField(label="Column", widget=UnfoldAdminSelectWidget())
    cell = forms.CharField(
        label="What should stand in it",
        required=False,
        strip=False,
        widget=UnfoldAdminExpandableTextareaWidget({"rows": 1}),
    )

    def __init__(self, group: Group, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = {name for dataset in group.datasets for name in COLUMNS[Dataset(dataset)].all}
        self.fields["column"].choices = [  # type: ignore[attr-defined]  # a choice field
            (name, name) for name in (*sorted(names), *STEWARD_CELLS)
        ]


class CommentForm(forms.Form):
    text = forms.CharField(
        label="Comment",
        max_length=1000,
        widget=UnfoldAdminExpandableTextareaWidget({"rows": 2}),
        help_text="Whom you asked, what they said. Name no patient.",
    )


def urls(desk: "RejectedRowAdmin") -> list[Any]:
    """The pages, behind the desk's log-in and scope."""

    def page(request: HttpRequest) -> HttpResponse:
        return _list(desk, request)

    def one(request: HttpRequest, name: str) -> HttpResponse:
        return _one(desk, request, name)

    wrap = desk.admin_site.admin_view
    return [
        path("causes/", wrap(page), name="ingestion_cause_list"),
        path("causes/<str:name>/", wrap(one), name="ingestion_cause"),
    ]


def _list(desk: "RejectedRowAdmin", request: HttpRequest) -> HttpResponse:
    if not desk.has_view_permission(request):
        raise PermissionDenied
    rows = RejectedRow.objects.visible_to(person(request))
    asked = request.GET.get("page", "")
    number = int(asked) if re.fullmatch("[1-9][0-9]{0,3}", asked) else 1
    found = causes.groups(rows, first=(number - 1) * PER_PAGE, most=PER_PAGE + 1)
    shown = found[:PER_PAGE]
    most = max((group.total for group in shown), default=1)
    reads.seen("rejected_rows", "list", rows=len(shown), ids=[group.example for group in shown])
    context = {
        "title": "Refused rows by cause",
        "causes": [(group, name_of(group), Why(group.reason), round(100 * group.freed / most)) for group in shown],
        "number": number,
        "has_next": len(found) > PER_PAGE,
        "previous": number - 1,
        "next": number + 1,
    }
    return _page(desk, request, "ingestion/causes.html", context)


def name_of(group: Group) -> str:
    """As it stands in an address: a row, and which of its reasons."""
    return f"{group.example}.{group.number}"


def _named(name: str, rows: "QuerySet[RejectedRow]") -> tuple[RejectedRow | None, str]:
    pk, _, number = name.partition(".")
    if not (pk.isdigit() and number.isdigit() and len(pk) < 19):
        return None, ""
    row = rows.filter(pk=pk).first()
    if row is None or int(number) >= len(row.reasons):
        return None, ""
    return row, row.reasons[int(number)]


def _one(desk: "RejectedRowAdmin", request: HttpRequest, name: str) -> HttpResponse:
    if not desk.has_view_permission(request):
        raise PermissionDenied
    rows, by = RejectedRow.objects, person(request)
    visible = rows.decidable_by(by) if request.method == "POST" else rows.visible_to(by)
    row, reason = _named(name, visible)
    if row is None:
        raise Http404
    group = causes.of_row(row, reason, visible)
    if group is None:
        desk.tell(request, "No row of this cause waits any more.")
        return HttpResponseRedirect(reverse("admin:ingestion_cause_list"))
    alike = causes.like(row, reason, visible)
    if request.method == "POST":
        if not desk.has_decide_permission(request):
            raise PermissionDenied
        return _decided(desk, request, group, alike)
    why, shown = Why(reason), [*alike.select_related("batch").order_by("pk")[:SHOWN]]
    reads.seen("rejected_rows", "list", rows=len(shown), ids=[one.pk for one in shown], reason=reason)
    context = {
        "title": f"{group.total} refused row{'s' if group.total > 1 else ''}",
        "group": group,
        "why": why,
        "rows": shown,
        "all_rows": f"{reverse('admin:ingestion_rejectedrow_changelist')}?{urlencode({'cause': name})}",
        "rule": rule_url(group),
        "candidates": _candidates(request, group),
        "cell_form": CellForm(group, initial={"column": _column(reason)}),
        "comment_form": CommentForm(),
        "why_form": WhyForm(),
        "may_decide": desk.has_decide_permission(request),
        "is_mine": bool(group.known and group.known.assigned_to_id == person(request).pk),
    }
    return _page(desk, request, "ingestion/cause.html", context)


def _decided(
    desk: "RejectedRowAdmin", request: HttpRequest, group: Group, alike: "QuerySet[RejectedRow]"
) -> HttpResponse:
    by, what = person(request), request.POST.get("what", "")
    try:
        if what in ("take", "leave"):
            causes.assign(group, by if what == "take" else None, by=by)
        elif what == "comment":
            causes.comment(group, request.POST.get("text", "")[:1000], by=by)
        elif what == "dismiss":
            dismissed = stewards.dismiss(alike, reason=request.POST.get("reason", "")[:500], by=by)
            desk.tell(request, f"{dismissed} dismissed.")
        elif what in ("replay", "correct"):
            _tried(desk, request, group, alike, is_correction=what == "correct")
    except NotPossible as error:
        desk.tell(request, None, [str(error)])
    return HttpResponseRedirect(request.get_full_path())


def _tried(
    desk: "RejectedRowAdmin",
    request: HttpRequest,
    group: Group,
    alike: "QuerySet[RejectedRow]",
    *,
    is_correction: bool,
) -> None:
    by: User = person(request)
    ids = [*alike.values_list("pk", flat=True)]
    rows = RejectedRow.objects.filter(pk__in=ids)
    if is_correction:
        form = CellForm(group, request.POST)
        if not form.is_valid():
            raise NotPossible("Choose a column.")
        stewards.correct(rows, {form.cleaned_data["column"]: form.cleaned_data["cell"]}, by=by)
    if len(ids) > AT_ONCE:
        queue.send("replay_rows", ids, by.pk)
        desk.tell(request, f"A worker tries the {len(ids)} rows.")
        return
    desk.try_rows(request, rows)


def _column(reason: str) -> str:
    code, _, column = reason.partition(":")
    if code in OF_FACILITY:
        return "facility_name"
    return "patient_last_name" if code in OF_PATIENT else column


def rule_url(group: Group, facility: Facility | None = None) -> str:
    """Where a rule is made of it. The text is left out: in a file with shifted columns it may be a person's."""
    if not group.about:
        return ""
    said = {"about": group.about, "row": name_of(group)} | ({"facility": str(facility.pk)} if facility else {})
    return f"{reverse('admin:ingestion_rule_add')}?{urlencode(said)}"


def said_by(request: HttpRequest, name: str) -> dict[str, str]:
    """What a rule made of this cause begins with."""
    visible = RejectedRow.objects.visible_to(person(request))
    row, reason = _named(name, visible)
    group = causes.of_row(row, reason, visible) if row else None
    if row is None or group is None:
        return {}
    said = {"text": group.value} | ({"source": row.source} if group.sources == 1 else {})
    if group.about == Rule.About.LGA:
        said["state"] = str(row.cells.get("facility_state") or "").upper()
    return said


def _candidates(request: HttpRequest, group: Group) -> list[tuple[Facility, str, int]]:
    """Known facilities of a like name, the likest first, each with the address of the rule that would say so."""
    if group.about != Rule.About.FACILITY:
        return []
    visible = Facility.objects.present().visible_to(person(request))
    likeness = TrigramSimilarity("name_key", Value(key_of(group.value)))  # type: ignore[arg-type]  # an expression will do
    found = visible.annotate(likeness=likeness).filter(likeness__gt=LIKE_ENOUGH).order_by("-likeness", "pk")
    likest = [*found[:CANDIDATES]]
    return [
        (facility, rule_url(group, facility), round(100 * facility.likeness))
        for facility in likest
        if facility.likeness > HALF * likest[0].likeness
    ]


def _page(desk: "RejectedRowAdmin", request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return TemplateResponse(request, template, admin.site.each_context(request) | {"opts": desk.opts} | context)
