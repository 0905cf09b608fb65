"""What makes a migration harmless to who works meanwhile: one migrates at a time, and waits for nobody for long.

A statement that changes a table waits until nobody uses the table, and all who come later wait behind it. So it waits
for less than a second, gives up with its whole migration, lets the others pass and comes again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from clinical import locks
from ingestion.outages import sqlstate

LOCK = 7_340_232  # of this database, for whoever migrates
WAIT_MS = 700  # for a lock; who comes behind waits as long
EVERY = 1.0  # seconds between two tries: those who have waited pass
PATIENCE = 1800.0  # seconds until it is given up: the longest file of a night is loaded sooner
HELD_UP = {"55P03": "a table is in use", "40P01": "others and we wait for each other"}

# Of a statement `… CONCURRENTLY` that broke off. No query uses such an index, and its name is in the way.
BROKEN_OFF = """
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relnamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
"""

Tell = Callable[[str], None]


class NotPossible(Exception):
    """Nothing was changed, and why."""


class HeldUp(Exception):
    """Others used the tables until our patience was over. What was migrated before stays."""


@contextmanager
def alone(connection: BaseDatabaseWrapper, tell: Tell, patience: float = PATIENCE) -> Iterator[None]:
    """The lock is the session's, so that it must be the database that is spoken to and no pooler.

    Who waits asks again and again: a statement that waits holds a snapshot, and CREATE INDEX CONCURRENTLY of the one
    who migrates would wait for that.
    """
    _refuse_a_pooler(connection)
    deadline, is_told = time.monotonic() + patience, False
    with connection.cursor() as cursor:
        while not _says_yes(cursor, "SELECT pg_try_advisory_lock(%s)"):
            if time.monotonic() > deadline:
                raise HeldUp("Another process migrates this database, for too long.")
            if not is_told:
                tell("Another process migrates this database; we wait for it.")
                is_told = True
            time.sleep(EVERY)
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def _says_yes(cursor: Any, sql: str) -> bool:
    cursor.execute(sql, [LOCK])
    return bool(cursor.fetchone()[0])


def _refuse_a_pooler(connection: BaseDatabaseWrapper) -> None:
    connection.ensure_connection()
    if locks.is_pooled(connection):
        raise NotPossible(
            "DATABASE_URL leads through a pooler (pgbouncer, RDS Proxy), which loses the lock by which only one "
            "migrates at a time. Give the database's own address; only DATABASE_WEB_URL may lead through a pooler."
        )


def is_ahead(connection: BaseDatabaseWrapper) -> bool:
    """Whether a newer release has migrated the database, and nothing of ours is missing.

    We leave it alone then: our grants would take from the newer release what it needs.
    """
    loader = MigrationLoader(connection)
    ours = {app for app, _ in loader.disk_migrations}
    unknown = [key for key in loader.applied_migrations if key[0] in ours and key not in loader.disk_migrations]
    return bool(unknown) and not loader.disk_migrations.keys() - loader.applied_migrations.keys()


def limit_waits(connection: BaseDatabaseWrapper, *, is_atomic: bool) -> None:
    """For what follows. What is not atomic takes no lock that others wait behind, and would be left half done."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [str(WAIT_MS if is_atomic else 0)])


def insist(step: Callable[[], object], connection: BaseDatabaseWrapper, tell: Tell, patience: float = PATIENCE) -> None:
    """Does it again while a lock is all that is in the way. Raises HeldUp, and whatever else went wrong."""
    deadline = time.monotonic() + patience
    while True:
        try:
            _drop_what_broke_off(connection)
            step()
            return
        except Error as error:
            why = HELD_UP.get(sqlstate(error))
            if why is None:
                raise
            if time.monotonic() > deadline:
                raise HeldUp(f"Given up after {patience:.0f} s: {why}.") from error
            tell(f"Once more: {why}.")
        time.sleep(EVERY)


def _drop_what_broke_off(connection: BaseDatabaseWrapper) -> None:
    if connection.in_atomic_block:  # a test's
        return
    with connection.cursor() as cursor:
        cursor.execute(BROKEN_OFF)
        for (index,) in cursor.fetchall():
            cursor.execute(f"DROP INDEX CONCURRENTLY {index}")
