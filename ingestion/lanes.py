"""Batches that need not wait for one another, loaded beside one another: by threads here and by workers that help.

A run opens one group at a time: a business date of one stage (facilities, patients, events), because what is later may
depend on what is earlier. Whoever has a lane takes the next batch of the open group from the database until there is
none. The versions of one object stay in order; where two files speak of the same facilities, ingestion/load has locks.
Helpers may come late, twice or never: the run itself goes on until the group is done.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import date
from queue import SimpleQueue

from django.db import connection
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from ingestion import pipeline, stages
from ingestion.datasets import Dataset
from ingestion.models import IngestBatch, IngestBatchQuerySet, IngestRun, Status
from ingestion.pipeline import Report
from ingestion.reading import Ahead, NoRoom

UNFINISHED = (Status.DISCOVERED, Status.LOADING)
WAITS = "WAITS_FOR_PATIENTS"
CLOSED: dict[str, None] = {"at_stage": None, "at_day": None}  # of a run that has no group open
MOST_HELPERS = 15
LOOK_AGAIN = 0.2  # seconds between two looks at what others are loading
HERE = min(4, os.cpu_count() or 1)  # while one thread reads and checks, PostgreSQL merges for another


@dataclass(frozen=True)
class Crew:
    """Who loads: so many threads of this process, and whom `ask` asks to help (it gets the run and how many)."""

    threads: int = 1
    ask: Callable[[IngestRun, int], None] = lambda _run, _wanted: None


@dataclass(frozen=True)
class Group:
    stage: int
    day: date

    def of(self, batches: IngestBatchQuerySet) -> IngestBatchQuerySet:
        datasets = [dataset.value for dataset in Dataset if dataset.stage == self.stage]
        return batches.filter(dataset__in=datasets, business_date=self.day)


@dataclass
class _Lane:
    """What the threads of one process share while they work at a group."""

    run: IngestRun
    group: Group
    is_dry: bool
    ahead: Ahead | None = None
    is_over: threading.Event = field(default_factory=threading.Event)
    without_room: set[int] = field(default_factory=set)

    def reports(self) -> Iterator[Report]:
        """Loads the next batch of the group until there is none."""
        while not self.is_over.is_set() and (batch_id := self._next()):
            try:
                report = pipeline.ingest(batch_id, is_dry=self.is_dry, ahead=self.ahead)
            except NoRoom:
                self.without_room.add(batch_id)
                continue
            if report:
                yield report
            else:
                time.sleep(LOOK_AGAIN)  # somebody else has it, or is about to

    def _next(self) -> int | None:
        """The oldest that is free. The versions of one object stay in order, and all files of facilities, since what a
        list without LGAs says depends on those before it: such a one waits for what somebody alive is loading."""
        loading = self.mine().held()
        if self.group.stage != Dataset.FACILITIES.stage:
            loading = loading.filter(object_key=OuterRef("object_key"))
        free = self.mine().claimable().filter(~Exists(loading))
        return free.order_by("last_modified", "object_key", "id").values_list("pk", flat=True).first()

    def mine(self) -> IngestBatchQuerySet:
        due = self.group.of(IngestBatch.objects.filter(run=self.run, parent=None, status__in=UNFINISHED))
        return due.exclude(reasons=[WAITS]).exclude(pk__in=[*self.without_room])


def load(run: IngestRun, group: Group, crew: Crew, *, is_dry: bool, ahead: Ahead | None = None) -> Iterator[Report]:
    """Loads the run's batches of the group and gives a report of each, as they end.

    Raises what an attempt raises where a service is away; then the others of this process end their batch and stop.
    """
    opened_at = IngestRun.objects.values_list(Now(), flat=True).get(pk=run.pk)
    lane = _Lane(run, group, is_dry, ahead)
    # A transaction around it (a dry run) is seen by no other connection.
    is_alone = is_dry or connection.in_atomic_block
    while not is_alone and _parents_at_work(group):
        time.sleep(LOOK_AGAIN)
    wanted = lane.mine().count()
    if not is_alone:
        IngestRun.objects.filter(pk=run.pk).update(at_stage=group.stage, at_day=group.day)
    if wanted > 1 and not is_alone:
        crew.ask(run, min(wanted - 1, MOST_HELPERS))
    threads = 1 if is_alone else min(crew.threads, wanted)
    told: set[int] = set()
    while wanted:
        for report in _by_threads(lane, threads) if threads > 1 else lane.reports():
            told.add(report.batch.pk)
            yield report
        if not lane.mine().exists():
            break
        time.sleep(LOOK_AGAIN)  # the rest is with others; where one dies, it is taken up here
    done = group.of(IngestBatch.objects.filter(run=run, parent=None, finished_at__gte=opened_at))
    done = done.exclude(status__in=UNFINISHED)
    yield from (Report(batch) for batch in done.exclude(pk__in=told).order_by("finished_at"))
    if lane.without_room:
        raise NoRoom("The temporary folder has no room for some files; make room, and the next run loads them.")


def help_with(run: IngestRun) -> None:
    """What a worker does who was asked: the same, as long as the run opens groups."""
    with stages.of_run(run.pk):
        _help_with(run)


def _help_with(run: IngestRun) -> None:
    while run.status == IngestRun.State.RUNNING and run.at_stage is not None and run.at_day is not None:
        group = Group(run.at_stage, run.at_day)
        for _report in _Lane(run, group, is_dry=False).reports():
            pass
        run.refresh_from_db()
        if Group(run.at_stage, run.at_day) == group:
            return


def _by_threads(lane: _Lane, threads: int) -> Iterator[Report]:
    reports: SimpleQueue[Report | None] = SimpleQueue()

    def work() -> None:
        try:
            for report in lane.reports():
                reports.put(report)
        except BaseException:
            lane.is_over.set()
            raise
        finally:
            connection.close()
            reports.put(None)

    with ThreadPoolExecutor(threads, thread_name_prefix="lane") as pool:
        working = [pool.submit(copy_context().run, work) for _ in range(threads)]
        try:
            for _ in working:
                while report := reports.get():
                    yield report
        finally:
            lane.is_over.set()
    lane.is_over.clear()
    for one in working:
        one.result()


def _parents_at_work(group: Group) -> bool:
    """That somebody alive, perhaps a helper of a run that died, still loads what the group may depend on."""
    earlier = [dataset.value for dataset in Dataset if dataset.stage < group.stage]
    return IngestBatch.objects.filter(parent=None, dataset__in=earlier).held().exists()
