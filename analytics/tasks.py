"""Celery's door to the marts."""

import logging

from celery import shared_task

from analytics import checks, marts

logger = logging.getLogger(__name__)


@shared_task
def refresh_marts(is_forced: bool = False) -> None:
    """Refreshes what is stale and checks what came of it; leaves early where nothing is."""
    try:
        outcomes = marts.refresh(is_forced=is_forced)
    except marts.AlreadyRunning as error:
        logger.info("%s", error)
        return
    if any(outcome.status != "fresh" for outcome in outcomes):
        checks.run()
