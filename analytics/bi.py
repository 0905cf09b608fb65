"""The role that Power BI, Tableau and Metabase log in as: it reads schema bi and nothing else.

Views run with their owner's rights, so that the role needs none on what lies below them.
"""

from typing import Any

import psycopg2.errors
import psycopg2.extensions
from django.db import ProgrammingError, connection, transaction

ROLE = "medilink_bi"
CREATE = f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT"
# Also for a role that was there before. Not its powers: only a superuser may name those, and POWERS looks at them.
SHAPE = f"""
ALTER ROLE {ROLE} LOGIN NOINHERIT;
ALTER ROLE {ROLE} SET default_transaction_read_only = on;
ALTER ROLE {ROLE} SET statement_timeout = '60s';
ALTER ROLE {ROLE} SET search_path = bi;
REVOKE ALL ON SCHEMA public, staging, marts, bi FROM {ROLE};
REVOKE ALL ON ALL TABLES IN SCHEMA public, staging, marts, bi FROM {ROLE};
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON SCHEMA staging, marts, bi FROM PUBLIC;
GRANT USAGE ON SCHEMA bi TO {ROLE};
GRANT SELECT ON ALL TABLES IN SCHEMA bi TO {ROLE};
ALTER DEFAULT PRIVILEGES IN SCHEMA bi GRANT SELECT ON TABLES TO {ROLE};
"""
POWERS = """
SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
    OR EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid)
FROM pg_roles WHERE rolname = %(role)s
"""
# What it may touch through PUBLIC, or through grants in schemas that are not ours.
REACH = """
SELECT c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('bi', 'pg_catalog', 'information_schema')
  AND has_schema_privilege(%(role)s, n.oid, 'USAGE')
  AND has_any_column_privilege(%(role)s, c.oid, 'SELECT, INSERT, UPDATE')
ORDER BY 1
"""


class UnfitRoleError(Exception):
    """The role can do more than read schema bi, for reasons that are not ours to remove; nothing was changed."""


class NotAllowedError(Exception):
    """Medilink's own database user may not make or change roles."""


def create_role(password: str | None) -> str:
    """Makes the role, or brings it back into shape; a password that is not given stays. Returns how to connect."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            _shape(cursor, password)
    except ProgrammingError as error:
        if not isinstance(error.__cause__, psycopg2.errors.InsufficientPrivilege):
            raise
        raise NotAllowedError(f"Medilink's database user may not make or change {ROLE}; give it CREATEROLE.") from error
    server = connection.connection.info
    return f"host={server.host} port={server.port} dbname={server.dbname} user={ROLE}"


def _shape(cursor: Any, password: str | None) -> None:
    cursor.execute(POWERS, {"role": ROLE})
    match cursor.fetchone():
        case None:
            cursor.execute(CREATE)
        case (True,):
            raise UnfitRoleError(f"The role {ROLE} has powers or is a member of roles; take them away or drop it.")
    cursor.execute(SHAPE)
    if password:
        # Hashed here, so that the password itself is in no log of the server.
        scope = connection.connection
        hashed = psycopg2.extensions.encrypt_password(password, ROLE, scope=scope, algorithm="scram-sha-256")
        cursor.execute(f"ALTER ROLE {ROLE} PASSWORD %s", [hashed])
    cursor.execute(REACH, {"role": ROLE})
    if reached := [name for (name,) in cursor.fetchall()]:
        raise UnfitRoleError(f"The role {ROLE} could reach {', '.join(reached)}; revoke that from it or from PUBLIC.")
