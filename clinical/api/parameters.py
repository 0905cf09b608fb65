"""The query of a request, read strictly: a typo must not return everyone.

Every refusal is a ValidationError on the parameter; none repeats the value, which may be a person's.
"""

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, time

from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from clinical import months, values

ID = re.compile(r"[0-9]{1,19}")
LARGEST_ID = 2**63 - 1
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def refused(name: str, code: str, detail: str) -> ValidationError:
    return ValidationError({name: [detail]}, code=code)


def read(query: QueryDict, known: Collection[str]) -> dict[str, str]:
    """Each parameter once, empty ones left out."""
    found = {}
    for name, texts in query.lists():
        if name not in known:
            known_ones = ", ".join(sorted(known))
            raise ValidationError([f"No such parameter here. Known ones: {known_ones}."], code="unknown_parameter")
        if len(texts) > 1:
            raise refused(name, "duplicate_parameter", "Given more than once.")
        text = texts[0].strip()
        if "\0" in text or not _is_text(text):
            raise refused(name, "invalid", "Holds characters that no text has.")
        if text:
            found[name] = text
    return found


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_number(name: str, text: str, smallest: int, largest: int) -> int:
    if not ID.fullmatch(text) or not smallest <= int(text) <= largest:
        raise refused(name, "invalid", f"Must be a whole number from {smallest} to {largest}.")
    return int(text)


def identifier(name: str, text: str) -> int:
    return whole_number(name, text, 1, LARGEST_ID)


def day(name: str, text: str) -> date:
    try:
        if DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise refused(name, "invalid", "Must be a date, YYYY-MM-DD.")


def month(name: str, text: str) -> date:
    """Its first day."""
    found = months.month_of(text)
    if found is None:
        raise refused(name, "invalid", "Must be a month, written YYYY-MM.")
    return found


def since(name: str, text: str) -> datetime:
    """The instant with which a range begins: the start of a Lagos day, or the instant given."""
    return _instant(name, text, time.min)


def until(name: str, text: str) -> datetime:
    """The last instant of a range: the end of a Lagos day, or the instant given."""
    return _instant(name, text, time.max)


def _instant(name: str, text: str, at: time) -> datetime:
    try:
        if DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), at, values.LAGOS)
        if "T" in text:
            # A plus sign that nobody has encoded comes as a space.
            found = datetime.fromisoformat(re.sub(r" (?=[0-9]{2}:?[0-9]{2}$)", "+", text))
            found = found if found.tzinfo else found.replace(tzinfo=values.LAGOS)
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise refused(name, "invalid", "Must be a date, YYYY-MM-DD, or an instant such as 2026-11-22T08:00:00Z.")
