"""What is kept of a refused row's cells: sealed as they are, and keyed hashes of those by which rows are compared.

Only cells that a reason speaks of, or that a rule may be about, have a hash: what stands in the others says nothing to
who has the database but no key. Pure: no database.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from unicodedata import normalize
from uuid import UUID

from clinical import geography
from clinical.keyed import Hashes
from ingestion.datasets import COLUMNS, Dataset
from ingestion.refusals import code_of
from ingestion.rulebook import key_of

OF_FACILITY = ("FACILITY_NOT_FOUND", "FACILITY_AMBIGUOUS")
OF_PATIENT = ("PATIENT_NOT_FOUND", "PATIENT_AMBIGUOUS", "IDENTITY_CONFLICT:patient")
PLACE = ("facility_name", "facility_state", "facility_lga")
PERSON = ("patient_first_name", "patient_last_name", "facility_name")
STATES = frozenset(geography.STATES)
_ALL_COLUMNS = frozenset(column for columns in COLUMNS.values() for column in columns.all)


_PERSON_OF_EVENT = {"first_name_key": "patient_first_name", "last_name_key": "patient_last_name"}
NAMES: dict[Dataset, dict[str, str]] = {
    Dataset.FACILITIES: {},
    Dataset.PATIENTS: {"facility_key": "facility_name", "first_name_key": "first_name", "last_name_key": "last_name"},
    Dataset.MEDICAL_RECORDS: {"facility_key": "facility_name"} | _PERSON_OF_EVENT,
    Dataset.TRIAGE_VISITS: {"facility_key": "facility_name"} | _PERSON_OF_EVENT,
}


class Kept(NamedTuple):
    """Columns of a refused row. `raw` is still to be sealed."""

    raw: bytes
    raw_hash: UUID
    named_state: str | None
    cell_keys: dict[str, str]


def kept(raw: Mapping[str, Any], reasons: Iterable[str], hashes: Hashes) -> Kept:
    text = dumped(raw)
    raw_hash = hashes.of(text)
    assert raw_hash
    return Kept(text.encode(), raw_hash, named_state(raw), keys_of(raw, reasons, hashes))


def dumped(cells: Mapping[str, Any]) -> str:
    """In the order of their names, so that their order in a file says nothing."""
    return json.dumps(cells, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def loaded(plain: bytes | None) -> dict[str, Any]:
    return json.loads(plain) if plain else {}


def named_state(raw: Mapping[str, Any]) -> str | None:
    """The state that a row's own cell names, where it is written like one: any other text may be anything."""
    text = re.sub(r"[ -]+STATE$", "", str(raw.get("facility_state") or "").strip(" ").upper())
    return text if text in STATES else None


def keys_of(cells: Mapping[str, Any], reasons: Iterable[str], hashes: Hashes) -> dict[str, str]:
    """Column → hash, of the cells as they would be tried."""
    columns = {column for reason in reasons for column in spoken_of(reason)}
    texts = {column: key_of(str(cells.get(column) or "")) for column in columns}
    return {column: hashes.hex_of(text) for column, text in sorted(texts.items()) if text}


def names_of(dataset: str, cells: Mapping[str, Any]) -> dict[str, str]:
    """The names in the cells as names are compared, by the columns that hold their hashes."""
    return {key: name_key(cells.get(column)) for key, column in NAMES[Dataset(dataset)].items()}


def name_key(cell: Any) -> str:
    return normalize("NFC", key_of(str(cell or "")))


def spoken_of(reason: str) -> tuple[str, ...]:
    """The columns whose texts tell rows of this reason apart, or let a rule free them."""
    code, _, column = reason.partition(":")
    if code in OF_FACILITY:
        return PLACE
    if code in OF_PATIENT or reason in OF_PATIENT:
        return PERSON
    if code == "RULE_TAKEN_BACK":
        return RULED
    return (column,) if column in _ALL_COLUMNS else ()


# The cells that rules are about (ingestion/rules.py), in whichever file.
RULED = ("facility_name", "facility_state", "facility_lga", "state", "lga", "sex", "diagnosis")


def value_of(cells: Mapping[str, Any], reason: str) -> str:
    """The text that the reason is about, as a person reads it."""
    if code_of(reason) in OF_FACILITY:
        columns: tuple[str, ...] = ("facility_name",)
    elif code_of(reason) in OF_PATIENT or reason in OF_PATIENT:
        first, last, facility = (cells.get(column) for column in PERSON)
        return " ".join(str(part) for part in (first, last, "·", facility) if part is not None).strip()
    else:
        columns = spoken_of(reason)
    return str(cells.get(columns[0]) or "").strip() if len(columns) == 1 else ""
