"""Patients by age and sex; and how complete what is known of them, their records and visits is."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, Sum

from analytics import trust
from analytics.dashboard import cells
from analytics.dashboard.figures.figure import Column, Figure, measured, or_hidden, withheld
from analytics.dashboard.selection import Reach
from analytics.models import FacilityDimension, PatientGroup
from analytics.wording import pct, plural
from clinical.api.patients import AGES
from clinical.models import Patient

SEXES = Patient.Sex.values
SIDES = ("F", "M")  # of the pyramid; others stand in the table
YEARS = {
    "Infant": "under 1",
    "Child": "1 to 12",
    "Adolescent": "13 to 17",
    "Adult": "18 to 64",
    "Senior": "65 and older",
}
MANY = {"Infant": "infants", "Child": "children", "Adolescent": "adolescents", "Adult": "adults", "Senior": "seniors"}
SUMS = (
    *("patients", "patients_with_phone", "records"),
    *("records_with_diagnosis", "visits", "visits_with_conditions"),
)


@dataclass
class Groups:
    """Sums over the selection: by age group and sex, and of all."""

    patients: dict[tuple[str, str], int]
    all: dict[str, int]


def groups(reach: Reach) -> Groups:
    rows = (
        PatientGroup.objects.filter(reach.facilities)
        .order_by()
        .values("age_group", "sex")
        .annotate(**{f"of_{name}": Sum(name) for name in SUMS})
        .values_list("age_group", "sex", *(f"of_{name}" for name in SUMS))
    )
    found = Groups({}, dict.fromkeys(SUMS, 0))
    for age, sex, *sums in rows:
        found.patients[age, sex] = int(sums[0])
        for name, count in zip(SUMS, sums, strict=True):
            found.all[name] += int(count)
    return found


def pyramid(reach: Reach, found: Groups) -> Figure:
    ages = [*reversed(AGES)]
    selection = reach.selection
    if not reach.is_clear and (selection.state or selection.facility_id):
        return withheld("patients", "Patients by age and sex", [Column("Age group"), measured("patients")])
    counts = [[found.patients.get((age, sex), 0) for sex in SEXES] for age in ages]
    told, of_sex = cells.table(counts, is_clear=reach.is_clear)
    rows = [(f"{age} ({YEARS[age]})", *map(or_hidden, line)) for age, line in zip(ages, told, strict=True)]
    total = found.all["patients"]
    columns = (
        Column("Age group"),
        *(measured("patients", label={"F": "Female", "M": "Male"}.get(sex, sex)) for sex in SEXES),
    )
    figure = Figure(
        "patients",
        "Patients by age and sex",
        _says(reach, ages, told, of_sex[SEXES.index("F")], total),
        columns,
        rows if total else [],
        ("patient_groups",),
        template="analytics/dashboard/pyramid.html",
    )
    figure.notes.append("All patients whom the facilities know, whatever dates are chosen.")
    if any(cell is None for line in told for cell in line):
        figure.notes.append("Groups of 1 to 7 patients, or that would give one away, are shown as <8.")
    if total:
        figure.drawing = _drawing(ages, told)
    return figure


def _says(reach: Reach, ages: list[str], told: list[list[cells.Count]], women: cells.Count, total: int) -> str:
    if not total:
        return "No patients in this selection."
    said = f"{plural(total, 'patient')} in {reach.place}"
    if women is not None:
        said += f", {pct(women, total)} % of them female"
    sizes = {age: sum(count or 0 for count in line) for age, line in zip(ages, told, strict=True)}
    largest = max(sizes, key=lambda age: sizes[age])
    if any(count is None for line in told for count in line):
        return f"{said}."
    return f"{said}; the largest group is {MANY[largest]}, {YEARS[largest]}."


def _drawing(ages: list[str], told: list[list[cells.Count]]) -> dict[str, Any]:
    most = max((count or 0 for line in told for count in line), default=0) or 1
    return {
        "lines": [
            {"age": age, "years": YEARS[age], "sides": [_side(line[SEXES.index(sex)], most) for sex in SIDES]}
            for age, line in zip(ages, told, strict=True)
        ]
    }


def _side(count: cells.Count, most: int) -> dict[str, Any]:
    width = 100 * (count or 0) / most if count is not None else 4
    return {
        "width": f"{width:.1f}",
        "x": f"{100 - width:.1f}",
        "told": cells.UNDER if count is None else f"{count:,}",
        "is_hidden": count is None,
    }


# --- How complete


def completeness(reach: Reach, found: Groups) -> Figure:
    places = FacilityDimension.objects.filter(reach.facilities).aggregate(
        all=Count("pk"),
        placed=Count("pk", filter=Q(has_coordinates=True)),
    )
    sums, chosen = found.all, reach.selection
    reporting = trust.reporting(trust.Selection(reach.scope, chosen.state or None, chosen.facility_id or None))
    parts = [
        ("reporting_pct", reporting["reported"], reporting["facilities"]),
        ("phone_pct", sums["patients_with_phone"], sums["patients"]),
        ("diagnosis_pct", sums["records_with_diagnosis"], sums["records"]),
        ("conditions_pct", sums["visits_with_conditions"], sums["visits"]),
        ("coordinates_pct", places["placed"], places["all"]),
    ]
    rows = [(measured(name).label, part, whole, pct(part, whole)) for name, part, whole in parts]
    known = [row for row in rows if row[3] is not None]
    says = "Nothing to judge in this selection."
    if known:
        lowest = min(known, key=lambda row: row[3] or 0)
        says = f"{lowest[0]} is the least complete: {lowest[1]:,} of {lowest[2]:,}, {lowest[3]} %."
    columns = (
        Column("What"),
        Column("Known", is_count=True),
        Column("Of", is_count=True),
        measured("reporting_pct", 1, "Share, %"),
    )
    drawing: dict[str, Any] = {}
    if known:
        bars = [
            {
                "name": row[0],
                "meaning": measured(part[0]).meaning,
                "told": f"{row[3]} %" if row[3] is not None else "nothing to judge",
                "share": f"{row[3] or 0}",
            }
            for row, part in zip(rows, parts, strict=True)
        ]
        drawing = {"bars": bars, "unit": "share"}
    return Figure(
        "completeness",
        "How complete it is",
        says,
        columns,
        rows if known else [],
        ("patient_groups", "dim_facilities"),
        drawing,
        ["Of all times, whatever dates are chosen."],
        "analytics/dashboard/bars.html",
    )
