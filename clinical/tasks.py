"""Celery's door to the search for duplicates and to the months of the audit."""

import logging

from celery import shared_task

from clinical.audit import partitions
from clinical.duplicates import search

logger = logging.getLogger(__name__)


@shared_task
def find_duplicates() -> None:
    """Compares what has changed since the last search; leaves early where another one is at work."""
    try:
        search.search_all()
    except search.AlreadyRunning as error:
        logger.info("%s", error)


@shared_task
def make_audit_months() -> None:
    """Makes the months that are owed, and the index of those that are over."""
    partitions.make_ahead()
    partitions.index_closed()
