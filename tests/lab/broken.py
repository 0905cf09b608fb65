"""The site and the worker as they are, but that they break where a test says so, with the canary in what broke.

`granian tests.lab.broken_site:application` and `celery -A tests.lab.broken` run it.
"""

import logging
import threading
from collections.abc import Callable
from io import StringIO

from celery import shared_task
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from medilink.celery import app
from tests.lab.canary import DOB, NAME, PHONE, STEM

__all__ = ["app"]
TWICE = "INSERT INTO patients (facility_id, first_name, last_name, dob, phone) VALUES (%s, %s, %s, %s, %s)"


def _sql(statement: str, *values: object) -> Callable[[], None]:
    def break_off() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)

    return break_off


def _copy() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE cells (dob date) ON COMMIT DROP")
        cursor.copy_expert("COPY cells FROM STDIN", StringIO(f"{NAME}\n"))


def _error() -> None:
    raise RuntimeError(f"{NAME} {PHONE} {DOB}")


def _chain() -> None:
    try:
        raise KeyError(PHONE)
    except KeyError as error:
        raise ValidationError({"first_name": NAME}) from error


def _log() -> None:
    try:
        _error()
    except RuntimeError as error:
        logging.getLogger("ingestion").exception("Broke off: %s", error)
        raise


def _in_a_thread() -> None:
    thread = threading.Thread(target=_error)
    thread.start()
    thread.join()
    _error()


FAULTS: dict[str, Callable[[], None]] = {
    "an error": _error,
    "a chain of errors": _chain,
    "an error that is logged": _log,
    "a thread's error": _in_a_thread,
    "a statement that takes too long": _sql(
        "SET LOCAL statement_timeout = 50; SELECT pg_sleep(9), %s", f"{NAME} {PHONE}"
    ),
    "a slow statement": _sql("SELECT pg_sleep(1.1), %s, 1 / 0", f"{NAME} {PHONE}"),
    "a broken promise": _sql(TWICE, 1, STEM, NAME, DOB, NAME),
    "a cast": _sql("SELECT %s::date", NAME),
    "a syntax error": _sql("SELECT %s FROM nowhere WHERE " + STEM, NAME),
}
OF_WORKERS = FAULTS | {"a COPY": _copy}


@shared_task(name="medilink.tests.break_off")
def break_off(fault: str) -> None:
    OF_WORKERS[fault]()
