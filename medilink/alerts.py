"""Telling people when something went wrong: once per cause, and again when it is over; by mail, by webhook, or both.

What is wrong is looked up anew each time, so that nothing has to remember to report it. A message that could not be
sent is sent the next time; two processes at once send one. In quiet hours only what is critical is told; the rest
follows in one message when they end, with what came and went meanwhile.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from smtplib import SMTPException
from typing import Any
from urllib.request import HTTPRedirectHandler, Request, build_opener

import orjson
from django.conf import settings
from django.core.mail import send_mail
from django.db import connection, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import lazy

from analytics import checks, marts, publications
from analytics.checks.catalogue import BY_NAME
from analytics.checks.check import Owner, Severity
from analytics.history import CheckResult, CheckRun, DataOwner
from analytics.monitor_results import MonitorResult
from analytics.nightly_reports import NightlyReport
from analytics.publications import Publication
from clinical import logins
from clinical.audit import questions
from clinical.models import ProgramToken
from clinical.values import LAGOS
from ingestion.models import SETTLED, STOPPED, IngestBatch, IngestRun
from medilink.models import Alert, Backup

logger = logging.getLogger(__name__)
LOCK = 7_340_212
NIGHT_ENDS = time(5)  # Africa/Lagos
NO_GOOD_RUN = NO_BACKUP = timedelta(hours=26)
PENDING = timedelta(hours=1)
REPORT_IS_NEWS = timedelta(days=7)
TOKEN_ENDS = timedelta(days=14)
PATIENCE = 10  # seconds for a webhook
SEPARATE_SOURCES = 10  # more that are unusual at once have one cause
NAMED = 3  # measures of a source
GOOD = (IngestRun.State.DONE, IngestRun.State.SOME_ROWS_REFUSED)


@dataclass(frozen=True)
class Cause:
    key: str
    what: str
    link: str
    owner: str = ""
    is_critical: bool = False


def causes(now: datetime) -> Iterator[Cause]:
    """All that is wrong at the moment."""
    for batch in IngestBatch.objects.filter(status__in=STOPPED).order_by("id"):
        said = (
            f"Batch {batch.pk} ({batch.dataset or 'no dataset'}) is {batch.status}: {', '.join(batch.reasons) or '?'}"
        )
        yield Cause(f"batch-{batch.status}:{batch.pk}", said, _page("ingestion_ingestbatch_change", batch.pk))
    yield from _nights(now)
    yield from _unpublished(now)
    for state in marts.states().values():
        if state.has_failed:
            said = f"The mart {state.mart} could not be refreshed; it shows rows of {_told(state.as_of)}"
            yield Cause(f"mart-failed:{state.mart}", said, _page("analytics_martstate_changelist"))
    yield from _checks()
    yield from _monitors()
    yield from _pending(now)
    ending = ProgramToken.objects.select_related("user").filter(expires_at__lt=now + TOKEN_ENDS)
    for token in logins.living(ending).filter(user__is_active=True).order_by("id"):
        said = f"A token of {token.user.username} ends on {_told(token.expires_at)}; its program needs another one"
        yield Cause(f"token-ends:{token.pk}", said, _page("clinical_programtoken_changelist"))
    yield from _enumerations(now)
    yield from _backups(now)
    yield from _reports(now)


def _checks() -> Iterator[Cause]:
    """Each error, by what its check found last, in the last whole run or in one of a few checks since.

    Warnings are on the page on data quality; nobody is woken for them.
    """
    whole = checks.whole_runs().order_by("-id").first()
    first = whole or CheckRun.objects.order_by("-id").first()
    since = CheckResult.objects.filter(run_id__gte=first.pk).defer("sample") if first else CheckResult.objects.none()
    latest = since.order_by("name", "-id").distinct("name")
    results = [one for one in latest if one.status in (CheckResult.Status.FAILED, CheckResult.Status.BROKEN)]
    for result in results:
        check = BY_NAME.get(result.name)
        rows = f"{result.failing_rows:,} rows" if result.status == CheckResult.Status.FAILED else "it could not run"
        said = f"The data check {result.name} fails: {rows}" + (f". {check.why}" if check else "")
        owner = check.owner if check else Owner.STEWARDS
        is_critical = result.severity == Severity.CRITICAL
        link = _page("data_quality_check", result.name) if check else _page("analytics_checkrun_change", result.run_id)
        yield Cause(f"check-failed:{result.name}", said, link, owner, is_critical)


def _monitors() -> Iterator[Cause]:
    """Of the last watched day: a cause per source, or one for all where they are many."""
    last = MonitorResult.objects.order_by("-day").values_list("day", flat=True).first()
    alarms: dict[tuple[str, str], list[MonitorResult]] = defaultdict(list)
    for one in MonitorResult.objects.alarming().filter(day=last).order_by("id") if last else ():
        alarms[one.source, one.dataset].append(one)
    page = _page("analytics_monitorresult_changelist")
    if len(alarms) > SEPARATE_SOURCES:
        kinds = Counter(one.measure for found in alarms.values() for one in found)
        most = ", ".join(f"{measure} of {count}" for measure, count in kinds.most_common(NAMED))
        said = f"{len(alarms)} sources are unlike their usual selves at once: {most}"
        yield Cause("monitors-many", said, page, Owner.STEWARDS)
        return
    for (source, dataset), found in alarms.items():
        told = ", ".join(f"{one.measure} {one.get_verdict_display()}" for one in found[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        yield Cause(f"monitor:{dataset}:{source}", f"Source {source}: {told}{more}", page, Owner.STEWARDS)


def _backups(now: datetime) -> Iterator[Cause]:
    """Only where one is made every night. A new site has its first night before it."""
    if not settings.BACKUP_URL:
        return
    last, first = Backup.last_good(), Backup.objects.order_by("id").values_list("started_at", flat=True).first()
    since = last or first
    if since and since < now - NO_BACKUP:
        said = f"No backup was made since {_told(since)}" if last else "No backup was ever made"
        yield Cause("no-backup", said, settings.SITE_URL, is_critical=True)


def _reports(now: datetime) -> Iterator[Cause]:
    """Tried more than once, and still not sent; what is older is news no more."""
    late = NightlyReport.objects.filter(mails__sent_at=None, mails__tries__gt=1, made_at__gt=now - REPORT_IS_NEWS)
    for report in late.defer("html", "pdf", "facts").order_by("id").distinct():
        said = f"The nightly report of {report} could not be sent to everybody"
        yield Cause(f"report-unsent:{report.pk}", said, _page("analytics_nightlyreport_change", report.pk))


def _nights(now: datetime) -> Iterator[Cause]:
    page = _page("ingestion_ingestrun_changelist")
    today = now.astimezone(LAGOS).date()
    if now.astimezone(LAGOS).time() >= NIGHT_ENDS:
        night = IngestRun.objects.nightly().filter(night_on=today).first()
        if night and (night.finished_at is None or night.status == IngestRun.State.BROKEN_OFF):
            said = f"The run of the night of {today} is not finished"
            yield Cause(f"night-unfinished:{today}", said, page, is_critical=True)
    first = IngestRun.objects.order_by("id").first()
    good = IngestRun.objects.filter(status__in=GOOD).order_by("-finished_at").first()
    since = good.finished_at if good else first.created_at if first else None
    if since and since < now - NO_GOOD_RUN:
        yield Cause("no-good-run", f"No run went well since {_told(since)}", page, is_critical=True)


def _unpublished(now: datetime) -> Iterator[Cause]:
    """Its run went well an hour ago, and the figures of today are not kept."""
    today = now.astimezone(LAGOS).date()
    if IngestRun.objects.nightly().filter(night_on=today, status__in=GOOD, finished_at__lt=now - PENDING).exists():
        kept = Publication.objects.filter(day=today).values_list("mart", flat=True)
        if missing := [mart for mart in publications.MARTS if mart not in kept]:
            said = f"Of {', '.join(missing)} nothing is published; `?as_of={today}` will have no figures"
            yield Cause(f"not-published:{today}", said, _page("analytics_martstate_changelist"), Owner.DEVELOPERS)


def _pending(now: datetime) -> Iterator[Cause]:
    """Bytes that are settled or stopped and still lie where the app may overwrite them."""
    late = IngestBatch.objects.filter(parent=None, finished_at__lt=now - PENDING)
    for what, rows in (
        ("archived", late.filter(status__in=SETTLED, archived_at=None)),
        ("put safe", late.filter(status__in=STOPPED, held_key=None).exclude(reasons__overlap=["OBJECT_GONE"])),
    ):
        count = rows.count()
        if count:
            said = f"{count} objects wait for over an hour to be {what}"
            yield Cause(f"pending:{what}", said, _page("ingestion_ingestbatch_changelist"))


def _enumerations(now: datetime) -> Iterator[Cause]:
    """Who has read of more patients in an hour than a day's work takes them to."""
    page = _page("clinical_auditevent_changelist")
    least = min(settings.ENUMERATION_ALARM, settings.ENUMERATION_ALARM_SERVICE)
    for one in questions.read_many(now - timedelta(hours=1), least):
        most = settings.ENUMERATION_ALARM_SERVICE if "service" in one.roles else settings.ENUMERATION_ALARM
        if one.patients > most:
            said = f"User {one.user_id} has read of more than {most:,} patients in an hour"
            link = f"{page}?actor__id__exact={one.user_id}"
            yield Cause(f"enumeration:{one.user_id}", said, link, is_critical=True)


def _page(name: str, *args: Any) -> str:
    """Looked up by whoever reads it: for the doctor, who does not, all pages of the site need not be imported."""
    return lazy(_address, str)(name, *args)


def _address(name: str, *args: Any) -> str:
    return settings.SITE_URL.rstrip("/") + reverse(f"admin:{name}", args=args)


def _told(instant: datetime) -> str:
    return f"{timezone.localtime(instant):%d %B %Y, %H:%M}"


# --- Telling


def tell(now: datetime | None = None) -> tuple[int, int]:
    """Opens what is new, closes what is over, and sends each owner one message; returns how many of each to tell.

    What is over before anybody was told of it is told only where quiet hours had held it back.
    """
    now = now or timezone.now()
    with transaction.atomic():
        if not _alone():
            return 0, 0
        _compare({cause.key: cause for cause in causes(now)})
        new = Alert.objects.filter(told_opened_at=None).filter(Q(closed_at=None) | Q(was_held=True))
        over = Alert.objects.filter(told_opened_at__isnull=False, closed_at__isnull=False, told_closed_at=None)
        if is_quiet(now):
            new.filter(is_critical=False).update(was_held=True)
            new, over = new.filter(is_critical=True), over.filter(is_critical=True)
        opened, closed = [*new.order_by("id")], [*over.order_by("id")]
        for addresses, of_these in _by_addresses(opened, closed).items():
            if _sent(addresses, *of_these):
                _mark(of_these[0], "told_opened_at")
                _mark([*of_these[1], *filter(lambda alert: alert.closed_at, of_these[0])], "told_closed_at")
    return len(opened), len(closed)


def is_quiet(now: datetime) -> bool:
    """In Lagos; hours may go over midnight."""
    if not settings.ALERT_QUIET_HOURS:
        return False
    begin, end = settings.ALERT_QUIET_HOURS
    at = now.astimezone(LAGOS).time()
    return begin <= at < end if begin <= end else at >= begin or at < end


Parts = tuple[list[Alert], list[Alert]]


def _by_addresses(opened: list[Alert], closed: list[Alert]) -> dict[tuple[str, ...], Parts]:
    """What is new and what is over, for each list of those who are told: an owner's, else that of the site."""
    owners = dict(DataOwner.objects.exclude(emails=[]).values_list("name", "emails"))
    found: dict[tuple[str, ...], Parts] = defaultdict(lambda: ([], []))
    for part, alerts in enumerate((opened, closed)):
        for alert in alerts:
            found[tuple(owners.get(alert.owner) or settings.ALERT_EMAIL)][part].append(alert)
    return found


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])


def _compare(wrong: dict[str, Cause]) -> None:
    known = Alert.objects.open()
    known.exclude(cause__in=wrong).update(closed_at=timezone.now())
    new = wrong.keys() - set(known.values_list("cause", flat=True))
    Alert.objects.bulk_create(
        Alert(cause=key, what=cause.what, link=str(cause.link), owner=cause.owner, is_critical=cause.is_critical)
        for key, cause in wrong.items()
        if key in new
    )


def _mark(alerts: Iterable[Alert], column: str) -> None:
    Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(**{column: timezone.now()})


def _sent(addresses: tuple[str, ...], opened: list[Alert], closed: list[Alert]) -> bool:
    """Whether every channel that is configured has taken it; without one nobody was told, and the page shows it."""
    ways: list[tuple[str, Callable[[], None]]] = []
    if addresses:
        ways.append(("mail", lambda: _mail(addresses, opened, closed)))
    if settings.ALERT_WEBHOOK_URL:
        ways.append(("hook", lambda: _hook(opened, closed)))
    taken = [_tried(name, way) for name, way in ways]  # one that fails keeps nobody from the other
    return bool(taken) and all(taken)


def _tried(name: str, way: Callable[[], None]) -> bool:
    try:
        way()
    except (OSError, SMTPException, ValueError) as error:
        logger.warning("Nobody could be told by %s: %s", name, type(error).__name__)
        return False
    return True


def _subject(opened: list[Alert], closed: list[Alert]) -> str:
    gone = sum(alert.closed_at is not None for alert in opened)
    new = len(opened) - gone
    parts = [f"{new} new problem{'s' * (new != 1)}"] if new else []
    if closed:
        parts.append(f"{len(closed)} over")
    if gone:
        parts.append(f"{gone} came and went in quiet hours")
    return "Medilink: " + ", ".join(parts)


def _text(opened: list[Alert], closed: list[Alert]) -> str:
    lines = [f"{alert.what}\n  {alert.link}" for alert in opened if not alert.closed_at]
    gone = [f"Came and went: {alert.what}" for alert in opened if alert.closed_at]
    return "\n\n".join([*lines, *(f"Over: {alert.what}" for alert in closed), *gone]) + "\n"


def _mail(addresses: tuple[str, ...], opened: list[Alert], closed: list[Alert]) -> None:
    send_mail(_subject(opened, closed), _text(opened, closed), None, addresses)


def _hook(opened: list[Alert], closed: list[Alert]) -> None:
    """`text` is what chat tools show."""
    body = {
        "text": f"{_subject(opened, closed)}\n\n{_text(opened, closed)}",
        "opened": [_as_dict(alert) for alert in opened],
        "closed": [_as_dict(alert) for alert in closed],
    }
    request = Request(  # noqa: S310  # settings.py lets only http and https through
        settings.ALERT_WEBHOOK_URL, orjson.dumps(body), {"Content-Type": "application/json"}
    )
    build_opener(Stays()).open(request, timeout=PATIENCE).close()


class Stays(HTTPRedirectHandler):
    """Goes where the settings say, and nowhere that the answer says."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _as_dict(alert: Alert) -> dict[str, Any]:
    shown = ("cause", "what", "link", "owner", "is_critical", "opened_at", "closed_at")
    return {name: getattr(alert, name) for name in shown}
