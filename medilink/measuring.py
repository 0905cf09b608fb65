"""How well duplicates are found: precision and recall on invented rows whose truth is known.

In tables of a schema of its own, in a transaction that is taken back: rows of real people are neither read nor kept
company. The crowd's own seed is not one of those by which the weights were tried.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from django.db import connection, transaction

from clinical import geography
from clinical.duplicates import search
from clinical.duplicates.search import Say
from clinical.models import DuplicatePair, DuplicateSearch, Table
from medilink.branches import Place, Places
from medilink.country import chance
from medilink.twins import Crowd, Row

SCHEMA = "medilink_measuring"
AT_EACH = 200  # patients of a facility, on average
COPIED = ("facilities", "patients", "duplicate_pairs", "duplicate_searches")


@dataclass
class Measured:
    """Of one table. Kinds are of dirt for what was to be found, and of lookalikes for what was found in error."""

    table: Table
    search: DuplicateSearch
    rows: int
    to_find: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    in_error: Counter[str] = field(default_factory=Counter)

    @property
    def precision(self) -> float:
        return self.found.total() / max(self.found.total() + self.in_error.total(), 1)

    @property
    def recall(self) -> float:
        return self.found.total() / max(self.to_find.total(), 1)

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)


def measure(*, seed: int, patients: int, facilities: int, say: Say = lambda _: None) -> list[Measured]:
    """`facilities` are compared with one another; the patients are at others."""
    with _scratch_tables():
        people = _invent_patients(seed, patients, max(patients // AT_EACH, 1))
        of_patients = _measured(Table.PATIENTS, people, say)
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE patients, facilities, duplicate_pairs")
        places = Places(seed, facilities).rows()
        _copy("facilities", ("id", "name", "state", "lga", "lga_name", "type", "lat", "lon"), map(_facility, places))
        return [of_patients, _measured(Table.FACILITIES, places, say)]


@contextmanager
def _scratch_tables() -> Iterator[None]:
    """The tables' names mean empty copies of them, until the end; nothing of it stays."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA {SCHEMA}")
            for table in COPIED:
                cursor.execute(f"CREATE TABLE {SCHEMA}.{table} (LIKE {table} INCLUDING ALL)")
            cursor.execute(f"SET LOCAL search_path = {SCHEMA}, public")
            cursor.execute("SET LOCAL statement_timeout = 0")
        try:
            yield
        finally:
            transaction.set_rollback(True)


def _invent_patients(seed: int, size: int, facilities: int) -> list[Row]:
    draw = chance(seed, "states")
    states = [draw.choice(geography.STATES) for _ in range(facilities)]
    clinics = ((n, f"Clinic {n}", state, "", "", "Clinic", None, None) for n, state in enumerate(states))
    _copy("facilities", ("id", "name", "state", "lga", "lga_name", "type", "lat", "lon"), clinics)
    known: dict[tuple[object, ...], Row] = {}
    for row in Crowd(seed, size, states).rows():  # one identity twice is nothing that a table could hold
        known.setdefault((row.facility, row.first_name.lower(), row.last_name.lower(), row.dob), row)
    people = [*known.values()]
    columns = ("id", "facility_id", "first_name", "last_name", "sex", "dob", "dob_is_estimated", "phone")
    _copy("patients", (*columns, "patient_number"), map(_patient, people))
    return people


def _patient(row: Row) -> tuple[object, ...]:
    names = (row.first_name, row.last_name, row.sex)
    return (row.id, row.facility, *names, row.dob, row.dob_is_estimated, row.phone, row.number)


def _facility(place: Place) -> tuple[object, ...]:
    return (place.id, place.name, place.state, place.lga, place.lga, place.type, place.lat, place.lon)


def _copy(table: str, columns: tuple[str, ...], rows: Any) -> None:
    text = StringIO()
    for row in rows:
        text.write("\t".join("\\N" if cell is None else f"{cell}" for cell in row) + "\n")
    text.seek(0)
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", text)
        cursor.execute(f"ANALYZE {table}")


def _measured(table: Table, rows: list[Any], say: Say) -> Measured:
    started = time.monotonic()
    done = search.search(table, say=say)
    say(f"{table}: {len(rows):,} rows, {done.compared:,} pairs in {time.monotonic() - started:.1f} s")
    measured = Measured(table, done, len(rows))
    known = {row.id: row for row in rows}
    truth = {(row.same_as, row.id): row.kind for row in rows if row.same_as in known}
    pairs = {*DuplicatePair.objects.filter(table=table).values_list("low_id", "high_id")}
    for pair, kind in truth.items():
        measured.to_find[kind] += 1
        measured.found[kind] += pair in pairs
    for low, high in pairs - truth.keys():
        kinds = {known[one].kind for one in (low, high) if known[one].same_as is None} - {""}
        measured.in_error[kinds.pop() if len(kinds) == 1 else "by chance"] += 1
    return measured


def by_kind(measured: Measured) -> dict[str, tuple[int, int]]:
    """Kind of dirt: (found, to be found); two kinds at once are one kind of their own."""
    kinds: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for kind, count in measured.to_find.items():
        name = "two at once" if " + " in kind else kind
        found, to_find = kinds[name]
        kinds[name] = (found + measured.found[kind], to_find + count)
    return dict(sorted(kinds.items()))
