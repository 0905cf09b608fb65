"""What has happened to a row: each change with who or what made it, and what stood in each column before and after."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Q

from clinical import actions, row_security, sealing
from clinical.models import AuditEvent, Merge, Revision

MOST = 200  # changes of one row, the latest

# Each row as it was when it came: what its columns held before the first change of them.
AT_FIRST = """
SELECT t.id, to_jsonb(t) || coalesce(changed.was, '{}')
FROM %s t LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(c.key, c.value ORDER BY r.id DESC) AS was
    FROM revisions r, jsonb_each(r.was) c
    WHERE r."table" = %%s AND r.object_id = t.id AND r.became IS NOT NULL
) changed ON true
WHERE t.id = ANY(%%s)
"""


class Column(NamedTuple):
    """One that was changed; of a document, one of its keys."""

    name: str
    was: Any
    became: Any


@dataclass(frozen=True)
class Change:
    """What one deed, or one load, or somebody at the database's own prompt, did to the row."""

    at: datetime
    event: AuditEvent | None
    batch_id: int | None
    role: str
    columns: list[Column]
    is_undone: bool = False

    @property
    def who(self) -> str:
        if self.event:
            return str(self.event.actor or "the system")
        return f"the load of batch {self.batch_id}" if self.batch_id else f"database role {self.role}"

    @property
    def action(self) -> str:
        return self.event.action.replace("_", " ") if self.event else "load" if self.batch_id else "change"

    @property
    def may_be_undone(self) -> bool:
        return self.event is not None and self.event.action in actions.UNDOABLE and not self.is_undone


def of_row(table: str, pk: int) -> list[Change]:
    """The newest first."""
    revisions = [*Revision.objects.filter(table=table, object_id=pk).order_by("-id")[:MOST]]
    deeds = _deeds({revision.event_id for revision in revisions if revision.event_id})
    opener = _opener(table, pk, revisions)
    undone = _undone({revision.event_id for revision in revisions if revision.event_id})
    changes = []
    for _, group in groupby(revisions, key=lambda revision: (revision.event_id, revision.batch_id, revision.at)):
        together = [*group]
        last = together[0]
        columns = [column for revision in reversed(together) for column in _columns(revision, opener)]
        changes.append(
            Change(
                last.at, deeds.get(last.event_id), last.batch_id, last.role, columns, is_undone=last.event_id in undone
            )
        )
    return [*changes, *_creation(table, pk)]


def _deeds(ids: set[int]) -> dict[int | None, AuditEvent]:
    """Only auditors read the audit, but who sees that a row was changed is told by whom."""
    with row_security.lifted():
        return {**AuditEvent.objects.select_related("actor").in_bulk(ids)}


@row_security.lifted()
def _undone(events: set[int]) -> set[int | None]:
    return {
        *AuditEvent.objects.filter(action="undo", details__deed__in=[*events]).values_list("details__deed", flat=True)
    }


def _creation(table: str, pk: int) -> Iterator[Change]:
    """A new row leaves no revision; where a person has made it, the audit says so."""
    with row_security.lifted():
        made = AuditEvent.objects.filter(table=table, object_id=pk, action="create").select_related("actor").first()
    if made:
        yield Change(made.at, made, None, "", [])


Opener = Callable[[dict[str, Any]], dict[str, Any]]
HASHES = {"cell_keys"}  # of what is told in words already


def _opener(table: str, pk: int, revisions: Sequence[Revision]) -> Opener:
    """What makes of a row's columns, as triggers have kept them, those that a person may read."""
    fields = [field for field in sealing.sealed_fields() if field.model._meta.db_table == table]
    if not fields or not revisions:
        return lambda columns: columns
    bound = {field.column: bound_values(field, pk, revisions[0].was or {}) for field in fields}

    def opened(columns: dict[str, Any]) -> dict[str, Any]:
        told = {name: value for name, value in columns.items() if name not in HASHES}
        for field in fields:
            if field.column in told:
                sealed, place = told.pop(field.column), field.place(bound[field.column])
                plain = sealed and sealing.unseal(bytes.fromhex(sealed[2:]), place)
                told[field.column.removesuffix("_sealed")] = json.loads(plain) if plain else {}
        return told

    return opened


def bound_values(field: sealing.SealedField, pk: int, gone: dict[str, Any]) -> list[Any]:
    """What a row's sealed value is bound to; of a row that is gone, as its last revision has it."""
    row = field.model._base_manager.filter(pk=pk).values_list(*field.bound_to).first()
    return [*row] if row else [gone.get(name) for name in field.bound_to]


def _columns(revision: Revision, opener: Opener) -> Iterator[Column]:
    was, became = opener(revision.was or {}), opener(revision.became or {})
    for name in sorted(was.keys() | became.keys()):
        before, after = was.get(name), became.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            for key in sorted(before.keys() | after.keys()):
                if before.get(key) != after.get(key):
                    yield Column(f"{name}: {key}", before.get(key), after.get(key))
        else:
            yield Column(name, before, after)


@row_security.lifted()
def merges_of(table: str, pk: int) -> list[Merge]:
    """In which it survived or was merged, those that were undone among them."""
    found = Merge.objects.filter(Q(survivor_id=pk) | Q(merged_id=pk), table=table)
    return [*found.select_related("event__actor", "undone_by")]


def at_first(table: str, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Of each row its columns as they came, before anything that has happened to it since."""
    with connection.cursor() as cursor:
        cursor.execute(AT_FIRST % connection.ops.quote_name(table), [table, [*ids]])
        return {pk: json.loads(row) for pk, row in cursor.fetchall()}
