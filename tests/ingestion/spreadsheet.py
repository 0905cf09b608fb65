"""A spreadsheet as it treats a CSV that is opened and saved: after LibreOffice and Excel, as far as they are known to.

Nothing here is our own code: what it does to cells is told from what a person types.
"""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def table(body: bytes) -> list[list[str]]:
    return [*csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""))]


def text_of(rows, delimiter=",", line_end="\r\n", has_mark=False) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=line_end).writerows(rows)
    return "\ufeff" * has_mark + out.getvalue()


@dataclass(frozen=True)
class Spreadsheet:
    name: str
    write_day: Callable[[date], str]
    reads_day_first: bool | None  # None: slashes are no dates to it
    delimiter: str = ","
    line_end: str = "\r\n"
    digits: int = 11  # of a number that is shown in full
    comma: str = "."
    knows_iso: bool = True

    def save(self, rows: list[list[str]]) -> list[list[str]]:
        header, *below = rows
        return [header, *([self.cell(cell) for cell in row] for row in below)]

    def cell(self, cell: str) -> str:
        """Text begins with an apostrophe, or is nothing that looks like a value."""
        if cell.upper() in ("TRUE", "FALSE"):
            return cell.upper()
        if re.fullmatch(r"\s*[+-]?[0-9]+(\.[0-9]+)?\s*|[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]{1,2}", cell, re.ASCII):
            return self.number(float(cell))
        if day := self.day(cell):
            return day
        return cell.replace("\r\n", "\n").replace("\r", "\n")

    def number(self, value: float) -> str:
        if value == int(value) and abs(value) < 10**self.digits:
            shown = str(int(value))
        elif abs(value) >= 10**self.digits:
            shown = f"{value:.5E}"
            mantissa, exponent = shown.split("E")
            shown = f"{mantissa.rstrip('0').rstrip('.')}E{exponent}"
        else:
            shown = f"{value:.10g}"
        return shown.replace(".", self.comma)

    def day(self, cell: str) -> str | None:
        for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"):
            try:
                at = datetime.strptime(cell, form)  # noqa: DTZ007
            except ValueError:
                continue
            return f"{self.write_day(at.date())} {at.hour}:{at:%M}" if self.knows_iso else cell
        found = self.date(cell)
        return self.write_day(found) if found else None

    def date(self, cell: str) -> date | None:
        iso = re.fullmatch(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", cell, re.ASCII)
        slashed = re.fullmatch(r"([0-9]{1,2})[/-]([0-9]{1,2})(?:[/-]([0-9]{4}))?", cell, re.ASCII)
        named = re.fullmatch(r"([0-9]{1,2})[- ]([A-Z][a-z]{2})[- ]([0-9]{4})", cell, re.ASCII)
        try:
            if iso and self.knows_iso and int(iso[1]) >= 1900:
                return date(*map(int, iso.groups()))
            if named and named[2] in MONTHS:
                return date(int(named[3]), 1 + MONTHS.index(named[2]), int(named[1]))
            if slashed and self.reads_day_first is not None:
                first, second, year = int(slashed[1]), int(slashed[2]), int(slashed[3] or 2026)
                day, month = (first, second) if self.reads_day_first else (second, first)
                return date(year, month, day)
        except ValueError:
            pass
        return None


EXCEL_UK = Spreadsheet("Excel, day first", lambda day: f"{day:%d/%m/%Y}", True)
EXCEL_US = Spreadsheet("Excel, month first", lambda day: f"{day.month}/{day.day}/{day.year}", False)
LIBREOFFICE = Spreadsheet("LibreOffice", lambda day: day.isoformat(), True, line_end="\n", digits=15)
MANGLERS = [
    EXCEL_UK,
    EXCEL_US,
    LIBREOFFICE,
    Spreadsheet("Excel, by names", lambda day: f"{day.day}-{MONTHS[day.month - 1]}-{day:%y}", False),
    Spreadsheet("Excel, German", lambda day: f"{day:%d.%m.%Y}", True, delimiter=";", comma=","),
    Spreadsheet("tabs and days of two digits", lambda day: f"{day.month}/{day.day}/{day:%y}", False, delimiter="\t"),
    Spreadsheet("a text editor", lambda day: day.isoformat(), None, line_end="\n", digits=60),
]
