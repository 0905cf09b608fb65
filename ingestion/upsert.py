"""INSERT … SELECT … ON CONFLICT in the words of `bulk_create`: rows that are in the database already never leave it."""

from collections.abc import Sequence
from typing import Any

from django.db import connections, models, router
from django.db.models.constants import OnConflict


def upsert(
    model: type[models.Model],
    rows: "models.QuerySet[Any, Any]",
    *,
    ignore_conflicts: bool = False,
    update_conflicts: bool = False,
    unique_fields: Sequence[str] = (),
    update_fields: Sequence[str] = (),
) -> int:
    """Inserts what `rows` selects and returns how many rows were inserted or updated.

    `rows` is a `.values(…)` queryset whose names are fields of `model` (`facility_id` for a foreign key). With
    `update_conflicts`, a row that meets another one in `unique_fields` sets `update_fields` of it; two rows of
    `rows` must not meet the same one. With `ignore_conflicts` it is left out. Other conflicts raise IntegrityError.
    """
    connection = connections[router.db_for_write(model)]
    opts = model._meta
    fields = [_field(opts, name) for name in rows.query.selected or ()]
    select, params = rows.query.get_compiler(connection=connection).as_sql()
    quote = connection.ops.quote_name
    on_conflict = connection.ops.on_conflict_suffix_sql(
        fields,
        OnConflict.IGNORE if ignore_conflicts else OnConflict.UPDATE if update_conflicts else None,
        [_field(opts, name).column for name in update_fields],
        [_field(opts, name).column for name in unique_fields],
    )
    columns = ", ".join(quote(field.column) for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {quote(opts.db_table)} ({columns}) {select} {on_conflict}", params)
        return int(cursor.rowcount)


def _field(opts: Any, name: str) -> Any:
    """A field by its own name or, for a foreign key, by its column's."""
    for field in opts.concrete_fields:
        if name in (field.name, field.attname):
            return field
    raise ValueError(f"{opts.label} has no column for {name!r}.")
