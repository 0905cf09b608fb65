"""The role that Power BI, Tableau and Metabase log in as: it reads schema bi and nothing else.

Views run with their owner's rights, so that the role needs none on what lies below them.
"""

from typing import Any

from django.db import connection, transaction

from clinical import database_roles

ROLE = "medilink_bi"
# Also for a role that was there before. Its powers are looked at when it is made.
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
# What it may touch through PUBLIC, or through grants in schemas that are not ours.
REACH = """
SELECT c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('bi', 'pg_catalog', 'information_schema')
  AND has_schema_privilege(%(role)s, n.oid, 'USAGE')
  AND has_any_column_privilege(%(role)s, c.oid, 'SELECT, INSERT, UPDATE')
ORDER BY 1
"""


def create_role(password: str | None) -> str:
    """Makes the role, or brings it back into shape; a password that is not given stays. Returns how to connect."""
    with database_roles.allowed(ROLE), transaction.atomic(), connection.cursor() as cursor:
        _shape(cursor, password)
    return database_roles.address(ROLE)


def _shape(cursor: Any, password: str | None) -> None:
    database_roles.make(cursor, ROLE)
    cursor.execute(SHAPE)
    if password:
        database_roles.set_password(cursor, ROLE, password)
    cursor.execute(REACH, {"role": ROLE})
    if reached := [name for (name,) in cursor.fetchall()]:
        raise database_roles.UnfitRoleError(
            f"The role {ROLE} could reach {', '.join(reached)}; revoke that from it or from PUBLIC."
        )
