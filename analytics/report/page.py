"""The report as one HTML page that holds all it needs: it is read on a phone, on the desk, and printed on one A4."""

from typing import Any

from django.template.loader import render_to_string

from analytics.report import words
from analytics.report.facts import Facts

WIDTH, HEIGHT = 320, 72  # of the curve, in its own units


def html(facts: Facts) -> str:
    return render_to_string("analytics/report/page.html", told(facts))


def told(facts: Facts) -> dict[str, Any]:
    """What the page shows, in words."""
    return {
        "facts": facts,
        "night": words.day(facts["night"], "%A %-d %B %Y"),
        "delivered": words.delivered(facts),
        "waits": words.waits(facts),
        "figures": [_figure(one) for one in facts["figures"]],
        "curve": curve(facts["curve"]),
        "conditions": [
            (one["condition"], words.condition(one, "now"), words.condition(one, "before"), f"{one['level']:.1f}")
            for one in facts["conditions"]
        ],
        "silent": words.silent(facts),
        "columns": columns(facts),
        "places": [place(one, facts) for one in facts["places"]],
        "trust": words.trust(facts),
        "how": words.HOW_TO_READ,
        "month": words.day(facts["last_day"], "%B"),
    }


def _figure(one: Facts) -> dict[str, Any]:
    say = words.share if one["is_share"] else words.number
    return {
        "label": one["label"],
        "week": say(one["week"]),
        "week_change": words.change(one["week_change"], is_share=one["is_share"]),
        "month": say(one["month"]),
        "month_change": words.change(one["month_change"], is_share=one["is_share"]),
    }


def columns(facts: Facts) -> tuple[str, ...]:
    """Of the table of places; for paper too."""
    return (
        ("LGA", "visits", "critical", "reported")
        if facts["state"]
        else ("state", "visits", "change", "critical", "reported")
    )


def place(one: Facts, facts: Facts) -> tuple[str, ...]:
    change = () if facts["state"] else (words.change(one["change"]),)
    share, reported = words.share(one["critical_pct"]), f"{one['reported']:,}/{one['facilities']:,}"
    return (one["name"], words.number(one["visits"]), *change, share, reported)


def curve(days: list[Facts], width: float = WIDTH, height: float = HEIGHT) -> dict[str, Any]:
    """Bars of each day's visits, and the points of the 7-day mean."""
    most = max((day["visits"] for day in days), default=0) or 1
    step = width / max(1, len(days))
    bars = [
        {
            "x": round(n * step + step * 0.15, 2),
            "y": round(height - height * day["visits"] / most, 2),
            "width": round(step * 0.7, 2),
            "height": round(height * day["visits"] / most, 2),
            "title": f"{words.day(day['day'], '%-d %b')}: {day['visits']:,}",
        }
        for n, day in enumerate(days)
    ]
    line = [
        (round((n + 0.5) * step, 2), round(height - height * day["mean"] / most, 2))
        for n, day in enumerate(days)
        if day["mean"] is not None
    ]
    return {
        "bars": bars,
        "line": line,
        "points": " ".join(f"{x},{y}" for x, y in line),
        "most": words.number(most),
        "first": words.day(days[0]["day"], "%-d %b") if days else "",
        "last": words.day(days[-1]["day"], "%-d %b") if days else "",
        "width": width,
        "height": height,
    }
