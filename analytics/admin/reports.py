"""The nightly reports at the desk: looked at, taken along, sent again; and who is sent them."""

from typing import Any, cast

from celery import current_app
from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from kombu.exceptions import OperationalError
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from analytics.api.reports import answer
from analytics.nightly_reports import NightlyReport, ReportAddressee
from clinical import audit
from clinical.access import UPDATE
from clinical.audit import reads
from clinical.geography import STATES, in_words
from clinical.models import User
from ingestion.admin.desk import Desk, person

COLOURS = {"good": "success", "look": "warning", "bad": "danger"}
VERDICTS = {"good": "well", "look": "to be looked at", "bad": "not well"}


class PlaceFilter(DropdownFilter):
    title = "place"
    parameter_name = "place"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("nation", in_words("")), *((state, in_words(state)) for state in STATES)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        chosen = {"nation": ""}.get(self.value() or "", self.value())
        return queryset.filter(state=chosen) if chosen in ("", *STATES) else queryset


@admin.register(NightlyReport)
class NightlyReportAdmin(Desk):
    list_display = ("night", "place", "verdict", "words", "mails", "files")
    list_display_links = ("night",)
    list_filter = (PlaceFilter,)
    actions = ("send_again",)
    fields = ("night", "place", "words", "as_of", "made_at", "mails", "sent_at", "digest", "files")
    readonly_fields = ("place", "words", "mails", "files")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        mails = {"due": Count("mails", filter=Q(mails__sent_at=None)), "all_mails": Count("mails")}
        return super().get_queryset(request).defer("html", "pdf").annotate(**mails)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.file)
        return [path("<int:object_id>/<str:kind>", view, name="analytics_nightlyreport_file"), *super().get_urls()]

    def file(self, request: HttpRequest, object_id: int, kind: str) -> HttpResponseBase:
        report = NightlyReport.objects.visible_to(person(request)).filter(pk=object_id).first()
        may_see = self.has_view_permission(request)
        if report is None or kind not in ("html", "pdf") or not may_see:
            raise Http404
        reads.seen("nightly_reports", "export", object_id=object_id, rows=1, format=kind)
        return answer(request, cast(NightlyReport, report), kind)

    @display(description="verdict", label=COLOURS)
    def verdict(self, report: NightlyReport) -> tuple[str, str]:
        level = report.facts["verdict"]["level"]
        return level, VERDICTS[level]

    @admin.display(description="what it says")
    def words(self, report: NightlyReport) -> str:
        return str(report.facts["verdict"]["words"])

    @admin.display(description="mails")
    def mails(self, report: Any) -> str:
        if not report.all_mails:
            return "no addressees"
        return f"{report.all_mails - report.due} of {report.all_mails} sent"

    @admin.display(description="read it")
    def files(self, report: NightlyReport) -> SafeString:
        page, paper = (
            reverse("admin:analytics_nightlyreport_file", args=[report.pk, kind]) for kind in ("html", "pdf")
        )
        return format_html(
            '<a class="text-link" href="{}">Page</a> · <a class="text-link" href="{}">PDF</a>', page, paper
        )

    @admin.action(description="Send again", permissions=["decide"])
    def send_again(self, request: HttpRequest, reports: "QuerySet[NightlyReport]") -> None:
        """By a worker, to who asks for the place now."""
        scope = person(request).access.scope(UPDATE, "deliveries")
        chosen = [*reports.values_list("pk", "state")]
        allowed = [pk for pk, state in chosen if scope.has_state(state)]
        try:
            for pk in allowed:
                current_app.send_task("analytics.tasks.send_report", [pk], retry=False)
                audit.note(person(request), "send", "nightly_reports", pk)
        except OperationalError:
            self.message_user(request, "The queue is away; try again in a few minutes.", messages.ERROR)
            return
        self.message_user(request, f"{len(allowed)} of {len(chosen)} are being sent to their addressees.")


class AddresseeForm(forms.ModelForm):
    user: User  # set by the page

    class Meta:
        model = ReportAddressee
        fields = ("email", "state", "is_active")

    def clean_state(self) -> str:
        state: str = self.cleaned_data["state"]
        scope = self.user.access.scope(UPDATE, "deliveries")
        if not scope.has_state(state):
            raise forms.ValidationError("Choose a state of yours.")
        return state


@admin.register(ReportAddressee)
class ReportAddresseeAdmin(ModelAdmin):
    """Who is sent what, because they asked for it; an address is left out of the audit."""

    form = AddresseeForm
    list_display = ("email", "place", "is_active", "added_at")
    list_filter = (PlaceFilter,)
    actions = None

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return ReportAddressee.objects.visible_to(person(request)).order_by("state", "email")

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        return type(form.__name__, (form,), {"user": person(request)})

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may add an address takes it away when its owner asks for that."""
        return self.has_change_permission(request, obj)

    @admin.display(description="reports of", ordering="state")
    def place(self, one: ReportAddressee) -> str:
        return in_words(one.state)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit.note(person(request), "update" if change else "create", "report_addressees", obj.pk)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit.note(person(request), "delete", "report_addressees", obj.pk)
        super().delete_model(request, obj)
