"""Celery's door to the marts and the nightly reports."""

import logging

from celery import shared_task

from analytics import checks, marts, publishing
from analytics.checks.promises import PROMISES
from analytics.nightly_reports import NightlyReport
from analytics.report import nightly

logger = logging.getLogger(__name__)


@shared_task
def refresh_marts(is_forced: bool = False) -> None:
    """Refreshes what is stale, checks that it is as promised, and publishes what the night could not.

    How good the data is does not change by the quarter of an hour, and costs as much again: the night looks.
    """
    try:
        outcomes = marts.refresh(is_forced=is_forced)
    except marts.AlreadyRunning as error:
        logger.info("%s", error)
        return
    if any(outcome.status != "fresh" for outcome in outcomes):
        checks.run([check.name for check in PROMISES])
    publishing.after_the_night()


@shared_task
def nightly_reports() -> None:
    """Makes the reports that are due and sends those that were not sent; leaves early where there are none."""
    try:
        nightly.run()
    except nightly.AlreadyReporting as error:
        logger.info("%s", error)


@shared_task
def send_report(report_id: int) -> None:
    """Sends one again, to all who ask for its place now."""
    nightly.address(NightlyReport.objects.get(pk=report_id))
    nightly.send()
