"""Who did and read what: each line of the audit, with a link to the row. Read only, by those who may read it."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from clinical.admin.audit_questions import Asked
from clinical.changelists import DayFilter, Listed, ReadOnly
from clinical.models import AuditEvent

RECENT = 10_000  # lines among which the actions and tables stand that can be filtered by
COLOURS = {"create": "success", "update": "info", "delete": "danger", "restore": "warning"}


class RecentFilter(DropdownFilter):
    """By a column of few values: those of late, since to find all would be to read the whole audit."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        newest = AuditEvent.objects.order_by("-id").values_list(self.parameter_name, flat=True)[:RECENT]
        return [(value, value) for value in sorted({*newest})]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[AuditEvent]") -> "QuerySet[AuditEvent]":
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class ActionFilter(RecentFilter):
    title = "action"
    parameter_name = "action"


class TableFilter(RecentFilter):
    title = "table"
    parameter_name = "table"


@admin.register(AuditEvent)
class AuditEventAdmin(Listed, ReadOnly, Asked):
    list_display = ("at", "who", "what", "row", "how_many", "went", "said")
    list_display_links = None
    list_select_related = ("actor",)
    list_filter = (
        ActionFilter,
        TableFilter,
        ("outcome", ChoicesDropdownFilter),
        ("purpose", ChoicesDropdownFilter),
        ("actor", AutocompleteSelectFilter),
        ("at", DayFilter),
    )
    sortable_by = ()
    search_fields = ("object_id__exact", "request_id__exact")
    search_help_text = "The id of a row or of a request"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Who did and read what"} | (extra_context or {}))

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Names are offered to those who may see the users."""
        may_see = request.user.has_perm("clinical.view_user")
        return [one for one in self.list_filter if may_see or not isinstance(one, tuple) or one[0] != "actor"]

    @admin.display(description="who")
    def who(self, event: AuditEvent) -> str:
        nobody = "the system" if event.outcome == AuditEvent.Outcome.OK else "not logged in"
        return str(event.actor or nobody)

    @display(description="did", label=COLOURS)
    def what(self, event: AuditEvent) -> str:
        return event.action

    @admin.display(description="to which row")
    def row(self, event: AuditEvent) -> str | SafeString:
        """A link where the row has a page."""
        pages = {model._meta.db_table: model._meta for model in self.admin_site._registry}
        if event.object_id is None or event.table not in pages:
            return f"{event.table} {event.object_id or ''}"
        model = pages[event.table]
        page = reverse(f"admin:{model.app_label}_{model.model_name}_change", args=[event.object_id])
        return format_html('<a class="text-link" href="{}">{} {}</a>', page, model.verbose_name, event.object_id)

    @admin.display(description="patients")
    def how_many(self, event: AuditEvent) -> str:
        return f"{len(event.patient_ids):,}" if event.patient_ids else ""

    @display(description="outcome", label={"denied": "danger", "failed": "warning"})
    def went(self, event: AuditEvent) -> str:
        return "" if event.outcome == AuditEvent.Outcome.OK else event.outcome

    @admin.display(description="which columns, why")
    def said(self, event: AuditEvent) -> str:
        return "; ".join(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in event.details.items())


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
