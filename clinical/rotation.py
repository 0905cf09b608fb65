"""A change of DATA_KEYS: what an older key has sealed is sealed anew with the first, in the tables and their history.

In batches, each in a transaction of its own. Broken off, it goes on where it was; beside people and loads it changes
only what is still as it was read.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import OperationalError, connection, transaction

from clinical import sealing
from clinical.audit import note, set_local
from clinical.history import bound_values
from clinical.sealing import SealedField

ROWS = 1000
RESEALING = "medilink.resealing"  # by which the triggers that keep a row's history know that nothing was changed

COLUMNS = """
SELECT count(*) FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = %s AND column_name = %s
"""
IDS = """
SELECT encode(substr({column}, 2, get_byte({column}, 0)), 'escape'), count(*) FROM {table}
WHERE length({column}) > 0 GROUP BY 1
"""
IDS_OF_HISTORY = """
SELECT encode(substr(sealed, 2, get_byte(sealed, 0)), 'escape'), count(*) FROM (
    SELECT decode(substr(v, 3, 68), 'hex') AS sealed FROM revisions, unnest(ARRAY[was ->> %s, became ->> %s]) AS v
    WHERE "table" = %s AND v IS NOT NULL
) found GROUP BY 1
"""


def key_ids() -> dict[str, Counter[str]]:
    """By key, how many values of which column are sealed with it. `table.column (history)`: in the revisions."""
    found: dict[str, Counter[str]] = {}
    for field in _existing():
        for name, key_id, count in _ids_of(field):
            found.setdefault(key_id, Counter())[name] += count
    return found


def waiting() -> dict[str, Counter[str]]:
    """Of keys that are not the first one."""
    return {key_id: counts for key_id, counts in key_ids().items() if key_id != sealing.current_key_id()}


def rotate(tell: Callable[[str, int], object] = lambda *_: None) -> int:
    """Seals anew whatever waits; `tell` hears of each batch. Raises SealingError where a key is not there any more."""
    done = 0
    for field in _existing():
        for count in _rotated(field):
            tell(_name(field), count)
            done += count
        for count in _history_rotated(field):
            tell(f"{_name(field)} (history)", count)
            done += count
    return done


def forget(key_id: str, tell: Callable[[str, int], object] = lambda *_: None) -> None:
    """Of a key that is lost: what it has sealed is taken out, for nobody can open it. Rows that are nothing without
    go whole. Raises SealingError where the key is there."""
    if key_id in settings.DATA_KEYS:
        raise sealing.SealingError(f"The key {key_id!r} is in DATA_KEYS: what it has sealed can be opened.")
    header = sealing.header_of(key_id)
    with transaction.atomic(), connection.cursor() as cursor:
        set_local(RESEALING, "on")  # the history need not keep what nobody can open
        for field in _existing():
            table, column = _quoted(field.model._meta.db_table), _quoted(field.column)
            how = f"UPDATE {table} SET {column} = NULL" if field.null else f"DELETE FROM {table}"  # noqa: S608  ours
            cursor.execute(f"{how} WHERE substr({column}, 1, %s) = %s", [len(header), header])
            tell(_name(field), cursor.rowcount)
            tell(f"{_name(field)} (history)", _forgotten_in_history(cursor, field, header))
        note(None, "forget key", "index_keys", key=key_id)


def _forgotten_in_history(cursor: Any, field: SealedField, header: bytes) -> int:
    gone = "CASE WHEN {0} ->> %(column)s LIKE %(sealed)s THEN {0} || jsonb_build_object(%(column)s, NULL) ELSE {0} END"
    cursor.execute(
        f"UPDATE revisions SET was = {gone.format('was')}, became = {gone.format('became')}"  # noqa: S608  ours
        ' WHERE "table" = %(table)s AND (was ->> %(column)s LIKE %(sealed)s OR became ->> %(column)s LIKE %(sealed)s)',
        {"column": field.column, "table": field.model._meta.db_table, "sealed": f"\\\\x{header.hex()}%"},
    )
    return int(cursor.rowcount)


def _existing() -> list[SealedField]:
    """The database may be older than the code, as it is before a migration."""
    with connection.cursor() as cursor:
        return [field for field in sealing.sealed_fields() if _is_there(cursor, field)]


def _is_there(cursor: Any, field: SealedField) -> bool:
    cursor.execute(COLUMNS, [field.model._meta.db_table, field.column])
    return bool(cursor.fetchone()[0])


def _name(field: SealedField) -> str:
    return f"{field.model._meta.db_table}.{field.column}"


def _ids_of(field: SealedField) -> Iterator[tuple[str, str, int]]:
    table = field.model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(IDS.format(table=_quoted(table), column=_quoted(field.column)))
        yield from ((_name(field), key_id, count) for key_id, count in cursor.fetchall())
        cursor.execute(IDS_OF_HISTORY, [field.column, field.column, table])
        yield from ((f"{_name(field)} (history)", key_id, count) for key_id, count in cursor.fetchall())


def _rotated(field: SealedField) -> Iterator[int]:
    table, column, key = (_quoted(name) for name in (field.model._meta.db_table, field.column, _pk(field)))
    bound = "".join(f", {_quoted(field.model._meta.get_field(name).column)}" for name in field.bound_to)  # type: ignore[union-attr]  # a column
    header, after = sealing.header_of(sealing.current_key_id()), -(2**63)
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            set_local(RESEALING, "on")
            cursor.execute(
                f"SELECT {key}, {column}{bound} FROM {table} WHERE {key} > %s AND length({column}) > 0"  # noqa: S608  ours
                f" AND substr({column}, 1, %s) <> %s ORDER BY {key} LIMIT %s",
                [after, len(header), header, ROWS],
            )
            rows = cursor.fetchall()
            if not rows:
                return
            after = rows[-1][0]
            anew = [(pk, bytes(old), _anew(field, bytes(old), values)) for pk, old, *values in rows]
            cursor.execute(
                f"UPDATE {table} t SET {column} = n.new"  # noqa: S608  ours
                " FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[]) AS n (id, old, new)"
                f" WHERE t.{key} = n.id AND t.{column} = n.old",
                [[*part] for part in zip(*anew, strict=True)],
            )
            count = cursor.rowcount
        yield count


def _anew(field: SealedField, sealed: bytes, bound: Sequence[Any]) -> bytes:
    place = field.place(bound)
    return sealing.seal(sealing.unseal(sealed, place), place)


def _history_rotated(field: SealedField) -> Iterator[int]:
    """The same bytes as in the row, where the row still has the value: so an undo still knows it."""
    table, after = field.model._meta.db_table, 0
    done = f"\\x{sealing.header_of(sealing.current_key_id()).hex()}%"
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                'SELECT id, object_id, was, became FROM revisions WHERE "table" = %s AND id > %s AND EXISTS ('
                " SELECT FROM unnest(ARRAY[was ->> %s, became ->> %s]) v WHERE v NOT LIKE %s) ORDER BY id LIMIT %s",
                [table, after, field.column, field.column, done.replace("\\", "\\\\"), ROWS],
            )
            rows = [(pk, object_id, _doc(was), _doc(became)) for pk, object_id, was, became in cursor.fetchall()]
            if not rows:
                return
            after = rows[-1][0]
            for _, object_id, *docs in rows:
                bound = bound_values(field, object_id, docs[0] or docs[1] or {})
                for doc in docs:
                    if doc and doc.get(field.column):
                        doc[field.column] = f"\\x{_anew(field, bytes.fromhex(doc[field.column][2:]), bound).hex()}"
            cursor.execute(
                "UPDATE revisions r SET was = n.was, became = n.became"
                " FROM unnest(%s::bigint[], %s::jsonb[], %s::jsonb[]) AS n (id, was, became) WHERE r.id = n.id",
                [[pk for pk, *_ in rows], *([_json(row[n]) for row in rows] for n in (2, 3))],
            )
        yield len(rows)


def _doc(doc: Any) -> Any:
    return json.loads(doc) if isinstance(doc, str) else doc


def _json(doc: Any) -> str | None:
    return None if doc is None else json.dumps(doc)


def _pk(field: SealedField) -> str:
    return str(field.model._meta.pk.column)


def _quoted(name: Any) -> str:
    return connection.ops.quote_name(name)


@register(Tags.database)
def no_key_is_missing(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Asked by `migrate` and by `check --database default`, before a key that is still needed is gone for good."""
    try:
        found = key_ids() if databases else {}
    except OperationalError:  # commands that only look at the code have no database
        return []
    return [
        Error(
            f"DATA_KEYS has no key {key_id!r}, with which {sum(counts.values()):,} values are sealed: "
            + ", ".join(sorted(counts)),
            hint="Put it back behind the first one and run `manage.py rotate_keys`; remove it once --status has none.",
            id="clinical.E001",
        )
        for key_id, counts in found.items()
        if key_id not in settings.DATA_KEYS
    ]
