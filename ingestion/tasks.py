"""Celery's doors: each task is a few lines around the function that the command of the same name calls.

The broker carries ids only and may lose or repeat them: what is to do stands in the database, and the sweep looks.
"""

import logging
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from ingestion import discovery, keeping, replay, runs, sources
from ingestion.models import IngestRun, Kind, RejectedRow
from ingestion.objects import lagos_day

logger = logging.getLogger(__name__)
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
    run = IngestRun.objects.filter(pk=run_id).exclude(finished_at__isnull=False, status=IngestRun.State.DONE).first()
    if run is None:
        return
    try:
        runs.carry_out(run)
    except runs.AlreadyRunning:
        logger.info("Run %s: another run is at work", run_id)


@shared_task(**RETRY)
def nightly() -> None:
    """The night's run: one per Lagos date, however many beats there are."""
    run, is_new = IngestRun.objects.get_or_create(night_on=lagos_day(timezone.now()), defaults={"kind": Kind.NIGHTLY})
    if is_new or run.status in (IngestRun.State.QUEUED, IngestRun.State.BROKEN_OFF):
        ingest(run.pk)


@shared_task(**RETRY)
def sweep() -> None:
    """Loads what is due and nobody has taken: new objects where the input is watched, and what was left behind."""
    prefix = settings.S3_INPUT_PREFIX
    keeping.keep_pending()
    if settings.INGEST_WATCH:
        discovery.discover(prefix, run=None, kind=Kind.NIGHTLY)
    if runs.due(prefix).exists():
        ingest(runs.request(Kind.NIGHTLY).pk)
    else:
        replay.retry_waiting(None, stages=[0, 1, 2])


@shared_task(**RETRY)
def replay_rows(row_ids: list[int]) -> None:
    """Tries these refused rows again."""
    replay.replay(RejectedRow.objects.filter(pk__in=row_ids))
