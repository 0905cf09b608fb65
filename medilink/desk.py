"""What surrounds every page of the admin: its navigation, with what waits for a steward counted, and its style sheet.

settings.UNFOLD names these functions; they are called for each page, so that they count no further than they show.
"""

from typing import Any, cast

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from analytics.facility_signals import FacilitySignal
from clinical import access
from clinical.models import DuplicatePair, User
from ingestion.models import STOPPED, IngestBatch, RejectedRow
from medilink.models import Alert

AT_MOST = 999


def style_sheet(request: HttpRequest) -> str:
    return static("ingestion/desk.css")


def icon(request: HttpRequest) -> str:
    return static("medilink/icon.svg")


class Waiting:
    """What waits for a user, and how much of each; looked up once for all that one page tells."""

    def __init__(self, user: User) -> None:
        self.batches = IngestBatch.objects.visible_to(user)
        self.stopped = self.batches.filter(status__in=STOPPED)
        self.open_rows = RejectedRow.objects.visible_to(user).filter(state=RejectedRow.State.OPEN)
        self.pairs = DuplicatePair.objects.visible_to(user).waiting()
        self.silent = FacilitySignal.objects.visible_to(user).open()
        self.alerts = Alert.objects.open().visible_to(user)
        self._counts: dict[str, str] = {}

    def count(self, what: str) -> str:
        """As far as anybody counts what waits; empty for none."""
        if what not in self._counts:
            count = getattr(self, what).order_by()[: AT_MOST + 1].count()
            self._counts[what] = (f"{count}" if count <= AT_MOST else f"{AT_MOST}+") if count else ""
        return self._counts[what]


def waiting_for(request: HttpRequest) -> Waiting:
    known: Waiting | None = getattr(request, "waiting", None)
    if known is None:
        known = request.waiting = Waiting(cast(User, request.user))  # type: ignore[attr-defined]  # for this page's parts
    return known


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    if not isinstance(request.user, User):
        return []  # the log-in page
    deliveries = [
        _page(request, "Batches", "inventory_2", "ingestion.ingestbatch", "stopped"),
        _page(request, "Refused by cause", "account_tree", "ingestion.rejectedrow", at="admin:ingestion_cause_list"),
        _page(request, "Refused rows", "rule", "ingestion.rejectedrow", "open_rows"),
        _page(request, "Silent facilities", "volume_off", "analytics.facilitysignal", "silent"),
        _page(request, "Runs", "nights_stay", "ingestion.ingestrun"),
        _page(request, "Rules", "alt_route", "ingestion.rule"),
        _page(request, "Sources", "outbox", "ingestion.source"),
        _page(request, "Audit log", "receipt_long", "ingestion.auditlog"),
    ]
    clinical = [
        _page(request, "Facilities", "local_hospital", "clinical.facility"),
        _page(request, "Patients", "groups", "clinical.patient"),
        _page(request, "Probable duplicates", "join_inner", "clinical.duplicatepair", "pairs"),
        _page(request, "Medical records", "clinical_notes", "clinical.medicalrecord"),
        _page(request, "Triage visits", "emergency", "clinical.triagevisit"),
        _page(request, "Second look at triage", "visibility", "clinical.secondlook"),
        _page(request, "Words without a code", "dictionary", "clinical.termtext"),
    ]
    may_look = request.user.access.may(access.READ, "analytics")
    answers = [
        {"title": "Dashboard", "icon": "insights", "link": reverse("dashboard")} if may_look else None,
        _page(request, "Nightly reports", "summarize", "analytics.nightlyreport"),
        _page(request, "Marts", "monitoring", "analytics.martstate"),
        _page(request, "Refreshes", "sync", "analytics.martrefresh"),
        _page(request, "Data quality", "verified", "analytics.checkrun", at="admin:data_quality"),
        _page(request, "Monitors of sources", "ecg_heart", "analytics.monitorresult"),
        _page(request, "Sendings to DHIS2", "send", "analytics.sending"),
        _page(request, "DHIS2 organisation units", "hub", "analytics.orgunit"),
    ]
    site = [
        _page(request, "Alerts", "notifications", "medilink.alert", "alerts"),
        _page(request, "Who did and read what", "history", "clinical.auditevent"),
        _page(request, "Addressees of reports", "outgoing_mail", "analytics.reportaddressee"),
        _page(request, "Users", "person", "clinical.user"),
        _page(request, "Tokens of programs", "key", "clinical.programtoken"),
        _page(request, "SMART clients", "vpn_key", "clinical.smartclient"),
        _page(request, "Schedule", "schedule", "django_celery_beat.periodictask"),
    ]
    groups = {"Deliveries": deliveries, "Clinical": clinical, "Answers": answers, "Site": site}
    return [{"title": title, "items": [page for page in pages if page]} for title, pages in groups.items()]


def _page(
    request: HttpRequest, title: str, icon: str, model: str, waits: str = "", at: str = ""
) -> dict[str, Any] | None:
    """The list of a model, for who may see it, with how much of `waits` waits there."""
    app, name = model.split(".")
    if not request.user.has_perm(f"{app}.view_{name}"):
        return None
    page = {"title": title, "icon": icon, "link": reverse(at or f"admin:{app}_{name}_changelist")}
    if waits and (count := waiting_for(request).count(waits)):
        page |= {"badge": count, "badge_variant": "danger"}
    return page
