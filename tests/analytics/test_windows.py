"""The days and months at which windows, ages and averages begin and end, each with its numbers."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from analytics import models
from tests import rows

pytestmark = pytest.mark.django_db
TODAY = date(2026, 11, 25)


@pytest.fixture(autouse=True)
def today():
    rows.stand_at(TODAY)


def ago(days):
    return TODAY - timedelta(days=days)


def the(model):
    """The one row of a mart, freshly made."""
    rows.refresh_all()
    return model.objects.get()


# --- Today


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])  # never both at the same date as Lagos
def test_today_is_the_lagos_date_whatever_the_zone_of_the_session(zone):
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('medilink.today', '', true), set_config('timezone', %s, true)", [zone])
        cursor.execute("SELECT staging.lagos_today(), extract(epoch FROM now())::float")
        found, now = cursor.fetchone()
    assert found == datetime.fromtimestamp(now, rows.LAGOS).date()


@pytest.mark.parametrize(
    ("today", "born", "years"),
    [
        (date(2026, 2, 28), date(2000, 2, 29), 25),
        (date(2026, 3, 1), date(2000, 2, 29), 26),
        (date(2024, 2, 28), date(2000, 2, 29), 23),
        (date(2024, 2, 29), date(2000, 2, 29), 24),
        (date(2026, 11, 25), date(2025, 11, 26), 0),
        (date(2026, 11, 25), date(2025, 11, 25), 1),
        (date(2026, 1, 1), date(1999, 12, 31), 26),
    ],
)
def test_a_birthday_is_the_day_that_adds_a_year(today, born, years):
    rows.stand_at(today)
    rows.patient(dob=born)
    assert models.StagedPatient.objects.get().age_years == years


@pytest.mark.parametrize(
    ("years", "group"),
    [
        *((0, "Infant"), (1, "Child"), (12, "Child"), (13, "Adolescent"), (17, "Adolescent")),
        *((18, "Adult"), (64, "Adult"), (65, "Senior"), (110, "Senior")),
    ],
)
def test_age_groups_begin_and_end(years, group):
    rows.patient(dob=TODAY.replace(year=TODAY.year - years))
    assert models.StagedPatient.objects.get().age_group == group


def test_age_at_the_event_is_not_age_today():
    rows.visit(rows.patient(dob=date(2008, 11, 20)), date(2025, 11, 19), conditions=["Malaria"])
    rows.refresh_all()
    assert models.VisitFact.objects.get().patient_age == 16
    assert models.ConditionAnalysis.objects.get().age_group == "Adolescent"
    assert models.PatientDimension.objects.get().age_group == "Adult"


def test_an_event_belongs_to_its_lagos_day():
    rows.visit(rows.patient(), TODAY, visited_at=rows.lagos(TODAY, 0, 30))
    fact = models.VisitFact.objects.get()
    assert (fact.visit_date, fact.visit_hour, fact.visit_day_name, fact.visit_day_of_week) == (TODAY, 0, "Wednesday", 3)


@pytest.mark.parametrize(
    ("hour", "name"),
    [
        *((5, "Night"), (6, "Morning"), (11, "Morning"), (12, "Afternoon"), (17, "Afternoon")),
        *((18, "Evening"), (21, "Evening"), (22, "Night"), (0, "Night")),
    ],
)
def test_times_of_day_begin_and_end(hour, name):
    rows.visit(rows.patient(), TODAY, visited_at=rows.lagos(TODAY, hour, 59))
    assert models.VisitFact.objects.get().time_of_day == name


def test_an_estimated_time_has_no_time_of_day():
    rows.visit(rows.patient(), TODAY, visited_at=rows.lagos(TODAY, 0), time_is_estimated=True)
    assert models.VisitFact.objects.get().time_of_day is None


# --- The last days


@pytest.mark.parametrize(("days", "is_recent"), [(-1, False), (0, True), (29, True), (30, False)])
def test_the_last_30_days_are_today_and_the_29_before(days, is_recent):
    rows.visit(rows.patient(), ago(days))
    found = the(models.FacilityPerformance)
    assert found.visits_30d == (1 if is_recent else 0)
    assert (found.volume_category == "Inactive") is not is_recent
    assert models.PatientDimension.objects.get().has_recent_triage is is_recent


@pytest.mark.parametrize("event", [rows.record, rows.visit])
@pytest.mark.parametrize(("days", "is_recent"), [(-1, False), (0, True), (29, True), (30, False)])
def test_a_facility_is_active_by_a_record_or_a_visit(event, days, is_recent):
    event(rows.patient(), ago(days))
    assert the(models.FacilityDimension).is_active_last_30_days is is_recent


@pytest.mark.parametrize(("days", "is_recent"), [(-1, False), (0, True), (89, True), (90, False)])
@pytest.mark.parametrize("event", [rows.record, rows.visit])
def test_the_last_90_days_are_today_and_the_89_before(event, days, is_recent):
    event(rows.patient(), ago(days))
    assert the(models.PatientDimension).is_active_last_90_days is is_recent


@pytest.mark.parametrize(
    ("today", "day", "visits"),
    [
        (date(2026, 11, 25), date(2025, 11, 25), 0),
        (date(2026, 11, 25), date(2025, 11, 26), 1),
        (date(2024, 2, 29), date(2023, 2, 28), 0),
        (date(2024, 2, 29), date(2023, 3, 1), 1),
        (date(2025, 2, 28), date(2024, 2, 28), 0),
        (date(2025, 2, 28), date(2024, 2, 29), 1),
        (date(2026, 11, 25), date(2026, 11, 25), 1),
        (date(2026, 11, 25), date(2026, 11, 26), 0),
    ],
)
def test_the_last_12_months_begin_after_the_same_day_a_year_ago(today, day, visits):
    rows.stand_at(today)
    rows.visit(rows.patient(), day)
    assert the(models.PatientSummary).visits_last_12_months == visits


# --- Patients


def test_the_most_severe_level_is_the_lowest_number():
    rows.visits(rows.patient(), TODAY, (5, 2, 4))
    assert the(models.PatientSummary).most_severe_triage_last_year == 2
    assert models.PatientDimension.objects.get().most_severe_triage_level == 2


@pytest.mark.parametrize(
    ("levels", "risk", "reasons"),
    [
        ([], None, []),
        ([5, 4, 4], "Low", []),
        ([5, 5, 5, 5], "Medium", ["frequent_visits"]),
        ([3], "Medium", ["urgent_visit"]),
        ([2], "High", ["critical_visit"]),
        ([1, 3, 5, 5], "High", ["critical_visit", "urgent_visit", "frequent_visits"]),
    ],
)
def test_risk_is_the_highest_reason_and_names_all_that_apply(levels, risk, reasons):
    rows.visits(rows.patient(), TODAY, levels)
    found = the(models.PatientSummary)
    assert (found.risk_level, found.risk_reasons) == (risk, reasons)


@pytest.mark.parametrize(
    ("phone", "record_ago", "visit_ago", "score"),
    [
        (None, None, None, 0),
        ("+2348031234567", None, None, 20),
        (None, 90, None, 30),
        (None, 89, None, 60),
        (None, None, 90, 0),
        (None, None, 30, 30),
        (None, None, 29, 50),
        ("+2348031234567", 0, 0, 100),
    ],
)
def test_the_engagement_score_adds_up_and_is_the_same_in_both_marts(phone, record_ago, visit_ago, score):
    who = rows.patient(phone=phone)
    if record_ago is not None:
        rows.record(who, ago(record_ago))
    if visit_ago is not None:
        rows.visit(who, ago(visit_ago))
    assert the(models.PatientDimension).engagement_score == score
    assert models.PatientSummary.objects.get().engagement_score == score


# --- Facilities


@pytest.mark.parametrize(
    ("type_", "category"),
    [
        ("General HOSPITAL and Clinic", "Hospital"),
        ("Pharmacy clinic", "Pharmacy"),
        ("CHEMIST", "Pharmacy"),
        ("Patent Medicine Vendor", "Pharmacy"),
        ("Health Centre Clinic", "Clinic"),
        ("Medical Center", "Health Center"),
        ("phc", "Health Center"),
        ("CHC", "Health Center"),
        ("Health Post", "Health Center"),
        ("Dispensary", "Health Center"),
        ("Maternity home", "Health Center"),
        ("Laboratory", "Other"),
        (None, "Other"),
    ],
)
def test_a_category_is_the_first_that_fits_the_type(type_, category):
    rows.facility(type=type_)
    assert models.StagedFacility.objects.get().facility_category == category


@pytest.mark.parametrize(
    ("levels", "category", "mean"),
    [
        ([2, 3], "High", "2.50"),
        ([2] * 112 + [3] * 113, "Medium", "2.50"),  # 2.5022, which only looks like 2.5
        ([3, 4], "Medium", "3.50"),
        ([3, 4, 4], "Low", "3.67"),
        ([], None, None),
    ],
)
def test_acuity_goes_by_the_unrounded_mean(levels, category, mean):
    rows.visits(rows.patient(), TODAY, levels)
    found = the(models.FacilityPerformance)
    assert found.acuity_category == category
    assert found.avg_triage_level_30d == (Decimal(mean) if mean else None)


@pytest.mark.parametrize(("size", "category"), [(49, "Low"), (50, "Medium"), (100, "Medium"), (101, "High")])
def test_volume_goes_by_the_number_of_patients(size, category):
    at = rows.facility()
    people = [rows.patient(at) for _ in range(size)]
    rows.record(people[0], TODAY)
    assert the(models.FacilityPerformance).volume_category == category


def monthly(found):
    return (found.avg_monthly_visits, found.avg_monthly_patients, found.avg_monthly_records)


def test_monthly_means_are_over_the_12_complete_months_before_this_one():
    who = rows.patient()
    for day in (date(2025, 10, 31), date(2025, 11, 1), date(2026, 10, 31), date(2026, 11, 1)):
        rows.visit(who, day)
    assert monthly(the(models.FacilityPerformance)) == (Decimal("0.17"), Decimal("0.17"), 0)


def test_a_younger_facility_is_measured_since_the_month_of_its_first_activity():
    who = rows.patient()
    rows.record(who, date(2026, 8, 31))
    rows.visit(who, date(2026, 10, 1))
    assert monthly(the(models.FacilityPerformance)) == (Decimal("0.33"), Decimal("0.67"), Decimal("0.33"))


def test_a_facility_that_began_this_month_has_no_monthly_numbers_yet():
    rows.visit(rows.patient(), TODAY)
    assert monthly(the(models.FacilityPerformance)) == (0, 0, 0)


def test_records_and_visits_do_not_multiply_each_other_and_a_patient_counts_once_a_month():
    at = rows.facility()
    one, other = rows.patient(at), rows.patient(at)
    for who in (one, one, one, other):
        rows.record(who, date(2026, 10, 10))
    for who in (one, one):
        rows.visit(who, date(2026, 10, 20))
    assert monthly(the(models.FacilityPerformance)) == (2, 2, 4)


# --- Trends


def test_days_without_visits_are_rows_and_averages_are_over_days():
    lagos, kano = rows.patient(), rows.patient(rows.facility(state="KANO", lga="Dala"))
    for day, level in ((9, 1), (9, 5), (2, 3), (-1, 1)):
        rows.visit(lagos, ago(day), level)
    rows.visit(kano, ago(0), 2)
    rows.refresh_all()
    trends = models.TriageTrend.objects.order_by("day")
    assert {state: trends.filter(state=state).count() for state in ("ALL", "LAGOS", "KANO")} == dict.fromkeys(
        ("ALL", "LAGOS", "KANO"), 10
    )
    everywhere = trends.filter(state="ALL")
    assert [trend.total_visits for trend in everywhere] == [2, 0, 0, 0, 0, 0, 0, 1, 0, 1]
    sevenths = [None] * 6 + [Decimal("0.29"), Decimal("0.14"), Decimal("0.14"), Decimal("0.29")]
    assert [trend.ma_7_day_visits for trend in everywhere] == sevenths
    assert [trend.visits_7_days_ago for trend in everywhere] == [None] * 7 + [2, 0, 0]
    assert [trend.wow_growth_pct for trend in everywhere] == [None] * 7 + [Decimal("-50.0"), None, None]
    assert [trend.critical_pct for trend in everywhere] == [50, *[None] * 6, 0, None, 100]
    assert [trend.ma_7_day_critical for trend in trends.filter(state="KANO")] == [None] * 6 + [0, 0, 0, Decimal("0.14")]


def test_a_visit_dated_tomorrow_waits_for_its_day():
    rows.visit(rows.patient(), ago(0))
    rows.visit(rows.patient(rows.facility(state="KANO", lga="Dala")), ago(-1))
    rows.refresh_all()
    found = {(trend.state, trend.day): trend.total_visits for trend in models.TriageTrend.objects.all()}
    assert found == {("ALL", TODAY): 1, ("LAGOS", TODAY): 1, ("KANO", TODAY): 0}
