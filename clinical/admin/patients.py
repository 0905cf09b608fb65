"""Facilities and patients, which their source and people both write; the rules of ingestion hold for people too."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import label_for_field
from django.db.models import QuerySet, TextField, Value
from django.db.models.functions import Collate, Lower
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.widgets import UnfoldAdminExpandableTextareaWidget

from clinical import actions, finding, values
from clinical.admin.desk import ORIGIN, DeletedFilter, Desk, RestrictedFilter
from clinical.changelists import StateFilter
from clinical.duplicates import decisions
from clinical.merging import NotPossible
from clinical.models import Facility, FacilityAlias, Patient, PatientAlias, User


class DifferenceFilter(DropdownFilter):
    title = "source against people"
    parameter_name = "differences"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("overruled", "The source has overruled a person"), ("set", "A person has set a value")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        column = {"overruled": "overridden", "set": "delivered"}.get(self.value() or "")
        return queryset.exclude(**{column: {}}) if column else queryset


# --- What the source says and what people have set


def differences(row: Facility | Patient) -> SafeString:
    """Each column where the source and a person differ, in words; empty where they never did."""
    lines = []
    for column in row.UPDATABLE:
        name, now = label_for_field(column, type(row)), getattr(row, column)
        if column in row.overridden:
            lines.append((name, f"the source now says {_said(now)}; a person had set {_said(row.overridden[column])}"))
        elif column in row.delivered:
            lines.append((name, f"the source says {_said(row.delivered[column])}; a person has set {_said(now)}"))
    return format_html_join("", "<p><strong>{}</strong>: {}.</p>", lines)


def _said(value: Any) -> str:
    return "nothing" if value in (None, "") else f"“{value}”"


class EditedDesk(Desk):
    """Tables that people and their source both write."""

    formfield_overrides = {TextField: {"widget": UnfoldAdminExpandableTextareaWidget({"rows": 1})}}
    actions = (*Desk.actions, "settle", "compare")

    def get_inlines(self, request: HttpRequest, obj: Any) -> "list[type[AliasInline]]":
        return [*super().get_inlines(request, obj)] if obj and obj.aliases.exists() else []

    @admin.display(description="source and people")
    def differences(self, row: Any) -> str:
        return differences(row) or "No person has changed what the source delivers."

    @admin.action(description="Compare two side by side, to merge them", permissions=["change"])
    def compare(self, request: HttpRequest, rows: "QuerySet[Any]") -> HttpResponse | None:
        both = [*rows.filter(deleted_at=None)[:3]]
        try:
            if len(both) != 2:
                raise NotPossible("Choose two rows that are not deleted.")
            pair = decisions.propose(*both)
        except NotPossible as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        return HttpResponseRedirect(reverse("admin:clinical_duplicatepair_change", args=[pair.pk]))

    @admin.action(description="The source was right to overrule", permissions=["change"])
    def settle(self, request: HttpRequest, rows: "QuerySet[Any]") -> None:
        settled = actions.settle_differences(rows, by=cast(User, request.user))
        self.message_user(request, f"{settled} settled; the values stay as they are now.")


def _clean_name(name: str) -> str:
    cleaned, has_removable = values.text(name, is_name=True)
    if has_removable:
        raise forms.ValidationError("Holds an invisible or control character; type it anew.")
    return cleaned


def _key(name: str) -> Lower:
    return Lower(Collate(Value(name), "pg_c_utf8"))


class FacilityForm(forms.ModelForm):
    """The rules of ingestion, but what a file would load with a warning is an error here."""

    def clean_name(self) -> str:
        return _clean_name(self.cleaned_data["name"])

    def clean_lga(self) -> str:
        return _clean_name(self.cleaned_data["lga"])

    def clean_ownership(self) -> str | None:
        return self.cleaned_data["ownership"] or None

    def clean_level(self) -> str | None:
        return self.cleaned_data["level"] or None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        lat, lon = cleaned.get("lat"), cleaned.get("lon")
        _, _, problem = values.point(_plain(lat), _plain(lon))
        if problem:
            self.add_error("lat", "Give both coordinates or neither, inside Nigeria.")
        if "name" in cleaned and "state" in cleaned and "lga" in cleaned:
            self._refuse_taken(cleaned)
        return cleaned

    def _refuse_taken(self, cleaned: dict[str, Any]) -> None:
        lga_name = values.lga(cleaned["lga"], cleaned["state"]) or cleaned["lga"]
        identity = {"name_key": _key(cleaned["name"]), "state": cleaned["state"], "lga_key": _key(lga_name)}
        taken = Facility.objects.filter(**identity).exclude(pk=self.instance.pk).first()
        alias = FacilityAlias.objects.filter(**identity).exclude(facility=self.instance.pk).first()
        if taken or alias:
            pk = taken.pk if taken else alias and alias.facility_id
            self.add_error("name", f"Facility {pk} has, or had, this name in this state and LGA.")


def _plain(coordinate: Any) -> str:
    return "" if coordinate is None else f"{coordinate:f}"


class PatientForm(forms.ModelForm):
    """The rules of ingestion, but what a file would load with a warning is an error here."""

    def clean_first_name(self) -> str:
        return _clean_name(self.cleaned_data["first_name"])

    def clean_last_name(self) -> str:
        return _clean_name(self.cleaned_data["last_name"])

    def clean_phone(self) -> str | None:
        typed = self.cleaned_data["phone"]
        phone = values.phone(typed) if typed else None
        if typed and phone is None:
            raise forms.ValidationError("This is no phone number; write it as 0803 123 4567 or +234 803 123 4567.")
        return phone

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        names = ("facility", "first_name", "last_name", "dob")
        if any(name not in cleaned for name in names):
            return cleaned
        facility, first, last, dob = (cleaned[name] for name in names)
        identity = {"facility": facility, "first_name_key": _key(first), "last_name_key": _key(last), "dob": dob}
        taken = Patient.objects.filter(**identity).exclude(pk=self.instance.pk).first()
        alias = PatientAlias.objects.filter(**identity).exclude(patient=self.instance.pk).first()
        if taken or alias:
            pk = taken.pk if taken else alias and alias.patient_id
            self.add_error("last_name", f"Patient {pk} of this facility has, or had, this name and date of birth.")
        return cleaned


class AliasInline(TabularInline):
    """Former identities: kept by the database, read here."""

    extra = 0
    can_delete = False
    verbose_name_plural = "earlier identities, by which files still find it"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class FacilityAliasInline(AliasInline):
    model = FacilityAlias
    fk_name = "facility"
    fields = ("name", "state", "lga_name")


class PatientAliasInline(AliasInline):
    model = PatientAlias
    fk_name = "patient"
    fields = ("first_name", "last_name", "dob", "facility")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[PatientAlias]":
        return super().get_queryset(request).select_related("facility")


def _list_link(model: str, query: str, text: str) -> SafeString:
    return format_html(
        '<a class="text-link" href="{}?{}">{}</a>', reverse(f"admin:clinical_{model}_changelist"), query, text
    )


@admin.register(Facility)
class FacilityAdmin(EditedDesk):
    form = FacilityForm
    list_display = ("name", "lga", "state", "type", "ownership", "level", "is_deleted")
    list_filter = (("state", ChoicesDropdownFilter), DeletedFilter, DifferenceFilter)
    search_fields = ("name", "lga", "hfr_code")
    readonly_fields = (*ORIGIN, "lga_name", "differences", "patients")
    inlines = (FacilityAliasInline,)
    fieldsets = (
        ("Identity", {"fields": ("name", "state", "lga", "lga_name")}),
        ("What is known of it", {"fields": ("type", "ownership", "level", "hfr_code", "lat", "lon", "differences")}),
        ("Row", {"fields": (*ORIGIN, "patients")}),
    )

    def patients(self, facility: Facility) -> str:
        return _list_link("patient", f"facility__id__exact={facility.pk}", "Patients of this facility")

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        """A deleted facility is found in the list, but not offered where one is to be chosen."""
        if request.path.endswith("/autocomplete/"):
            queryset = queryset.filter(deleted_at=None)
        return super().get_search_results(request, queryset, search_term)


@admin.register(Patient)
class PatientAdmin(EditedDesk):
    form = PatientForm
    list_display = ("last_name", "first_name", "sex", "dob", "phone", "facility", "is_deleted")
    list_display_links = ("last_name", "first_name")
    list_select_related = ("facility",)
    list_filter = (
        ("sex", ChoicesDropdownFilter),
        ("facility__state", StateFilter),
        ("facility", AutocompleteSelectFilter),
        DeletedFilter,
        RestrictedFilter,
        DifferenceFilter,
    )
    search_fields = ("id",)  # the box is shown for it; `get_search_results` looks
    search_help_text = "Parts of the names, a whole phone number, a patient number or an id"
    autocomplete_fields = ("facility",)
    readonly_fields = (*ORIGIN, "restricted_at", "erased_at", "differences", "events")
    inlines = (PatientAliasInline,)
    fieldsets = (
        ("Identity", {"fields": ("facility", "first_name", "last_name", "dob", "dob_is_estimated")}),
        ("What is known of the person", {"fields": ("sex", "phone", "patient_number", "differences")}),
        ("Row", {"fields": (*ORIGIN, "restricted_at", "erased_at", "events")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        if request.path.endswith("/autocomplete/"):
            return queryset.none(), False  # which is asked by address
        if not search_term.strip():
            return queryset, False
        try:
            return finding.patients(queryset, search_term.strip()), False
        except finding.TooShort:
            messages.warning(request, f"Type {finding.LETTERS} letters of a name at least.")
            return queryset.none(), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may_ask = request.user.has_perm("clinical.view_auditevent")
        page = f"{reverse('admin:clinical_auditevent_who_saw')}?patient={object_id}" if may_ask else ""
        return super().change_view(request, object_id, form_url, {"who_saw": page} | (extra_context or {}))

    @admin.display(description="what happened")
    def events(self, patient: Patient) -> SafeString:
        query = f"patient__id__exact={patient.pk}"
        visits = _list_link("triagevisit", query, "Triage visits")
        return format_html("{} · {}", visits, _list_link("medicalrecord", query, "Medical records"))
