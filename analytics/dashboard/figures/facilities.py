"""Facilities, one line each, sorted and cut into pages; and how many there are of each volume and acuity."""

from typing import Any

from django.db.models import Count, F, Sum

from analytics.dashboard.figures.figure import Column, Figure, measured
from analytics.dashboard.selection import BUSIEST, Reach
from analytics.models import FacilityPerformance
from analytics.wording import plural
from clinical.geography import in_words

PAGE = 20
VOLUMES = ("High", "Medium", "Low", "Inactive")
ACUITIES = ("High", "Medium", "Low", None)
NO_VISITS = "No visits"
SHOWN = {  # column of the mart, and the places behind its point
    "volume_category": 0,
    "acuity_category": 0,
    "total_patients": 0,
    "visits_30d": 0,
    "critical_visits_30d": 0,
    "avg_triage_level_30d": 2,
    "avg_monthly_visits": 2,
}
COLUMNS = (Column("Facility"), Column("State"), *(measured(name, places) for name, places in SHOWN.items()))
SORTED_BY = ("facility_name", "state", *SHOWN)
RELATIONS = ("facility_performance",)


def categories(reach: Reach) -> Figure:
    found = FacilityPerformance.objects.filter(reach.facilities).order_by()
    counts: dict[Any, int] = {}
    visits = 0
    for volume, acuity, count, sum_ in (
        found.values("volume_category", "acuity_category")
        .annotate(count=Count("pk"), visits=Sum("visits_30d"))
        .values_list("volume_category", "acuity_category", "count", "visits")
    ):
        counts[volume, acuity] = count
        visits += sum_
    total = sum(counts.values())
    rows = [
        (volume, *(counts.get((volume, acuity), 0) for acuity in ACUITIES), _of_volume(counts, volume))
        for volume in VOLUMES
    ]
    active = total - _of_volume(counts, "Inactive")
    says = f"{active:,} of {plural(total, 'facility', 'facilities')} had a record or visit in the last 30 days"
    says += f", with {plural(visits, 'visit')}."
    columns = (
        Column("Volume"),
        *(Column(f"{acuity} acuity" if acuity else NO_VISITS, is_count=True) for acuity in ACUITIES),
        Column("All", is_count=True),
    )
    drawing: dict[str, Any] = {}
    if total:
        drawing = {"total": total, "bars": [_bar(counts, volume, total) for volume in VOLUMES]}
    return Figure(
        "categories",
        "Volume and acuity",
        says if total else "No facility is in this selection.",
        columns,
        rows if total else [],
        RELATIONS,
        drawing,
        ["Acuity describes the levels that triage gave; it is no judgement of a facility."],
        "analytics/dashboard/categories.html",
    )


def _of_volume(counts: dict[Any, int], volume: str) -> int:
    return sum(count for (of, _), count in counts.items() if of == volume)


def _bar(counts: dict[Any, int], volume: str, total: int) -> dict[str, Any]:
    """One volume, parted by acuity; the widths are shares of all facilities."""
    parts, x = [], 0.0
    for acuity in ACUITIES:
        count = counts.get((volume, acuity), 0)
        width = 100 * count / total
        if count:
            word = f"{acuity} acuity" if acuity else NO_VISITS
            parts.append(
                {
                    "x": f"{x:.2f}",
                    "width": f"{width:.2f}",
                    "kind": (acuity or "none").lower(),
                    "told": f"{word}: {count:,}",
                }
            )
        x += width
    return {"name": volume, "parts": parts, "told": f"{_of_volume(counts, volume):,}"}


def facilities(reach: Reach, *, is_whole: bool = False) -> Figure:
    """A page of them, or all for the CSV."""
    selection = reach.selection
    name, is_falling = selection.sort.removeprefix("-"), selection.sort.startswith("-")
    by = F(name).desc(nulls_last=True) if is_falling else F(name).asc(nulls_last=True)
    found = FacilityPerformance.objects.filter(reach.facilities)
    count = found.count()
    pages = max(1, -(-count // PAGE))
    page = min(selection.page, pages)
    ordered = found.order_by(by, "facility_id").values_list("facility_name", "state", *SHOWN, "facility_id")
    lines = [*(ordered if is_whole else ordered[PAGE * (page - 1) : PAGE * page])]
    rows = [(line[0], in_words(line[1]), *line[2:-1]) for line in lines]
    says = f"{plural(count, 'facility', 'facilities')} in {reach.place}"
    if lines and selection.sort == BUSIEST and page == 1:
        says += f"; the busiest, {lines[0][0]}, had {plural(lines[0][5], 'visit')} in the last 30 days"
    return Figure(
        "facilities",
        "Facilities",
        f"{says}.",
        COLUMNS,
        rows,
        RELATIONS,
        _paged(reach, lines, rows, page, pages) if lines else {},
        ["The last 30 days and the 12 complete months before this one, whatever dates are chosen."],
        "analytics/dashboard/facilities.html",
    )


def _paged(reach: Reach, lines: list[Any], rows: list[Any], page: int, pages: int) -> dict[str, Any]:
    selection = reach.selection
    return {
        "heads": [_head(reach, column, name) for column, name in zip(COLUMNS, SORTED_BY, strict=True)],
        "lines": [
            {
                "link": selection.link(facility_id=line[-1], page=1),
                "cells": [(column, column.told(cell)) for column, cell in zip(COLUMNS, row, strict=True)],
            }
            for line, row in zip(lines, rows, strict=True)
        ],
        "page": page,
        "pages": pages,
        "previous": selection.link(page=page - 1) if page > 1 else "",
        "next": selection.link(page=page + 1) if page < pages else "",
        "has_previous": page > 1,
        "has_next": page < pages,
    }


def _head(reach: Reach, column: Column, name: str) -> dict[str, Any]:
    if name.endswith("_category"):
        return {"column": column}
    sort = reach.selection.sort
    other = name if sort == f"-{name}" or (sort != name and not column.is_number) else f"-{name}"
    is_sorted = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
    return {
        "column": column,
        "link": reach.selection.link(sort=other, page=1),
        "is_sorted": is_sorted,
        "may_sort": True,
    }
