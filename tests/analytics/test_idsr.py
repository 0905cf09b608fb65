"""Notifiable diseases: which events are cases, how areas add up, and that a month is the mart to the unit."""

import csv
import io
from collections import Counter
from datetime import date

import pytest
from django.core.management import CommandError, call_command

from analytics.idsr import cases, forms, reconciling
from analytics.idsr.cases import Span
from analytics.idsr.diseases import REPORTED, all_of_them
from clinical.models import AuditEvent, Facility, MedicalRecord, TriageVisit
from clinical.values import LAGOS
from tests import rows
from tests.callers import Caller, codes

pytestmark = pytest.mark.django_db
TODAY = date(2026, 11, 25)
MONTH = Span(date(2026, 10, 1), date(2026, 11, 1))
WEEK = Span(date(2026, 9, 28), date(2026, 10, 5))  # 2026-W40
NAMES = ("Ngozi", "Okafor")
THERE = {f"{of}deleted_at": None for of in ("", "patient__", "facility__")}


@pytest.fixture(autouse=True)
def today():
    rows.stand_at(TODAY)


@pytest.fixture
def country():
    dala = rows.facility(name="Dala Clinic", state="KANO", lga="Dala", lga_name="Dala")
    rows.facility(name="Silent Clinic", state="KANO", lga="Fagge", lga_name="Fagge")
    ikeja = rows.facility(name="Ikeja Clinic", state="LAGOS")
    child, grown = rows.patient(dala, dob=date(2024, 1, 1)), rows.patient(dala, sex="M")
    rows.visit(child, date(2026, 9, 30), 2, conditions=["measles", "MEASLES", "Suspected measles"])
    rows.record(child, date(2026, 10, 1), diagnosis="Measles; fever")
    rows.visit(grown, date(2026, 10, 5), 1, conditions=["Cholera", "Malaria", "Ulcer"])
    rows.visit(rows.patient(ikeja), date(2026, 10, 31), 4, conditions=["Severe Malaria", "malaria"])
    rows.refresh_all()


def test_a_case_is_one_line_for_each_event_and_disease(country):
    found = [(case.disease, case.source, case.day.isoformat(), case.age_group, case.week) for case in cases.read(WEEK)]
    assert found == [
        ("measles", "visit", "2026-09-30", "Child", "2026-W40"),
        ("measles", "record", "2026-10-01", "Child", "2026-W40"),
    ]


def slow_answer(span):
    """One event after the other."""
    key = {name.lower(): one.code for one in all_of_them().values() for name in one.synonyms}
    found = Counter()
    for visit in TriageVisit.objects.filter(**THERE):
        if span.first <= visit.visited_at.astimezone(LAGOS).date() < span.end:
            for code in {key.get(condition.lower()) for condition in visit.conditions} - {None}:
                found[code, "visit"] += 1
    for record in MedicalRecord.objects.filter(**THERE):
        if span.first <= record.recorded_at.astimezone(LAGOS).date() < span.end:
            said = (record.data["diagnosis"] or "").lower().replace(";", ",").split(",")
            for code in {key.get(item.strip()) for item in said} - {None}:
                found[code, "record"] += 1
    return found


@pytest.mark.parametrize("span", [WEEK, MONTH])
def test_what_is_listed_is_what_the_slow_answer_lists(country, span):
    assert Counter((case.disease, case.source) for case in cases.read(span)) == slow_answer(span)


def test_a_month_is_the_mart_to_the_unit(country):
    lines = {line.disease: line for line in reconciling.lines(MONTH, cases.read(MONTH))}
    assert {line.difference for line in lines.values()} == {0}
    assert lines["malaria"] == ("malaria", 2, 1, 3, 0, 0)
    assert lines["measles"].records == 1


@pytest.mark.parametrize("month", [date(2026, 9, 1), date(2026, 10, 1), date(2026, 11, 1)])
def test_many_awkward_rows_are_the_mart_to_the_unit(month):
    rows.make_many(7, TODAY)
    rows.refresh_all()
    span = Span(month, date(2026, month.month + 1, 1))
    found = cases.read(span)
    assert {line.difference for line in reconciling.lines(span, found)} == {0}
    assert Counter((case.disease, case.source) for case in found) == slow_answer(span)


def areas(span, **options):
    known = forms.facilities(Facility.objects.all())
    found = forms.form(cases.read(span), known, cases.reporting(span), **{"is_clear": True} | options)
    return {(row["lga"], row["disease"]): row for row in found}


def test_the_form_counts_people_and_says_0_where_there_was_none(country):
    found = areas(WEEK)
    assert (found["Dala", "measles"]["cases"], found["Dala", "measles"]["under_5"]) == (1, 1)
    assert found["Dala", "cholera"]["cases"] == 0
    assert len(found) == 3 * len(all_of_them())


def test_an_area_that_reported_nothing_has_no_0(country):
    row = areas(WEEK)["Fagge", "measles"]
    assert (row["facilities"], row["facilities_reporting"], row["cases"]) == (1, 0, None)


def test_small_numbers_of_the_form_are_hidden_from_who_sees_none(country):
    row = areas(WEEK, is_clear=False)["Dala", "measles"]
    assert (row["cases"], row["under_5"]) == (None, None)


def test_the_table_of_diseases_is_in_order():
    diseases = all_of_them().values()
    names = [name.lower() for one in diseases for name in one.synonyms]
    assert len(names) == len(set(names))
    assert {one.reported for one in diseases} == set(REPORTED)
    assert all(one.verified and "" not in one.synonyms for one in diseases)


# --- Doors


def test_the_command_writes_the_three_files(country, tmp_path):
    out, files = io.StringIO(), {name: tmp_path / f"{name}.csv" for name in ("to", "form", "sheet")}
    call_command("idsr", month="2026-10", state="Kano", **files, stdout=out)
    assert "2026-10-01 to 2026-10-31: 3 cases, 3 lines" in out.getvalue()
    read = {name: [*csv.DictReader(io.StringIO(path.read_text()))] for name, path in files.items()}
    assert {line["state"] for line in read["to"]} == {"KANO"}
    assert {line["difference"] for line in read["sheet"]} == {"0"}
    assert len(read["form"]) == 2 * len(all_of_them())
    assert not any(name in path.read_text() for path in files.values() for name in NAMES)
    noted = AuditEvent.objects.get(action="export", table="idsr")
    assert (noted.actor, noted.rows, len(noted.patient_ids)) == (None, 3, 2)
    assert (noted.details["command"], noted.details["files"]) == ("idsr", ["to", "form", "sheet"])


@pytest.mark.parametrize(
    "given", [["--week", "2026-W54"], ["--month", "October"], ["--week", "2026-W40", "--state", "Atlantis"]]
)
def test_what_is_not_understood_is_refused(given):
    with pytest.raises(CommandError) as raised:
        call_command("idsr", *given)
    assert raised.value.returncode == 2


def test_a_sheet_of_a_week_is_refused(tmp_path):
    with pytest.raises(CommandError, match="month"):
        call_command("idsr", "--week", "2026-W40", "--sheet", str(tmp_path / "sheet.csv"))


def test_the_api_lists_the_cases_of_the_scope_without_names(country):
    answer = Caller(("analyst", {"state": "KANO"})).get("/api/analytics/idsr", {"month": "2026-10"})
    found = answer.json()
    assert [(row["disease"], row["state"]) for row in found["results"]] == [
        ("measles", "KANO"),
        ("cholera", "KANO"),
        ("malaria", "KANO"),
    ]
    assert not any(name in answer.content.decode() for name in NAMES)
    assert (found["stale"], found["trust"]["excluded_rows"]) == (False, 0)
    noted = AuditEvent.objects.filter(table="idsr").latest("id")
    assert (noted.rows, len(noted.patient_ids)) == (3, 2)


def test_the_api_gives_both_forms_as_csv(country):
    caller = Caller(("steward",))
    for form, columns in (("lines", forms.LINE), ("areas", forms.FORM)):
        answer = caller.get("/api/analytics/idsr", {"week": "2026-W40", "form": form, "format": "csv"})
        assert answer["X-Stale"] == "false"
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert tuple(answer.content.decode("utf-8-sig").splitlines()[0].split(",")) == columns


def test_the_api_refuses_what_it_does_not_understand(country):
    caller = Caller(("steward", {"state": "KANO"}))
    asked = {"week": "2026-40", "month": "2026", "form": "pdf"}
    for name, text in asked.items():
        assert codes(caller.get("/api/analytics/idsr", {name: text})) == [("invalid", name)]
    assert codes(caller.get("/api/analytics/idsr", {"week": "2026-W40", "month": "2026-10"})) == [("invalid", "month")]
    assert caller.get("/api/analytics/idsr", {"state": "LAGOS"}).status_code == 404
