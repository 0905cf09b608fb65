"""INSERT … SELECT … ON CONFLICT in the words of `bulk_create`: rows that are in the database already never leave it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections, router
from django.db.models import F, Model, QuerySet
from django.db.models.constants import OnConflict


def upsert(
    model: type[Model],
    rows: "QuerySet[Any, Any]",
    columns: Mapping[str, Any],
    *,
    ignore_conflicts: bool = False,
    update_conflicts: bool = False,
    unique_fields: Sequence[str] = (),
    update_fields: Sequence[str] = (),
    noted_in: type[Model] | None = None,
) -> int:
    """Inserts one row of `model` per row of `rows` and returns how many rows were inserted or updated.

    `columns` says for each field of `model` (`facility_id` for a foreign key) what stands in it: an expression over
    `rows`, or the name of one of its columns. With `update_conflicts`, a row that meets another one in `unique_fields`
    sets `update_fields` of it; two rows of `rows` must not meet the same one. With `ignore_conflicts` it is left out.
    Any other conflict raises IntegrityError. `noted_in`: a model with `line` and `row_id`, which gets those of each row
    that was written.
    """
    connection = connections[router.db_for_write(model)]
    expressions = [F(value) if isinstance(value, str) else value for value in columns.values()]
    select, params = rows.values_list(*expressions).query.get_compiler(connection=connection).as_sql()
    fields = [_field(model, name) for name in columns]
    on_conflict = connection.ops.on_conflict_suffix_sql(
        fields,
        OnConflict.IGNORE if ignore_conflicts else OnConflict.UPDATE if update_conflicts else None,
        [_field(model, name).column for name in update_fields],
        [_field(model, name).column for name in unique_fields],
    )
    quote = connection.ops.quote_name
    names = ", ".join(quote(field.column) for field in fields)
    sql = f"INSERT INTO {quote(model._meta.db_table)} ({names}) {select} {on_conflict}"
    if noted_in:
        note = f"INSERT INTO {quote(noted_in._meta.db_table)} (line, row_id) SELECT line, id FROM written"  # noqa: S608
        sql = f"WITH written AS ({sql} RETURNING line, id) {note}"
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def _field(model: type[Model], name: str) -> Any:
    """A field by its own name or, for a foreign key, by its column's."""
    for field in model._meta.concrete_fields:
        if name in (field.name, field.attname):
            return field
    raise ValueError(f"{model._meta.label} has no column for {name!r}.")
