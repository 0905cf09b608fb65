"""Puts rows back as they were, from the revisions that the database keeps of every change.

The one place that writes rows from their past. Whose past it is, and what else hangs on it, the callers know.
"""

from typing import Any, NamedTuple

from django.apps import apps
from django.db import connection
from django.db.models import Model, QuerySet

from clinical.models import Revision

# By column, what the changes together replaced (the earliest) and what they left (the latest).
NET = """
SELECT object_id, jsonb_object_agg(key, value ORDER BY id DESC) AS was,
       jsonb_object_agg(key, became -> key ORDER BY id) AS became
FROM (SELECT r.id, r.object_id, r.became, c.key, c.value FROM revisions r, jsonb_each(r.was) c
      WHERE r.id = ANY(%s) AND r."table" = %s AND r.became IS NOT NULL) changed
GROUP BY object_id
"""


class Later(NamedTuple):
    """A row that was changed again after what is to be undone, and in which columns."""

    table: str
    object_id: int
    columns: tuple[str, ...]


def changed_since(revisions: "QuerySet[Revision]", *, to_the_first: bool = False) -> list[Later]:
    """The rows whose columns are neither as these changes left them nor as they were before: what would be lost.

    `to_the_first`: those whose columns are not as these changes found them; of a row's whole past, as it came.
    """
    left = "was" if to_the_first else "became"
    found = []
    for table, ids in _by_table(revisions).items():
        found += _rows(
            f"WITH net AS ({NET}) SELECT net.object_id, array_agg(c.key ORDER BY c.key)"  # noqa: S608  our own
            f" FROM net LEFT JOIN {_quoted(table)} t ON t.id = net.object_id, jsonb_each(net.{left}) c"
            " WHERE to_jsonb(t) -> c.key IS DISTINCT FROM c.value"
            " AND to_jsonb(t) -> c.key IS DISTINCT FROM net.was -> c.key"
            " GROUP BY net.object_id ORDER BY 1",
            [ids, table],
            table,
        )
    return found


def put_back(revisions: "QuerySet[Revision]") -> None:
    """Undoes what these changes did to each column that still is as they left it; call it in `audit.putting_back`.

    New rows go, changed ones are as before, gone ones come back under their own ids. A column that was changed again
    since stays.
    """
    tables = _by_table(revisions)
    for table in tables:
        new = revisions.filter(table=table, was__isnull=True).values("object_id")
        _model(table)._base_manager.filter(pk__in=[*new.values_list("object_id", flat=True)]).delete()
    for table, ids in sorted(tables.items(), key=lambda item: _ORDER.index(item[0])):
        _put_columns_back(table, ids)
    for table, ids in sorted(tables.items(), key=lambda item: _ORDER.index(item[0])):
        _bring_back(table, ids)


# Parents first; a table that is not here has nothing that people undo.
_ORDER = (
    *("facilities", "patients", "medical_records", "triage_visits", "facility_aliases", "patient_aliases"),
    *("memberships", "rejected_rows"),
)


def columns_of(table: str) -> list[str]:
    """Those that a row is made of: neither its id nor what the database generates."""
    fields = _model(table)._meta.concrete_fields
    return [str(f.column) for f in fields if not f.primary_key and not f.generated and f.column != "updated_at"]


def _put_columns_back(table: str, ids: list[int]) -> None:
    columns = ", ".join(_quoted(column) for column in columns_of(table))
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH net AS ({NET}), back AS ("  # noqa: S608  names of our own tables and columns
            "   SELECT net.object_id, jsonb_object_agg(c.key, c.value) AS was"
            f"  FROM net JOIN {_quoted(table)} t ON t.id = net.object_id, jsonb_each(net.was) c"
            "   WHERE to_jsonb(t) -> c.key IS NOT DISTINCT FROM net.became -> c.key"
            "   GROUP BY net.object_id)"
            f" UPDATE {_quoted(table)} t SET ({columns}) ="
            f" (SELECT {columns} FROM jsonb_populate_record(t, back.was)) FROM back WHERE t.id = back.object_id",
            [ids, table],
        )


def _bring_back(table: str, ids: list[int]) -> None:
    names = [*map(_quoted, ["id", *columns_of(table)])]
    columns, theirs = ", ".join(names), ", ".join(f"p.{name}" for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_quoted(table)} ({columns}) OVERRIDING SYSTEM VALUE"  # noqa: S608  names of our own
            f" SELECT {theirs} FROM revisions r, jsonb_populate_record(NULL::{_quoted(table)}, r.was) p"
            ' WHERE r.id = ANY(%s) AND r."table" = %s AND r.became IS NULL',
            [ids, table],
        )


def _by_table(revisions: "QuerySet[Revision]") -> dict[str, list[int]]:
    tables: dict[str, list[int]] = {}
    for pk, table in revisions.order_by("id").values_list("pk", "table"):
        tables.setdefault(table, []).append(pk)
    return tables


def _rows(sql: str, params: list[Any], table: str) -> list[Later]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [Later(table, pk, tuple(columns)) for pk, columns in cursor.fetchall()]


def _model(table: str) -> type[Model]:
    return next(model for model in apps.get_models() if model._meta.db_table == table)


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
