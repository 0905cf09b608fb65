"""DHIS2 at the stewards' desk: which organisation unit each facility is, and what became of each sending."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from analytics.dhis2.models import OrgUnit, Sending
from clinical import audit
from clinical.access import READ
from clinical.changelists import Listed
from clinical.models import Facility
from ingestion.admin.desk import Desk, link, person

COLOURS = {"accepted": "success", "partly": "warning", "refused": "danger", "failed": "danger"}


@admin.register(OrgUnit)
class OrgUnitAdmin(Listed, ModelAdmin):
    """A list of DHIS2 is taken in by `manage.py dhis2 --org-units`; here one is set or mended."""

    list_display = ("uid", "place", "state", "hfr_code")
    list_select_related = ("facility",)
    search_fields = ("uid", "facility__name")
    autocomplete_fields = ("facility",)
    fields = ("facility", "uid")
    ordering = ("facility_id",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        rows, scope = super().get_queryset(request), person(request).access.scope(READ, "facilities")
        if scope.is_national:
            return rows
        return rows.filter(facility__in=Facility.objects.inside(scope).order_by().values("pk"))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = Facility.objects.present().visible_to(person(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("facility",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        action = "update" if change else "create"
        audit.note(person(request), action, self.opts.db_table, obj.pk, fields=form.changed_data)

    @admin.display(description="facility", ordering="facility__name")
    def place(self, unit: OrgUnit) -> SafeString:
        return link("clinical_facility", unit.facility_id, unit.facility.name)

    @admin.display(description="state", ordering="facility__state")
    def state(self, unit: OrgUnit) -> str:
        return unit.facility.state

    @admin.display(description="registry code")
    def hfr_code(self, unit: OrgUnit) -> str:
        return unit.facility.hfr_code or ""


@admin.register(Sending)
class SendingAdmin(Desk):
    list_display = ("place", "of_month", "state_label", "imported", "updated", "ignored", "sent_at")
    list_select_related = ("facility",)
    list_filter = (("state", ChoicesDropdownFilter),)
    fields = (
        *("place", "of_month", "org_unit", "state_label", "sent_at", "attempts"),
        *("imported", "updated", "ignored", "refusals", "digest"),
    )
    readonly_fields = ("place", "of_month", "state_label", "refusals")

    @admin.display(description="facility", ordering="facility__name")
    def place(self, sending: Sending) -> SafeString | str:
        return sending.facility.name

    @admin.display(description="month", ordering="month")
    def of_month(self, sending: Sending) -> str:
        return f"{sending.month:%B %Y}"

    @display(description="state", label=COLOURS, ordering="state")
    def state_label(self, sending: Sending) -> tuple[str, str]:
        return sending.state, sending.get_state_display()

    @admin.display(description="what DHIS2 did not take")
    def refusals(self, sending: Sending) -> SafeString | str:
        lines = ((one["object"], one["value"]) for one in sending.conflicts)
        return format_html_join("", "<div><code>{}</code> {}</div>", lines) or "nothing"
