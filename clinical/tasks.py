"""Celery's door to the search for duplicates, to vital signs and to the months of the audit."""

import logging

from celery import shared_task

from clinical import vital_readings
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


@shared_task
def read_vitals() -> None:
    """Reads what was written lately; leaves early where nothing was, or where another process reads."""
    try:
        vital_readings.read_changed()
    except vital_readings.AlreadyReading as error:
        logger.info("%s", error)


@shared_task
def read_all_vitals() -> None:
    """Reads whatever is due, by the versions of today."""
    try:
        vital_readings.read_due()
    except vital_readings.AlreadyReading as error:
        logger.info("%s", error)
