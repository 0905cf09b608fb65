"""The work itself: what medilink/alerts.py would tell, told here by kind, and what stands still without being one."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from analytics import marts
from ingestion.models import LEASE, IngestBatch, IngestRun, Status
from medilink import alerts
from medilink.doctor.checks import check
from medilink.doctor.findings import Finding, Gravity, Kind
from medilink.models import Alert

NAMED = 3  # of each kind
LATE = timedelta(hours=1)
DEAD = 10 * LEASE  # a live holder renews its lease, and a sweep takes a dead one's batch within minutes
STALE = timedelta(hours=26)
ERROR, WARNING = Gravity.ERROR, Gravity.WARNING
DESK = "Decide at the desk, under Batches: release, retry or discard."
NIGHT = "See the run's page at the desk and the worker's log, then start it again; what is loaded stays."

# By the kind of its cause; what is critical there is an error here.
CAUSES = {
    kind.code: kind
    for kind in (
        Kind(
            "batch-held",
            WARNING,
            "A file is held back for a decision",
            "It is readable, but unlike what it should be; none of its rows is in the tables.",
            DESK,
        ),
        Kind(
            "batch-rejected",
            WARNING,
            "A file was rejected",
            "It cannot be read as what it should be; none of its rows is in the tables.",
            "See its reasons at the desk; its sender delivers it again, or somebody discards it.",
        ),
        Kind(
            "batch-failed",
            WARNING,
            "A file could not be loaded",
            "Three attempts ended before their end; none of its rows is in the tables.",
            "See the worker's log around these times, mend the cause, and retry it at the desk.",
        ),
        Kind("night-unfinished", ERROR, "The night's run is not finished", "Figures are those of yesterday.", NIGHT),
        Kind(
            "no-good-run",
            ERROR,
            "No run went well for 26 hours",
            "What was delivered since is not in the figures.",
            NIGHT,
            "manage.py ingest",
        ),
        Kind(
            "not-published",
            WARNING,
            "Today's figures were not kept",
            "Nobody can ask for today's figures later by `?as_of=`.",
            "Publish them; again is harmless.",
            "manage.py publish_marts",
        ),
        Kind(
            "mart-failed",
            WARNING,
            "A mart could not be refreshed",
            "It shows older rows, and says so.",
            "Refresh it by hand: the error is told.",
            "manage.py refresh_marts --force",
        ),
        Kind(
            "check-failed",
            WARNING,
            "A data check fails",
            "Rows contradict a promise; the check says which.",
            "See the page on data quality; its owner decides.",
            "manage.py check_data",
        ),
        Kind(
            "monitor",
            WARNING,
            "A source is unlike its usual self",
            "Its files may be incomplete, doubled, or of another kind.",
            "See the page on monitors and ask the source.",
        ),
        Kind(
            "monitors-many",
            WARNING,
            "Many sources are unlike their usual selves at once",
            "So many at once have one cause: a holiday, the app, or the delivery.",
            "Ask the app's makers first, no single source.",
        ),
        Kind(
            "pending",
            WARNING,
            "Objects wait to be archived or put safe",
            "Their bytes lie where the app may overwrite them.",
            "See whether S3 forbids it (storage-denied).",
            "manage.py doctor --only storage --probe-writes",
        ),
        Kind(
            "token-ends",
            WARNING,
            "A program's token ends soon",
            "From then on the program is refused.",
            "Issue another one, hand it over, then revoke the old one.",
            "manage.py issue_token USER --days 365",
        ),
        Kind(
            "enumeration",
            ERROR,
            "Somebody reads of very many patients",
            "It may be an export that is meant, or a stolen log-in.",
            "Ask the user at once. If in doubt end the sessions, disable the account, and see RUNBOOK.md on a breach.",
            "manage.py end_sessions USER",
        ),
        Kind(
            "no-backup",
            ERROR,
            "No backup for 26 hours",
            "What would be lost with the database grows by the hour.",
            "Make one by hand and see its error, or why beat did not start it.",
            "manage.py backup s3://BUCKET/KEY",
        ),
        Kind(
            "report-unsent",
            WARNING,
            "A nightly report could not be sent to everybody",
            "Whoever waits for it has none.",
            "See its page for whom it did not reach; check EMAIL_URL and the addresses.",
        ),
    )
}
OTHER = Kind(
    "alert-open",
    WARNING,
    "Something else is wrong",
    "It is told by an alert of a kind that has no words here.",
    "See the alert's page at the desk.",
)
STUCK = Kind(
    "batch-stuck",
    ERROR,
    "A file is stuck",
    "It is due, or a worker took it and died; the sweep should have taken it up within minutes, and did not.",
    "See that beat and a worker run and what the worker's log says of it; this loads what is due, at once.",
    "manage.py ingest",
)
QUEUED = Kind(
    "run-waiting",
    ERROR,
    "A run was asked for, and nobody carries it out",
    "No worker took it up for an hour.",
    "See that beat and a worker run (no-worker, beat-missing).",
    "docker compose restart worker beat",
)
STALE_MART = Kind(
    "mart-stale",
    WARNING,
    "Marts are older than a day, and tables have changed since",
    "Pages and programs see old figures, which say how old they are.",
    "Refresh them, and see whether the schedule's entry Refresh marts runs.",
    "manage.py refresh_marts",
)
UNTOLD = Kind(
    "alert-untold",
    WARNING,
    "Alerts are open, and nobody could be told",
    "The mail server or the webhook does not take them.",
    "Check EMAIL_URL and ALERT_WEBHOOK_URL; the worker's log names the error. They are sent once it takes them.",
)


@check("work", *CAUSES.values(), OTHER)
def nothing_is_wrong() -> Iterator[Finding]:
    found: dict[str, list[str]] = defaultdict(list)
    for cause in alerts.causes(timezone.now()):
        found[cause.key.partition(":")[0]].append(cause.what)
    for code, said in found.items():
        more = f" And {len(said) - NAMED} more." if len(said) > NAMED else ""
        yield CAUSES.get(code, OTHER).seen(". ".join(one.rstrip(".") for one in said[:NAMED]) + "." + more)


@check("work", STUCK)
def no_batch_is_stuck() -> Iterator[Finding]:
    now = timezone.now()
    due = Q(status=Status.DISCOVERED, discovered_at__lt=now - LATE)
    dead = Q(status=Status.LOADING, lease_until__lt=now - DEAD)
    if IngestRun.objects.filter(status=IngestRun.State.RUNNING, lease_until__gt=now).exists():
        due = Q(pk=None)  # a run is at work, and takes one after the other
    stuck = IngestBatch.objects.filter(due | dead).order_by("id")
    if count := stuck.count():
        first = stuck[0]
        since = timezone.localtime(first.started_at or first.discovered_at)
        more = f" And {count - 1} more." if count > 1 else ""
        yield STUCK.seen(f"Batch {first.pk} is {first.status} since {since:%d %B, %H:%M}.{more}")


@check("work", QUEUED)
def no_run_waits() -> Iterator[Finding]:
    waiting = IngestRun.objects.filter(status=IngestRun.State.QUEUED, created_at__lt=timezone.now() - LATE)
    if first := waiting.order_by("id").first():
        yield QUEUED.seen(f"{first} since {timezone.localtime(first.created_at):%d %B %Y, %H:%M}.")


@check("work", STALE_MART)
def marts_are_fresh() -> Iterator[Finding]:
    oldest = timezone.now() - STALE
    stale = sorted(one.mart for one in marts.states().values() if one.is_stale and one.as_of < oldest)
    if stale:
        yield STALE_MART.seen(", ".join(stale) + ".")


@check("work", UNTOLD)
def alerts_are_told() -> Iterator[Finding]:
    now = timezone.now()
    if not (settings.ALERT_EMAIL or settings.ALERT_WEBHOOK_URL):
        return
    untold = Alert.objects.open().filter(told_opened_at=None, opened_at__lt=now - LATE)
    if alerts.is_quiet(now):
        untold = untold.filter(is_critical=True)
    if count := untold.count():
        yield UNTOLD.seen(f"{count} for over an hour.")
