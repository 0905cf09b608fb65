"""What a valid value is: the one definition, for cells of files and for fields of the API alike.

Pure functions on texts; no models, no database. They never guess: what could mean two things is Invalid, and no error
repeats the value, which may be a person's.
"""

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import phonenumbers

from clinical import geography

# Characters; only free text is measured in bytes.
LENGTHS: dict[str, int] = {
    "facility_name": 255,
    "first_name": 100,
    "last_name": 100,
    "state": 100,
    "lga": 100,
    "type": 100,
    "record_type": 100,
    "patient_number": 100,
    "hfr_code": 100,
    "record_id": 100,
    "visit_id": 100,
    "phone": 20,
}
FREE_TEXT_BYTES = 65536
LATITUDES = (4, 14)
LONGITUDES = (2.5, 15)
FIRST_DOB = date(1900, 1, 1)
LAGOS = ZoneInfo("Africa/Lagos")
FIRST_INSTANT = datetime(2000, 1, 1, tzinfo=LAGOS)


class Invalid(ValueError):
    """A value that cannot be stored; `code` is the contract's reason, without the column."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# --- Text

_CONTROLS = "".join(map(chr, [*range(0x09), *range(0x0E, 0x20), *range(0x7F, 0xA0)]))
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_INVISIBLE = "\u200b\ufeff"
_DROPPED = dict.fromkeys(map(ord, _CONTROLS + _BIDI + _INVISIBLE))
_IN_NAMES = str.maketrans(_DROPPED | {0x0B: " ", 0x0C: " "})
_IN_FREE_TEXT = str.maketrans(_DROPPED | {0x0B: "\n", 0x0C: "\n"})
_REMOVABLE = re.compile(f"[\x0b\x0c{_CONTROLS}{_BIDI}{_INVISIBLE}]")


def is_plain(text: str) -> bool:
    """True only where `text` below would change nothing but white space; cheap enough for a whole chunk of a file.

    False says nothing: a line feed or an emoji's joiner makes it False too.
    """
    return text.isprintable() and (text.isascii() or unicodedata.is_normalized("NFC", text))


def text(cell: str, *, is_name: bool) -> tuple[str, bool]:
    """The text as stored, and whether a character was removed. Doing it again changes nothing."""
    has_removable = False
    if not is_plain(cell):
        has_removable = _REMOVABLE.search(cell) is not None
        if has_removable:
            cell = cell.translate(_IN_NAMES if is_name else _IN_FREE_TEXT)
        # After the removal: what stood between a letter and its accent is gone now, and the two compose.
        cell = unicodedata.normalize("NFC", cell)
    return (" ".join(cell.split()) if is_name else cell.strip()), has_removable


# --- Places


def state(cell: str) -> str:
    found = geography.find_state(cell)
    if found is None:
        raise Invalid("ENUM")
    return found


def lga(cell: str, state: str | None) -> str | None:
    """The official name, or None where the LGA is unknown. `state` as stored; without it the name must be unique."""
    return geography.find_lga(cell, state)


_DECIMAL_DEGREES = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_SEVENTH = Decimal("0.0000001")  # a centimetre, and what the columns hold


def point(lat: str, lon: str) -> tuple[Decimal | None, Decimal | None, str | None]:
    """Both coordinates or neither, and the warning that says why not."""
    lat, lon = lat.strip(), lon.strip()
    if not (lat and lon):
        return None, None, "GEO_INCOMPLETE" if lat or lon else None
    if not (_DECIMAL_DEGREES.fullmatch(lat) and _DECIMAL_DEGREES.fullmatch(lon)):
        return None, None, "GEO_INVALID"
    north, east = Decimal(lat), Decimal(lon)
    if abs(north) > 90 or abs(east) > 180:
        return None, None, "GEO_INVALID"
    north, east = north.quantize(_SEVENTH), east.quantize(_SEVENTH)
    if not (LATITUDES[0] <= north <= LATITUDES[1] and LONGITUDES[0] <= east <= LONGITUDES[1]):
        return None, None, "GEO_OUTSIDE"
    return north, east, None


# --- People

SEXES = {
    "": "Unknown",
    "m": "M",
    "male": "M",
    "f": "F",
    "female": "F",
    "other": "Other",
    "u": "Unknown",
    "unknown": "Unknown",
}


def sex(cell: str) -> str:
    found = SEXES.get(cell.strip().lower())
    if found is None:
        raise Invalid("ENUM")
    return found


# Not date.fromisoformat alone, which also takes 20240101 and 2024-W01-1.
DOB = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
# Which of the numbers is the day? A serial number's fraction (32874.5) is no such question.
_DAY_OR_MONTH = re.compile(r"[0-9]{1,4} ?[/.] ?[0-9]{1,4}(?: ?[/.] ?[0-9]{1,4})?(?:[ T].*)?")


def dob(cell: str, latest: date) -> tuple[date, bool]:
    """The date of birth, and whether it is only the first day of the month or year that is known."""
    cell = cell.strip()
    parts = DOB.fullmatch(cell)
    if parts is None:
        raise Invalid("DATE_AMBIGUOUS" if _DAY_OR_MONTH.fullmatch(cell) else "TYPE_INVALID")
    year, month, day = parts.groups()
    try:
        born = date(int(year), int(month or 1), int(day or 1))
    except ValueError as error:
        raise Invalid("TYPE_INVALID") from error
    if born < FIRST_DOB:
        raise Invalid("RANGE")
    if born > latest:
        raise Invalid("DATE_FUTURE")
    return born, day is None


# Nigerian mobile numbers by shape: operators are given new ranges more often than anybody's tables are renewed.
_MOBILE = re.compile(r"(?:\+?234|0)?((?:70|80|81|90|91)[0-9]{8})")
_MOBILE_WITH_TRUNK_ZERO = re.compile(r"(?:(?:\+|00)?2340?|0)?((?:70|80|81|90|91)[0-9]{8})")
# Two numbers in a cell, extensions and words hold other characters; a last ".0" is what a spreadsheet made of a number.
_DIALLED = re.compile(r"\(?\+?[0-9 ().\-]*(?<!\.0)")
_PUNCTUATION = str.maketrans("", "", " ().-")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def phone(cell: str) -> str | None:
    """The number as E.164, or None: a number that nobody can call is not worth a patient."""
    mobile = _MOBILE.fullmatch(cell)
    if mobile:
        return f"+234{mobile[1]}"
    cell = cell.strip()
    if not _DIALLED.fullmatch(cell):
        return None
    digits = cell.translate(_PUNCTUATION)
    mobile = _MOBILE_WITH_TRUNK_ZERO.fullmatch(digits)
    return f"+234{mobile[1]}" if mobile else _other_phone(digits)


def _other_phone(digits: str) -> str | None:
    """Landlines, service numbers and other countries, by libphonenumber's tables. `+` or `00` begins a country code."""
    if len(digits) > LENGTHS["phone"]:
        return None
    try:
        number = phonenumbers.parse("+" + digits[2:] if digits.startswith("00") else digits, "NG")
    except phonenumbers.NumberParseException:
        return None
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return e164 if phonenumbers.is_valid_number(number) and _E164.fullmatch(e164) else None


# --- Events

_INTEGER = re.compile(r"-?[0-9]+")


def level(cell: str) -> int:
    """A triage level: 1 (most urgent) to 5."""
    cell = cell.strip()
    if not _INTEGER.fullmatch(cell):
        raise Invalid("TYPE_INVALID")
    digit = cell.lstrip("0")  # before int(), which refuses thousands of digits with an error of its own
    if digit not in ("1", "2", "3", "4", "5"):
        raise Invalid("RANGE")
    return int(digit)


def items(cell: str) -> list[str]:
    """A list written with `;` or `|`. A comma belongs to the item."""
    return [item for item in map(str.strip, cell.replace("|", ";").split(";")) if item]


ISO_8601 = re.compile(
    r"([0-9]{4})-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def instant(cell: str, latest: datetime) -> datetime:
    """An instant in UTC. Without a zone it is Lagos time, without a time the midnight with which that day begins."""
    cell = cell.strip().upper()
    parts = ISO_8601.fullmatch(cell)
    if parts is None:
        raise Invalid("TYPE_INVALID")
    try:
        read = datetime.fromisoformat(cell)
    except ValueError as error:
        raise Invalid("TYPE_INVALID") from error
    # By the year first: the ends of the calendar have no UTC.
    if read.year < FIRST_INSTANT.year - 1:
        raise Invalid("RANGE")
    if read.year > latest.year + 1:
        raise Invalid("DATE_FUTURE")
    found = (read if read.tzinfo else read.replace(tzinfo=LAGOS)).astimezone(UTC)
    if found < FIRST_INSTANT:
        raise Invalid("RANGE")
    if found > latest:
        raise Invalid("DATE_FUTURE")
    return found
