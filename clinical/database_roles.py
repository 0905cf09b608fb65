"""Database roles that other programs than our own workers log in as: each owns nothing and is a member of nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2.errors
import psycopg2.extensions
from django.db import ProgrammingError, connection

SHAPE = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT"
# Only a superuser may name those powers of a role that is there, so they are looked at.
POWERS = """
SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
    OR EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid)
FROM pg_roles WHERE rolname = %(role)s
"""


class UnfitRoleError(Exception):
    """The role can do more than it is for, for reasons that are not ours to remove; nothing was changed."""


class NotAllowedError(Exception):
    """Medilink's own database user may not make or change roles."""


@contextmanager
def allowed(role: str) -> Iterator[None]:
    """Says in words what our own user lacks."""
    try:
        yield
    except ProgrammingError as error:
        if not isinstance(error.__cause__, psycopg2.errors.InsufficientPrivilege):
            raise
        raise NotAllowedError(f"Medilink's database user may not make or change {role}; give it CREATEROLE.") from error


def make(cursor: Any, role: str) -> None:
    """Makes it where there is none; one that has powers is refused."""
    cursor.execute(POWERS, {"role": role})
    match cursor.fetchone():
        case None:
            cursor.execute(f"CREATE ROLE {role} LOGIN {SHAPE}")
        case (True,):
            raise UnfitRoleError(f"The role {role} has powers or is a member of roles; take them away or drop it.")


def set_password(cursor: Any, role: str, password: str) -> None:
    """Hashed here, so that the password itself is in no log of the server."""
    scope = connection.connection
    hashed = psycopg2.extensions.encrypt_password(password, role, scope=scope, algorithm="scram-sha-256")
    cursor.execute(f"ALTER ROLE {role} PASSWORD %s", [hashed])


def address(role: str) -> str:
    """How to connect as it, without its password."""
    server = connection.connection.info
    return f"host={server.host} port={server.port} dbname={server.dbname} user={role}"
