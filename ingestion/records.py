"""From a fetched file's text to numbered records: the header by name, the rows below it with their lines.

Pure. CSV as RFC 4180 has it, nothing is sniffed: cells come as delivered, in any number; what they mean is for others.
Memory stays flat where a quote or a line never ends: a record that is longer than the contract allows is not collected.
"""

import csv
import io
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from ingestion.datasets import COLUMNS, Dataset
from ingestion.reader import Fetched, blocks
from ingestion.refusals import FileRefused

BLOCK = 128 * 1024  # about 1,300 rows; larger ones leave the processor's cache and keep the garbage collector busy
MOST_COLUMNS = 100
RECORD_LINES, RECORD_BYTES = 200, 1024**2
LONGEST_NAME = 100
DIGITS_OF_A_CELL = 6  # a date has as many at least, a phone more

# Global to the process, and set here for good: a longer cell cannot be part of a record that is allowed.
csv.field_size_limit(RECORD_BYTES)


@dataclass(frozen=True)
class Chunk:
    """Records that stand together in a file, never none: their lines, their cells as delivered, in any number.

    `suspects` are indexes of rows that are QUOTE_SUSPECT.
    """

    lines: Sequence[int]
    rows: list[list[str]]
    suspects: frozenset[int]


def records(fetched: Fetched, dataset: Dataset) -> "Records":
    """Reads the header; FileRefused where the bytes or the header break the contract."""
    if fetched.refusal:
        raise fetched.refusal
    line, cells = _first_record(fetched)
    if len(cells) > MOST_COLUMNS:
        raise FileRefused("HEADER_TOO_WIDE")
    names = tuple(_column(cell) or f"(column {number})" for number, cell in enumerate(cells, start=1))
    columns = COLUMNS[dataset]
    if not set(names) & set(columns.all):
        raise FileRefused("HEADER_MISSING")
    for number, name in enumerate(names, start=1):
        if name in names[: number - 1]:
            raise FileRefused(f"HEADER_DUPLICATE_COLUMN:{told(name, number)}")
    for name in columns.required:
        if name not in names:
            raise FileRefused(f"HEADER_MISSING_COLUMN:{name}")
    unknown = tuple(told(name, number) for number, name in enumerate(names, start=1) if name not in columns.all)
    return Records(fetched, line, names, unknown)


def told(name: str, number: int) -> str:
    """What a reason or a warning calls a column: a phone or a date is a cell that strayed into the header, no name."""
    return f"(column {number})" if sum(map(str.isdigit, name)) >= DIGITS_OF_A_CELL else name


class Records:
    """The rows below a header. Can be read again and again; the bytes are read from the disk each time."""

    def __init__(self, fetched: Fetched, header_line: int, header: tuple[str, ...], unknown: tuple[str, ...]) -> None:
        """`header`: the columns as they stand in the file, cleaned; `unknown`: those not of the dataset, as told."""
        self._fetched, self.header_line = fetched, header_line
        self.header, self.unknown = header, unknown
        self.blank = 0
        self.last_line = 0  # once all rows have been read

    def chunks(self, size: int = BLOCK) -> Iterator[Chunk]:
        """All rows, in blocks of about `size` bytes; `blank` counts the lines skipped so far. May raise FileRefused."""
        scan = _Scan(self.header_line, len(self.header))
        for chunk in scan.chunks(blocks(self._fetched, size)):
            self.blank = scan.blank
            yield chunk
        self.blank, self.last_line = scan.blank, scan.line - 1

    def pick(self, lines: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """The records that start on these lines, which are in ascending order."""
        scan = _Scan(self.header_line, len(self.header))
        position = 0
        for chunk in scan.chunks(blocks(self._fetched, BLOCK)):
            end = bisect_left(lines, chunk.lines[-1] + 1, position)
            for line in lines[position:end]:
                index = bisect_left(chunk.lines, line)
                if index < len(chunk.lines) and chunk.lines[index] == line:
                    yield line, chunk.rows[index]
            position = end
            if position == len(lines):
                return


def _first_record(fetched: Fetched) -> tuple[int, list[str]]:
    """The first line that is not blank, cut where a record may not go on; `chunks` refuses a record that was cut."""
    head = next(blocks(fetched, RECORD_BYTES), b"")[:RECORD_BYTES]
    reader = csv.reader(io.StringIO(head.decode(errors="ignore"), newline=""))
    line = 1
    for cells in reader:
        if not _is_blank(cells):
            return line, cells
        line = reader.line_num + 1
    raise FileRefused("HEADER_MISSING")


def _column(cell: str) -> str:
    """A header cell as a column's name: lower case, without invisible characters, and never long."""
    visible = "".join(character for character in cell if character.isprintable() or character.isspace())
    return " ".join(visible.split()).lower()[:LONGEST_NAME]


def _is_blank(cells: list[str]) -> bool:
    return not cells or (len(cells) == 1 and not cells[0].strip())


class _Scan:
    """One reading of a file. A record that is not complete in its block is parsed again with the next one."""

    def __init__(self, header_line: int, width: int) -> None:
        self._header_line, self._width = header_line, width
        self.line = 1  # where the bytes not yet parsed start
        self._suspect: int | None = None
        self.blank = 0

    def chunks(self, unparsed: Iterator[bytes]) -> Iterator[Chunk]:
        rest = b""
        for block in unparsed:
            unread = rest + block
            end = _end_of_lines(unread)
            started, chunk = self._chunk(unread[:end])
            rest = started + unread[end:]
            # One more: the last byte may be the first one of the record's line end.
            if len(rest) > RECORD_BYTES + 1:
                raise _unbalanced(self.line)
            if chunk:
                yield chunk
        started, chunk = self._chunk(rest)
        if started:
            raise _unbalanced(self.line)
        if chunk:
            yield chunk

    def _chunk(self, whole_lines: bytes) -> tuple[bytes, Chunk | None]:
        """The records in these lines, and the bytes of the one whose quotes are still open at their end."""
        text, is_long = whole_lines.decode(), len(whole_lines) > RECORD_BYTES
        lines: Sequence[int]
        if '"' in text:
            lines, rows, started = self._parse(text, is_long=is_long)
        else:
            lines, rows, started = *self._split(text, is_long=is_long), ""
        lines, rows = self._without_blank(lines, rows)
        if lines and lines[0] == self._header_line:
            lines, rows = lines[1:], rows[1:]
        is_suspect_here = self._suspect is not None and self._suspect in lines
        suspects = frozenset([lines.index(self._suspect)] if is_suspect_here else [])
        return started.encode(), Chunk(lines, rows, suspects) if rows else None

    def _split(self, text: str, *, is_long: bool) -> tuple[Sequence[int], list[list[str]]]:
        """Without quotes a line is a record, and splitting it takes half the time of the csv module."""
        records = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if not records[-1]:
            records.pop()
        lines = range(self.line, self.line + len(records))
        if is_long:
            for line, record in zip(lines, records, strict=True):
                if len(record.encode()) > RECORD_BYTES:
                    raise _unbalanced(line)
        self.line = lines.stop
        return lines, [record.split(",") for record in records]

    def _parse(self, text: str, *, is_long: bool) -> tuple[list[int], list[list[str]], str]:
        texts = list(io.StringIO(text, newline=""))
        # An empty line at the end becomes a record of its own, or joins a cell where a quote is still open.
        reader = csv.reader(chain(texts, "\n"))
        rows: list[list[str]] = []
        ends = [0]
        is_cell_too_long = False
        try:
            for row in reader:
                rows.append(row)
                ends.append(reader.line_num)
        except csv.Error:
            is_cell_too_long = True
        else:
            rows.pop()
            ends.pop()
        lines = [self.line + end for end in ends]
        if ends[-1] > len(rows) or is_long:
            for line, row, (start, end) in zip(lines, rows, pairwise(ends), strict=False):
                if is_long and len("".join(texts[start:end]).encode().rstrip(b"\r\n")) > RECORD_BYTES:
                    raise _unbalanced(line)
                if end - start > 1:
                    self._check(line, row, texts[start:end])
        started = texts[ends[-1] :]
        self.line = lines.pop()
        if is_cell_too_long or len(started) >= RECORD_LINES:
            raise _unbalanced(self.line)
        return lines, rows, "".join(started)

    def _check(self, line: int, row: list[str], texts: list[str]) -> None:
        """What only a record of several lines can have done wrong. The first suspect cell of a file is let pass."""
        if len(texts) > RECORD_LINES:
            raise _unbalanced(line)
        is_wide_inside = any(text.count(",") >= self._width - 1 for text in texts[1:-1])
        if line == self._header_line or not is_wide_inside:
            return
        suspect_cells = _suspect_cells(row, texts, self._width)
        if suspect_cells > 1 or (suspect_cells and self._suspect):
            raise _unbalanced(self._suspect or line)
        if suspect_cells:
            self._suspect = line

    def _without_blank(self, lines: Sequence[int], rows: list[list[str]]) -> tuple[Sequence[int], list[list[str]]]:
        if min(map(len, rows), default=2) > 1:
            return lines, rows
        kept = [index for index, row in enumerate(rows) if not _is_blank(row)]
        self.blank += len(rows) - len(kept)
        return [lines[index] for index in kept], [rows[index] for index in kept]


def _end_of_lines(unread: bytes) -> int:
    """Where the last whole line ends. A CR as the last byte may be half of a line end."""
    end = unread.rfind(b"\n") + 1
    return max(end, unread.rfind(b"\r", end, -1) + 1)


def _suspect_cells(row: list[str], texts: list[str], width: int) -> int:
    """How many cells hold a whole line that by itself has the header's number of fields.

    The lines are taken as they stand in the file, since the cell has lost its doubled quotes.
    """
    position = suspects = 0
    for cell in row:
        line_ends = cell.count("\n") + cell.count("\r") - cell.count("\r\n")
        inside = texts[position + 1 : position + line_ends]
        suspects += any(len(next(csv.reader([text]))) == width for text in inside)
        position += line_ends
    return suspects


def _unbalanced(line: int) -> FileRefused:
    return FileRefused(f"QUOTE_UNBALANCED:{line}")
