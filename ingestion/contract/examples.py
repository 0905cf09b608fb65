"""Each error as it happens, and mended: small deliveries of invented people that follow the sample files.

A test loads each: what is wrong gets exactly its code, what is mended loads. They are shown to the app's makers.
"""

import csv
import gzip
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ingestion.datasets import COLUMNS, Dataset

SAMPLES = Path(__file__).with_name("samples")
SHOWN_LINES = 6
LAST_NAMES = ("Adeyemi", "Bako", "Chukwu", "Dikko", "Edet", "Fashola", "Garba", "Haruna", "Inyang", "Jibril", "Kalu")


@dataclass(frozen=True)
class File:
    name: str
    content: bytes

    @property
    def text(self) -> str:
        """As it may be shown: whole lines, or what kind of bytes they are."""
        try:
            lines = self.content.decode().splitlines()
        except UnicodeDecodeError:
            return f"({len(self.content):,} bytes, not UTF-8)"
        if not lines:
            return "(nothing)"
        more = len(lines) - SHOWN_LINES
        lines = [line if len(line) <= 200 else f"{line[:120]} … ({len(line):,} characters)" for line in lines]
        return "\n".join([*lines[:SHOWN_LINES], *([f"… and {more} lines like these"] if more > 0 else [])])


@dataclass(frozen=True)
class Example:
    """`reason` is what the last file of `before` gets; all files of `after` load without it."""

    reason: str
    before: tuple[File, ...]
    after: tuple[File, ...]

    @property
    def changed(self) -> list[tuple[str, str, str]]:
        """(column, before, after) of the cells that differ, where both last files are one row under equal columns."""
        try:
            tables = [[*csv.reader(io.StringIO(files[-1].content.decode()))] for files in (self.before, self.after)]
        except (UnicodeDecodeError, csv.Error):
            return []
        if [len(table) for table in tables] != [2, 2]:
            return []
        (header, wrong), (columns, right) = tables
        if not len(header) == len(wrong) == len(right) or not {*header} <= {*columns}:
            return []
        cells = zip(header, wrong, right, strict=True)
        return [(name, was, now) for name, was, now in cells if was != now]


@cache
def sample(dataset: Dataset) -> str:
    return (SAMPLES / f"{dataset.value}.csv").read_text()


def sample_rows(dataset: Dataset) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(sample(dataset)))]


def _file(name: str, content: bytes | str) -> File:
    return File(name, content if isinstance(content, bytes) else content.encode())


def _table(columns: list[str], *rows: list[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


# --- Rows: one of the samples with some cells changed

SHORT = {  # what an example shows of a dataset: what must be there, and what tells rows apart
    Dataset.FACILITIES: (*COLUMNS[Dataset.FACILITIES].required,),
    Dataset.PATIENTS: (*COLUMNS[Dataset.PATIENTS].required,),
    Dataset.MEDICAL_RECORDS: (*COLUMNS[Dataset.MEDICAL_RECORDS].required, "record_id"),
    Dataset.TRIAGE_VISITS: (*COLUMNS[Dataset.TRIAGE_VISITS].required, "visit_id"),
}
FACILITIES, PATIENTS, RECORDS, VISITS = Dataset
Cells = dict[str, str]
NOWHERE = {"lat": "", "lon": ""}
OF_KANO = {"facility_state": "KANO", "facility_lga": "Dala"}
TWIN = {"patient_first_name": "Twin", "patient_last_name": "Twin"}
KNOWN = sample_rows(Dataset.PATIENTS)[2]
HTML = "<!doctype html><html><body>Please log in</body></html>\n"


def _base(dataset: Dataset, code: str) -> Cells:
    """A row like the samples' first, of an identity that no other example has."""
    row = sample_rows(dataset)[0]
    word = code.replace("_", " ").title()
    if dataset is FACILITIES:
        return row | {"name": f"{word} Clinic"}
    if dataset is PATIENTS:
        return row | {"first_name": word, "last_name": LAST_NAMES[len(code) % len(LAST_NAMES)], "phone": ""}
    return row | {("record_id" if dataset is RECORDS else "visit_id"): f"X-{code}"}


def _rows(dataset: Dataset, code: str, *changed: Cells) -> File:
    more = [name for name in COLUMNS[dataset].optional if any(name in cells for cells in changed)]
    columns = [*dict.fromkeys([*SHORT[dataset], *more])]
    base = _base(dataset, code)
    rows = [base | cells for cells in changed]
    return _file(f"{dataset.value}.csv", _table(columns, *([row[name] for name in columns] for row in rows)))


def _of_rows(reason: str, dataset: Dataset, wrong: Cells | list[Cells], right: Cells | list[Cells]) -> Example:
    code = reason.partition(":")[0]
    before, after = ([cells] if isinstance(cells, dict) else cells for cells in (wrong, right))
    return Example(reason, (_rows(dataset, code, *before),), (_rows(dataset, code, *after),))


def _of_text(reason: str, wrong: bytes | str, right: bytes | str, name: str = "patients.csv") -> Example:
    return Example(reason, (_file(name, wrong),), (_file(name, right),))


def _right(code: str) -> str:
    return _rows(PATIENTS, code, {}).content.decode()


def _quoted(code: str, first: str) -> str:
    row = _base(PATIENTS, code)
    cells = [row[name] for name in SHORT[PATIENTS]]
    others = [",".join([cells[0], f"{cells[1]} {n}", *cells[2:]]) for n in ("Two", "Three")]
    lines = [",".join(SHORT[PATIENTS]), ",".join([cells[0], first.format(cells[1]), *cells[2:]]), *others]
    return "\n".join(lines) + "\n"


def _swallowing(code: str) -> str:
    """The quote is closed two lines below the one on which it was opened."""
    first, second, third = _quoted(code, '"{}').splitlines()[1:]
    return "\n".join([",".join(SHORT[PATIENTS]), first, second, third.replace(" Three", ' Three"')]) + "\n"


def _with_column(code: str, name: str) -> str:
    header, row = _right(code).splitlines()
    return f"{header},{name}\n{row},7\n"


def _namesakes() -> File:
    two = [{"name": "Cottage Hospital"}, {"name": "Cottage Hospital", "state": "KANO", "lga": "Dala"} | NOWHERE]
    return _rows(FACILITIES, "SEVERAL", *two)


def _twins() -> File:
    return _rows(PATIENTS, "TWIN", *({"last_name": "Twin", "dob": dob} for dob in ("1991-01-01", "1992-02-02")))


def _day(number: int, code: str, events: range, **more: str) -> File:
    """A visits file of the day, whose events are those of these numbers; `more` may say {n}."""
    base = {"visit_id": ""} | _base(VISITS, code)
    rows = [
        base | {"chief_complaint": f"{code.title()} {n}"} | {k: v.format(n=n) for k, v in more.items()} for n in events
    ]
    columns = [*COLUMNS[VISITS].required, *more]
    return _file(
        f"triage_visits-2025-11-{number}.csv", _table(columns, *([row[name] for name in columns] for row in rows))
    )


def _with_ids(number: int, code: str, events: range) -> File:
    return _day(number, code, events, visit_id=f"{code}-{{n}}", visited_at="2025-11-18T09:00:00+01:00")


EXAMPLES: dict[str, Example] = {
    example.reason.partition(":")[0]: example
    for example in (
        Example(
            "UNKNOWN_DATASET",
            (_file("people.csv", _right("UNKNOWN_DATASET")),),
            (_file("patients.csv", _right("UNKNOWN_DATASET")),),
        ),
        _of_text("EMPTY_FILE", "", _right("EMPTY_FILE")),
        _of_text("NOT_CSV", HTML, _right("NOT_CSV")),
        _of_text(
            "GZIP_TRUNCATED",
            gzip.compress(_right("GZIP_TRUNCATED").encode(), mtime=0)[:-12],
            gzip.compress(_right("GZIP_TRUNCATED").encode(), mtime=0),
            name="patients.csv.gz",
        ),
        _of_text(
            f"ENCODING_INVALID:{_right('ENCODING_INVALID').index('Encoding')}",
            _right("ENCODING_INVALID").replace("Encoding", "\xc9ncoding").encode("latin-1"),
            _right("ENCODING_INVALID").replace("Encoding", "\xc9ncoding"),
        ),
        _of_text(
            "HEADER_TOO_WIDE",
            _table([*SHORT[PATIENTS], *(f"extra_{n}" for n in range(100))], [*_base(PATIENTS, "WIDE").values()]),
            _right("HEADER_TOO_WIDE"),
        ),
        _of_text("HEADER_MISSING", _right("HEADER_MISSING").partition("\n")[2], _right("HEADER_MISSING")),
        _of_text(
            "HEADER_DUPLICATE_COLUMN:phone",
            _right("HEADER_DUPLICATE_COLUMN").replace("sex,dob,phone", "sex,phone,phone"),
            _right("HEADER_DUPLICATE_COLUMN"),
        ),
        _of_text(
            "HEADER_MISSING_COLUMN:dob",
            _right("HEADER_MISSING_COLUMN").replace("sex,dob,phone", "sex,date_of_birth,phone"),
            _right("HEADER_MISSING_COLUMN"),
        ),
        _of_text(
            "QUOTE_UNBALANCED:2",
            _quoted("QUOTE_UNBALANCED", '"{}'),
            _quoted("QUOTE_UNBALANCED", '"{}"'),
        ),
        Example(
            "SAME_CONTENT_NEW_DATE",
            (_day(18, "SAME", range(2)), _day(19, "SAME", range(2))),
            (_with_ids(18, "SAME", range(2)), _with_ids(19, "SAME", range(2, 4))),
        ),
        Example(
            "OVERLAP_SUSPECT",
            (_day(18, "OVERLAP", range(30)), _day(19, "OVERLAP", range(31))),
            (_with_ids(18, "OVERLAP", range(30)), _with_ids(19, "OVERLAP", range(31))),
        ),
        Example(
            "ROW_ERROR_RATIO",
            (_rows(PATIENTS, "RATIO", *({"first_name": f"Ratio {n}", "dob": "05/06/1990"} for n in range(20))),),
            (_rows(PATIENTS, "RATIO", *({"first_name": f"Ratio {n}", "dob": "1990-06-05"} for n in range(20))),),
        ),
        Example(
            "WAITS_FOR_PATIENTS",
            (_file("patients.csv", HTML), _rows(VISITS, "WAITS", {})),
            (_file("patients.csv", _right("WAITS")), _rows(VISITS, "WAITS", {})),
        ),
        _of_text(
            "FIELD_COUNT",
            _right("FIELD_COUNT").replace(",F,", ",F,F,"),
            _right("FIELD_COUNT"),
        ),
        _of_text("QUOTE_SUSPECT", _swallowing("QUOTE_SUSPECT"), _quoted("QUOTE_SUSPECT", '"{}"')),
        _of_rows("REQUIRED_MISSING:dob", PATIENTS, {"dob": ""}, {"dob": "1990"}),
        _of_rows("TYPE_INVALID:dob", PATIENTS, {"dob": "1990-02-30"}, {"dob": "1990-02"}),
        _of_rows("DATE_AMBIGUOUS:dob", PATIENTS, {"dob": "01/02/1990"}, {"dob": "1990-02-01"}),
        _of_rows(
            "DATE_FUTURE:visited_at", VISITS, {"visited_at": "2099-01-01T09:00"}, {"visited_at": "2025-11-20T09:00"}
        ),
        _of_rows("RANGE:triage_level", VISITS, {"triage_level": "7"}, {"triage_level": "4"}),
        _of_rows("ENUM:state", FACILITIES, {"state": "North West"}, {"state": "KANO", "lga": "Dala"}),
        _of_rows("LENGTH:first_name", PATIENTS, {"first_name": "Length " * 20}, {"first_name": "Length"}),
        _of_rows(
            "FACILITY_NOT_FOUND",
            VISITS,
            {"facility_name": "Palm Groove Gen. Hosp."},
            {"facility_name": "PALM GROVE GENERAL HOSPITAL"},
        ),
        Example(
            "FACILITY_AMBIGUOUS",
            (_namesakes(), _rows(PATIENTS, "SEVERAL", {"facility_name": "Cottage Hospital"})),
            (_namesakes(), _rows(PATIENTS, "SEVERAL", {"facility_name": "Cottage Hospital"} | OF_KANO)),
        ),
        _of_rows("PATIENT_NOT_FOUND", RECORDS, {"patient_first_name": "S."}, {"patient_first_name": "sample"}),
        Example(
            "PATIENT_AMBIGUOUS",
            (_twins(), _rows(VISITS, "TWIN", TWIN)),
            (_twins(), _rows(VISITS, "TWIN", TWIN | {"patient_dob": "1991-01-01"})),
        ),
        _of_rows(
            "IDENTITY_CONFLICT:sex",
            PATIENTS,
            KNOWN | {"sex": "M"},
            KNOWN | {"sex": "F"},
        ),
        _of_rows("DUP_IN_FILE_CONFLICT", PATIENTS, [{"sex": "F"}, {"sex": "M"}], [{"sex": "F"}, {"sex": "F"}]),
        _of_text("TOKENS_MISSING", _with_column("TOKENS_MISSING", "row_token"), _right("TOKENS_MISSING")),
        _of_text("EMPTY_DATA", _right("EMPTY_DATA").partition("\n")[0] + "\n", _right("EMPTY_DATA")),
        _of_text(
            "HEADER_UNKNOWN_COLUMN:mood",
            _with_column("HEADER_UNKNOWN_COLUMN", "mood"),
            _right("HEADER_UNKNOWN_COLUMN"),
        ),
        _of_rows("CHAR_REMOVED:first_name", PATIENTS, {"first_name": "Ama\u200bra"}, {"first_name": "Amara"}),
        _of_rows("LGA_UNKNOWN", FACILITIES, {"lga": "Kujé Town"}, {"lga": "Kuje"}),
        _of_rows("LGA_MISSING", FACILITIES, {"lga": ""}, {"lga": "Kuje"}),
        _of_rows("GEO_INVALID", FACILITIES, {"lat": "8°52'N"}, {"lat": "8.8795"}),
        _of_rows("GEO_OUTSIDE", FACILITIES, {"lat": "0", "lon": "0"}, {"lat": "8.8795", "lon": "7.2276"}),
        _of_rows("GEO_INCOMPLETE", FACILITIES, {"lon": ""}, {"lat": "", "lon": ""}),
        _of_rows("SEX_MISSING", PATIENTS, {"sex": ""}, {"sex": "Unknown"}),
        _of_rows("PHONE_INVALID", PATIENTS, {"phone": "see card"}, {"phone": "08030000009"}),
    )
}

# Codes that no delivery has in it: why there is nothing to mend in the file.
WITHOUT: dict[str, str] = {
    "FILE_TOO_LARGE": "A file of more than 2 GiB is not shown here. Send a large export in parts.",
    "CHECKSUM_MISMATCH": "The bytes changed on their way to the bucket; the file itself may be right.",
    "GZIP_BOMB": "A file that unpacks to more than a hundred times its size is not shown here.",
    "OBJECT_GONE": "It was deleted before it was read; the file itself may be right.",
    "OBJECT_OVERWRITTEN": "A newer file took its place before it was read; nothing is lost.",
    "ATTEMPTS_EXHAUSTED": "Medilink's own trouble; the file may be right.",
    "INTERNAL_ERROR": "Medilink's own trouble; the file may be right.",
    "RULE_TAKEN_BACK": "A steward took a rule back; nothing in the file has changed.",
    "DELETED_BY_STEWARD": "A steward deleted what the row speaks of; the file may be right.",
}
