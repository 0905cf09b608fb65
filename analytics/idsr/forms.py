"""The line list, and the form that adds it up by LGA: every disease of every LGA, 0 where there was none.

A case of the form is a person: who has a visit and a record of one disease in the span is one. An LGA of which no
facility reported anything has no number, not 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from analytics import disclosure
from analytics.idsr.cases import Case
from analytics.idsr.diseases import all_of_them
from clinical.api import exports
from clinical.models import Facility

LINE = (
    *("disease", "disease_name", "reported", "source", "event_id", "patient_id", "facility_id", "facility_name"),
    *("state", "lga", "day", "week", "age", "age_group", "sex", "triage_level"),
)
FORM = ("state", "lga", "facilities", "facilities_reporting", "disease", "disease_name", "reported", "cases", "under_5")
YOUNG = 5  # years: who is younger
Row = dict[str, Any]


def facilities(places: "Any") -> dict[int, Facility]:
    """Those that are not deleted, by id."""
    found = places.filter(deleted_at=None).only("id", "name", "state", "lga", "lga_name")
    return {facility.pk: facility for facility in found.order_by("state", "lga_name", "pk")}


def lines(cases: Iterable[Case], known: dict[int, Facility]) -> list[Row]:
    diseases, found = all_of_them(), []
    for case in cases:
        at, disease = known.get(case.facility_id), diseases[case.disease]
        row = case._asdict() | {"disease_name": disease.name, "reported": disease.reported, "week": case.week}
        row |= {"facility_name": at.name, "state": at.state, "lga": at.lga_name} if at else {}
        found.append({name: row.get(name) for name in LINE})
    return found


def form(cases: Iterable[Case], known: dict[int, Facility], reporting: set[int], *, is_clear: bool) -> list[Row]:
    """By state, LGA and disease. Who sees no small numbers gets those that analytics/disclosure lets through."""
    people: dict[tuple[str, str, str], dict[int, int]] = defaultdict(dict)
    for case in cases:
        if at := known.get(case.facility_id):
            people[at.state, at.lga_name, case.disease][case.patient_id] = case.age
    areas: dict[tuple[str, str], list[int]] = defaultdict(list)
    for pk, facility in known.items():
        areas[facility.state, facility.lga_name].append(pk)
    found: list[Row] = []
    for disease in all_of_them().values():
        counts = [_ages(people[*area, disease.code].values()) for area in areas]
        for (area, members), numbers in zip(areas.items(), _shown(counts, is_clear=is_clear), strict=True):
            reported = sum(pk in reporting for pk in members)
            told = numbers if reported else (None, None)
            named = (disease.code, disease.name, disease.reported)
            found.append(dict(zip(FORM, (*area, len(members), reported, *named, *told), strict=True)))
    return sorted(found, key=lambda row: (row["state"], row["lga"]))


def _ages(ages: Iterable[int]) -> tuple[int, int]:
    """Under 5, and older."""
    ages = [*ages]
    young = sum(age < YOUNG for age in ages)
    return young, len(ages) - young


def _shown(counts: list[tuple[int, int]], *, is_clear: bool) -> list[tuple[int | None, int | None]]:
    """Cases, and those under 5, of each area."""
    if is_clear or not counts:
        return [(young + older, young) for young, older in counts]
    cells, totals, _, _ = disclosure.table(counts)
    return [(total.count, young.count) for total, (young, _) in zip(totals, cells, strict=True)]


def as_csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    return exports.as_csv(columns, ([row[name] for name in columns] for row in rows))
