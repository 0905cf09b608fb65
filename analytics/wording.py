"""How counts and shares are rounded and said: alike on the dashboard, in the nightly report and in the API's trust."""

from decimal import ROUND_HALF_UP, Decimal

NOTHING = "\N{EN DASH}"  # in the place of a number that is not known


def pct(part: float, whole: float | None, places: int = 1) -> Decimal | None:
    """As PostgreSQL rounds."""
    if not whole:
        return None
    return (Decimal(100 * part) / Decimal(whole)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def json_pct(part: float, whole: float | None) -> float | None:
    """The same as the number that JSON has."""
    found = pct(part, whole)
    return None if found is None else float(found)


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
