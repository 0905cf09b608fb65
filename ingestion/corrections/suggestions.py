"""What would mend a refused row, where the tables or the cell itself can say: for people to choose from, never applied.

A facility's file names patients of that facility alone. What is asked of the database is asked once per name.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import cached_property
from typing import Any

from django.contrib.postgres.search import TrigramSimilarity
from django.db.models import QuerySet, TextField, Value
from django.db.models.functions import Concat, Greatest

from clinical import geography, values
from clinical.models import Facility, FacilityName, Patient, PatientName
from ingestion import spreadsheets
from ingestion.cells import names_of
from ingestion.models import RejectedRow
from ingestion.objects import folder_state
from ingestion.refusals import code_of

MOST = 3  # of each kind
MOST_LOOKUPS = 500  # in the tables, for one file
ALIKE = 0.3
BETWEEN = " | "


class Suggestions:
    """For the rows of one file."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], list[Any]] = {}

    def of(self, row: RejectedRow) -> str:
        """All that can be said; empty where nothing can."""
        about = _About(row, self)
        found = [sentence for reason in row.reasons for sentence in about.sentences(reason)]
        return BETWEEN.join(dict.fromkeys(found))

    def once(self, key: tuple[Any, ...], query: "Callable[[], QuerySet[Any]]") -> list[Any]:
        if key not in self._known:
            if len(self._known) == MOST_LOOKUPS:
                return []
            self._known[key] = [*query()]
        return self._known[key]


class _About:
    """One row, with its cells as they would be tried now."""

    def __init__(self, row: RejectedRow, tables: Suggestions) -> None:
        self.row, self.tables = row, tables

    @cached_property
    def cells(self) -> dict[str, str]:
        return cells_of(self.row)

    @cached_property
    def names(self) -> dict[str, str]:
        return names_of(self.row.dataset, self.cells)

    @property
    def _who(self) -> tuple[int | None, str, str]:
        return self.row.facility_id, self.names.get("first_name_key", ""), self.names.get("last_name_key", "")

    def sentences(self, reason: str) -> Iterator[str]:
        column = reason.partition(":")[2]
        column, named = (column, f"{column}: ") if column in self.cells else ("", "")
        said = _BY_REASON.get(reason) or _BY_CODE.get(code_of(reason))
        if said:
            yield from (f"{named}{sentence}" for sentence in said(self, column) if sentence)

    @cached_property
    def state(self) -> str | None:
        cell = self.cells.get("facility_state") or self.cells.get("state") or ""
        return geography.find_state(cell) or folder_state(self.row.source.rpartition("/")[0])

    # --- Values

    def one_of_states(self, column: str) -> Iterator[str]:
        yield _either(_nearest(self.cells[column], geography.STATES))

    def one_of_sexes(self, _column: str) -> Iterator[str]:
        yield "M, F, Other or Unknown"

    def level(self, column: str) -> Iterator[str]:
        number = self.cells[column].strip()
        whole = number.partition(".")[0]
        is_whole = number.partition(".")[2].strip("0") == "" and whole in ("1", "2", "3", "4", "5")
        yield whole if is_whole else "1 (most urgent) to 5"

    def day(self, column: str) -> Iterator[str]:
        if column not in DATES:
            yield from self.level(column) if column == "triage_level" else ()
            return
        days = spreadsheets.possible_days(self.cells[column])
        serial = spreadsheets.day_of_serial(self.cells[column])
        if serial and serial.year >= values.FIRST_DOB.year:
            yield f"{serial.isoformat()} (by a spreadsheet's count of days)"
        elif days and days[0].isoformat() != self.cells[column].strip():
            yield _either(f"{day.isoformat()} ({day.day} {day:%B})" for day in days)

    def swapped_day(self, column: str) -> Iterator[str]:
        """A future date may have day and month changed over."""
        try:
            day = date.fromisoformat(self.cells[column].strip()[:10])
            swapped = day.replace(month=day.day, day=day.month)
        except ValueError:
            return
        if values.FIRST_DOB <= swapped <= self.row.first_seen_at.date() and swapped != day:
            yield f"{swapped.isoformat()}, if day and month were changed over"

    def in_range(self, column: str) -> Iterator[str]:
        yield from self.level(column) if column == "triage_level" else self.swapped_day(column)

    def shorter(self, column: str) -> Iterator[str]:
        most = values.LENGTHS.get(_KINDS.get(column, column))
        if most:
            yield f"at most {most} characters, it has {len(self.cells[column].strip())}"

    def beyond_header(self, _column: str) -> Iterator[str]:
        beyond = self.row.raw.get("") or []
        if beyond:
            yield f"cells beyond the last column: {' , '.join(map(str, beyond))}"

    # --- Facilities

    def lga(self, column: str) -> Iterator[str]:
        if column == "lga" and self.state:
            name = " ".join(self.cells["name"].split())
            found = self.tables.once(("lga", name, self.state), lambda: _called(name, self.state))
            yield _either(facility.lga for facility in found if facility.lga)

    def facility_by_name(self, _column: str) -> Iterator[str]:
        lga = self.cells.get("facility_lga") or ""
        if lga and self.state and geography.find_lga(lga, self.state) is None:
            yield _named("facility_lga", _either(_nearest(lga, geography.LGAS[self.state])))
        found = self._alike(self.state) or (self._alike(None) if self.state else [])
        yield _named("facility_name", _either(f"{f.name} ({_place(f)})" for f in found))

    def _alike(self, state: str | None) -> list[Facility]:
        key = self.names.get("facility_key", "")
        return self.tables.once(("alike", key, state), lambda: _facilities_like(key, state))

    def facility_by_place(self, _column: str) -> Iterator[str]:
        key = self.names.get("facility_key", "")
        found = self.tables.once(("same", key, self.state), lambda: _namesakes_of_facility(key, self.state))
        yield _named("facility_state and facility_lga", _either(f"{f.state}, {f.lga or 'no LGA'}" for f in found))

    # --- Patients

    def patient_of_name(self, _column: str) -> Iterator[str]:
        found = self._namesakes()
        if len({patient.dob for patient in found}) > 1:
            yield _named("patient_dob", _either(map(_person, found)))
        elif found:
            yield _named("patient_phone", _either(f"{patient.phone} ({_person(patient)})" for patient in found))

    def patient_like_it(self, _column: str) -> Iterator[str]:
        if found := self._namesakes():
            yield _named("patient_dob", _either(map(_person, found)))
            return
        who = self._who
        found = self.tables.once(("patient", *who), lambda: _patients_like(*who)) if who[0] else []
        yield _named("patient", _either(f"{p.first_name} {p.last_name}, born {_person(p)}" for p in found))

    def known_sex(self, _column: str) -> Iterator[str]:
        found = {p.sex for p in self._namesakes() if p.dob.isoformat() == self.cells.get("dob", "").strip()}
        yield _named("sex", f"known as {_either(found)}" if found else "")

    def _namesakes(self) -> list[Patient]:
        who = self._who
        return self.tables.once(("namesakes", *who), lambda: _patients_called(*who)) if who[0] else []


# --- Questions to the tables


def _called(name: str, state: str | None) -> "QuerySet[Facility]":
    return Facility.objects.filter(deleted_at=None, name__iexact=name, state=state)[:MOST]


def _facilities_like(key: str, state: str | None) -> "QuerySet[Facility]":
    alike = Facility.objects.filter(deleted_at=None, **({"state": state} if state else {}))
    alike = alike.annotate(likeness=TrigramSimilarity("name_key", key)).filter(likeness__gte=ALIKE)
    return alike.order_by("-likeness", "pk")[:MOST]


def _namesakes_of_facility(key: str, state: str | None) -> "QuerySet[Facility]":
    named = FacilityName.objects.filter(name_key=key).values("facility_id")
    return Facility.objects.filter(pk__in=named, **({"state": state} if state else {})).order_by("pk")[: 2 * MOST]


def _patients_called(facility_id: int | None, first: str, last: str) -> "QuerySet[Patient]":
    same = PatientName.objects.filter(facility=facility_id, first_name_key=first, last_name_key=last)
    return Patient.objects.filter(pk__in=same.values("patient_id")).order_by("dob", "pk")[: 2 * MOST]


def _patients_like(facility_id: int | None, first: str, last: str) -> "QuerySet[Patient]":
    """Those of the facility with a name alike, in either order of its parts."""
    whole = Concat("first_name_key", Value(" "), "last_name_key", output_field=TextField())
    likeness = Greatest(TrigramSimilarity(whole, f"{first} {last}"), TrigramSimilarity(whole, f"{last} {first}"))
    alike = Patient.objects.filter(facility=facility_id, deleted_at=None).annotate(likeness=likeness)
    return alike.filter(likeness__gte=ALIKE).order_by("-likeness", "pk")[:MOST]


# --- Which reason asks what

DATES = ("dob", "patient_dob", "recorded_at", "visited_at")
_KINDS = {
    "name": "facility_name",
    "facility_state": "state",
    "facility_lga": "lga",
    "patient_phone": "phone",
    "patient_first_name": "first_name",
    "patient_last_name": "last_name",
}
_BY_REASON: dict[str, Any] = {
    "REQUIRED_MISSING:lga": _About.lga,
    "ENUM:state": _About.one_of_states,
    "ENUM:facility_state": _About.one_of_states,
    "ENUM:sex": _About.one_of_sexes,
    "IDENTITY_CONFLICT:sex": _About.known_sex,
}
_BY_CODE: dict[str, Any] = {
    "DATE_AMBIGUOUS": _About.day,
    "TYPE_INVALID": _About.day,
    "DATE_FUTURE": _About.swapped_day,
    "RANGE": _About.in_range,
    "LENGTH": _About.shorter,
    "FIELD_COUNT": _About.beyond_header,
    "FACILITY_NOT_FOUND": _About.facility_by_name,
    "FACILITY_AMBIGUOUS": _About.facility_by_place,
    "PATIENT_NOT_FOUND": _About.patient_like_it,
    "PATIENT_AMBIGUOUS": _About.patient_of_name,
}


def cells_of(row: RejectedRow) -> dict[str, str]:
    """Column → cell as delivered, or as corrected so far."""
    return {column: str(cell or "") for column, cell in row.cells.items() if column}


def _nearest(cell: str, names: Iterable[str]) -> list[str]:
    by_key = {geography.key(name): name for name in names}
    spelt = geography.key(cell).removesuffix("state")
    return [by_key[key] for key in difflib.get_close_matches(spelt, by_key, MOST, 0.6)]


def _either(choices: Iterable[Any]) -> str:
    return " or ".join(dict.fromkeys(map(str, choices)))


def _named(column: str, sentence: str) -> str:
    return f"{column}: {sentence}" if sentence else ""


def _place(facility: Facility) -> str:
    return ", ".join(filter(None, (facility.lga, facility.state)))


def _person(patient: Patient) -> str:
    number = f", {patient.patient_number}" if patient.patient_number else ""
    return f"{patient.dob.isoformat()} ({patient.sex}{number})"
