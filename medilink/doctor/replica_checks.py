"""The replica that figures are read from, where there is one: whether it is read at all (clinical/replica.py)."""

import time
from collections.abc import Iterator

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections

from clinical import replica, row_security
from medilink.doctor.checks import check
from medilink.doctor.database_checks import reason
from medilink.doctor.findings import Finding, Gravity, Kind
from medilink.doctor.places import found_of

PATIENCE = 2.0  # seconds for it to reach what the primary has written
EVERY = 0.2
MEANS = "Answers are right all the same: the primary gives them, and has the work that the replica was to take off it."

AWAY = Kind(
    "replica-away",
    Gravity.WARNING,
    "The replica does not answer",
    MEANS,
    "Start it, or see the address in DATABASE_REPLICA_URL; take the variable away where there is none any more.",
    ends=True,
)
ROLE = Kind(
    "replica-role",
    Gravity.WARNING,
    "The replica is entered as somebody whom no policy binds",
    f"So the site leaves it alone. {MEANS}",
    f"Let DATABASE_REPLICA_URL name the user {row_security.ROLE}, with the password of DATABASE_WEB_URL.",
)
NO_STANDBY = Kind(
    "replica-no-standby",
    Gravity.WARNING,
    "DATABASE_REPLICA_URL names a server that follows nobody",
    f"It was promoted, or was never a replica; so the site leaves it alone. {MEANS}",
    "Name a streaming replica of the server of DATABASE_URL, or take the variable away.",
    ends=True,
)
BEHIND = Kind(
    "replica-behind",
    Gravity.WARNING,
    "The replica is behind",
    MEANS,
    "See whether it still receives (pg_stat_wal_receiver there, pg_stat_replication here), its disk, and long queries.",
)


@check("replica", AWAY, ROLE, NO_STANDBY, is_first=True)
def replica_is_one() -> Iterator[Finding]:
    place = connections[replica.ALIAS].settings_dict
    try:
        ((user, is_standby),) = _rows(replica.ALIAS, "SELECT current_user, pg_is_in_recovery()")
    except Error as error:
        host = str(place["HOST"] or place["OPTIONS"].get("host", ""))
        yield AWAY.seen(f"{found_of(host, int(place['PORT'] or 5432))}: {reason(error)}.")
        return
    if user != row_security.ROLE:
        yield ROLE.seen(f"It is entered as {user}.")
    if not is_standby:
        yield NO_STANDBY.seen("The server is not in recovery.")


REACHED = """
SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
"""


@check("replica", BEHIND)
def replica_keeps_up() -> Iterator[Finding]:
    """By the primary's place in the log: a replica whose source is gone has done all that it has heard of."""
    try:
        ((written,),) = _rows(DEFAULT_DB_ALIAS, "SELECT pg_current_wal_lsn()::text")
    except Error:  # that lane tells
        return
    deadline = time.monotonic() + PATIENCE
    while True:
        ((has_reached, seconds),) = _rows(replica.ALIAS, REACHED, written)
        if has_reached:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(EVERY)
    if seconds is None or seconds > settings.DATABASE_REPLICA_LAG:
        known = "nothing yet" if seconds is None else f"what was committed {seconds:,.0f} s ago"
        yield BEHIND.seen(f"Its newest is {known}; it is read up to {settings.DATABASE_REPLICA_LAG} s.")


def _rows(alias: str, sql: str, *parameters: str) -> list[tuple]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall())
