"""Months and ISO weeks as people write them: 2026-10, 2026-W40."""

import re
from datetime import date, timedelta

MONTH = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")
WEEK = re.compile(r"(2[0-9]{3})-W([0-5][0-9])")


def month_of(text: str) -> date | None:
    """Its first day."""
    found = MONTH.fullmatch(text)
    return date(int(found[1]), int(found[2]), 1) if found else None


def next_month(day: date) -> date:
    """The first day of the month after that of the day, which is also where its own ends."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def last_month(day: date) -> date:
    """The first day of the month before that of the day."""
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


def week_of(text: str) -> date | None:
    """Its Monday."""
    found = WEEK.fullmatch(text)
    try:
        return date.fromisocalendar(int(found[1]), int(found[2]), 1) if found else None
    except ValueError:
        return None
