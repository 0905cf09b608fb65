"""Nigeria's public holidays, as far as they can be known beforehand.

Fixed dates and Easter can. The Islamic ones follow the moon and are announced days before: they are not here, and
judgement.py knows them by what they do, when most facilities are quiet on the same day.
"""

from datetime import date, timedelta

FIXED = ((1, 1), (5, 1), (6, 12), (10, 1), (12, 25), (12, 26))  # (month, day)


def is_holiday(day: date) -> bool:
    good_friday, monday = easter(day.year) - timedelta(days=2), easter(day.year) + timedelta(days=1)
    return (day.month, day.day) in FIXED or day in (good_friday, monday)


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by Butcher's rule."""
    century, of_century = divmod(year, 100)
    leaps, rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    golden = year % 19
    moon = (19 * golden + century - leaps - correction + 15) % 30
    quarters, years = divmod(of_century, 4)
    weekday = (32 + 2 * rest + 2 * quarters - moon - years) % 7
    late = (golden + 11 * moon + 22 * weekday) // 451
    month, before = divmod(moon + weekday - 7 * late + 114, 31)
    return date(year, month, before + 1)
