"""The night: what was delivered, then the marts, silent facilities, monitors of sources, data checks, what is
published, the files of refused rows, the reports.

Each step is recorded by its own module. One that fails stops neither the next nor undoes another.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from analytics import checks, marts, publishing
from analytics.monitors import watch as monitors
from analytics.report import nightly as nightly_report
from analytics.silence import watch
from clinical.audit import seals
from clinical.fhir.bulk import jobs
from clinical.merging import NotPossible
from clinical.models import Erasure
from ingestion import erasure, sources
from ingestion import tasks as ingestion
from medilink import alerts, fhir  # noqa: F401  # a worker makes resources of every type
from medilink import purge as purging
from medilink.backups import nightly as nightly_backup

logger = logging.getLogger(__name__)


@shared_task(**ingestion.RETRY)
def nightly() -> None:
    """Once a night in effect, however often it is started: each step finds nothing to do the second time."""
    steps = (
        *(ingestion.nightly, marts.refresh, watch.nightly, monitors.nightly, checks.run),
        *(publishing.after_the_night, ingestion.write_corrections, nightly_report.run),
    )
    failures = [error for error in map(_tried, steps) if error]
    for error in failures:
        if isinstance(error, ingestion.AWAY):
            raise error  # a service was away: Celery starts the night again, and what is done stays done


def _tried(step: Callable[[], Any]) -> Exception | None:
    try:
        step()
    except (marts.AlreadyRunning, nightly_report.AlreadyReporting) as error:
        logger.info("%s", error)
    except Exception as error:  # the edge of the night: what went wrong is told, and the next step begins
        logger.error("A step of the night broke off: %s", type(error).__name__)
        return error
    return None


@shared_task(**ingestion.RETRY)
def purge() -> None:
    """Lets go of what is kept no longer, and of patients whose erasure nobody was there to carry out."""
    purging.purge()
    erase_confirmed()


@shared_task(**ingestion.RETRY)
def erase_confirmed() -> None:
    """Erases whom two persons have said to; one whose facility is being loaded is left for the next time."""
    for asked in Erasure.objects.filter(confirmed_at__isnull=False, done_at=None).order_by("id"):
        try:
            erasure.erase(asked)
        except NotPossible as error:
            logger.info("Erasure %s waits: %s", asked.pk, error)
        else:
            _tried(marts.refresh)


@shared_task(**ingestion.RETRY)
def export_fhir(export_id: int) -> None:
    """Makes the files of an export; comes late or twice without harm."""
    jobs.carry_out(export_id)


@shared_task(**ingestion.RETRY)
def sweep_fhir_exports() -> None:
    """Takes up what was lost, or left behind by a worker that has died."""
    jobs.sweep()


@shared_task
def back_up() -> None:
    """Each night where a place is configured; what went wrong is in the list of backups, and told after 26 hours."""
    if settings.BACKUP_URL:
        nightly_backup.make()


@shared_task
def tell() -> None:
    """Tells people what has gone wrong since, and what is over."""
    alerts.tell()


@shared_task
def seal_audit() -> None:
    """Seals the audit, and puts the head of the chain where who has the database's rights cannot change it."""
    rows = seals.seal()
    if not rows:
        return
    head = seals.head()
    logger.info("The audit is sealed: %s lines, head %s", rows, head)
    try:
        sources.upload(f"{settings.S3_SEALS_PREFIX}{timezone.now():%Y/%m/%d/%H%M%S}", f"{head}\n".encode())
    except sources.StorageError as error:
        logger.warning("The head of the audit is in the log only: %s", type(error).__name__)
