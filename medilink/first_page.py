"""The desk's first page: did last night work, what waits for me, how fresh are the marts. It looks, and links.

Every figure is of the user's own scope, as in the lists that it links to. settings.UNFOLD names `first_page`.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from analytics import marts
from analytics.history import CheckRun, MartRefresh
from clinical.models import User
from clinical.values import LAGOS
from ingestion.admin.batches import COLOURS
from ingestion.admin.desk import Why
from ingestion.models import LOADED, STOPPED, IngestBatch, IngestRun, Kind, RejectedRow
from medilink import alerts

NIGHTS = 14
SHOWN = 5  # of each kind of what waits
COUNTED = 1_000  # of what waits; more is "many"
NEWEST = 20_000  # refused rows that are looked at for their reasons
PROMISE_PCT = 1.0  # of the rows are refused on clean data, at most
PROMISED_AGE = timedelta(hours=24)


def first_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    user = cast(User, request.user)
    sees_deliveries = user.has_perm("ingestion.view_ingestbatch")
    sections = {
        "last_night": last_night(user) if sees_deliveries else None,
        "waiting": waiting(user) if sees_deliveries else None,
        "freshness": freshness() if user.has_perm("analytics.view_martstate") else None,
    }
    return context | {"title": "The stewards' desk", "sections": sections, "has_any": any(sections.values())}


# --- Did last night work?

SUMS = {
    "files": Count("id"),
    "rows_read": Sum("rows_read", default=0),
    "inserted": Sum("inserted", default=0),
    "updated": Sum("updated", default=0),
    "unchanged": Sum("unchanged", default=0),
    "collapsed": Sum("collapsed", default=0),
    "rejected": Sum("rejected", default=0),
}
Verdict = tuple[str, str]  # a colour of the labels, and the words


def last_night(user: User) -> dict[str, Any]:
    """The last nightly run, and the nights before it; files that the watch has loaded by day count to their day."""
    run = IngestRun.objects.filter(kind=Kind.NIGHTLY, night_on__isnull=False).order_by("-night_on").first()
    nights = _nights(user)
    if run is None:
        return {"run": None, "nights": nights, "where": f"s3://{settings.S3_BUCKET_NAME}/{settings.S3_INPUT_PREFIX}"}
    batches = IngestBatch.objects.visible_to(user).filter(run=run, parent=None)
    sums = batches.aggregate(**SUMS, stopped=Count("id", filter=Q(status__in=STOPPED)))
    colour, words = verdict(run, sums, timezone.now())
    return {
        "run": run,
        "colour": colour,
        "words": words,
        "took": (run.finished_at - run.started_at) if run.finished_at and run.started_at else None,
        "sums": sums,
        "loaded": sums["inserted"] + sums["updated"],
        "refused_pct": _pct(sums["rejected"], sums["rows_read"]),
        "is_over_promise": _is_over_promise(sums),
        "nights": nights,
        "batches": f"{reverse('admin:ingestion_ingestbatch_changelist')}?run__id__exact={run.pk}",
    }


def verdict(run: IngestRun, sums: dict[str, int], now: datetime) -> Verdict:
    today = timezone.localtime(now)
    is_missed = run.night_on != today.date() and today.time() >= alerts.NIGHT_ENDS
    if run.status == IngestRun.State.QUEUED:
        return "info", "The run of this night waits for a worker."
    if run.status == IngestRun.State.RUNNING:
        return "info", "The run of this night is still at work."
    if run.status == IngestRun.State.BROKEN_OFF:
        return "danger", "The run broke off; what it had not loaded is still due."
    if is_missed:
        return "danger", f"There was no run last night; the one of {run.night_on:%-d %B} was the last."
    if sums["stopped"]:
        return "danger", f"{sums['stopped']} of {sums['files']} files were stopped and wait for a decision."
    if _is_over_promise(sums):
        return "warning", "Last night worked, but more rows were refused than we promise."
    if not sums["files"]:
        return "success", "Last night worked; there was nothing new to load."
    return "success", "Last night worked."


def _pct(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _is_over_promise(sums: dict[str, int]) -> bool:
    return bool(sums["rejected"]) and (_pct(sums["rejected"], sums["rows_read"]) or 0) >= PROMISE_PCT


@dataclass(frozen=True)
class Night:
    """One day of the chart; heights are per cent of the tallest bar, or of the scale of refusals."""

    day: date
    files: int
    loaded: int
    rejected: int
    refused_pct: float
    place: int
    loaded_height: float
    refused_height: float

    @property
    def is_over_promise(self) -> bool:
        return self.refused_pct >= PROMISE_PCT


def _nights(user: User) -> list[Night]:
    """The last two weeks, days without a delivery among them; none where nothing was ever delivered."""
    today = timezone.localdate()
    first = today - timedelta(days=NIGHTS - 1)
    midnight = datetime.combine(first, datetime.min.time(), LAGOS)
    batches = IngestBatch.objects.visible_to(user).filter(parent=None, status__in=LOADED, run__kind=Kind.NIGHTLY)
    by_day = batches.filter(run__created_at__gte=midnight).order_by().values(day=TruncDate("run__created_at"))
    found = {sums["day"]: sums for sums in by_day.annotate(**SUMS)}
    days = [found.get(first + timedelta(days=n), {}) for n in range(NIGHTS)]
    loaded = [day.get("inserted", 0) + day.get("updated", 0) for day in days]
    refused = [_pct(day.get("rejected", 0), day.get("rows_read", 0)) or 0.0 for day in days]
    tallest, scale = max(1, *loaded), max(2 * PROMISE_PCT, *refused)
    return [
        Night(
            day=first + timedelta(days=n),
            files=day.get("files", 0),
            loaded=loaded[n],
            rejected=day.get("rejected", 0),
            refused_pct=refused[n],
            place=n,
            loaded_height=100 * loaded[n] / tallest,
            refused_height=100 * refused[n] / scale,
        )
        for n, day in enumerate(days)
        if found
    ]


# --- What waits for me?


def waiting(user: User) -> dict[str, Any]:
    stopped = IngestBatch.objects.visible_to(user).filter(status__in=STOPPED)
    open_rows = RejectedRow.objects.visible_to(user).filter(state=RejectedRow.State.OPEN)
    return {
        "stopped": [_stopped(batch) for batch in stopped.order_by("-id")[:SHOWN]],
        "stopped_count": _up_to(stopped),
        "reasons": _reasons(open_rows),
        "rows_count": _up_to(open_rows),
        "alerts": [*_other_alerts()[:SHOWN]] if user.has_perm("medilink.view_alert") else [],
    }


def _up_to(rows: "QuerySet[Any]") -> str:
    """How many, as far as anybody counts what waits."""
    count = rows.order_by()[: COUNTED + 1].count()
    return f"{count:,}" if count <= COUNTED else f"more than {COUNTED:,}"


def _stopped(batch: IngestBatch) -> dict[str, Any]:
    whys = [Why(reason) for reason in batch.reasons]
    return {
        "batch": batch,
        "file_name": batch.object_key.rpartition("/")[2],
        "colour": COLOURS.get(batch.status, ""),
        "since": batch.finished_at or batch.discovered_at,
        "why": whys[0] if whys else None,
        "evidence": _evidence(batch.evidence),
    }


def _evidence(evidence: dict[str, Any]) -> str:
    if earlier := evidence.get("same_content_as_batch"):
        return f"The same bytes as batch {earlier}."
    if rows := evidence.get("rows_read"):
        said = f"{evidence.get('refused_for_own_content', 0):,} of {rows:,} rows would be refused"
        overlap = evidence.get("overlap_pct")
        return f"{said}; {overlap} % of its events are stored under an earlier day." if overlap else f"{said}."
    return ""


REASONS = """
SELECT split_part(reason, ':', 1) AS code, count(*)
FROM ({rows}) AS newest, unnest(newest.reasons) AS reason GROUP BY code ORDER BY count(*) DESC, code LIMIT {shown}
"""


def _reasons(open_rows: "QuerySet[RejectedRow]") -> dict[str, Any]:
    """The most frequent codes of the newest open rows, by which they are looked through."""
    newest = open_rows.order_by("-id").values_list("reasons", flat=True)[:NEWEST]
    sql, params = newest.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(REASONS.format(rows=sql, shown=SHOWN), params)
        found = cursor.fetchall()
    page = f"{reverse('admin:ingestion_rejectedrow_changelist')}?state__exact=open&reason="
    most = max((count for _, count in found), default=1)
    return [
        {"why": Why(code), "count": count, "link": page + code, "share": 100 * count / most} for code, count in found
    ]


def _other_alerts() -> "QuerySet[Any]":
    """Without those of a batch, which are listed as batches to those who may see them."""
    return alerts.open_alerts().exclude(cause__startswith="batch-").order_by("-opened_at")


# --- How fresh are the marts?

STATES = {"": ("success", "fresh"), "failed": ("danger", "failed: it shows older rows")}


def freshness() -> dict[str, Any]:
    now = timezone.now()
    states = sorted(marts.states().values(), key=lambda state: (state.as_of, state.mart))
    checks = CheckRun.objects.order_by("-id").first()
    return {"marts": [_mart(state, now) for state in states], "checks": checks}


def _mart(state: marts.State, now: datetime) -> dict[str, Any]:
    why = "failed" if state.has_failed else state.why
    colour, words = STATES.get(why) or ("warning", f"stale: {MartRefresh.Why(why).label}")
    age = now - state.as_of
    return {
        "mart": state.mart,
        "as_of": state.as_of,
        "rows": f"{state.rows:,}",
        "colour": colour,
        "words": words,
        "share": min(100, 100 * age / PROMISED_AGE),
        "is_late": age > PROMISED_AGE,
    }
