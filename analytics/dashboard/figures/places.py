"""The map: visits by state, or per 1,000 patients; inside a chosen state its LGAs, as circles where its facilities are.

Borders (nigeria.json) are thinned, for orientation.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from typing import Any

from django.db.models import Avg, Count, Sum

from analytics.dashboard import cells
from analytics.dashboard.figures.conditions import by
from analytics.dashboard.figures.figure import WHOLE_MONTHS, Column, Figure, measured, or_hidden, withheld
from analytics.dashboard.figures.visits import visits
from analytics.dashboard.selection import MAPS, Reach
from analytics.models import FacilityDimension, TriageTrend
from analytics.wording import plural
from clinical.geography import in_words

SHADES = 5
LARGEST = 0.07  # a circle's radius, of the map's width
NOWHERE = "LGA not told"


@dataclass
class Place:
    name: str
    visits: cells.Count
    patients: int
    at: tuple[float, float] | None = None  # degrees east and north

    def value(self, what: str) -> Any:
        if what == "visits" or self.visits is None:
            return self.visits
        return round(1000 * self.visits / self.patients, 1) if self.patients else None


@cache
def borders() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(__file__).parent.parent.joinpath("nigeria.json").read_text())
    return found


def places(reach: Reach) -> Figure:
    selection = reach.selection
    if selection.condition and not reach.is_clear and (selection.state or reach.is_withheld):
        return withheld("places", MAPS[selection.map], [Column("Place"), measured("total_visits")])
    found = _lgas(reach) if selection.state else _states(reach)
    found.sort(key=lambda one: (-(one.visits or 0), one.name))
    kind = "LGA" if selection.state else "State"
    rows = [
        (one.name if selection.state else in_words(one.name), or_hidden(one.visits), one.patients, one.value("rate"))
        for one in found
    ]
    columns = (Column(kind), measured("total_visits"), measured("total_patients"), measured("visits_per_1000", 1))
    has_any = any(one.visits is None or one.visits for one in found)
    figure = Figure(
        "places",
        f"{MAPS[selection.map]} by {'LGA' if selection.state else 'state'}",
        _says(reach, found),
        columns,
        rows,
        ("dim_facilities", "triage_trends") if reach.is_of_states and not selection.state else ("dim_facilities",),
        template="analytics/dashboard/map.html",
    )
    if selection.condition:
        figure.notes.append(WHOLE_MONTHS)
    if has_any or found:
        figure.drawing = _circles(reach, found) if selection.state else _map(reach, found)
    if selection.state:
        unplaced = sum(one.at is None for one in found)
        figure.notes.append("A circle stands where the LGA's facilities are, on average.")
        if unplaced:
            figure.notes.append(f"{plural(unplaced, 'LGA')} without coordinates: in the table only.")
    return figure


def _says(reach: Reach, found: list[Place]) -> str:
    what = reach.selection.map
    told = sorted((one for one in found if one.value(what)), key=lambda one: -float(one.value(what)))
    if not told:
        hidden = any(one.visits is None for one in found)
        return "Every number here is below 8." if hidden else "No visits in this selection."
    first = told[0]
    name = first.name if reach.selection.state else in_words(first.name)
    value = f"{first.value(what):,}"
    unit = "visits for each 1,000 patients" if what == "rate" else "visits"
    kind = "LGA" if reach.selection.state else "state"
    return (
        f"{name} has the most, {value} {unit}; {plural(len(told), kind)} {'has' if len(told) == 1 else 'have'} visits."
    )


# --- By state


def _states(reach: Reach) -> list[Place]:
    patients = _sums(FacilityDimension.objects.filter(reach.facilities), "state", Sum("total_patients"))
    selection, counts = reach.selection, {}
    if not reach.is_of_states:
        rows = visits(reach, *selection.span)
        counts = _sums(rows, "facility__state", Count("pk"))
    elif selection.condition:
        counts = {state: count for state, (count, _) in by("state", reach).items()}
    else:
        days = TriageTrend.objects.filter(reach.states, day__range=selection.span)
        counts = _sums(days.exclude(state="ALL"), "state", Sum("total_visits"))
    is_counted = reach.is_clear or (reach.is_of_states and not selection.condition)
    return [
        Place(state, cells.shown(int(counts.get(state) or 0), is_clear=is_counted), int(known or 0))
        for state, known in patients.items()
    ]


def _sums(rows: Any, by: str, what: Any) -> dict[str, Any]:
    return dict(rows.order_by().values(by).annotate(of=what).values_list(by, "of"))


# --- By LGA


def _lgas(reach: Reach) -> list[Place]:
    found = (
        FacilityDimension.objects.filter(reach.facilities)
        .order_by()
        .values("lga_name")
        .annotate(patients=Sum("total_patients"), east=Avg("longitude"), north=Avg("latitude"))
        .values_list("lga_name", "patients", "east", "north")
    )
    selection = reach.selection
    rows = visits(reach, *selection.span)
    counts: dict[str, int] = defaultdict(int, _sums(rows, "facility__lga_name", Count("pk")))
    known = [*found]
    told = cells.parts([counts[lga] for lga, *_ in known], is_clear=reach.is_clear)
    return [
        Place(lga or NOWHERE, count, int(patients), (float(east), float(north)) if east is not None else None)
        for (lga, patients, east, north), count in zip(known, told, strict=True)
    ]


# --- What is drawn


def _map(reach: Reach, found: list[Place]) -> dict[str, Any]:
    shape, what = borders(), reach.selection.map
    most = max((float(one.value(what) or 0) for one in found), default=0)
    by_name = {one.name: one for one in found}
    states = []
    for name, border in shape["states"].items():
        one = by_name.get(name)
        states.append(
            {
                "path": border["path"],
                "name": in_words(name),
                "link": reach.selection.link(state=name, page=1) if one else "",
                "shade": _shade(one, what, most),
                "told": _told(one, what),
            }
        )
    return {
        "box": f"0 0 {shape['width']} {shape['height']}",
        "states": states,
        "legend": _legend(most),
        **_switch(reach),
    }


def _shade(one: Place | None, what: str, most: float) -> str:
    if one is None:
        return "none"
    if one.visits is None:
        return "hidden"
    value = float(one.value(what) or 0)
    return f"{min(SHADES, 1 + int(SHADES * value / most))}" if value and most else "0"


def _told(one: Place | None, what: str) -> str:
    if one is None:
        return "no facilities"
    if one.visits is None:
        return f"{cells.UNDER} visits"
    value = one.value(what)
    return "no patients" if value is None else f"{value:,} {'visits' if what == 'visits' else 'per 1,000 patients'}"


def _legend(most: float) -> list[tuple[str, str]]:
    ends = [most * n / SHADES for n in range(SHADES + 1)]
    return [(f"{n + 1}", f"{ends[n]:,.0f} to {ends[n + 1]:,.0f}") for n in range(SHADES)] if most else []


def _switch(reach: Reach) -> dict[str, Any]:
    return {
        "maps": [(name, reach.selection.link(map=key), key == reach.selection.map) for key, name in MAPS.items()],
        "all_states": reach.selection.link(state="", page=1) if reach.selection.state else "",
    }


def _circles(reach: Reach, found: list[Place]) -> dict[str, Any]:
    shape, what = borders(), reach.selection.map
    border = shape["states"].get(reach.selection.state)
    if border is None:
        return {}
    west, top, east, bottom = border["box"]
    width = 1.16 * max(east - west, bottom - top)
    most = max((float(one.value(what) or 0) for one in found), default=0)
    circles = []
    for one in found:
        value = float(one.value(what) or 0)
        if one.at is None:
            continue
        across, down = shape["per_degree"]
        x, y = (one.at[0] - shape["west"]) * across, (shape["north"] - one.at[1]) * down
        radius = max(LARGEST * width * sqrt(value / most) if most else 0, 0.008 * width)
        west, east = min(west, x - radius), max(east, x + radius)
        top, bottom = min(top, y - radius), max(bottom, y + radius)
        circles.append(
            {
                "x": f"{x:.1f}",
                "y": f"{y:.1f}",
                "radius": f"{radius:.2f}",
                "name": one.name,
                "told": _told(one, what),
                "is_hidden": one.visits is None,
            }
        )
    edge = 0.02 * width
    box = f"{west - edge:.1f} {top - edge:.1f} {east - west + 2 * edge:.1f} {bottom - top + 2 * edge:.1f}"
    return {"box": box, "state": border["path"], "circles": circles, **_switch(reach)}
