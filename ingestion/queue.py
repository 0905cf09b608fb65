"""Handing work to Celery. The broker is only a hint: what is to do stands in the database, where the sweep looks."""

import logging
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def send(task: str, *args: Any) -> None:
    """Queues ingestion.tasks.<task> once the transaction is committed; a broker that is away is no reason to fail."""
    transaction.on_commit(lambda: _send(f"ingestion.tasks.{task}", args))


def _send(name: str, args: tuple[Any, ...]) -> None:
    try:
        current_app.send_task(name, args, retry=False)
    except OperationalError:
        logger.warning("The broker is away; the sweep will take up %s", name)
