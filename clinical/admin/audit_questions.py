"""Two pages for those who may read the audit: who saw a patient, and what a user saw between two days."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSingleDateWidget, UnfoldAdminTextInputWidget

from clinical.audit import questions, reads
from clinical.values import LAGOS

SHOWN = 500  # lines, the latest


class Days(forms.Form):
    since = forms.DateField(label="From", required=False, widget=UnfoldAdminSingleDateWidget())
    until = forms.DateField(label="To", required=False, widget=UnfoldAdminSingleDateWidget())

    def instants(self) -> tuple[datetime | None, datetime | None]:
        """From the first midnight in Lagos to the one after the last day."""
        first, last = self.cleaned_data["since"], self.cleaned_data["until"]
        return first and _midnight(first), last and _midnight(last + timedelta(days=1)) - timedelta.resolution


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), LAGOS)


class PatientForm(Days):
    field_order = ("patient",)
    patient = forms.IntegerField(
        label="Patient's id", min_value=1, max_value=2**63 - 1, widget=UnfoldAdminIntegerFieldWidget()
    )


class UserForm(Days):
    field_order = ("user",)
    user = forms.CharField(label="User's name", max_length=150, widget=UnfoldAdminTextInputWidget())


class Asked(ModelAdmin):
    """The audit's desk, where two questions are asked of it."""

    list_before_template = "clinical/audit_questions.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("who-saw/", view(self.who_saw), name="clinical_auditevent_who_saw"),
            path("seen-by/", view(self.seen_by), name="clinical_auditevent_seen_by"),
            *super().get_urls(),
        ]

    def who_saw(self, request: HttpRequest) -> HttpResponse:
        form = PatientForm(request.GET or None)
        context: dict[str, Any] = {"title": "Who saw this patient", "form": form}
        if form.is_valid():
            patient = form.cleaned_data["patient"]
            found = questions.who_saw(patient, *form.instants())
            reads.seen("audit_events", "who_saw", object_id=patient, rows=len(found))
            people = {line.actor for line in found}
            context |= {"lines": found[:SHOWN], "times": len(found), "people": len(people), "patient": patient}
        return self._answer(request, "clinical/who_saw.html", context)

    def seen_by(self, request: HttpRequest) -> HttpResponse:
        form = UserForm(request.GET or None)
        context: dict[str, Any] = {"title": "What did this user see", "form": form}
        if form.is_valid():
            try:
                found = questions.seen_by(form.cleaned_data["user"], *form.instants())
            except questions.NoSuchUser as error:
                form.add_error("user", str(error))
            else:
                reads.seen("audit_events", "seen_by", object_id=found.user_id, rows=found.events)
                context |= {"found": found, "facilities": found.facilities[:SHOWN]}
        return self._answer(request, "clinical/seen_by.html", context)

    def _answer(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return TemplateResponse(
            request, template, self.admin_site.each_context(request) | {"opts": self.opts} | context
        )
