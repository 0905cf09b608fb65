"""The data checks: clean data passes them all, each kind finds a defect that was planted."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from analytics import checks, marts
from analytics.checks.catalogue import CHECKS
from analytics.checks.check import Check, Kind
from analytics.history import CheckResult, CheckRun, MartState
from clinical.models import Facility, TriageVisit, User
from clinical.values import LAGOS
from tests.callers import Caller
from tests.rows import make_many, patient, record, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)


def query(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture
def someone():
    found = patient()
    record(found, DAY)
    visit(found, DAY, 2, conditions=["Fever"])
    return found


def failing(*names):
    run = checks.run(names)
    return {result.name: (result.status, result.failing_rows, result.sample) for result in run.results.all()}


def test_invented_rows_of_every_sort_pass_every_check(transactional_db):
    make_many(7, datetime.now(UTC).date())
    marts.refresh()
    run = checks.run()
    found = [*run.results.filter(status__in=("failed", "broken", "skipped")).values_list("name", "error")]
    invented = ("not_before_birth", "deleted_before_created")  # their instants are drawn one by one
    assert [(name, error) for name, error in found if not name.endswith(invented)] == []
    assert run.passed > 60


@pytest.mark.parametrize(
    ("name", "defect", "status"),
    [
        ("medical_records.parent_not_deleted", "UPDATE patients SET deleted_at = now()", "failed"),
        ("triage_visits.not_before_birth", "UPDATE triage_visits SET visited_at = '2000-06-01'", "failed"),
        ("patients.dob.range", "UPDATE patients SET dob = current_date + 400", "failed"),
    ],
)
def test_a_defect_of_the_tables_is_found_with_the_keys_of_its_rows(someone, name, defect, status):
    if name == "triage_visits.not_before_birth":
        query("UPDATE patients SET dob = '2001-01-01'")
    query(defect)
    found, rows, sample = failing(name)[name]
    assert (found, rows) == (status, 1)
    assert [*sample[0]] == ["id"]


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        (Kind.NOT_NULL, "SELECT n FROM planted WHERE word IS NULL"),
        (Kind.UNIQUE, "SELECT word FROM planted GROUP BY word HAVING count(*) > 1"),
        (Kind.ACCEPTED, "SELECT n FROM planted WHERE word NOT IN ('a', 'b')"),
        (Kind.RANGE, "SELECT n FROM planted WHERE n NOT BETWEEN 1 AND 3"),
        (Kind.RELATIONSHIP, "SELECT n FROM planted p WHERE NOT EXISTS (SELECT FROM facilities f WHERE f.id = p.n)"),
    ],
)
def test_each_kind_fails_on_what_it_is_for(monkeypatch, kind, sql):
    query("CREATE TABLE planted (n int, word text)")
    query("INSERT INTO planted VALUES (1, 'a'), (2, 'a'), (4, NULL), (5, 'zz')")
    monkeypatch.setattr(checks, "CHECKS", (Check("planted", "planted", kind, sql, "why"),))
    run = checks.run()
    assert (run.failed, run.results.get().status) == (1, "failed")


@pytest.fixture
def unseen(transactional_db, someone):
    """A visit and a record of today that the marts lack, though they count as fresh."""
    marts.refresh()
    today = datetime.now(LAGOS).date()
    for table in ("triage_visits", "medical_records"):
        query(f"ALTER TABLE {table} DISABLE TRIGGER note_change")
    visit(someone, today, conditions=["fever"])
    record(someone, today)
    yield someone
    for table in ("triage_visits", "medical_records"):
        query(f"ALTER TABLE {table} ENABLE TRIGGER note_change")


def test_a_mart_that_disagrees_with_its_tables_is_found(unseen):
    at_patient, at_facility = [{"patient_id": unseen.pk}], [{"facility_id": unseen.facility_id}]
    expected = {
        "dim_patients.total_triage_visits_as_in_triage_visits": at_patient,
        "dim_patients.total_medical_records_as_in_medical_records": at_patient,
        "patient_summary.visits_last_12_months_as_in_triage_visits": at_patient,
        "patient_summary.records_last_12_months_as_in_medical_records": at_patient,
        "dim_facilities.total_triage_visits_as_in_triage_visits": at_facility,
        "facility_performance.visits_30d_as_in_triage_visits": at_facility,
        "triage_trends.visits_of_each_day": [{"day": datetime.now(LAGOS).date().isoformat()}],
        "triage_trends.visits_of_each_state": [{"state": "LAGOS"}],
        "condition_analysis.occurrences_as_in_triage_visits": [{"condition": "fever"}],
    }
    found = failing(*expected)
    assert {status for status, *_ in found.values()} == {"failed"}
    assert {name: sample for name, (*_, sample) in found.items()} == expected


def test_shares_of_a_month_that_do_not_add_up_are_found(someone, monkeypatch):
    (check,) = (check for check in CHECKS if check.name.endswith("add_up_to_100"))
    query("CREATE TABLE lines AS SELECT DATE '2026-11-01' AS month, 50.0 AS share_of_month_pct")
    planted = replace(check, failing=check.failing.replace("marts.condition_analysis", "lines"), compared=())
    monkeypatch.setattr(checks, "CHECKS", (planted,))
    assert checks.run().results.get().sample == [{"month": "2026-11-01"}]


@pytest.mark.parametrize(
    ("name", "stale"),
    [
        ("dim_patients.facility_id.exists", "dim_facilities"),
        ("patient_summary.patient_id.exists", "dim_patients"),
        ("dim_patients.engagement_as_in_patient_summary", "patient_summary"),
    ],
)
def test_two_marts_are_compared_only_while_both_are_fresh(transactional_db, someone, name, stale):
    marts.refresh()
    assert failing(name)[name][0] == "passed"
    MartState.objects.filter(mart=stale).update(lagos_day=DAY)
    assert failing(name)[name][0] == "skipped"


def test_a_mart_that_is_merely_stale_is_not_accused(someone):
    found = failing("dim_patients.rows_as_in_patients")
    assert found["dim_patients.rows_as_in_patients"][0] == "skipped"


def test_a_check_that_cannot_run_is_told_and_stops_no_other(monkeypatch):
    broken = Check("broken", "nowhere", Kind.RANGE, "SELECT 1 FROM nowhere", "why")
    monkeypatch.setattr(checks, "CHECKS", (broken, CHECKS[0]))
    run = checks.run()
    assert [(result.status, result.error) for result in run.results.order_by("id")] == [
        ("broken", "UndefinedTable"),
        ("passed", ""),
    ]
    assert run.failed == 1


def test_history_stays():
    checks.run(["patients.sex.accepted"])
    checks.run(["patients.sex.accepted"])
    assert CheckRun.objects.count() == 2
    assert CheckResult.objects.filter(name="patients.sex.accepted").count() == 2


def test_every_check_has_its_own_name_and_a_reason():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.why and check.failing for check in CHECKS)
    assert {check.kind for check in CHECKS} == {*Kind}


def ended(*words):
    with pytest.raises(SystemExit) as end:
        call_command("check_data", *words)
    return int(end.value.code or 0)


def test_the_command_ends_with_0_1_or_2_and_tells_what_failed(someone, capsys):
    assert ended("--only", "patients.sex.accepted") == 0
    assert "1 passed, 0 failed" in capsys.readouterr().out
    query("UPDATE patients SET deleted_at = now()")
    assert ended("--only", "triage_visits.parent_not_deleted") == 1
    assert f'"id": {TriageVisit.objects.get().pk}' in capsys.readouterr().out
    assert ended("--only", "nothing") == 2


def test_the_command_tells_json_lines(someone, capsys):
    assert ended("--json", "--only", "patients.sex.accepted", "dim_facilities.unique") == 0
    *lines, totals = map(json.loads, capsys.readouterr().out.splitlines())
    assert {line["status"] for line in lines} == {"passed"}
    assert totals["totals"] == {"passed": 2, "failed": 0, "warned": 0, "skipped": 0}


def test_nothing_of_a_person_stands_in_a_result(someone):
    Facility.objects.update(deleted_at=datetime.now(UTC))
    query("UPDATE patients SET first_name = 'Zainab', last_name = 'Canary', deleted_at = now()")
    run = checks.run()
    assert "Canary" not in json.dumps([result.sample for result in run.results.all()])


@pytest.mark.django_db
def test_keys_of_rows_that_fail_a_check_are_shown_to_who_looks_after_the_whole_country(settings):
    settings.REQUIRE_TOTP = False
    run = CheckRun.objects.create(started_at=timezone.now(), finished_at=timezone.now(), failed=1)
    run.results.create(
        name="x", relation="y", kind="z", status="failed", failing_rows=1, sample=[{"patient_id": 987654}], seconds=0
    )
    shown = []
    for scope in ({}, {"state": "KANO"}):
        steward = Caller(("steward", scope))
        User.objects.filter(pk=steward.user.pk).update(is_staff=True)
        told = steward.get(f"/admin/analytics/checkrun/{run.pk}/change/").content.decode()
        assert "1 failing row" in told
        shown.append("987654" in told)
    assert shown == [True, False]
