"""The data dictionary, read from the database itself: what each relation of staging, marts and bi is and holds."""

from dataclasses import dataclass
from itertools import groupby

from clinical.replica import connection

SCHEMAS = ("staging", "marts", "bi")
COLUMNS = """
SELECT n.nspname, c.relname, CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END,
       coalesce(obj_description(c.oid, 'pg_class'), ''),
       a.attname, format_type(a.atttypid, a.atttypmod), coalesce(col_description(c.oid, a.attnum), '')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('v', 'm')
ORDER BY array_position(%(schemas)s, n.nspname::text), c.relname, a.attnum
"""


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Entry:
    """One relation: `kind` is view or materialized view."""

    schema: str
    name: str
    kind: str
    comment: str
    columns: tuple[Column, ...]


def read() -> list[Entry]:
    """In the order of SCHEMAS, then by name; columns in theirs."""
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS, {"schemas": list(SCHEMAS)})
        rows = cursor.fetchall()
    return [
        Entry(schema, name, kind, comment, tuple(Column(*row[4:]) for row in columns))
        for (schema, name, kind, comment), columns in groupby(rows, lambda row: row[:4])
    ]


def comments(relation: str) -> dict[str, str]:
    """What each column of a relation of schema marts holds, in words."""
    found = next(entry for entry in read() if (entry.schema, entry.name) == ("marts", relation))
    return {column.name: column.comment for column in found.columns}
