"""Records and visits: read here, never written, because what identifies them is made of their content."""

from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter

from clinical import finding, vital_readings
from clinical.admin import vitals
from clinical.admin.desk import ORIGIN, DeletedFilter, Desk
from clinical.changelists import DayFilter, StateFilter
from clinical.models import MedicalRecord, Patient, TriageVisit, User


class EventDesk(Desk):
    list_select_related = ("patient", "facility")
    search_fields = ("id",)  # the box is shown for it; `get_search_results` looks
    search_help_text = "An id, the source's id, or the patient's names"
    external_id: str
    list_filter: ClassVar[tuple[Any, ...]] = (
        ("facility__state", StateFilter),
        ("facility", AutocompleteSelectFilter),
        DeletedFilter,
    )

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        if request.path.endswith("/autocomplete/"):
            return queryset.none(), False  # which is asked by address
        if not search_term.strip():
            return queryset, False
        whose = Patient.objects.visible_to(cast(User, request.user))
        found, are_all = finding.events(queryset, search_term.strip(), self.external_id, whose)
        if not are_all:
            messages.warning(request, f"Many are called so; these are the events of {finding.PATIENTS} of them.")
        return found, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [name for _, options in self.fieldsets or () for name in options["fields"]]


IDENTITY = ("event_on", "fingerprint", "fingerprint_version", "ordinal")


@admin.register(MedicalRecord)
class MedicalRecordAdmin(EventDesk):
    list_display = ("id", "record_type", "patient", "facility", "recorded_at", "record_id", "is_deleted")
    list_filter = (("recorded_at", DayFilter), *EventDesk.list_filter)
    external_id = "record_id"
    fieldsets = (
        ("Record", {"fields": ("patient", "facility", "record_type", "recorded_at", "time_is_estimated", "record_id")}),
        ("Content", {"fields": MedicalRecord.CONTENT}),
        ("Row", {"fields": (*ORIGIN, *IDENTITY)}),
    )

    def diagnosis(self, record: MedicalRecord) -> str | None:
        return record.data["diagnosis"]

    def treatment(self, record: MedicalRecord) -> str | None:
        return record.data["treatment"]

    def medications(self, record: MedicalRecord) -> str | None:
        return record.data["medications"]

    def notes(self, record: MedicalRecord) -> str | None:
        return record.data["notes"]


LEVELS = ("1", "2", "3", "4", "5")


class LevelFilter(DropdownFilter):
    """The five levels are known; Django would look through all visits for those that occur."""

    title = "triage level"
    parameter_name = "triage_level__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(level, level) for level in LEVELS]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(triage_level=self.value()) if self.value() in LEVELS else queryset


@admin.register(TriageVisit)
class TriageVisitAdmin(EventDesk):
    list_display = ("id", "triage_level", "patient", "facility", "chief_complaint_start", "visited_at", "is_deleted")
    list_filter = (LevelFilter, ("visited_at", DayFilter), *EventDesk.list_filter)
    external_id = "visit_id"
    fieldsets = (
        ("Visit", {"fields": ("patient", "facility", "triage_level", "visited_at", "time_is_estimated", "visit_id")}),
        (
            "Content",
            {"fields": ("chief_complaint", "vital_signs", "conditions", "recommendations", "language", "provider")},
        ),
        ("Read out of the vital signs", {"fields": ("values_read", "not_understood", "scores_made")}),
        ("Row", {"fields": (*ORIGIN, *IDENTITY)}),
    )

    @admin.display(description="values")
    def values_read(self, visit: TriageVisit) -> SafeString | str:
        return vitals.values(vital_readings.of_visit(visit))

    @admin.display(description="not understood")
    def not_understood(self, visit: TriageVisit) -> str | None:
        return vital_readings.of_visit(visit).reading.leftover

    @admin.display(description="scores")
    def scores_made(self, visit: TriageVisit) -> SafeString | str:
        return vitals.scores(vital_readings.of_visit(visit))

    @admin.display(description="chief complaint")
    def chief_complaint_start(self, visit: TriageVisit) -> str:
        complaint = visit.chief_complaint or ""
        return complaint if len(complaint) <= 60 else complaint[:57] + "…"
