"""When PostgreSQL says no: what passes by itself, what has gone away, and how long to wait for it. SQLSTATEs decide.

One layer retries each kind: a passing refusal the batch's attempt (ingestion/pipeline.py), a lost connection the run
(ingestion/runs.py). Everything else is told as it is.
"""

import random
import time
from collections.abc import Iterator

from django.db import DatabaseError, Error, InterfaceError, OperationalError, connection

PASSING = (
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # lock timeout
)
LOST = (
    "08",  # connection exceptions
    "57P",  # shut down, crashed, starting up, or terminated by an administrator
    "53300",  # too many connections
)
FULL = ("53100",)  # no disk: whatever the file is, and waiting in line helps nobody
TRIES = 3
PATIENCE = 60.0  # seconds that a run waits for the database to come back
LONGEST_PAUSE = 5.0


# Without it the locks of a worker whose machine has vanished would outlive it by hours.
NOTICE_DEAD_PEER = (
    "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),"
    " set_config('tcp_keepalives_count', '4', false)"
)


def is_passing(error: BaseException) -> bool:
    """That the transaction was refused for the sake of another one: the same again will do."""
    return sqlstate(error).startswith(PASSING)


def is_of_the_server(error: BaseException) -> bool:
    """That the server could not or would not, whatever it was asked; not that what it was asked was wrong.

    Of a connection that breaks under a statement psycopg2 says now OperationalError, now DatabaseError and no more.
    """
    return isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError


def is_nobodys_fault(error: BaseException) -> bool:
    """Neither the file's nor its load's: no attempt is used up. A timeout or a limit may be the file's."""
    return sqlstate(error).startswith((*PASSING, *FULL))


def is_lost(error: BaseException) -> bool:
    """That the connection is gone, or could not be had. The driver has no SQLSTATE for a socket that broke."""
    return is_of_the_server(error) and (sqlstate(error) or "08").startswith(LOST)


def told(error: BaseException) -> str:
    """In words for the run's row; the error's own text may hold a patient's data."""
    state = sqlstate(error)
    if state.startswith(FULL):
        return "The database's disk is full; make room, and the next run goes on by itself."
    if is_passing(error):
        return "Another transaction held what was needed for too long; the next run goes on by itself."
    return "The database was away; the next run goes on by itself."


def sqlstate(error: BaseException) -> str:
    """Empty where the error came without one. Django keeps the driver's error as the cause."""
    return getattr(error, "pgcode", None) or getattr(error.__cause__, "pgcode", None) or ""


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try: capped exponential with full jitter, so that workers spread out."""
    longest = 0.1
    while True:
        yield random.uniform(0, longest)  # noqa: S311
        longest = min(2 * longest, LONGEST_PAUSE)


def wait_for_database(patience: float = PATIENCE) -> bool:
    """Connects anew. False where it is still away when the patience is over."""
    connection.close()
    deadline = time.monotonic() + patience
    for pause in pauses():
        try:
            connection.ensure_connection()
        except Error:
            if time.monotonic() + pause > deadline:
                return False
            time.sleep(pause)
        else:
            return True
    raise AssertionError("pauses never end")
