"""A patient who must not be heard of: unlike words in every field, files that bring her, and how she is known again.

Her fields are those of the datasets and of the models, so that a new one is filled, and missed where it is not.
"""

import base64
import binascii
import csv
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from itertools import cycle
from typing import Any
from urllib.parse import unquote_to_bytes

from ingestion.datasets import COLUMNS, Dataset

STEM = "Zqcanary"  # begins all that is text of her
PHONE = "+2348031597531"
DOB = date(1903, 2, 27)
CLINIC = {"name": "Silent Clinic", "state": "KANO", "lga": "Dala", "type": "Clinic"}
WHEN = "2026-11-18 09:30:00"
BORN = {"dob": DOB.isoformat(), "phone": PHONE}
# Of columns that take no word.
CELLS = {"sex": "F", "triage_level": "2", "recorded_at": WHEN, "visited_at": WHEN, "lat": "", "lon": ""}
CELLS |= dict.fromkeys(("ownership", "level", "hfr_code"), "")
CELLS |= BORN | {f"patient_{name}": text for name, text in BORN.items()}
CELLS |= {f"facility_{name}": text for name, text in CLINIC.items()}
# Where she may stand in clear, and does (what she no longer reaches is taken out): the clinical tables with their
# history, what was read out of their words, and marts of patients. A mart of conditions has their names, as they are
# written, and nobody's; so has the list of words that a code may be wanted for.
HERS = {
    f"{table}.{column}"
    for table, columns in {
        "patients": "first_name last_name first_name_key last_name_key dob phone patient_number delivered",
        "patient_aliases": "first_name last_name first_name_key last_name_key dob",
        "medical_records": "data record_type record_id",
        "triage_visits": "chief_complaint vital_signs conditions recommendations language provider visit_id",
        "revisions": "was became",
        "dim_patients": "full_name first_name last_name date_of_birth phone_number",
        "patient_summary": "record_types recent_diagnoses recent_conditions",
        "condition_analysis": "condition",
        "term_texts": "text keys unknown",
        "vital_readings": "leftover",
    }.items()
    for column in columns.split()
}


def word(column: str) -> str:
    """Her word in this column; her names are the same in every file."""
    return f"{STEM}-{column.removeprefix('patient_') if column != 'patient_number' else column}"


NAME = f"{word('first_name')} {word('last_name')}"


def row(columns: Iterable[str], **changed: str) -> dict[str, str]:
    return {column: CELLS.get(column, word(column)) for column in columns} | changed


def table(header: Iterable[str], rows: Iterable[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*header], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# --- Knowing her again

_CASES = (STEM, STEM.lower(), STEM.upper())
_DATES = (
    *(DOB.isoformat(), f"{DOB:%d/%m/%Y}", f"{DOB:%m/%d/%Y}", f"{DOB:%d-%m-%Y}", f"{DOB:%Y%m%d}"),
    *(f"{DOB:%d %B %Y}", f"{DOB:%d %b %Y}", f"{DOB:%b. %d, %Y}", f"{DOB:%B %d, %Y}"),
)
_PLAIN = [text.lower().encode() for text in (STEM, PHONE[4:], *_DATES)]
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")
_DEEPEST = 4


def _cores(text: str) -> Iterator[bytes]:
    """What stands in base64 of anything that holds the text, at each of its three offsets."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + text.encode())
        yield encoded[-(-offset * 8 // 6) : len(text + "\0" * offset) * 8 // 6]


_ENCODED = [core for text in (*_CASES, PHONE[4:], *_DATES) for core in _cores(text) if len(core) >= 8]


def is_in(said: bytes | str, depth: int = 0) -> bool:
    """Whether the text tells of her: in any case, in percent signs, JSON, base64, hex, compressed, or all of it."""
    data = said.encode() if isinstance(said, str) else said
    lower = data.lower()
    if any(plain in lower for plain in _PLAIN) or any(core in data for core in _ENCODED):
        return True
    return depth < _DEEPEST and any(is_in(inner, depth + 1) for inner in _inside(data))


def _inside(data: bytes) -> Iterator[bytes]:
    """What the bytes may be the writing of."""
    if b"%" in data and (plain := unquote_to_bytes(data)) != data:
        yield plain
    if b"\\" in data and (plain := data.replace(b"\\/", b"/").replace(b'\\"', b'"')) != data:
        yield plain
    for run in _HEX.findall(data):
        yield binascii.unhexlify(run)
    for run in _RUN.findall(data):
        text = run.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        with suppress(binascii.Error):
            yield base64.b64decode(text + b"=" * (-len(text) % 4))
    if data[:1] == b"\x78" or data[:2] == b"\x1f\x8b":
        with suppress(zlib.error):
            yield zlib.decompress(data, wbits=47)


def tells(value: Any) -> bool:
    """The same of a value of a row, as JSON has it."""
    return value is not None and is_in(json.dumps(value, default=str, ensure_ascii=False))


def columns_that_tell(rows: Iterable[dict[str, Any]]) -> Counter[str]:
    """By column, in how many of the rows it tells of her."""
    return Counter(column for each in rows for column, value in each.items() if tells(value))


# --- The files that bring her


def files() -> dict[str, str | bytes]:
    """She herself in every column, wrongly in each column that is judged, and in headers and bytes that are no file."""
    header = {dataset: COLUMNS[dataset].all for dataset in Dataset}
    right = {dataset: table(header[dataset], [row(header[dataset])]) for dataset in Dataset if dataset.stage}
    wrong = {dataset: table(header[dataset], _wrong(header[dataset])) for dataset in Dataset}
    head, _, tail = right[Dataset.PATIENTS].partition("\n")
    people = header[Dataset.PATIENTS]
    odd = {
        "a": tail,  # a row in place of a header, then headers that go on with a row
        "b": f"{head},{PHONE},{DOB}\n{tail.strip()},1,2\n",
        "c": f"{head},{PHONE},{PHONE}\n",
        "d": f'{head}\n"{NAME},{PHONE}\n',
        "e": f"{head}\n{NAME},".encode() + b"\xff\xfe\n",
        "f": f"%PDF-1.7\n{NAME}\n",
        "g": f"{head}\n{NAME},{PHONE},too,short\n{NAME},{PHONE}{',x' * 30}\n",
        "held": table(people, [row(people, dob=f"{NAME} {n}", first_name=f"{STEM} {n}") for n in range(30)]),
    }
    return (
        {f"{dataset}-2026-11-18.csv": text for dataset, text in right.items()}
        | {f"kano/{dataset}-2026-11-19.csv": text for dataset, text in wrong.items()}
        | {f"{folder}/patients-2026-11-19.csv": text for folder, text in odd.items()}
    )


def _wrong(columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows that say who she is where something else belongs; not where a facility says what it is called."""
    is_place = "state" in columns
    said = zip(("state", "lat", "lon") if is_place else columns, cycle((NAME, f"{PHONE} {DOB}")))
    return [row(columns, **(CLINIC if is_place else {}) | {column: text}) for column, text in said]


def person(facility_id: int, last_name: str) -> dict[str, Any]:
    """Herself, as the API and the desk take her."""
    named = {"first_name": word("first_name"), "last_name": last_name, "patient_number": word("patient_number")}
    return {"facility_id": facility_id, "sex": "F", **BORN, **named}


def encodings() -> list[bytes]:
    """Her name as it may be written: in base64, in hex, compressed, quoted."""
    said = f"told of {NAME} {PHONE}".encode()
    return [
        base64.b64encode(said),
        binascii.hexlify(said),
        base64.urlsafe_b64encode(zlib.compress(said * 3)),
        base64.b64encode(base64.b64encode(zlib.compress(said))),
    ]
