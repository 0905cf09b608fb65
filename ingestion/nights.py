"""What became of a night: one judgement, which the desk's first page and the nightly report each put into words."""

from collections.abc import Mapping
from enum import Enum, auto

from django.db.models import Count, Q, Sum

from ingestion.models import STOPPED, IngestRun

PROMISE_PCT = 1.0  # of the rows are refused on clean data, at most
SUMS = {  # of the batches of a night
    "files": Count("id"),
    "rows_read": Sum("rows_read", default=0),
    "inserted": Sum("inserted", default=0),
    "updated": Sum("updated", default=0),
    "unchanged": Sum("unchanged", default=0),
    "rejected": Sum("rejected", default=0),
}
STOPPED_FILES = Count("id", filter=Q(status__in=STOPPED))


class Outcome(Enum):
    QUEUED = auto()
    RUNNING = auto()
    BROKEN_OFF = auto()
    STOPPED = auto()
    OVER_PROMISE = auto()
    NOTHING_NEW = auto()
    WORKED = auto()


UNFINISHED = {
    IngestRun.State.QUEUED: Outcome.QUEUED,
    IngestRun.State.RUNNING: Outcome.RUNNING,
    IngestRun.State.BROKEN_OFF: Outcome.BROKEN_OFF,
}


def outcome(run: IngestRun, sums: Mapping[str, int]) -> Outcome:
    """The worst that is to be said, by the sums `files`, `stopped`, `rows_read` and `rejected` of what one sees."""
    if found := UNFINISHED.get(IngestRun.State(run.status)):
        return found
    if sums["stopped"]:
        return Outcome.STOPPED
    if is_over_promise(sums["rejected"], sums["rows_read"]):
        return Outcome.OVER_PROMISE
    return Outcome.WORKED if sums["files"] else Outcome.NOTHING_NEW


def refused_pct(rejected: int, rows_read: int) -> float | None:
    return 100 * rejected / rows_read if rows_read else None


def is_over_promise(rejected: int, rows_read: int) -> bool:
    return (refused_pct(rejected, rows_read) or 0) >= PROMISE_PCT
