"""The marts over HTTP: rows, scope, masks, suppression, and how far to trust them."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from analytics import marts
from analytics.models import ConditionAnalysis
from clinical.api.statements import OFTEN
from clinical.models import User
from tests.callers import Caller, codes
from tests.rows import facility, patient, record, refresh_all, visit

pytestmark = pytest.mark.django_db
LISTS = [
    *("facilities", "patients", "medical-records", "triage-visits", "patient-summary"),
    *("facility-performance", "triage-trends", "condition-analysis"),
]
KEYS = {
    "facilities": "facility_id",
    "facility-performance": "facility_id",
    "patients": "patient_id",
    "patient-summary": "patient_id",
    "medical-records": "record_id",
    "triage-visits": "triage_id",
}


@pytest.fixture
def country():
    """Kano has nine visits for fever and two for cough, Lagos one for fever; one patient each, and a record."""
    places = [
        facility(state="KANO", lga="Dala", lga_name="Dala"),
        facility(state="LAGOS", lga="Ikeja", lga_name="Ikeja"),
    ]
    people = [patient(place, phone="+2348031234567", dob=date(1990, 1, 1)) for place in places]
    today = timezone.localdate()
    for number in range(9):
        visit(people[0], today - timedelta(days=number % 2), 2, conditions=["Fever"], recommendations=["rest"])
    for _ in range(2):
        visit(people[0], today, 3, conditions=["Cough"])
    visit(people[1], today, 1, conditions=["fever"])
    for person in people:
        record(person, today, record_type="Consultation", diagnosis="Malaria")
    refresh_all()
    return places


def rows(caller, path, query=None):
    return caller.rows(f"/api/analytics/{path}", query)


@pytest.mark.parametrize("path", LISTS)
def test_every_list_says_of_when_it_is_and_answers_in_both_forms(country, path):
    steward = Caller(("steward",))
    answer = steward.get(f"/api/analytics/{path}/").json()
    assert answer["as_of"].endswith("Z")
    assert isinstance(answer["stale"], bool)
    assert answer["results"] == rows(steward, path)
    assert answer["results"]


@pytest.mark.parametrize("path", LISTS)
def test_every_list_can_be_walked_and_read_as_a_file(country, path):
    steward = Caller(("steward",))
    whole = rows(steward, path)
    walked, link = [], f"/api/analytics/{path}?cursor=&per_page=1"
    while link:
        answer = steward.get(link).json()
        walked += answer["results"]
        link = answer["next"]
    assert walked == whole
    for kind in ("csv", "ndjson"):
        response = steward.get(f"/api/analytics/{path}", {"format": kind})
        lines = b"".join(response.streaming_content).decode().splitlines()
        assert len(lines) == len(whole) + (kind == "csv")
        assert response["X-As-Of"]
        assert response["X-Stale"] in ("true", "false")


def test_numbers_are_numbers(country):
    (kano, _) = rows(Caller(("steward",)), "facilities")
    assert (kano["total_patients"], kano["total_triage_visits"], kano["avg_triage_level"]) == (1, 11, 2.18)


@pytest.mark.parametrize(
    ("path", "query", "found"),
    [
        ("facilities", {"state": "Kano State"}, 1),
        ("facilities", {"facility_category": "Clinic"}, 2),
        ("facilities", {"lga": "ikeja"}, 1),
        ("patients", {"state": "KANO", "age_group": "Adult", "sex": "F"}, 1),
        ("patients", {"sex": "M"}, 0),
        ("medical-records", {"diagnosis": "MALARIA", "record_type": "consultation"}, 2),
        ("triage-visits", {"condition": "cough"}, 2),
        ("triage-visits", {"triage_level": "1"}, 1),
        ("triage-visits", {"priority_category": "Critical", "state": "KANO"}, 9),
        ("triage-visits", {"date_to": "2001-01-01"}, 0),
        ("patient-summary", {"risk_level": "High"}, 2),
        ("facility-performance", {"volume_category": "Low"}, 2),
        ("triage-trends", {"state": "all"}, 2),
        ("condition-analysis", {"condition": "FEVER", "state": "LAGOS"}, 1),
        ("condition-analysis", {"month": f"{timezone.localdate():%Y-%m}", "condition": "cough"}, 1),
    ],
)
def test_a_list_is_filtered(country, path, query, found):
    assert len(rows(Caller(("steward",)), path, query)) == found


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("facilities", {"sttae": "KANO"}, "unknown_parameter"),
        ("facilities", {"changed_since": "2020-01-01"}, "unknown_parameter"),
        ("facilities", {"ordering": "avg_triage_level"}, "invalid"),
        ("triage-trends", {"date_from": "2026-01-02", "date_to": "2026-01-01"}, "reversed_range"),
        ("condition-analysis", {"month": "last"}, "invalid"),
        # pragma: allowlist nextline secret
        ("triage-trends", {"cursor": "WyJzdGF0ZSIseyJzdGF0ZSI6IktBTk8iLCJkYXkiOiJ4In1d"}, "invalid"),
        ("facility-stats", {"page": "2"}, "unknown_parameter"),
        ("facility-stats", {"facility_id": "x"}, "invalid"),
    ],
)
def test_a_query_that_is_not_understood_is_refused(country, path, query, code):
    assert codes(Caller(("steward",)).get(f"/api/analytics/{path}", query))[0][0] == code


# --- Scope


@pytest.mark.parametrize("path", KEYS)
@pytest.mark.parametrize("scope", [lambda kano: {"state": "KANO"}, lambda kano: {"facility": kano}])
def test_a_scope_is_what_there_is(country, path, scope):
    caller = Caller(("clinician", scope(country[0])))
    whole = rows(Caller(("steward",)), path)
    assert 0 < len(rows(caller, path)) < len(whole)
    assert {row["facility_id"] for row in rows(caller, path)} == {country[0].pk}


def test_states_see_their_own_lines_and_smaller_scopes_none(country):
    kano = Caller(("clinician", {"state": "KANO"}))
    assert {row["state"] for row in rows(kano, "triage-trends")} == {"KANO"}
    assert {row["state"] for row in rows(kano, "condition-analysis")} == {"KANO"}
    for scope in ({"facility": country[0]}, {"state": "KANO", "lga": "Dala"}):
        small = Caller(("clinician", scope))
        for path in ("triage-trends", "condition-analysis"):
            assert small.get(f"/api/analytics/{path}").status_code == 403


@pytest.mark.parametrize(("role", "refused"), [("clerk", {"medical-records"}), ("auditor", {*LISTS, "facility-stats"})])
def test_a_role_without_the_right_is_refused(country, role, refused):
    caller = Caller((role,))
    found = {path for path in (*LISTS, "facility-stats") if caller.get(f"/api/analytics/{path}").status_code == 403}
    assert found == refused


# --- Masks and suppression


def test_an_analyst_sees_nobody(country):
    analyst = Caller(("analyst",))
    (first, _) = rows(analyst, "patients")
    masked = ("first_name", "last_name", "full_name", "date_of_birth", "phone_number")
    assert [first[name] for name in masked] == [None] * 5
    assert first["birth_year"] == 1990
    assert rows(analyst, "triage-visits")[0]["recommendations"] is None
    text = b"".join(analyst.get("/api/analytics/patients", {"format": "csv"}).streaming_content).decode()
    assert "Okafor" not in text
    assert "+234" not in text


def small(caller, query=None):
    return {
        (line["condition"], line["state"]): (line["occurrence_count"], line["suppressed"])
        for line in rows(caller, "condition-analysis", query)
    }


def test_small_numbers_are_hidden_from_analysts_and_the_next_one_with_a_single_hidden_one(country):
    assert small(Caller(("steward",))) == {
        ("Fever", "KANO"): (9, False),
        ("Fever", "LAGOS"): (1, False),
        ("Cough", "KANO"): (2, False),
    }
    for _ in range(OFTEN + 2):
        assert small(Caller(("steward",)))["Fever", "LAGOS"] == (1, False)
    hidden = {("Fever", "KANO"): (None, True), ("Fever", "LAGOS"): (None, True), ("Cough", "KANO"): (None, True)}
    assert small(Caller(("analyst",))) == hidden
    both = Caller(("analyst",), ("clinician", {"state": "KANO"}))
    assert small(both) == hidden
    kano = Caller(("analyst", {"state": "KANO"}))
    assert small(kano) == {key: value for key, value in hidden.items() if key[1] == "KANO"}
    assert ConditionAnalysis.objects.count() == 3


# --- Statistics of facilities


def test_facility_stats_count_each_facility_and_all(country):
    answer = Caller(("steward",)).get("/api/analytics/facility-stats").json()
    assert {name: answer[name] for name in answer if name.startswith("total")} == {
        "total_facilities": 2,
        "total_patients": 2,
        "total_records": 2,
        "total_triage_visits": 12,
    }
    assert answer["facilities"][0] == {
        "facility_id": country[0].pk,
        "facility_name": country[0].name,
        "state": "KANO",
        "patient_count": 1,
        "record_count": 1,
        "triage_count": 11,
        "avg_triage_level": 2.18,
    }


def test_facility_stats_are_of_the_callers_scope(country):
    kano = Caller(("clinician", {"state": "KANO"}))
    assert kano.get("/api/analytics/facility-stats").json()["total_facilities"] == 1
    assert kano.get("/api/analytics/facility-stats", {"state": "LAGOS"}).json()["facilities"] == []
    one = kano.get("/api/analytics/facility-stats", {"facility_id": country[0].pk})
    assert one.json()["total_triage_visits"] == 11
    for unknown in (country[1].pk, 2**40):
        assert kano.get("/api/analytics/facility-stats", {"facility_id": unknown}).status_code == 404


# --- Trust


def test_an_answer_is_stale_from_a_write_to_the_next_refresh(transactional_db):
    steward = Caller(("steward",))
    marts.refresh()
    assert steward.get("/api/analytics/facilities").json()["stale"] is False
    facility()
    answer = steward.get("/api/analytics/facility-stats").json()
    assert (answer["stale"], answer["total_facilities"]) == (True, 0)
    marts.refresh()
    answer = steward.get("/api/analytics/facilities").json()
    assert (answer["stale"], answer["count"]) == (False, 1)


def test_views_of_single_events_are_of_now(country):
    assert Caller(("steward",)).get("/api/analytics/triage-visits").json()["stale"] is False


def test_a_mart_that_was_never_filled_is_told_as_such(country):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM mart_states")
    refused = Caller(("steward",)).get("/api/analytics/facilities")
    assert (refused.status_code, codes(refused)) == (503, [("mart_not_ready", None)])


@pytest.mark.parametrize("path", [*LISTS, "facility-stats"])
def test_an_answer_takes_as_many_queries_however_long(country, django_assert_num_queries, path):
    """The session, its user, what they may do, the freshness, what is excluded, the rows; and who read of patients.

    And two that are remembered while the marts are the same, but not in a transaction: batches, and who reports.
    """
    caller = Caller(("steward",))
    of_patients = path in ("patients", "patient-summary", "medical-records", "triage-visits")
    with django_assert_num_queries(8 + of_patients):
        caller.get(f"/api/analytics/{path}")
    assert User.objects.count() == 1
