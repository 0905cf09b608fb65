"""Celery's doors: each task is a few lines around the function that the command of the same name calls.

The broker carries ids only and may lose or repeat them: what is to do stands in the database, and the sweep looks.
"""

import logging
from datetime import timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now
from django.utils import timezone

from clinical.models import User
from ingestion import discovery, failpoints, keeping, lanes, queue, replay, rulemaking, runs, sources, stewards
from ingestion.corrections import lists
from ingestion.lanes import Crew
from ingestion.models import IngestRun, Kind, RejectedRow, Rule
from ingestion.nights import UNFINISHED
from ingestion.objects import lagos_day

logger = logging.getLogger(__name__)
LOST_AFTER = timedelta(minutes=3)  # a queued run whose message nobody has taken by then
AWAY = (sources.StorageUnavailable, OperationalError, InterfaceError)
RETRY: dict[str, Any] = {
    "autoretry_for": AWAY,
    "retry_backoff": 5,
    "retry_backoff_max": 300,
    "retry_jitter": True,
    "max_retries": 5,
}


@shared_task(**RETRY)
def ingest(run_id: int) -> None:
    """Carries out a run that somebody has asked for."""
    run = IngestRun.objects.filter(pk=run_id, status__in=UNFINISHED).first()
    if run:
        _carry_out(run)


@shared_task(**RETRY)
def nightly() -> None:
    """The night's run: one per Lagos date, however many beats there are."""
    run, is_new = IngestRun.objects.get_or_create(night_on=lagos_day(timezone.now()), defaults={"kind": Kind.NIGHTLY})
    if is_new or run.status in (IngestRun.State.QUEUED, IngestRun.State.BROKEN_OFF):
        _carry_out(run)


@shared_task(**RETRY)
def sweep() -> None:
    """Loads what is due and nobody has taken: new objects where the input is watched, and what was left behind."""
    prefix = settings.S3_INPUT_PREFIX
    keeping.keep_pending()
    lost = IngestRun.objects.filter(status=IngestRun.State.QUEUED, night_on=None, created_at__lt=Now() - LOST_AFTER)
    for run in lost.order_by("id"):
        _carry_out(run)
    night = IngestRun.objects.filter(night_on=lagos_day(timezone.now()), status=IngestRun.State.BROKEN_OFF).first()
    if night:
        _carry_out(night)
        return
    if settings.INGEST_WATCH:
        discovery.discover(prefix, run=None, kind=Kind.NIGHTLY)
    if runs.is_anything_due(prefix):
        _carry_out(runs.request(Kind.NIGHTLY), find=lambda _run: [])  # what it may list is listed above
    else:
        replay.retry_waiting(None, stages=[0, 1, 2])


@shared_task(**RETRY)
def replay_rows(row_ids: list[int], user_id: int | None = None) -> None:
    """Tries these refused rows again, for the steward who asked."""
    by = User.objects.filter(pk=user_id).first() if user_id else None
    stewards.replay(RejectedRow.objects.filter(pk__in=row_ids), by=by)


@shared_task(**RETRY)
def apply_rule(rule_id: int, user_id: int | None = None) -> None:
    """Tries the rows that wait for a rule, for the steward who made it."""
    rule = Rule.objects.active().filter(pk=rule_id).first()
    if rule:
        rulemaking.apply(rule, by=User.objects.filter(pk=user_id).first() if user_id else None)


@shared_task(**RETRY)
def write_corrections() -> None:
    """The morning's files of refused rows, for the people who sent them."""
    try:
        lists.write_all()
    except lists.AlreadyWriting as error:
        logger.info("%s", error)


@shared_task
def assist(run_id: int) -> None:
    """Loads beside the worker that carries the run out; comes late or twice without harm."""
    run = IngestRun.objects.filter(pk=run_id).first()
    if run:
        lanes.help_with(run)


def _ask(run: IngestRun, wanted: int) -> None:
    for _ in range(wanted):
        queue.send("assist", run.pk)


def _carry_out(run: IngestRun, find: runs.Find | None = None) -> None:
    try:
        runs.carry_out(run, find=find, is_dry=run.is_dry, crew=Crew(ask=_ask))
    except runs.AlreadyRunning:
        logger.info("Run %s: another run is at work", run.pk)
    failpoints.at("before_ack")
