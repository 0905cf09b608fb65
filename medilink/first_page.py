"""The desk's first page: did last night work, what waits, who is silent, how fresh are the marts. It looks, and links.

Every figure is of the user's own scope, as in the lists that it links to. settings.UNFOLD names `first_page`.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from analytics import marts
from analytics.dashboard.summary import summary
from analytics.facility_signals import WatchedDay
from analytics.history import CheckRun, MartRefresh
from clinical import access
from clinical.models import User
from clinical.values import LAGOS
from ingestion import nights
from ingestion.admin.batches import COLOURS
from ingestion.admin.desk import Why
from ingestion.models import LOADED, STOPPED, IngestBatch, IngestRun, Kind, Status
from ingestion.nights import Outcome
from medilink import alerts, desk

if TYPE_CHECKING:
    from ingestion.models.refused import RejectedRowQuerySet

NIGHTS = 14
SHOWN = 5  # of each kind of what waits
NEWEST = 10_000  # refused rows that are looked at for their reasons
PROMISED_AGE = timedelta(hours=24)


def first_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    may_see, waits = request.user.has_perm, desk.waiting_for(request)
    sections: list[tuple[str, dict[str, Any]]] = []
    if may_see("ingestion.view_ingestbatch"):
        sections.append(("medilink/last_night.html", last_night(waits.batches)))
        sections.append(("medilink/waiting.html", waiting(waits)))
    user = cast(User, request.user)
    if user.access.may(access.READ, "analytics"):
        sections.append(("analytics/dashboard/first_page.html", summary(user)))
    if may_see("analytics.view_facilitysignal"):
        sections.append(("medilink/silence.html", silence(waits)))
    if may_see("analytics.view_martstate"):
        sections.append(("medilink/freshness.html", freshness()))
    return context | {"title": "The stewards' desk", "sections": sections}


# --- Did last night work?

Verdict = tuple[str, str]  # a colour of the labels, and the words
VERDICTS: dict[Outcome, Verdict] = {
    Outcome.QUEUED: ("info", "The run of this night waits for a worker."),
    Outcome.RUNNING: ("info", "The run of this night is still at work."),
    Outcome.BROKEN_OFF: ("danger", "The run broke off; what it had not loaded is still due."),
    Outcome.STOPPED: ("danger", "{stopped} of {files} files {are} for a decision."),
    Outcome.OVER_PROMISE: ("warning", "Last night worked, but more rows were refused than we promise."),
    Outcome.NOTHING_NEW: ("success", "Last night worked; there was nothing new to load."),
    Outcome.WORKED: ("success", "Last night worked."),
}
ICONS = {"success": "check_circle", "warning": "warning", "danger": "error", "info": "hourglass_top"}


def last_night(visible: "QuerySet[IngestBatch]") -> dict[str, Any]:
    """The last nightly run, and the days before it; what the watch has loaded by day counts to its day."""
    recent = _recent(visible)
    told = {"nights": recent, "promise_y": 30 - 30 * nights.PROMISE_PCT / _scale(recent)}
    run = IngestRun.objects.nightly().first()
    if run is None:
        return told | {"run": None, "where": f"s3://{settings.S3_BUCKET_NAME}/{settings.S3_INPUT_PREFIX}"}
    batches = visible.filter(run=run, parent=None)
    sums = batches.aggregate(**nights.SUMS, stopped=nights.STOPPED_FILES)
    colour, words = verdict(run, sums, timezone.now())
    page = f"{reverse('admin:ingestion_ingestbatch_changelist')}?run__id__exact={run.pk}"
    figures = ("files", "rows_read", "inserted", "updated", "rejected")
    return told | {
        "run": run,
        "colour": colour,
        "icon": ICONS[colour],
        "words": words,
        "took": _took(run),
        "sums": sums,
        "stopped": sums["stopped"],
        "stopped_batches": f"{page}&status__in={','.join(STOPPED)}",
        "figures": [
            (
                name.replace("rows_", "").replace("rejected", "refused"),
                f"{sums[name]:,}",
                page if name == "files" else "",
            )
            for name in figures
        ],
        "refused_pct": nights.refused_pct(sums["rejected"], sums["rows_read"]),
        "is_over_promise": nights.is_over_promise(sums["rejected"], sums["rows_read"]),
    }


def _took(run: IngestRun) -> str:
    if not (run.started_at and run.finished_at):
        return ""
    minutes, seconds = divmod(round((run.finished_at - run.started_at).total_seconds()), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def verdict(run: IngestRun, sums: dict[str, int], now: datetime) -> Verdict:
    today = timezone.localtime(now)
    is_missed = run.night_on != today.date() and today.time() >= alerts.NIGHT_ENDS
    found = nights.outcome(run, sums)
    if is_missed and found not in nights.UNFINISHED.values():
        return "danger", f"There was no run last night; the one of {run.night_on:%-d %B} was the last."
    are = "was stopped and waits" if sums["stopped"] == 1 else "were stopped and wait"
    colour, words = VERDICTS[found]
    return colour, words.format(**sums, are=are)


@dataclass(frozen=True)
class Night:
    """One day, and its bars in a chart that is ten wide for each day, 60 and 30 high."""

    day: date
    files: int
    loaded: int
    rejected: int
    refused_pct: float
    place: int
    tallest: int
    scale: float

    @property
    def x(self) -> float:
        return 10 * self.place + 1.5

    @property
    def loaded_height(self) -> float:
        return 58 * self.loaded / self.tallest

    @property
    def loaded_y(self) -> float:
        return 60 - self.loaded_height

    @property
    def refused_height(self) -> float:
        return 30 * self.refused_pct / self.scale

    @property
    def refused_y(self) -> float:
        return 30 - self.refused_height

    @property
    def loaded_told(self) -> str:
        return f"{self.loaded:,}"

    @property
    def tallest_told(self) -> str:
        return f"{self.tallest:,}"

    @property
    def is_over_promise(self) -> bool:
        return self.refused_pct >= nights.PROMISE_PCT


def _scale(recent: list[Night]) -> float:
    return recent[0].scale if recent else 2 * nights.PROMISE_PCT


def _recent(visible: "QuerySet[IngestBatch]") -> list[Night]:
    """The last two weeks, days without a delivery among them; none where nothing came in all that time."""
    today = timezone.localdate()
    days = [today - timedelta(days=n) for n in reversed(range(NIGHTS))]
    batches = visible.filter(parent=None, status__in=LOADED, run__kind=Kind.NIGHTLY)
    recent = batches.filter(run__created_at__gte=datetime.combine(days[0], time(), LAGOS))
    by_day: Any = recent.order_by().values(day=TruncDate("run__created_at")).annotate(**nights.SUMS)
    sums = {one["day"]: one for one in by_day}
    if not sums:
        return []
    known = [sums.get(day, dict.fromkeys(nights.SUMS, 0)) for day in days]
    loaded = [one["inserted"] + one["updated"] for one in known]
    refused = [nights.refused_pct(one["rejected"], one["rows_read"]) or 0.0 for one in known]
    tallest, scale = max(1, *loaded), max(2 * nights.PROMISE_PCT, *refused)
    return [
        Night(days[n], one["files"], loaded[n], one["rejected"], refused[n], n, tallest, scale)
        for n, one in enumerate(known)
    ]


# --- What waits for me?


def waiting(waits: desk.Waiting) -> dict[str, Any]:
    # Alerts of a batch say what the list of batches says, and are not of everybody's state.
    others = waits.alerts.exclude(cause__startswith="batch-").order_by("-opened_at")
    told = {
        "stopped": [_stopped(batch) for batch in waits.stopped.order_by("-id")[:SHOWN]],
        "reasons": _reasons(waits.open_rows),
        "alerts": [*others[:SHOWN]],
        "pairs": waits.count("pairs"),
    }
    counts = {"stopped_count": waits.count("stopped"), "rows_count": waits.count("open_rows"), "newest": f"{NEWEST:,}"}
    return told | counts | {"has_any": any(told.values())}


def _stopped(batch: IngestBatch) -> dict[str, Any]:
    whys = [Why(reason) for reason in batch.reasons]
    return {
        "batch": batch,
        "file_name": batch.object_key.rpartition("/")[2],
        "colour": COLOURS.get(Status(batch.status), ""),
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


def _reasons(open_rows: "RejectedRowQuerySet") -> list[dict[str, Any]]:
    """The most frequent codes of the newest open rows, by which they are looked through."""
    found = open_rows.order_by("-id")[:NEWEST].frequent_codes(SHOWN)
    page = f"{reverse('admin:ingestion_rejectedrow_changelist')}?state__exact=open&reason="
    most = max((count for _, count in found), default=1)
    return [
        {"why": Why(code), "count": f"{count:,}", "link": page + code, "share": 100 * count / most}
        for code, count in found
    ]


# --- Which facilities are silent?


def silence(waits: desk.Waiting) -> dict[str, Any]:
    return {
        "signals": [*waits.silent.select_related("facility").worst_first()[:SHOWN]],
        "count": waits.count("silent"),
        "day": WatchedDay.objects.first(),
    }


# --- How fresh are the marts?

STATES = {"": ("success", "fresh", ""), "failed": ("danger", "failed", "it shows older rows")}


def freshness() -> dict[str, Any]:
    now = timezone.now()
    states = sorted(marts.states().values(), key=lambda state: (state.as_of, state.mart))
    checks = CheckRun.objects.order_by("-id").first()
    return {"marts": [_mart(state, now) for state in states], "checks": checks}


def _mart(state: marts.State, now: datetime) -> dict[str, Any]:
    why = "failed" if state.has_failed else state.why
    colour, words, because = STATES.get(why) or ("warning", "stale", MartRefresh.Why(why).label)
    age = now - state.as_of
    return {
        "mart": state.mart,
        "as_of": state.as_of,
        "rows": f"{state.rows:,}",
        "colour": colour,
        "words": words,
        "because": because,
        "share": min(100, 100 * age / PROMISED_AGE),
        "is_late": age > PROMISED_AGE,
    }
