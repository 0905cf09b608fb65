"""What a spreadsheet does to cells without being asked, so that no edit is made up and none is missed.

Pure: texts only. It takes zeros, cuts long numbers and writes dates its own way; `edit_of` tells that from what a
person has typed. Where both are possible it says that nothing was typed: a row that waits is better than a wrong one.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Context, Decimal
from enum import Enum

from clinical import values

# Before a cell that would run, or that a spreadsheet would write anew (dates with slashes, 3.0, twelve digits and
# more), stands an apostrophe. Those that stand there already are followed by one more, so that each way has a way back.
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_RISKY = re.compile(
    r"'*(?:[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20].*"
    r"|(?![0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T]|\Z))[0-9]{1,4} ?([/.-]) ?[0-9]{1,2} ?\1 ?[0-9]{1,4}(?:[ T].*)?"
    rf"|[0-9]{{1,2}}[/-][0-9]{{1,4}}|[0-9]{{4}}[/-][0-9]{{1,2}}"
    rf"|[0-9]{{1,2}}[- /]?{_MONTH}[- /,]*[0-9]{{0,4}}|{_MONTH}[- /]?[0-9]{{1,4}}(?:[- /,]+[0-9]{{2,4}})?"
    r"|[0-9]{1,3}:[0-9]{1,2}(?::[0-9]{1,2})?(?: ?[ap]m)?|[0-9.,]+ ?%"
    r"|[0-9]*\.[0-9]*0|[0-9]+\.|[0-9]+(?:\.[0-9]+)?e[+-]?[0-9]+|[0-9]{12,})",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_HARMLESS = re.compile(r"-[0-9]{1,9}(?:\.[0-9]{0,8}[1-9])?")
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e", '"'),
        **dict.fromkeys("\u2010\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u00a0\u202f", " "),
        "\u2026": "...",
    }
)
_NUMBER = re.compile(r"[+-]?([0-9]{1,60}(?:[.,][0-9]{1,60})?|[.,][0-9]{1,60})(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_SHORTENED = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?E\+[0-9]{2,3}", re.IGNORECASE)
_EXACT = Context(prec=2000)
_KEEPS_DIGITS, _SHOWS_DIGITS = 15, 9  # of a number at all; of a fraction at least
_FIRST_DAY, _LAST_SERIAL = date(1899, 12, 30), 80_000  # how spreadsheets count days


class Order(Enum):
    """How a file writes a date in numbers."""

    DAY_FIRST = "day first"
    MONTH_FIRST = "month first"


class Shortened(Exception):
    """The cell holds 8.03123E+09: digits are lost, whatever had been typed."""


def protected(cell: str) -> str:
    """The cell so that a spreadsheet neither runs it nor writes it anew."""
    return f"'{cell}" if _RISKY.fullmatch(cell) and not _HARMLESS.fullmatch(cell) else cell


def restored(cell: str) -> str:
    """The way back: exactly the cell that was protected."""
    return cell[1:] if cell.startswith("'") and _RISKY.fullmatch(cell) else cell


def edit_of(
    written: str, returned: str, *, order: Order | None = None, is_date: bool = False, is_doubtful: bool = False
) -> str | None:
    """What a person has put in place of `written` (unprotected); None where the cell as it stands in the file can be
    the spreadsheet's work alone. `is_doubtful`: the row was refused for this cell. Raises Shortened.

    A cell that was protected and has lost its apostrophe was typed over, even by the same date: that is how 1990-01-05
    comes back in place of 05/01/1990 from a spreadsheet that writes the day first.
    """
    if returned == protected(written):
        return None
    typed = restored(returned).replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    meant = iso(typed, order) if is_date else typed
    if protected(written) == written:
        is_untouched = is_same(written, returned, order)
    elif plain(returned).startswith("'"):
        is_untouched = plain(typed) == plain(written)
    elif _CONTRACT.match(plain(meant)) if is_date else is_doubtful:
        is_untouched = plain(meant) == plain(written)
    else:
        is_untouched = is_same(written, returned, order)
    if is_untouched:
        return None
    if _SHORTENED.fullmatch(plain(returned)):
        raise Shortened
    return meant


def is_same(written: str, returned: str, order: Order | None = None) -> bool:
    """That a spreadsheet may have made the one of the other by itself."""
    before, after = plain(written).lstrip("'"), plain(returned).lstrip("'")
    return (
        before == after
        or (before.lower() == after.lower() and after.lower() in ("true", "false"))
        or _is_same_number(before, after)
        or _is_same_date(before, after, order)
    )


def plain(cell: str) -> str:
    """What no load would see is gone: outer spaces, invisible characters, the kind of line ends and of quotes."""
    text, _ = values.text(cell.replace("\r\n", "\n").replace("\r", "\n"), is_name=False)
    return "" if text == '""' else text.translate(_TYPOGRAPHY).strip()


# --- Numbers


def _is_same_number(before: str, after: str) -> bool:
    """Also where zeros are lost, or digits beyond those that the spreadsheet shows."""
    was, now = _NUMBER.fullmatch(before), _NUMBER.fullmatch(after)
    if not (was and now):
        return False
    before_value, after_value = (Decimal(found[0].replace(",", ".")) for found in (was, now))
    if before_value == after_value:
        return True
    digits = re.sub("[^0-9]", "", now[1]).lstrip("0")
    is_fraction = "." in now[1] or "," in now[1]
    shown = len(digits)
    if not now[2]:
        if shown < (_SHOWS_DIGITS if is_fraction else _KEEPS_DIGITS):
            return False
        shown = min(shown, _KEEPS_DIGITS)
    unit = Decimal(1).scaleb(after_value.adjusted() - shown + 1, _EXACT)
    return abs(_EXACT.subtract(before_value, after_value)) <= unit


# --- Dates

_CONTRACT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T]|\Z)")
_ISO_DAY = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})(?:[-/.]([0-9]{1,2}))?")
_NUMBERS = re.compile(r"([0-9]{1,2}) ?([-/.]) ?([0-9]{1,2}) ?\2 ?([0-9]{4}|[0-9]{2})|([0-9]{1,2})[-/]([0-9]{1,2})")
_MONTH_YEAR = re.compile(r"([0-9]{1,2})[-/.]([0-9]{4})")
_NAMED = re.compile(
    rf"([0-9]{{1,2}})?[- /.]*({_MONTH})[- /,]*(?:([0-9]{{1,2}}),? )?([0-9]{{4}}|[0-9]{{2}})?", re.IGNORECASE
)
_TIME = re.compile(
    r"(.+?)[ T]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?(?: ?([ap])\.?m\.?)?", re.IGNORECASE
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class _Reading:
    """A day as it may be meant; what is not said is None, and of `short` years only two digits are."""

    year: int | None
    month: int
    day: int | None
    is_short: bool = False
    order: Order | None = None  # where this reading depends on it

    def is_whole_of(self, day: date) -> bool:
        return self.day is not None and self.agrees(_Reading(day.year, day.month, day.day))

    def agrees(self, other: "_Reading") -> bool:
        if self.month != other.month or (self.day or 1) != (other.day or 1):
            return False
        if self.year is None or other.year is None:
            return True
        century = 100 if self.is_short or other.is_short else 10_000
        return self.year % century == other.year % century


Clock = tuple[int, int, int | None]


def _is_same_date(before: str, after: str, order: Order | None) -> bool:
    """By the file's order where it is known, else in either reading. A time may have been cut to minutes, or away."""
    was, was_at = _readings(before)
    now, now_at = _readings(after)
    if not now and was and was_at is None and re.fullmatch(r"[0-9]{1,5}", after):
        now = [_serial(int(after))]
    now = [reading for reading in now if order is None or reading.order in (None, order)]
    if not any(one.agrees(other) for one in was for other in now):
        return False
    if was_at is None or now_at is None:
        return now_at in (None, (0, 0, None), (0, 0, 0)) and (was_at is None or not _ISO_DAY.fullmatch(after))
    return was_at[:2] == now_at[:2] and (None in (was_at[2], now_at[2]) or was_at[2] == now_at[2])


def order_of(days: Iterable[tuple[date, str]]) -> Order | None:
    """How the file writes dates, by known days and what their cells came back as; None where nothing or both fits."""
    found: set[Order] = set()
    for day, returned in days:
        readings = [reading for reading in _readings(plain(returned))[0] if reading.order and reading.is_whole_of(day)]
        if len(readings) == 1 and readings[0].order:
            found.add(readings[0].order)
    return found.pop() if len(found) == 1 else None


def iso(cell: str, order: Order | None = None) -> str:
    """A date in the contract's form where it can mean one day only, else the cell as it is."""
    days, at = possible_days(cell, order), _readings(plain(cell))[1]
    if len(days) != 1 or _CONTRACT.match(plain(cell)):
        return cell
    if at is None:
        return days[0].isoformat()
    hour, minute, second = at
    return f"{days[0].isoformat()}T{hour:02}:{minute:02}:{second or 0:02}"


def possible_days(cell: str, order: Order | None = None) -> list[date]:
    """The whole days that a cell may mean, none of them in the future by its year; earliest first."""
    text = plain(cell).lstrip("'")
    readings = [reading for reading in _readings(text)[0] if order is None or reading.order in (None, order)]
    return sorted({day for reading in readings for day in _days(reading)})


def day_of_serial(cell: str) -> date | None:
    """The day where the cell is a spreadsheet's number of one."""
    text = plain(cell)
    if not re.fullmatch(r"[0-9]{4,5}(?:\.0+)?", text) or not int(float(text)) <= _LAST_SERIAL:
        return None
    return _FIRST_DAY + timedelta(days=int(float(text)))


def _days(reading: _Reading) -> Iterator[date]:
    if reading.year is None or reading.day is None:
        return
    years = (1900 + reading.year, 2000 + reading.year) if reading.is_short else (reading.year,)
    for year in years:
        try:
            day = date(year, reading.month, reading.day)
        except ValueError:
            continue
        if not reading.is_short or day.year <= date.today().year:  # noqa: DTZ011  a century is meant, not a day
            yield day


def _serial(number: int) -> _Reading:
    day = _FIRST_DAY + timedelta(days=min(number, _LAST_SERIAL))
    return _Reading(day.year, day.month, day.day)


def _readings(text: str) -> tuple[list[_Reading], Clock | None]:
    timed = _TIME.fullmatch(text)
    if timed:
        found, clock = _day_readings(timed[1].rstrip(",")), _clock(timed)
        return (found, clock) if clock else ([], None)
    return _day_readings(text), None


def _clock(timed: "re.Match[str]") -> Clock | None:
    hour, minute, half = int(timed[2]), int(timed[3]), (timed[5] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return (hour, minute, int(timed[4]) if timed[4] else None) if hour < 24 and minute < 60 else None


def _day_readings(text: str) -> list[_Reading]:
    if found := _ISO_DAY.fullmatch(text):
        readings = [_Reading(int(found[1]), int(found[2]), int(found[3]) if found[3] else None)]
    elif found := _NUMBERS.fullmatch(text):
        readings = _both_orders(int(found[1] or found[5]), int(found[3] or found[6]), found[4])
    elif found := _MONTH_YEAR.fullmatch(text):
        readings = [_Reading(int(found[2]), int(found[1]), None)]
    elif found := _NAMED.fullmatch(text):
        readings = _named(found)
    else:
        return []
    return [reading for reading in readings if 1 <= reading.month <= 12 and (reading.day or 1) <= 31]


def _both_orders(first: int, second: int, year: str | None) -> list[_Reading]:
    of_year = (int(year) if year else None), bool(year and len(year) == 2)
    if first == second:
        return [_Reading(of_year[0], first, second, of_year[1])]
    return [
        _Reading(of_year[0], second, first, of_year[1], Order.DAY_FIRST),
        _Reading(of_year[0], first, second, of_year[1], Order.MONTH_FIRST),
    ]


def _named(found: "re.Match[str]") -> list[_Reading]:
    month, year = _MONTHS.index(found[2][:3].lower()) + 1, found[4]
    day = found[1] or found[3]
    if day or not year or len(year) == 4:
        return [_Reading(int(year) if year else None, month, int(day) if day else None, bool(year and len(year) == 2))]
    return [_Reading(int(year), month, None, True), _Reading(None, month, int(year))]  # May-90, May 9
