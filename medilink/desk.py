"""What surrounds every page of the admin: its navigation, with what waits for a steward counted, and its style sheet.

settings.UNFOLD names these functions; they are called for each page, so that they count no further than they show.
"""

from typing import Any, cast

from django.db.models import QuerySet
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from analytics.facility_signals import FacilitySignal
from clinical.models import DuplicatePair, User
from ingestion.models import STOPPED, IngestBatch, RejectedRow
from medilink import alerts

AT_MOST = 999


def style_sheet(request: HttpRequest) -> str:
    return static("ingestion/desk.css")


def visible_deliveries(request: HttpRequest) -> "tuple[QuerySet[IngestBatch], QuerySet[RejectedRow]]":
    """What the user may see of batches and refused rows; looked up once for all that one page tells."""
    known: tuple[QuerySet[IngestBatch], QuerySet[RejectedRow]] | None = getattr(request, "deliveries", None)
    if known is None:
        user = cast(User, request.user)
        known = IngestBatch.objects.visible_to(user), RejectedRow.objects.visible_to(user)
        request.deliveries = known  # type: ignore[attr-defined]  # for the other parts of this page
    return known


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    if not isinstance(request.user, User):
        return []  # the log-in page
    batches, rows = visible_deliveries(request)
    stopped, open_rows = batches.filter(status__in=STOPPED), rows.filter(state=RejectedRow.State.OPEN)
    pairs = DuplicatePair.objects.visible_to(request.user).waiting()
    silent = FacilitySignal.objects.visible_to(request.user).open()
    deliveries = [
        _page(request, "Batches", "inventory_2", "ingestion.ingestbatch", stopped),
        _page(request, "Refused by cause", "account_tree", "ingestion.rejectedrow", at="admin:ingestion_cause_list"),
        _page(request, "Refused rows", "rule", "ingestion.rejectedrow", open_rows),
        _page(request, "Silent facilities", "volume_off", "analytics.facilitysignal", silent),
        _page(request, "Runs", "nights_stay", "ingestion.ingestrun"),
        _page(request, "Rules", "alt_route", "ingestion.rule"),
        _page(request, "Sources", "outbox", "ingestion.source"),
        _page(request, "Audit log", "receipt_long", "ingestion.auditlog"),
    ]
    clinical = [
        _page(request, "Facilities", "local_hospital", "clinical.facility"),
        _page(request, "Patients", "groups", "clinical.patient"),
        _page(request, "Probable duplicates", "join_inner", "clinical.duplicatepair", pairs),
        _page(request, "Medical records", "clinical_notes", "clinical.medicalrecord"),
        _page(request, "Triage visits", "emergency", "clinical.triagevisit"),
    ]
    answers = [
        _page(request, "Marts", "monitoring", "analytics.martstate"),
        _page(request, "Refreshes", "sync", "analytics.martrefresh"),
        _page(request, "Data checks", "fact_check", "analytics.checkrun"),
    ]
    site = [
        _page(request, "Alerts", "notifications", "medilink.alert", alerts.open_alerts()),
        _page(request, "Who did what", "history", "clinical.auditevent"),
        _page(request, "Users", "person", "clinical.user"),
        _page(request, "Schedule", "schedule", "django_celery_beat.periodictask"),
    ]
    groups = {"Deliveries": deliveries, "Clinical": clinical, "Answers": answers, "Site": site}
    return [{"title": title, "items": [page for page in pages if page]} for title, pages in groups.items()]


def _page(
    request: HttpRequest, title: str, icon: str, model: str, waiting: "QuerySet[Any] | None" = None, at: str = ""
) -> dict[str, Any] | None:
    """The list of a model, for who may see it."""
    app, name = model.split(".")
    if not request.user.has_perm(f"{app}.view_{name}"):
        return None
    page = {"title": title, "icon": icon, "link": reverse(at or f"admin:{app}_{name}_changelist")}
    count = waiting.order_by()[: AT_MOST + 1].count() if waiting is not None else 0
    if count:
        page |= {"badge": f"{count}" if count <= AT_MOST else f"{AT_MOST}+", "badge_variant": "danger"}
    return page
