"""A digest of every table: equal where the rows are, in whichever order they lie."""

from typing import Any

TABLES = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relpersistence = 'p'
ORDER BY 1
"""
# The sum says nothing about the order; what it adds up are 64 bits of each row's text.
OF_TABLE = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM ONLY {} t"
ALIKE = """
SET LOCAL datestyle = 'ISO';
SET LOCAL timezone = 'UTC';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex'
"""


def digests(cursor: Any) -> dict[str, list[Any]]:
    """By table the number of rows and their digest. Inside a transaction."""
    cursor.execute(ALIKE)
    cursor.execute(TABLES)
    found = {}
    for (table,) in cursor.fetchall():
        cursor.execute(OF_TABLE.format(table))
        found[table] = [*cursor.fetchone()]
    return found
