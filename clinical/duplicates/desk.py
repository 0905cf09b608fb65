"""The stewards' pages on probable duplicates: what waits, both sides side by side, the decision and its undoing."""

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from clinical.audit import reads
from clinical.changelists import ReadOnly
from clinical.duplicates import comparison, decisions
from clinical.merging import NotPossible
from clinical.models import DuplicatePair, DuplicateSearch, Table, User

State = DuplicatePair.State
COLOURS = {"open": "warning", "merged": "success", "different": ""}


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)


class Desk(ReadOnly, ModelAdmin):
    """Written by the search and by decisions, never by a form of columns."""

    show_full_result_count = False
    list_per_page = 50


class StateFilter(DropdownFilter):
    """What waits, unless something else is asked for."""

    title = "decision"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(State.OPEN, "To decide"), (State.SAME, "Merged"), (State.DIFFERENT, "Different"), ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        asked = self.value() or State.OPEN
        return queryset if asked == "all" else queryset.filter(state=asked)


class WithRows(ChangeList):
    """The pairs of the page, each with its two rows."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = [*self.result_list]
        rows = comparison.rows_of(self.result_list)
        for pair in self.result_list:
            pair.names = comparison.names(pair, rows)


@admin.register(DuplicatePair)
class DuplicatePairAdmin(Desk):
    list_display = ("who", "probability", "where", "why_so", "state_label")
    list_select_related = ("facility", "decided_by")
    list_filter = (StateFilter, ("table", ChoicesDropdownFilter), ("facility__state", ChoicesDropdownFilter))
    list_filter_sheet = True
    list_before_template = "clinical/duplicate_pairs.html"
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).visible_to(_person(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WithRows

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        last = {search.table: search for search in DuplicateSearch.objects.order_by("-id")[:10][::-1]}
        return super().changelist_view(request, {"searches": [*last.values()]} | (extra_context or {}))

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("clinical.change_duplicatepair")

    @display(description="pair")
    def who(self, pair: Any) -> SafeString:
        return format_html('<div class="desk-key pair-names">{}<span>{}</span></div>', *pair.names)

    @display(description="probability")
    def probability(self, pair: DuplicatePair) -> SafeString:
        return format_html('<span class="pair-odds">{}</span>', chance_in_words(pair.score))

    @display(description="where")
    def where(self, pair: DuplicatePair) -> str:
        return pair.facility.state if pair.table == Table.FACILITIES else str(pair.facility)

    @display(description="why")
    def why_so(self, pair: DuplicatePair) -> SafeString:
        said = [part for part in pair.evidence if abs(part["weight"]) >= 1 and part["field"] != "before looking"]
        words = ((f"{part['field']}: {part['agreement']}", "" if part["weight"] > 0 else "is-against") for part in said)
        return format_html_join(" ", '<span class="pair-why {1}">{0}</span>', words)

    @display(description="state", label=COLOURS)
    def state_label(self, pair: DuplicatePair) -> tuple[str, str]:
        named = {State.OPEN: "open", State.SAME: "merged", State.DIFFERENT: "different"}[State(pair.state)]
        return named, named

    # --- One pair

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        pair = self.get_object(request, object_id)
        if pair is None:
            return super().change_view(request, object_id, form_url, extra_context)
        one, other = comparison.sides(pair)
        form = comparison.MergeForm(pair, one, other, request.POST if "merge" in request.POST else None)
        if request.method == "POST":
            if not self.has_decide_permission(request):
                raise PermissionDenied
            answer = self._decide(request, pair, form)
            if answer:
                return answer
        reads.seen("duplicate_pairs", "read", object_id=pair.pk, patient_ids=reads.patients_of([pair]), rows=2)
        return TemplateResponse(request, "clinical/duplicate_pair.html", self._page(request, pair, one, other, form))

    def _decide(self, request: HttpRequest, pair: DuplicatePair, form: comparison.MergeForm) -> HttpResponse | None:
        """On to the next pair; None where the page has to be shown again."""
        try:
            if "merge" in request.POST:
                if not form.is_valid():
                    return None
                decisions.merge(pair, survivor_id=form.survivor_id, keep=form.keep, by=_person(request))
                self._tell(request, pair, "Merged.")
            elif "different" in request.POST:
                decisions.call_different(pair, by=_person(request), why=request.POST.get("why", "")[:500])
                self._tell(request, pair, "Kept as two; they will not be asked about again.")
            elif "take_back" in request.POST:
                decisions.take_back(pair, by=_person(request))
                self.message_user(request, "Taken back: both are as they were before.", messages.SUCCESS)
                return HttpResponseRedirect(request.path)
        except NotPossible as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.path)
        return HttpResponseRedirect(self._next_url(request, pair))

    def _tell(self, request: HttpRequest, pair: DuplicatePair, done: str) -> None:
        page = reverse("admin:clinical_duplicatepair_change", args=[pair.pk])
        undo = format_html('{} <a class="text-link" href="{}">See it or undo it</a>', done, page)
        self.message_user(request, undo, messages.SUCCESS)

    def _next_url(self, request: HttpRequest, pair: DuplicatePair) -> str:
        """The page of the next open pair, in the order of the list; the list where there is none."""
        following = Q(score__lt=pair.score) | Q(score=pair.score, pk__gt=pair.pk)
        found = self.get_queryset(request).filter(following, state=State.OPEN).order_by("-score", "pk").first()
        if found is None:
            return reverse("admin:clinical_duplicatepair_changelist")
        return reverse("admin:clinical_duplicatepair_change", args=[found.pk])

    def _page(
        self,
        request: HttpRequest,
        pair: DuplicatePair,
        one: comparison.Side,
        other: comparison.Side,
        form: comparison.MergeForm,
    ) -> dict[str, Any]:
        gone = [side.row for side in (one, other) if side.row.deleted_at]
        name = decisions.MODELS[pair.table]._meta.model_name
        found = [(line, form[line.name] if line.name else None) for line in comparison.lines(pair, one.row, other.row)]
        return self.admin_site.each_context(request) | {
            "title": f"Are these one {name}?",
            "opts": self.opts,
            "pair": pair,
            "sides": [(side, reverse(f"admin:clinical_{name}_change", args=[side.row.pk])) for side in (one, other)],
            "lines": found,
            "form": form,
            "bars": [_bar(part) for part in pair.evidence],
            "probability": chance_in_words(pair.score),
            "is_gone": bool(gone) and pair.state == State.OPEN,
            "may_decide": self.has_decide_permission(request),
            "next": self._next_url(request, pair),
            "where": self.where(pair),
        }


FULL = 15.0  # bits: a bar of full length


def _bar(part: dict[str, Any]) -> dict[str, Any]:
    """A bar from the middle: to the right for one, to the left for two; in hundredths of the width."""
    length = min(abs(part["weight"]) / FULL, 1) * 50
    is_for = part["weight"] >= 0
    return part | {"x": f"{50 if is_for else 50 - length:.1f}", "width": f"{length:.1f}", "is_for": is_for}


def chance_in_words(score: float) -> str:
    pct = 100 / (1 + 2**-score)
    return "over 99.9 %" if pct > 99.9 else f"{pct:.3g} %"


@admin.register(DuplicateSearch)
class DuplicateSearchAdmin(Desk):
    list_display = ("table", "is_full", "started_at", "took", "rows", "blocked", "compared", "found")
    list_filter = (("table", ChoicesDropdownFilter),)
    sortable_by = ()

    @display(description="seconds")
    def took(self, search: DuplicateSearch) -> str:
        return f"{search.seconds:.1f}"
