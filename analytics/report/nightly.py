"""Making the reports of each night and sending them: each once, whether started twice, late or beside itself."""

import hashlib
import logging
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from smtplib import SMTPException

from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from analytics import marts
from analytics.nightly_reports import NightlyReport, ReportAddressee, ReportMail
from analytics.report import page, words
from analytics.report.facts import RELATIONS, Facts, Night, NotReady, of
from clinical.locks import alone
from clinical.models import Facility
from clinical.values import LAGOS
from ingestion.models import IngestRun

logger = logging.getLogger(__name__)
LOCK = 7_340_217  # of this database, for whoever makes reports
CATCH_UP = 7  # nights at most that are reported later
AT_THE_LATEST = time(8)  # Africa/Lagos: then the report says that the night is not over


class AlreadyReporting(Exception):
    """Another process makes the reports at this moment."""


def run() -> None:
    """Makes what is due and sends what was not sent."""
    for night in due(timezone.now()):
        make(night)
    send()


def due(now: datetime) -> list[date]:
    """The nights without a report since the last one that has one, and tonight's once its figures are there.

    Where no night has ever been run there is none to report on.
    """
    if not IngestRun.objects.filter(night_on__isnull=False).exists():
        return []
    today = now.astimezone(LAGOS).date()
    last = NightlyReport.objects.filter(state="").order_by("-night").values_list("night", flat=True).first()
    first = max(last, today - timedelta(days=CATCH_UP)) if last else today
    nights = [first + timedelta(days=n) for n in range((today - first).days + 1)]
    return [night for night in nights if night != last and (night < today or _is_over(night, now))]


def _is_over(tonight: date, now: datetime) -> bool:
    if now.astimezone(LAGOS).time() >= AT_THE_LATEST:
        return True
    return marts.have_seen(IngestRun.objects.filter(night_on=tonight).first(), *RELATIONS)


def make(on: date, states: Iterable[str] | None = None) -> list[NightlyReport]:
    """What was made now, of the nation and of each state that has facilities, or of these; what is there stays."""
    with alone(LOCK, AlreadyReporting("Another process makes the reports.")), transaction.atomic():
        chosen = ["", *_states()] if states is None else [*states]
        known = {*NightlyReport.objects.filter(night=on, state__in=chosen).values_list("state", flat=True)}
        night = Night(on)
        try:
            return [_made(night, state) for state in chosen if state not in known]
        except NotReady:
            logger.info("No report is made before the marts are filled.")
            return []


def _states() -> list[str]:
    found = Facility.objects.present().order_by("state").values_list("state", flat=True).distinct()
    return [state for state in found if state]


def _made(night: Night, state: str) -> NightlyReport:
    from analytics.report import paper  # what draws costs every process a third of its start, and few ever draw

    facts = of(night, state)
    pdf = paper.pdf(facts)
    report = NightlyReport.objects.create(
        night=night.on,
        state=state,
        as_of=datetime.fromisoformat(facts["as_of"]),
        facts=facts,
        html=page.html(facts),
        pdf=pdf,
        digest=hashlib.sha256(pdf).hexdigest(),
    )
    address(report)
    return report


# --- Sending


def address(report: NightlyReport) -> int:
    """Due for all who ask for reports of its place now, also where one was sent before. Returns how many."""
    to = ReportAddressee.objects.filter(state=report.state, is_active=True)
    again = ReportMail.objects.filter(report=report, addressee__in=to)
    again.update(sent_at=None, tries=0, error="")
    known = {*again.values_list("addressee_id", flat=True)}
    new = [ReportMail(report=report, addressee=one) for one in to if one.pk not in known]
    ReportMail.objects.bulk_create(new)
    return len(known) + len(new)


def send() -> tuple[int, int]:
    """(sent, failed) of what is due; what fails is tried again the next time, until it is too old to be news."""
    since = timezone.localdate() - timedelta(days=CATCH_UP)
    waiting = ReportMail.objects.filter(sent_at=None, addressee__is_active=True)
    waiting = waiting.filter(report__made_at__date__gte=since)
    done = [_sent(pk) for pk in waiting.order_by("report__night", "pk").values_list("pk", flat=True)]
    return done.count(True), done.count(False)


def _sent(pk: int) -> bool | None:
    """None where another process has it in hand, or has sent it."""
    with transaction.atomic():
        held = ReportMail.objects.select_for_update(skip_locked=True, of=("self",))
        mail = held.select_related("report", "addressee").filter(pk=pk, sent_at=None).first()
        if mail is None:
            return None
        mail.tries = F("tries") + 1
        try:
            _message(mail.report, mail.addressee.email).send()
        except (OSError, SMTPException, ValueError) as error:  # the text of one may name the address
            mail.error = type(error).__name__
            logger.warning("A report could not be sent: %s", mail.error)
        else:
            mail.sent_at, mail.error = timezone.now(), ""
        mail.save(update_fields=["tries", "error", "sent_at"])
        if mail.sent_at and not mail.report.mails.filter(sent_at=None).exists():
            NightlyReport.objects.filter(pk=mail.report_id).update(sent_at=mail.sent_at)
    return mail.sent_at is not None


def _message(report: NightlyReport, address: str) -> EmailMessage:
    facts: Facts = report.facts
    subject = f"Medilink: {report.place}, night of {report.night:%-d %B %Y}"
    message = EmailMessage(subject, _text(facts), None, [address], headers={"Auto-Submitted": "auto-generated"})
    message.attach(report.file_name, bytes(report.pdf), "application/pdf")
    return message


def _text(facts: Facts) -> str:
    told = page.told(facts)
    figures = [
        f"{one['label']}: {one['week']} in the last 7 days ({one['week_change']}), {one['month']} in the last 30 days"
        f" ({one['month_change']})"
        for one in told["figures"]
    ]
    parts = [
        facts["verdict"]["words"],
        told["delivered"],
        f"Waits for a decision: {told['waits']}",
        *figures,
        f"Silent: {told['silent']}",
        words.trust(facts),
        f"The report is attached. The dashboard: {facts['link']}",
    ]
    return "\n\n".join(parts) + "\n"
