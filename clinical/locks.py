"""Who waits for whom: loads of files and people who move whole rows, by facility; and what one process does at a time.

A load of a dataset holds the facilities that it speaks of, or (of very many) the whole dataset, until it is committed
(ingestion/load/context.py). Who merges holds them for all datasets: what a load has looked up is still so when it
writes.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from weakref import WeakSet

from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

OF_LOADS = 0x6D70  # the first key of the first dataset's locks; the others follow
DATASETS = 4
WHOLE_DATASET = 0  # no facility has this id
LONGEST_WAIT = "4s"  # of a page

_own_sessions: "WeakSet[Any]" = WeakSet()


def keep_loads_out(facility_ids: Iterable[int]) -> None:
    """Waits for loads that speak of these facilities, and keeps later ones waiting until this transaction is over.

    To be called before any row is locked. Raises OperationalError where the wait is longer than `lock_timeout`.
    """
    keys = sorted({facility_id % 2**31 for facility_id in facility_ids})
    with connection.cursor() as cursor:
        for dataset in range(DATASETS):
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [OF_LOADS + dataset, WHOLE_DATASET])
            cursor.execute(
                "SELECT pg_advisory_xact_lock(%s, key) FROM unnest(%s::int[]) key",
                [OF_LOADS + dataset, keys],
            )


@contextmanager
def impatient() -> Iterator[None]:
    """Locks taken inside are waited for no longer than a page may take; then OperationalError, and none is held."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        (before,) = cursor.fetchone()
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LONGEST_WAIT])
        yield
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


def is_pooled(connection: Any) -> bool:
    """Whether a pooler stands between: then the next transaction may meet another session of the server's.

    A pooler tells its clients a number of its own in place of the server process's.
    """
    with connection.connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return bool(cursor.fetchone()[0] != connection.connection.info.backend_pid)


def need_own_session() -> None:
    """Raises where a lock of the session, or its process's number, would be somebody else's a moment later.

    Asked once for each connection. Whoever holds a lease is found by the number of the session, and is ended by it.
    """
    connection.ensure_connection()
    if connection.connection not in _own_sessions:
        if is_pooled(connection):
            raise ImproperlyConfigured(
                "DATABASE_URL leads through a connection pooler, which would give our locks to others. Workers and "
                "commands connect to the server itself; only DATABASE_WEB_URL may lead through a pooler."
            )
        _own_sessions.add(connection.connection)


@contextmanager
def alone(key: int, otherwise: Exception) -> Iterator[None]:
    """Raises `otherwise` where another process is inside. The lock ends with the connection, however this one ends."""
    need_own_session()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        if not cursor.fetchone()[0]:
            raise otherwise
    try:
        yield
    finally:
        if connection.connection and not connection.connection.closed and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


def oldest_writer() -> datetime:
    """When the oldest transaction that may still write began: what it writes bears that instant, or a later one.

    To be asked before anything is looked at; asked afterwards, a writer that has ended meanwhile is missed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT oldest_writer()")
        instant: datetime = cursor.fetchone()[0]
    return instant
