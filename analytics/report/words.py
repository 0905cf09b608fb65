"""How figures and days of a report are said, alike on the page and on paper."""

from datetime import date, datetime
from typing import Any

from django.utils import timezone

from analytics.wording import NOTHING, plural

MINUS = "\N{MINUS SIGN}"
HOW_TO_READ = (
    "Last 7 days: up to and with the last whole day, against the 7 before; last 30 days, against the 30 before. "
    "Shares change in points. Numbers of 1 to 7 that could point at a person are shown as <8."
)


def number(value: Any) -> str:
    """Of a count or share that may be hidden or unknown."""
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def share(value: Any) -> str:
    return f"{value:.1f} %" if isinstance(value, int | float) else number(value)


def change(value: float | None, *, is_share: bool = False) -> str:
    if value is None:
        return NOTHING
    sign = "+" if value > 0 else MINUS if value < 0 else "±"
    return f"{sign}{abs(value):,.1f} {'pts' if is_share else '%'}"


def day(text: str, form: str = "%-d %B %Y") -> str:
    return f"{date.fromisoformat(text):{form}}"


def instant(text: str) -> str:
    return f"{timezone.localtime(datetime.fromisoformat(text)):%-d %B %Y, %H:%M}"


def delivered(facts: dict[str, Any]) -> str:
    told = facts["delivered"]
    if facts["state"]:
        parts = [plural(told["files"], "file") + " with its events", plural(told["written"], "event") + " written"]
    else:
        parts = [
            plural(told["files"], "file"),
            plural(told.get("rows_read", 0), "row") + " read",
            f"{told.get('inserted', 0):,} new",
            f"{told.get('updated', 0):,} changed",
        ]
    parts += [f"{told['refused']:,} refused", f"{told['stopped']:,} held or stopped"]
    return " · ".join(parts)


def waits(facts: dict[str, Any]) -> str:
    found = [f"{one['count']:,}{'+' * one['is_more']} {one['what']}" for one in facts["waits"] if one["count"]]
    return " · ".join(found) if found else "Nothing waits."


def trust(facts: dict[str, Any]) -> str:
    told = facts["trust"]
    reporting = told["reporting"]
    rate = f" ({reporting['rate_pct']} %)" if reporting["rate_pct"] is not None else ""
    said = [
        f"Figures as of {instant(facts['as_of'])}{', newer data has come since' if facts['stale'] else ''}.",
        f"{reporting['reported']:,} of {reporting['facilities']:,} facilities{rate} reported in the last "
        f"{reporting['days']} days.",
        f"{plural(told['excluded_rows'], 'delivered row')} in no figure"
        f" ({told['excluded']['refused']:,} refused, {told['excluded']['waiting']:,} waiting,"
        f" {told['excluded']['held']:,} held).",
        f"{plural(told['suppressed_cells'], 'small cell')} hidden.",
    ]
    return " ".join(said)


def _since(one: dict[str, Any]) -> str:
    return f"{one['kind'].lower()} since {day(one['since'], '%-d %b')}"


def silent(facts: dict[str, Any]) -> str:
    told = facts["silent"]
    if not told["count"]:
        return "No facility is silent."
    names = [f"{one['name']} ({', '.join(filter(None, (one['where'], _since(one))))})" for one in told["named"]]
    more = told["count"] - len(names)
    return "; ".join(names) + (f"; and {more:,} more." if more > 0 else ".")


def condition(one: dict[str, Any], which: str) -> str:
    least = "≥ " if one["is_least"] and one[which] is not None else ""
    return least + number(one[which])
