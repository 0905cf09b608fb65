"""A correction file that has come back: which rows it speaks of, what was really typed, and what became of them.

Each row finds its refused row by its token and touches no other. Nothing is loaded as new. Columns may be missing,
moved or added; commas, semicolons or tabs between them.
"""

import csv
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from clinical import row_security
from clinical.access import Scope
from clinical.models import User
from ingestion import records, spreadsheets, stewards
from ingestion.corrections.lists import ABOUT, FIRST_REFUSED_ON, ROW_TOKEN
from ingestion.corrections.suggestions import DATES, cells_of
from ingestion.corrections.tokens import FORM, Token, parse, version_of
from ingestion.datasets import COLUMNS, Dataset
from ingestion.models import IngestBatch, RejectedRow
from ingestion.objects import folder_state, lagos_day
from ingestion.reader import Fetched, blocks
from ingestion.refusals import FileRefused
from ingestion.spreadsheets import Order, Shortened

EVIDENCE = "corrections"  # where a batch keeps what became of such a file
DELIMITERS = ",;\t"
BLOCK = 1 << 16
ROWS = 2_000
MOST_LINES = 20  # that are named
MOST_COLUMNS = 100
MOST_BYTES = 64 * 1024**2  # of a file that comes by another way than the bucket
SWALLOWED = re.compile(rf"[\r\n].*{FORM.pattern}", re.IGNORECASE | re.DOTALL)
Line = tuple[int, dict[str, str]]


@dataclass
class Comparison:
    """What the rows of a file say against what is stored; nothing is changed yet."""

    rows: int = 0
    unedited: int = 0
    settled_before: int = 0
    edits: dict[int, dict[str, str]] = field(default_factory=dict)  # id of a refused row → column → what was typed
    unknown_lines: list[int] = field(default_factory=list)
    contradictory_lines: list[int] = field(default_factory=list)
    shortened_lines: list[int] = field(default_factory=list)
    unknown_columns: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """Counts and line numbers only. `rows` is the sum of the next five."""
        return {
            "rows": self.rows,
            "edited": len(self.edits),
            "unedited": self.unedited,
            "settled_before": self.settled_before,
            "unknown_tokens": len(self.unknown_lines),
            "contradictory": len(self.contradictory_lines),
            "shortened_numbers": len(self.shortened_lines),
            "unknown_lines": self.unknown_lines[:MOST_LINES],
            "contradictory_lines": self.contradictory_lines[:MOST_LINES],
            "shortened_lines": self.shortened_lines[:MOST_LINES],
        }


def sentences(told: dict[str, Any]) -> list[str]:
    """What became of a file's rows, in words. Without `landed`, what would become of them."""
    landed = told.get("landed")
    lines = [
        (
            told["edited"],
            "{} corrected" + ("" if landed is None else f": {landed} landed, {told['still_refused']} refused"),
        ),
        (told["unedited"], "{} not edited, and left as they are"),
        (told["settled_before"], "{} settled before, and not touched"),
        (told["unknown_tokens"], "{} with no token that is known here" + _on(told["unknown_lines"])),
        (told["contradictory"], "{} contradict another line of the same row" + _on(told["contradictory_lines"])),
    ]
    said = [sentence.format(count) for count, sentence in lines if count]
    if told["shortened_numbers"]:
        said.append(
            f"{told['shortened_numbers']} cells not taken: a spreadsheet has shortened the number"
            + _on(told["shortened_lines"])
        )
    return [f"{told['rows']} rows", *said]


def _on(lines: list[int]) -> str:
    return f" (line {', '.join(map(str, lines))}{', …' if len(lines) == MOST_LINES else ''})"


def is_one(fetched: Fetched) -> bool:
    """That the header has the column of tokens, whatever stands between the columns."""
    try:
        return _header(fetched) is not None
    except (EOFError, zlib.error, csv.Error):
        return False


def dataset_of(head: bytes) -> Dataset | None:
    """Of a correction file whose name does not tell it: the one with most of its columns."""
    try:
        found = _header_of(io.TextIOWrapper(io.BytesIO(head), encoding="utf-8", errors="ignore", newline=""))
    except csv.Error:
        return None
    return max(Dataset, key=lambda dataset: len({*COLUMNS[dataset].all} & {*found[1]})) if found else None


def take(batch: IngestBatch, fetched: Fetched) -> tuple[dict[str, Any], list[str]]:
    """Corrects and replays what a delivered file says; what became of it, and the columns that nobody knows.

    To be called in the transaction that ends the batch. A folder that is named like a state speaks for that state's
    rows alone, whoever may have got hold of another one's file.
    """
    state = folder_state(batch.folder)
    rows = RejectedRow.objects.inside(Scope(states=frozenset({state}))) if state else RejectedRow.objects.all()
    compared = compare(fetched, rows.select_for_update(of=("self",)), batch.kind_of_rows)
    told, replays = apply(compared.edits, by=None, from_batch=batch.pk)
    IngestBatch.objects.filter(pk__in=[replay.pk for replay in replays]).update(run=batch.run_id)
    return compared.told() | told, compared.unknown_columns


@row_security.lifted()
def apply(
    edits: dict[int, dict[str, str]], *, by: User | None, **details: Any
) -> tuple[dict[str, Any], list[IngestBatch]]:
    """Puts the typed cells in place and tries each row once: all of it or nothing. `details` go to the audit."""
    with transaction.atomic():
        corrected = stewards.correct_each(edits, by=by, **details)
        rows = RejectedRow.objects.filter(pk__in=corrected)
        replays = stewards.replay(rows, by=by) if corrected else []
    landed = rows.filter(state=RejectedRow.State.REPLAYED).count()
    told = {"landed": landed, "still_refused": len(corrected) - landed, "replays": [replay.pk for replay in replays]}
    return told, replays


@row_security.lifted()
def compare(fetched: Fetched, rows: "QuerySet[RejectedRow]", dataset: Dataset | None = None) -> Comparison:
    """Reads the file against those refused rows that it may speak of. Raises FileRefused."""
    if fetched.refusal:
        raise fetched.refusal
    header = _header(fetched)
    if header is None:
        raise FileRefused("TOKENS_MISSING")
    reading = _Comparing(rows.filter(dataset=dataset) if dataset else rows)
    lines = _lines(fetched, *header)
    while chunk := [*islice(lines, ROWS)]:
        reading.add(chunk)
    if reading.found.rows and not reading.has_tokens:
        raise FileRefused("TOKENS_MISSING")
    known = {*ABOUT, *(column for columns in COLUMNS.values() for column in columns.all)}
    numbered = enumerate(header[1], start=1)
    reading.found.unknown_columns = [
        records.told(column, n) for n, column in numbered if column and column not in known
    ]
    return reading.found


class _Comparing:
    """One file, chunk by chunk."""

    def __init__(self, rows: "QuerySet[RejectedRow]") -> None:
        self._rows = rows
        self.found = Comparison()
        self.has_tokens = False
        self._order: Order | None = None
        self._is_first = True
        self._line_of: dict[int, int] = {}  # of the edits so far
        self._contradicted: set[int] = set()

    def add(self, chunk: list[Line]) -> None:
        tokens = [parse(cells.get(ROW_TOKEN, "")) for _, cells in chunk]
        self.has_tokens |= any(tokens)
        ids = [token.row_id for token in tokens if token]
        stored = {row.pk: row for row in self._rows.filter(pk__in=ids)}
        matched = [_match(token, stored) for token in tokens]
        if self._is_first:
            self._order, self._is_first = _order(chunk, matched), False
        for (line, cells), token, row in zip(chunk, tokens, matched, strict=True):
            self.found.rows += 1
            if token is None or row is None:
                self.found.unknown_lines.append(line)
            else:
                self._add(line, cells, token, row)

    def _add(self, line: int, cells: dict[str, str], token: Token, row: RejectedRow) -> None:
        found = self.found
        if row.state != RejectedRow.State.OPEN:
            found.settled_before += 1
            return
        edits = self._edits(line, cells, token, row)
        before = found.edits.get(row.pk)
        if row.pk in self._contradicted or (before and edits and before != edits):
            # A row that was copied and changed in two ways: nobody can say which is meant.
            if found.edits.pop(row.pk, None):
                found.contradictory_lines.append(self._line_of[row.pk])
            found.contradictory_lines.append(line)
            self._contradicted.add(row.pk)
        elif edits and not before:
            found.edits[row.pk], self._line_of[row.pk] = edits, line
        else:
            found.unedited += 1

    def _edits(self, line: int, cells: dict[str, str], token: Token, row: RejectedRow) -> dict[str, str]:
        now = cells_of(row)
        written = _written(token, row)
        edits: dict[str, str] = {}
        for column in COLUMNS[Dataset(row.dataset)].all:
            if column not in cells:
                continue
            try:
                edit = self._edit(cells[column], [w.get(column, "") for w in written], column, row.reasons)
            except Shortened:
                self.found.shortened_lines.append(line)
                continue
            if edit is not None and edit != now.get(column, ""):
                edits[column] = edit
        return edits

    def _edit(self, returned: str, written: list[str], column: str, reasons: Sequence[str]) -> str | None:
        is_doubtful = any(reason.partition(":")[2] == column for reason in reasons)
        edit = None
        for cell in written:
            edit = spreadsheets.edit_of(
                cell, returned, order=self._order, is_date=column in DATES, is_doubtful=is_doubtful
            )
            if edit is None:
                return None
        return edit


def _match(token: Token | None, stored: dict[int, RejectedRow]) -> RejectedRow | None:
    row = stored.get(token.row_id) if token else None
    return row if token and row and token.is_of(row) else None


def _written(token: Token, row: RejectedRow) -> list[dict[str, str]]:
    """What stood in the file when it was written. Corrected since, and not for the first time: one of the two."""
    now, raw = cells_of(row), {column: str(cell or "") for column, cell in row.raw.items() if column}
    by_version = {version_of({}): raw, version_of(row.corrections): now}
    return [by_version[token.version]] if token.version in by_version else [now, raw]


def _order(chunk: list[Line], matched: list[RejectedRow | None]) -> Order | None:
    days: list[tuple[date, str]] = [
        (lagos_day(row.first_seen_at), cells[FIRST_REFUSED_ON])
        for (_, cells), row in zip(chunk, matched, strict=True)
        if row and FIRST_REFUSED_ON in cells
    ]
    return spreadsheets.order_of(days)


# --- The file


class _Bytes(io.RawIOBase):
    """Decoded blocks as a file."""

    def __init__(self, fetched: Fetched) -> None:
        self._blocks, self._rest = blocks(fetched, BLOCK), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._blocks, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _text(fetched: Fetched, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(_Bytes(fetched)), encoding="utf-8", errors=errors, newline="")


def _header(fetched: Fetched) -> tuple[str, list[str]] | None:
    """The delimiter and the columns by name; None where there is no column of tokens."""
    return _header_of(_text(fetched, errors="ignore"))


def _header_of(text: io.TextIOBase) -> tuple[str, list[str]] | None:
    first = ""
    while not first.strip(' \r\n,;\t"\ufeff'):
        first = text.readline(BLOCK)
        if not first:
            return None
    for delimiter in DELIMITERS:
        names = [_column(cell) for cell in next(csv.reader([first], delimiter=delimiter), [])]
        if ROW_TOKEN in names and len(names) <= MOST_COLUMNS:
            return delimiter, names
    return None


def _column(cell: str) -> str:
    return re.sub(r"\s+", "_", spreadsheets.plain(cell).strip("'\" ").lower())


def _lines(fetched: Fetched, delimiter: str, header: list[str]) -> Iterator[Line]:
    """The rows below the header with the line on which each starts; the cells that the row has, by column."""
    reader = csv.reader(_text(fetched), delimiter=delimiter, strict=True)
    line, is_below = 1, False
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise FileRefused(f"QUOTE_UNBALANCED:{line}") from None
        if any(SWALLOWED.search(cell) for cell in cells):
            raise FileRefused(f"QUOTE_UNBALANCED:{line}")
        if any(cell.strip() for cell in cells):
            if is_below:
                yield line, {column: cell for column, cell in zip(header, cells, strict=False) if column}
            is_below = True
        line = reader.line_num + 1
