"""Telling people when something went wrong: once per cause, and again when it is over; by mail, by webhook, or both.

What is wrong is looked up anew each time, so that nothing has to remember to report it. A message that could not be
sent is sent the next time; two processes at once send one.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from smtplib import SMTPException
from typing import Any
from urllib.request import HTTPRedirectHandler, Request, build_opener

import orjson
from django.conf import settings
from django.core.mail import send_mail
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from analytics import marts
from analytics.history import CheckRun
from clinical import logins
from clinical.audit import questions
from clinical.models import ProgramToken
from clinical.values import LAGOS
from ingestion.models import SETTLED, STOPPED, IngestBatch, IngestRun, Kind
from medilink.models import Alert, Backup

logger = logging.getLogger(__name__)
LOCK = 7_340_212
NIGHT_ENDS = time(5)  # Africa/Lagos
NO_GOOD_RUN = NO_BACKUP = timedelta(hours=26)
PENDING = timedelta(hours=1)
TOKEN_ENDS = timedelta(days=14)
PATIENCE = 10  # seconds for a webhook
GOOD = (IngestRun.State.DONE, IngestRun.State.SOME_ROWS_REFUSED)


@dataclass(frozen=True)
class Cause:
    key: str
    what: str
    link: str


def causes(now: datetime) -> Iterator[Cause]:
    """All that is wrong at the moment."""
    for batch in IngestBatch.objects.filter(status__in=STOPPED).order_by("id"):
        said = (
            f"Batch {batch.pk} ({batch.dataset or 'no dataset'}) is {batch.status}: {', '.join(batch.reasons) or '?'}"
        )
        yield Cause(f"batch-{batch.status}:{batch.pk}", said, _page("ingestion_ingestbatch_change", batch.pk))
    yield from _nights(now)
    for state in marts.states().values():
        if state.has_failed:
            said = f"The mart {state.mart} could not be refreshed; it shows rows of {_told(state.as_of)}"
            yield Cause(f"mart-failed:{state.mart}", said, _page("analytics_martstate_changelist"))
    last = CheckRun.objects.order_by("-id").first()
    if last and last.failed:
        said = f"{last.failed} data checks fail"
        yield Cause("checks-failed", said, _page("analytics_checkrun_change", last.pk))
    yield from _pending(now)
    ending = ProgramToken.objects.select_related("user").filter(expires_at__lt=now + TOKEN_ENDS)
    for token in logins.living(ending).filter(user__is_active=True).order_by("id"):
        said = f"A token of {token.user.username} ends on {_told(token.expires_at)}; its program needs another one"
        yield Cause(f"token-ends:{token.pk}", said, _page("clinical_programtoken_changelist"))
    yield from _enumerations(now)
    yield from _backups(now)


def _backups(now: datetime) -> Iterator[Cause]:
    """Only where one is made every night. A new site has its first night before it."""
    if not settings.BACKUP_URL:
        return
    last, first = Backup.last_good(), Backup.objects.order_by("id").values_list("started_at", flat=True).first()
    since = last or first
    if since and since < now - NO_BACKUP:
        said = f"No backup was made since {_told(since)}" if last else "No backup was ever made"
        yield Cause("no-backup", said, settings.SITE_URL)


def _nights(now: datetime) -> Iterator[Cause]:
    page = _page("ingestion_ingestrun_changelist")
    nightly = IngestRun.objects.filter(kind=Kind.NIGHTLY, night_on__isnull=False)
    today = now.astimezone(LAGOS).date()
    if now.astimezone(LAGOS).time() >= NIGHT_ENDS:
        night = nightly.filter(night_on=today).first()
        if night and (night.finished_at is None or night.status == IngestRun.State.BROKEN_OFF):
            yield Cause(f"night-unfinished:{today}", f"The run of the night of {today} is not finished", page)
    first = IngestRun.objects.order_by("id").first()
    good = IngestRun.objects.filter(status__in=GOOD).order_by("-finished_at").first()
    since = good.finished_at if good else first.created_at if first else None
    if since and since < now - NO_GOOD_RUN:
        yield Cause("no-good-run", f"No run went well since {_told(since)}", page)


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
            yield Cause(f"enumeration:{one.user_id}", said, f"{page}?actor__id__exact={one.user_id}")


def _page(name: str, *args: Any) -> str:
    return settings.SITE_URL.rstrip("/") + reverse(f"admin:{name}", args=args)


def _told(instant: datetime) -> str:
    return f"{timezone.localtime(instant):%d %B %Y, %H:%M}"


# --- Telling


def tell(now: datetime | None = None) -> tuple[int, int]:
    """Opens what is new, closes what is over, and sends one message about both; returns how many of each."""
    with transaction.atomic():
        if not _alone():
            return 0, 0
        _compare({cause.key: cause for cause in causes(now or timezone.now())})
        opened = [*Alert.objects.filter(told_opened_at=None, closed_at=None).order_by("id")]
        over = Alert.objects.filter(told_opened_at__isnull=False, closed_at__isnull=False, told_closed_at=None)
        closed = [*over.order_by("id")]
        if (opened or closed) and _sent(opened, closed):
            _mark(opened, "told_opened_at")
            _mark(closed, "told_closed_at")
    return len(opened), len(closed)


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])


def _compare(wrong: dict[str, Cause]) -> None:
    known = Alert.objects.open()
    known.exclude(cause__in=wrong).update(closed_at=timezone.now())
    new = wrong.keys() - set(known.values_list("cause", flat=True))
    Alert.objects.bulk_create(
        Alert(cause=cause.key, what=cause.what, link=cause.link) for key, cause in wrong.items() if key in new
    )


def _mark(alerts: list[Alert], column: str) -> None:
    Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(**{column: timezone.now()})


def _sent(opened: list[Alert], closed: list[Alert]) -> bool:
    """Whether every channel that is configured has taken it; without one nobody was told, and the page shows it."""
    ways = [way for way, address in ((_mail, settings.ALERT_EMAIL), (_hook, settings.ALERT_WEBHOOK_URL)) if address]
    taken = [_tried(way, opened, closed) for way in ways]  # one that fails keeps nobody from the other
    return bool(taken) and all(taken)


def _tried(way: Any, opened: list[Alert], closed: list[Alert]) -> bool:
    try:
        way(opened, closed)
    except (OSError, SMTPException, ValueError) as error:
        logger.warning("Nobody could be told by %s: %s", way.__name__.strip("_"), type(error).__name__)
        return False
    return True


def _subject(opened: list[Alert], closed: list[Alert]) -> str:
    parts = [f"{len(opened)} new problem{'s' * (len(opened) != 1)}"] if opened else []
    return "Medilink: " + ", ".join([*parts, *([f"{len(closed)} over"] if closed else [])])


def _text(opened: list[Alert], closed: list[Alert]) -> str:
    lines = [f"{alert.what}\n  {alert.link}" for alert in opened]
    return "\n\n".join([*lines, *(f"Over: {alert.what}" for alert in closed)]) + "\n"


def _mail(opened: list[Alert], closed: list[Alert]) -> None:
    send_mail(_subject(opened, closed), _text(opened, closed), None, settings.ALERT_EMAIL)


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
    return {"cause": alert.cause, "what": alert.what, "link": alert.link, "opened_at": alert.opened_at}
