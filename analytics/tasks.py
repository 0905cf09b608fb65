"""Celery's door to the marts."""

import logging

from celery import shared_task

from analytics import checks, marts, publishing
from analytics.checks.promises import PROMISES

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
