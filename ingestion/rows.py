"""What a row of each dataset is: its cells cleaned by clinical/values, every reason against it, its fingerprint.

Pure: no database, no S3. Works on columns of a few thousand cells at a time, because one Python call per cell is what
a load cannot afford: a chunk that is plain text is only stripped, and repeated cells are parsed once.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from hashlib import md5
from itertools import chain, compress
from typing import Any, Protocol

from clinical import values
from clinical.values import Invalid
from ingestion.datasets import COLUMNS, Dataset
from ingestion.objects import lagos_day
from ingestion.rulebook import NO_RULES, Rulebook

# The definition of an event's fingerprint: MD5 over the content columns, each normalised, a list's items kept apart,
# absent as empty. A change of it, or of what normalises, is a new number.
FINGERPRINT_VERSION = 1
STEWARD_CELLS = ("facility_id", "patient_id")  # what a correction may add to the cells of a child row
MEMO = 1 << 16
PLAIN_ITEM = re.compile(r"[\w:.+()/-]+(?: [\w:.+()/-]+)*")  # needs no quotes in an array literal


class Chunk(Protocol):
    """Numbered records, as ingestion/reader.py and the replay of refused rows give them."""

    @property
    def lines(self) -> Sequence[int]: ...
    @property
    def rows(self) -> Sequence[Sequence[str]]: ...
    @property
    def suspects(self) -> frozenset[int]: ...


@dataclass
class Delivery:
    """What the rows need to know of the file they are in, and what was counted while they were read."""

    dataset: Dataset
    last_modified: datetime
    rulebook: Rulebook = NO_RULES
    rows_read: int = 0
    warnings: Counter[str] = field(default_factory=Counter)


def staged(delivery: Delivery, header: Sequence[str], chunks: Iterable[Chunk]) -> Iterator[bytes]:
    """Each chunk as the tab-separated CSV that COPY takes, in the order of `columns_of(delivery, header)`."""
    parse = _Parsers(delivery.last_modified)
    kept = [_is_delivered(name, header) for name in _STAGED[delivery.dataset]]
    for chunk in chunks:
        page = _Page(delivery, header, chunk)
        columns = [*compress(_DATASETS[delivery.dataset](page, parse), kept)]
        if delivery.rulebook:
            columns.append(page.rules())
        delivery.rows_read += len(chunk.rows)
        rows = zip(map(str, chunk.lines), page.reasons(), *columns, strict=True)
        # Where no cell needs quotes, joining is all that the writer would do, at a fifth of the price.
        yield ("\r\n".join(map("\t".join, rows)) + "\r\n").encode() if page.is_simple else csv_block(rows)


def columns_of(delivery: Delivery, header: Sequence[str]) -> tuple[str, ...]:
    """The staging columns that `staged` fills, in its order: not those of cells that the file does not have."""
    cells = [name for name in _STAGED[delivery.dataset] if _is_delivered(name, header)]
    return "line", "reasons", *cells, *(["rules"] if delivery.rulebook else [])


def delivered(header: Sequence[str]) -> list[str]:
    """A file's header as it may be believed: columns named like a steward's cells hold ids of the sender's own."""
    return ["" if column in STEWARD_CELLS else column for column in header]


def as_kept(header: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """A record as it is kept with a refused row. jsonb holds no NUL; the sign for it stands there instead."""
    cells = [cell.replace("\0", "\u2400") for cell in cells]
    raw: dict[str, Any] = dict(zip(header, cells, strict=False))
    if len(cells) > len(header):
        raw[""] = cells[len(header) :]
    return raw


def csv_block(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Tab-separated, so that commas need no quotes; CRLF, because the writer quotes for its own line end only."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter="\t", lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()


def _is_delivered(staged_column: str, header: Sequence[str]) -> bool:
    cell = staged_column.removeprefix("given_")
    return cell in header or cell not in _MAY_BE_ABSENT


_MAY_BE_ABSENT = {column for columns in COLUMNS.values() for column in columns.optional} | set(STEWARD_CELLS)

_PLACE = ("facility_name", "facility_state", "facility_lga")
_PERSON = ("patient_first_name", "patient_last_name", "patient_dob", "patient_phone")
_STAGED: dict[Dataset, tuple[str, ...]] = {
    Dataset.FACILITIES: ("name", "state", "lga", "lga_name", "lat", "lon", "type", "ownership", "level", "hfr_code"),
    Dataset.PATIENTS: (
        *_PLACE,
        "given_facility_id",
        *("first_name", "last_name", "sex", "dob", "dob_is_estimated", "phone", "patient_number"),
    ),
    Dataset.MEDICAL_RECORDS: (
        *_PLACE,
        *("given_facility_id", "given_patient_id"),
        *_PERSON,
        *("record_id", "recorded_at", "fingerprint"),
        *("record_type", "diagnosis", "treatment", "medications", "notes"),
    ),
    Dataset.TRIAGE_VISITS: (
        *_PLACE,
        *("given_facility_id", "given_patient_id"),
        *_PERSON,
        *("visit_id", "visited_at", "fingerprint"),
        *("triage_level", "chief_complaint", "vital_signs", "conditions", "recommendations", "language", "provider"),
    ),
}


class _Parsers:
    """The parsers of clinical/values for one file, each cell parsed once while it is remembered."""

    def __init__(self, last_modified: datetime) -> None:
        latest_day, latest = lagos_day(last_modified), last_modified + timedelta(days=1)
        self.state = lru_cache(MEMO)(lambda cell: values.state(cell) if cell else "")
        self.lga = lru_cache(MEMO)(lambda lga, state: (lga and values.lga(lga, state or None)) or lga)
        self.sex = lru_cache(MEMO)(values.sex)
        self.dob = lru_cache(MEMO)(lambda cell: _dob(cell, latest_day))
        self.phone = lru_cache(MEMO)(lambda cell: values.phone(cell) if cell else "")
        self.level = lru_cache(MEMO)(lambda cell: str(values.level(cell)) if cell else "")
        self.items = lru_cache(MEMO)(lambda cell: _array(values.items(cell)) if cell else "{}")
        self.instant = lru_cache(MEMO)(lambda cell: values.instant(cell, latest).isoformat() if cell else "")
        self.number = lru_cache(MEMO)(lambda cell: _id(cell) if cell else "")


NO_DOB = ("", "f")


def _dob(cell: str, latest: date) -> tuple[str, str]:
    if not cell:
        return NO_DOB
    day, is_estimated = values.dob(cell, latest)
    return day.isoformat(), "t" if is_estimated else "f"


def _id(cell: str) -> str:
    if not (cell.isascii() and cell.isdigit() and len(cell) < 19):
        raise Invalid("TYPE_INVALID")
    return cell


def _array(items: Sequence[str]) -> str:
    """PostgreSQL's array literal; also how a list stands in a fingerprint, which keeps its items apart."""
    return "{" + ",".join(map(_item, items)) + "}"


def _item(item: str) -> str:
    if PLAIN_ITEM.fullmatch(item) and item.lower() != "null":
        return item
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Page:
    """A chunk turned on its side: a column at a time, with what is wrong with each of its rows."""

    def __init__(self, delivery: Delivery, header: Sequence[str], chunk: Chunk) -> None:
        self.size = len(chunk.rows)
        self.warnings = delivery.warnings
        self._rulebook = delivery.rulebook
        self._ruled: dict[int, set[int]] = {}
        self._filled = COLUMNS[delivery.dataset].filled
        self._wrong: dict[int, list[str]] = {}
        self._void: dict[int, str] = dict.fromkeys(chunk.suspects, "QUOTE_SUSPECT")
        rows = self._of_width(chunk.rows, len(header))
        joined = " ".join(chain.from_iterable(rows))
        self._is_plain = values.is_plain(joined)
        self._is_single_spaced = "  " not in joined
        self.is_simple = self._is_plain and '"' not in joined  # no cell needs quotes
        self._cells: dict[str, Sequence[str]] = dict(zip(header, zip(*rows, strict=True), strict=True))
        self._absent: list[str] = [""] * self.size

    def _of_width(self, rows: Sequence[Sequence[str]], width: int) -> Sequence[Sequence[str]]:
        """Rows of another width, or with quotes that cannot be trusted, become empty: nothing else is said of them."""
        if not self._void and set(map(len, rows)) == {width}:
            return rows
        for index, row in enumerate(rows):
            if len(row) != width:
                self._void[index] = "FIELD_COUNT"
        empty = [""] * width
        return [empty if index in self._void else row for index, row in enumerate(rows)]

    def reasons(self) -> list[str]:
        """Per row the reasons against it as an array literal, or empty."""
        self._wrong.update({index: [reason] for index, reason in self._void.items()})
        found = [""] * self.size
        for index, reasons in self._wrong.items():
            found[index] = _array(reasons)
        return found

    def rules(self) -> list[str]:
        """Per row the rules by which its cells were read, as an array literal, or empty."""
        found = [""] * self.size
        for index, rules in self._ruled.items():
            found[index] = "{" + ",".join(map(str, sorted(rules))) + "}"
        return found

    def meant(self, about: str, cells: Sequence[str], states: Sequence[str] | None = None) -> Sequence[str]:
        """The cells, with what stewards have said that some of them mean."""
        if about not in self._rulebook.rulings:
            return cells
        meant = [*cells]
        for index, ruling in self._rulebook.found(about, cells, states or self._absent):
            meant[index] = ruling.value
            self._ruled.setdefault(index, set()).add(ruling.rule_id)
            self.is_simple = False
        return meant

    def refuse(self, index: int, reason: str) -> None:
        self._wrong.setdefault(index, []).append(reason)

    def warn(self, index: int, warning: str) -> None:
        if index not in self._void:
            self.warnings[warning] += 1

    # --- Columns

    def name(self, column: str, length: str | None = None) -> list[str]:
        """A name: inner white space folded, at most LENGTHS[length] characters, filled where it must be."""
        cells = self._cleaned(column, is_name=True)
        self._required(column, cells)
        return self._short(column, cells, values.LENGTHS[length or column])

    def identifier(self, column: str) -> list[str]:
        return self._short(column, self._cleaned(column, is_name=False), values.LENGTHS[column])

    def free(self, column: str) -> list[str]:
        cells = self._cleaned(column, is_name=False)
        if max(map(len, cells), default=0) * 4 > values.FREE_TEXT_BYTES:
            for index, cell in enumerate(cells):
                if len(cell.encode()) > values.FREE_TEXT_BYTES:
                    self.refuse(index, f"LENGTH:{column}")
                    cells[index] = ""
        return cells

    def raw(self, column: str) -> list[str]:
        """A cell that a parser will judge; filled where it must be."""
        cells = self._cleaned(column, is_name=False)
        self._required(column, cells)
        return cells

    def parsed(self, column: str, cells: Sequence[str], parse: Callable[[str], Any], invalid: Any = "") -> list[Any]:
        """`parse` over the cells; what it refuses is refused with its code, and `invalid` stands in its place."""
        try:
            return list(map(parse, cells))
        except Invalid:
            known, wrong = {}, {}
        for cell in set(cells):
            try:
                known[cell] = parse(cell)
            except Invalid as error:
                known[cell], wrong[cell] = invalid, error.code
        for index, cell in enumerate(cells):
            if cell in wrong:
                self.refuse(index, f"{wrong[cell]}:{column}")
        return [known[cell] for cell in cells]

    def _cleaned(self, column: str, *, is_name: bool) -> list[str]:
        cells = self._cells.get(column)
        if cells is None:
            return self._absent.copy()
        if not self._is_plain:
            return [self._clean(index, column, cell, is_name) for index, cell in enumerate(cells)]
        if is_name and not self._is_single_spaced:
            return [" ".join(cell.split()) for cell in cells]
        return list(map(str.strip, cells))

    def _clean(self, index: int, column: str, cell: str, is_name: bool) -> str:
        if cell.isalnum() and cell.isascii():
            return cell
        text, is_shorter = values.text(cell, is_name=is_name)
        if is_shorter:
            self.warn(index, f"CHAR_REMOVED:{column}")
        return text

    def _required(self, column: str, cells: Sequence[str]) -> None:
        if column in self._filled and not all(cells):
            for index, cell in enumerate(cells):
                if not cell:
                    self.refuse(index, f"REQUIRED_MISSING:{column}")

    def _short(self, column: str, cells: list[str], longest: int) -> list[str]:
        if max(map(len, cells), default=0) > longest:
            for index, cell in enumerate(cells):
                if len(cell) > longest:
                    self.refuse(index, f"LENGTH:{column}")
                    cells[index] = ""
        return cells


# --- The datasets


def _facilities(page: _Page, parse: _Parsers) -> list[Sequence[Any]]:
    name, state = page.name("name", "facility_name"), page.meant("state", page.name("state"))
    state = page.parsed("state", state, parse.state)
    lga = page.meant("lga", page.name("lga"), state)
    official = list(map(parse.lga, lga, state))
    _warn_of_unknown_lgas(page, lga, state)
    lat, lon = _points(page)
    return [
        *(name, state, lga, official, lat, lon, page.name("type")),
        *(page.free("ownership"), page.free("level"), page.identifier("hfr_code")),
    ]


def _warn_of_unknown_lgas(page: _Page, lgas: Sequence[str], states: Sequence[str]) -> None:
    known = {
        (lga, state): values.lga(lga, state) is not None
        for lga, state in set(zip(lgas, states, strict=True))
        if lga and state
    }
    if not all(known.values()):
        for index, pair in enumerate(zip(lgas, states, strict=True)):
            if not known.get(pair, True):
                page.warn(index, "LGA_UNKNOWN")


def _points(page: _Page) -> tuple[list[str], list[str]]:
    lats: list[str] = []
    lons: list[str] = []
    for index, (lat, lon) in enumerate(zip(page.raw("lat"), page.raw("lon"), strict=True)):
        north, east, warning = values.point(lat, lon)
        if warning:
            page.warn(index, warning)
        lats.append("" if north is None else str(north))
        lons.append("" if east is None else str(east))
    return lats, lons


def _patients(page: _Page, parse: _Parsers) -> list[Sequence[Any]]:
    place = _place(page, parse)
    first, last = page.name("first_name"), page.name("last_name")
    cells = page.raw("sex")
    sex = page.parsed("sex", page.meant("sex", cells, place[1]), parse.sex, "Unknown")
    if not all(cells):
        for index, cell in enumerate(cells):
            if not cell:
                page.warn(index, "SEX_MISSING")
    dob, is_estimated = zip(*page.parsed("dob", page.raw("dob"), parse.dob, NO_DOB), strict=True)
    return [
        *(*place, first, last, sex, dob, is_estimated),
        *(_phones(page, "phone", parse), page.identifier("patient_number")),
    ]


def _place(page: _Page, parse: _Parsers) -> list[Sequence[Any]]:
    """Facility name, state and LGA (each empty where not given, the LGA by its official name), and a steward's id."""
    name = page.name("facility_name")
    state = page.meant("state", page.name("facility_state", "state"))
    state = page.parsed("facility_state", state, parse.state)
    lga = page.meant("lga", page.name("facility_lga", "lga"), state)
    lga = list(map(parse.lga, lga, state)) if any(lga) else lga
    return [name, state, lga, page.parsed("facility_id", page.raw("facility_id"), parse.number)]


def _phones(page: _Page, column: str, parse: _Parsers) -> list[str]:
    cells = page.raw(column)
    phones = list(map(parse.phone, cells))
    if None in phones:
        for index, (cell, phone) in enumerate(zip(cells, phones, strict=True)):
            if cell and phone is None:
                page.warn(index, "PHONE_INVALID")
    return [phone or "" for phone in phones]


def _person(page: _Page, parse: _Parsers) -> list[Sequence[Any]]:
    first, last = page.name("patient_first_name", "first_name"), page.name("patient_last_name", "last_name")
    dob = [day for day, _ in page.parsed("patient_dob", page.raw("patient_dob"), parse.dob, NO_DOB)]
    return [first, last, dob, _phones(page, "patient_phone", parse)]


def _records(page: _Page, parse: _Parsers) -> list[Sequence[Any]]:
    place = _place(page, parse)
    patient = page.parsed("patient_id", page.raw("patient_id"), parse.number)
    person = _person(page, parse)
    instants = page.raw("recorded_at")
    instant = page.parsed("recorded_at", instants, parse.instant)
    content: list[Sequence[str]] = [
        page.name("record_type"),
        *map(page.free, ("diagnosis", "treatment", "medications", "notes")),
    ]
    fingerprint = _fingerprints(*content, _or_written(instant, instants))
    # After the fingerprint, which is of what was delivered: a rule must not make a new event of a row that comes again.
    content[1] = page.meant("diagnosis", content[1], place[1])
    return [*place, patient, *person, page.identifier("record_id"), instant, fingerprint, *content]


def _visits(page: _Page, parse: _Parsers) -> list[Sequence[Any]]:
    place = _place(page, parse)
    patient = page.parsed("patient_id", page.raw("patient_id"), parse.number)
    person = _person(page, parse)
    instants, levels = page.raw("visited_at"), page.raw("triage_level")
    instant = page.parsed("visited_at", instants, parse.instant)
    level = page.parsed("triage_level", levels, parse.level)
    complaint, vitals = page.free("chief_complaint"), page.free("vital_signs")
    lists = [list(map(parse.items, page.free(column))) for column in ("conditions", "recommendations")]
    if any('"' in cell for cells in lists for cell in cells):  # an array literal quotes an item with a comma
        page.is_simple = False
    written = _or_written(level, levels), _or_written(instant, instants)
    fingerprint = _fingerprints(written[0], complaint, vitals, *lists, written[1])
    return [
        *(*place, patient, *person, page.identifier("visit_id"), instant, fingerprint),
        *(level, complaint, vitals, *lists, page.free("language"), page.free("provider")),
    ]


def _or_written(parsed: Sequence[str], cells: Sequence[str]) -> Sequence[str]:
    """A refused cell stands in the fingerprint as it was written: what differs only there is no repetition."""
    return parsed if all(parsed) else [value or cell for value, cell in zip(parsed, cells, strict=True)]


def _fingerprints(*content: Iterable[str]) -> list[str]:
    """128 bits per row, as hexadecimal digits that PostgreSQL reads as a uuid."""
    return [
        md5(row.encode(), usedforsecurity=False).hexdigest() for row in map("\x1f".join, zip(*content, strict=True))
    ]


_DATASETS: dict[Dataset, Callable[[_Page, _Parsers], list[Sequence[Any]]]] = {
    Dataset.FACILITIES: _facilities,
    Dataset.PATIENTS: _patients,
    Dataset.MEDICAL_RECORDS: _records,
    Dataset.TRIAGE_VISITS: _visits,
}
