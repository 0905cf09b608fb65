"""Who reads what, and who was refused: one line for each request, of everything that its answer tells.

Wherever rows become an answer, `seen` is told of them; medilink/noting.py has the line written before the answer
leaves. An export's rows are written down part by part, each before it is sent.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections
from django.db.models import Model

from clinical import requests
from clinical.api import statements
from clinical.audit.deeds import purpose_of, roles_of
from clinical.models import AuditEvent

logger = logging.getLogger(__name__)
Outcome = AuditEvent.Outcome

# By name all filters are told, by value those that say nothing of a person.
OPEN = {
    *("facility_id", "patient_id", "batch_id", "run_id", "state", "facility_category", "dataset", "status"),
    *("page", "per_page", "ordering", "changed_since", "date_from", "date_to"),
}


@dataclass
class Read:
    """What one answer tells, of one table or relation."""

    table: str
    action: str
    object_id: int | None = None
    patient_ids: list[int] = field(default_factory=list)
    rows: int | None = None
    batch_id: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


def seen(
    table: str,
    action: str,
    *,
    patient_ids: Iterable[int | None] = (),
    rows: int | None = None,
    object_id: int | None = None,
    batch_id: int | None = None,
    **details: Any,
) -> None:
    """These rows are part of the answer. What is told first names the line; whoever else is told of is added to it."""
    asked = requests.asked.get()
    if asked is None:
        return
    found = [pk for pk in patient_ids if pk is not None]
    if asked.read is None:
        asked.read = Read(table, action, object_id, found, rows, batch_id, details)
    else:
        asked.read.patient_ids += found


def query_of(given: Mapping[str, str]) -> dict[str, Any]:
    """The names of what a list is narrowed by, and the values that say nothing of a person."""
    said = sorted(f"{name}={text}" if name in OPEN else name for name, text in given.items())
    return {"query": said} if said else {}


def patients_of(rows: Iterable[Any]) -> list[int]:
    """Of whom these models' rows are, as far as they say it themselves."""
    return [pk for row in rows for pk in _of_row(row) if pk is not None]


def _of_row(row: Model) -> Sequence[int | None]:
    if row._meta.db_table == "patients":
        return (row.pk,)
    if getattr(row, "table", "") == "patients":  # a pair of probable duplicates, a merge
        return [getattr(row, name) for name in ("low_id", "high_id", "survivor_id", "merged_id") if hasattr(row, name)]
    return (getattr(row, "patient_id", None),)


def names_patients(model: type[Model]) -> str | None:
    """The column of a table or relation by which it says of whom a row is."""
    if model._meta.db_table == "patients":
        return "id"
    return "patient_id" if "patient_id" in {field.attname for field in model._meta.concrete_fields} else None


# --- Writing a line down

_COLUMNS = (
    *("actor_id", "roles", "action", "outcome", "purpose", '"table"', "object_id", "patient_ids", "rows"),
    *("batch_id", "route", "request_id", "address", "details"),
)
# A note of a read does not wait for the disk. Whatever dies of ours, it is kept, and the answer still leaves after it;
# only where the database's own machine falls can the notes of the last 0.6 s be lost, of reads alone, never
# that of a deed. To wait costs half or more of all requests (README), and would be paid for that second.
WITHOUT_WAITING = "set_config('synchronous_commit', 'off', true)"
INSERT = (
    f"INSERT INTO audit_events ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"  # noqa: S608
    " RETURNING {}"
)
READ, PART = INSERT.format(WITHOUT_WAITING), INSERT.format("1")


def values_of(asked: requests.Asked, read: Read, outcome: str) -> list[Any]:
    user = asked.caller()
    return [
        user.pk if user else None,
        f"{{{','.join(roles_of(user))}}}",
        read.action[:20],
        outcome,
        purpose_of(user, asked.purpose),
        read.table,
        read.object_id,
        f"{{{','.join(map(str, dict.fromkeys(read.patient_ids)))}}}" if read.patient_ids else None,
        read.rows,
        read.batch_id,
        asked.route[:60],
        requests.request_id.get(),
        asked.address[:45],
        json.dumps(read.details),
    ]


def write(asked: requests.Asked, read: Read, outcome: str = Outcome.OK) -> None:
    """One round trip. Raises DatabaseError where the line cannot be written: then nobody may be told anything."""
    statements.fetch(PART if connection.in_atomic_block else READ, values_of(asked, read, outcome))


class Parts:
    """The lines of an export: its first says what is asked for, the others who was in what has been sent.

    An export's own transaction lasts until its last row is sent, and would lose its notes with the connection of who
    asked; so they are written by another one. Inside somebody else's transaction they are part of that.
    """

    def __init__(self, read: Read, patient_at: int | None, id_at: int | None = None) -> None:
        asked = requests.asked.get() or requests.Asked()
        user = asked.caller()
        self.asked = replace(asked, caller=lambda: user)  # the answer is sent when the request is over
        self.request_id = requests.request_id.get()
        self.read, self.patient_at, self.id_at, self.number = read, patient_at, id_at, 0
        self.of_request = asked
        self.connection: Any = connection

    def open(self, *, by_itself: bool) -> None:
        """Notes what is asked for, before anything is sent: the request's own line."""
        if by_itself:
            self.connection = connections.create_connection(DEFAULT_DB_ALIAS)
        self._write(replace(self.read, details=self.read.details | {"part": 0}))
        self.of_request.is_noted = True

    def sent(self, rows: Sequence[Sequence[Any]]) -> None:
        """These go out next."""
        self.number += 1
        details: dict[str, Any] = {"part": self.number}
        if self.id_at is not None:
            details["ids"] = [row[self.id_at] for row in rows]
        whom = [row[self.patient_at] for row in rows] if self.patient_at is not None else []
        part = replace(
            self.read,
            rows=len(rows),
            patient_ids=[pk for pk in whom if pk is not None],
            details=self.read.details | details,
        )
        self._write(part)

    def _write(self, part: Read) -> None:
        token = requests.request_id.set(self.request_id)
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(PART, values_of(self.asked, part, Outcome.OK))
        finally:
            requests.request_id.reset(token)

    def close(self) -> None:
        if self.connection is not connection:
            self.connection.close()


# --- Refusals

NOTED_EACH = 30  # refusals of one caller and kind in a minute; of more, those whose number is a power of two
_refused: dict[tuple[Any, ...], tuple[int, int]] = {}


def refused(asked: requests.Asked, read: Read, outcome: str, status: int) -> None:
    """Notes it. Who knocks a thousand times a minute fills no table: the line says how often it has been."""
    user = asked.caller()
    times = _counted((user.pk if user else None, asked.address, asked.route, status))
    if times > NOTED_EACH and times & (times - 1):
        return
    details = read.details | {"status": status} | ({"times": times} if times > NOTED_EACH else {})
    try:
        write(asked, replace(read, details=details), outcome)
    except DatabaseError as error:  # nothing was told; the answer says no in any case
        logger.warning("A refusal could not be noted: %s", type(error).__name__)


def _counted(key: tuple[Any, ...]) -> int:
    minute = int(time.time() // 60)
    if len(_refused) > 10_000:
        _refused.clear()
    known, times = _refused.get(key, (minute, 0))
    times = times + 1 if known == minute else 1
    _refused[key] = (minute, times)
    return times


def forget_refusals() -> None:
    """As if nobody had been refused in this minute."""
    _refused.clear()
