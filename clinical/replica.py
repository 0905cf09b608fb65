"""Figures from a read replica, where DATABASE_REPLICA_URL names one: what an answer shows, never who may see it.

While an answer is made inside `answered`, everything is read there, so that its rows, its `as_of` and its trust are of
one server. A replica that is behind, away, or in the way of its own recovery costs a second try at the primary, and no
answer. Nothing is ever written inside, and nothing is remembered of a replica's snapshots: a standby leaves out of
`pg_current_snapshot()` which transactions were under way.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from threading import Lock
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections

logger = logging.getLogger(__name__)
ALIAS = "replica"
LOOK_AGAIN = 2.0  # seconds between two looks at how far it is
AWAY = 10.0  # how long one that failed is left alone
LOST = ("08", "57P", "53300")
# Whose data a server has, and how far it is.
PRIMARY = "SELECT system_identifier, (pg_current_wal_lsn() - '0/0')::bigint FROM pg_control_system()"
REPLICA = """
SELECT system_identifier, (pg_last_wal_replay_lsn() - '0/0')::bigint, pg_is_in_recovery() FROM pg_control_system()
"""
# Its recovery ended the statement or stood against it; it does not know a table or column that a migration has just
# made; it cannot write.
ITS_OWN = ("40", "42", "25006")

_is_reading: ContextVar[bool] = ContextVar("is_reading", default=False)


def is_reading() -> bool:
    """Whether this thread makes an answer of the replica at the moment."""
    return _is_reading.get()


class _Connection:
    """As django.db.connection, but the replica's while an answer is made of it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(connections[ALIAS if is_reading() else DEFAULT_DB_ALIAS], name)


connection: Any = _Connection()


def readable(method: Callable[..., Any]) -> Callable[..., Any]:
    """For a view's handler whose whole answer is made before it returns, and that writes nothing."""

    @wraps(method)
    def handler(view: Any, request: Any, *args: Any, **options: Any) -> Any:
        getattr(request.user, "access", None)  # what one may see is asked at the primary
        return answered(partial(method, view, request, *args, **options))

    return handler


def answered(make: Callable[[], Any]) -> Any:
    if not is_usable():
        return make()
    token = _is_reading.set(True)
    try:
        return make()
    except Error as error:
        if not _is_its_own(error):
            raise
    finally:
        _is_reading.reset(token)
    return make()


def is_usable() -> bool:
    """That there is one, no more behind than DATABASE_REPLICA_LAG; not inside a transaction, which sees its own."""
    if ALIAS not in connections.settings or connections[DEFAULT_DB_ALIAS].in_atomic_block:
        return False
    return _progress.is_near()


class _Progress:
    """How far the replica is: which of the places in the log that the primary told us of it has reached.

    Its own clock cannot say: while nothing is written it looks old, and once its source is gone it looks well.
    """

    def __init__(self) -> None:
        self._lock, self._next = Lock(), 0.0
        self._told: deque[tuple[float, int]] = deque(maxlen=1_000)
        self._reached: float | None = None  # the instant up to which it has everything
        self._was_near: bool | None = None

    def is_near(self) -> bool:
        now = time.monotonic()
        if now >= self._next and self._lock.acquire(blocking=False):
            try:
                self._look(now)
            finally:
                self._lock.release()
        is_near = self._reached is not None and time.monotonic() - self._reached <= settings.DATABASE_REPLICA_LAG
        if is_near != self._was_near:
            self._was_near = is_near
            if is_near:
                logger.info("Figures are read from the replica.")
            else:
                logger.warning("The replica is away or behind; figures are read from the primary.")
        return is_near

    def leave_alone(self) -> None:
        self._reached, self._next = None, time.monotonic() + AWAY

    def _look(self, now: float) -> None:
        self._next = now + LOOK_AGAIN
        ((system, place),) = _asked(DEFAULT_DB_ALIAS, PRIMARY)
        self._told.append((now, place))
        try:
            ((its_system, reached, is_replica),) = _asked(ALIAS, REPLICA)
        except Error as error:
            logger.warning("The replica does not answer: %s", type(error).__name__)
            connections[ALIAS].close()
            return self.leave_alone()
        except ImproperlyConfigured as error:  # clinical/row_security.py would not have this connection
            logger.error("The replica is not read: %s", error)
            return self.leave_alone()
        if not is_replica:
            logger.error("DATABASE_REPLICA_URL names a server that is no replica (any more); it is not read.")
            return self.leave_alone()
        if its_system != system or (reached > place and reached > _asked(DEFAULT_DB_ALIAS, PRIMARY)[0][1]):
            # Of the server of before a restore it has another day's rows, and is ahead of all that happens here.
            logger.error("DATABASE_REPLICA_URL names a replica of another server than DATABASE_URL's; it is not read.")
            return self.leave_alone()
        passed = [instant for instant, told in self._told if told <= reached]
        if passed:
            self._reached = passed[-1]
        return None


_progress = _Progress()


def _asked(alias: str, sql: str) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _is_its_own(error: Error) -> bool:
    """That the primary may know better."""
    state = getattr(error.__cause__, "pgcode", None) or ""
    is_lost = isinstance(error, OperationalError | InterfaceError) and (state or "08").startswith(LOST)
    if is_lost:
        _progress.leave_alone()
        connections[ALIAS].close()
    if is_lost or state.startswith(ITS_OWN):
        logger.warning("The replica could not answer (%s); the primary does.", state or type(error).__name__)
        return True
    return False
