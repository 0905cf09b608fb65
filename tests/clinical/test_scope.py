"""Who may do what through the API, and where; the table is contract/api.md's, written out again."""

from datetime import date

import pytest

from clinical.api.statements import OFTEN
from clinical.models import Facility, Membership, User
from tests.callers import Caller, codes
from tests.rows import facility, patient, record, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
PATHS = ["facilities", "patients", "medical-records", "triage-visits"]
MAY = {
    "steward": dict.fromkeys(PATHS, "crud"),
    "clinician": dict.fromkeys(PATHS, "cru") | {"facilities": "r"},
    "clerk": {"facilities": "r", "patients": "cru", "medical-records": "", "triage-visits": "cru"},
    "analyst": dict.fromkeys(PATHS, "r"),
    "auditor": dict.fromkeys(PATHS, "") | {"facilities": "r"},
    "service": dict.fromkeys(PATHS, "cru"),
    None: dict.fromkeys(PATHS, ""),
}
METHODS = {"c": [("post", "")], "r": [("get", ""), ("get", "/1")], "u": [("put", "/1"), ("patch", "/1")]}
METHODS["d"] = [("delete", "/1")]


@pytest.fixture
def country():
    """One patient with events in each of Kano (Dala), Kano (Fagge) and Lagos."""
    places = [("KANO", "Dala"), ("KANO", "Fagge"), ("LAGOS", "Ikeja")]
    found = []
    for state, lga in places:
        clinic = facility(state=state, lga=lga, lga_name=lga)
        someone = patient(clinic, phone="+2348031234567", patient_number="N-1")
        record(someone, DAY, diagnosis="Malaria", treatment="rest", notes="note", record_id=f"R-{lga}")
        visit(someone, DAY, 2, chief_complaint="hot", vital_signs="BP", recommendations=["rest"], provider="Dr")
        found.append(clinic)
    return found


@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize("path", PATHS)
def test_a_role_may_do_what_its_line_of_the_table_says(role, path):
    caller = Caller(*([(role,)] if role else []))
    for right, methods in METHODS.items():
        for method, suffix in methods:
            response = (
                caller.get(f"/api/{path}{suffix}")
                if method == "get"
                else caller.send(method, f"/api/{path}{suffix}", {})
            )
            assert (response.status_code != 403) == (right in MAY[role][path]), (right, response.status_code)


@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_answered_without_credentials(client, path):
    for response in (client.get(f"/api/{path}"), client.post(f"/api/{path}", {}, content_type="application/json")):
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (lambda places: {}, [0, 1, 2]),
        (lambda places: {"state": "KANO"}, [0, 1]),
        (lambda places: {"state": "KANO", "lga": "FAGGE lga"}, [1]),
        (lambda places: {"facility": places[2]}, [2]),
    ],
)
def test_a_scope_is_what_there_is(country, path, scope, seen):
    caller, steward = Caller(("clinician", scope(country))), Caller(("steward",))
    everywhere = steward.ids(f"/api/{path}")
    assert caller.ids(f"/api/{path}") == [everywhere[number] for number in seen]
    assert caller.get(f"/api/{path}", {"per_page": "1"}).json()["count"] == len(seen)
    for number, pk in enumerate(everywhere):
        assert caller.get(f"/api/{path}/{pk}").status_code == (200 if number in seen else 404)


def test_the_union_of_several_pairs_counts(country):
    caller = Caller(("clinician", {"facility": country[0]}), ("clerk", {"state": "LAGOS"}))
    assert len(caller.ids("/api/patients")) == 2
    assert len(caller.ids("/api/medical-records")) == 1


@pytest.mark.parametrize("path", ["patients", "medical-records", "triage-visits"])
def test_what_is_out_of_scope_cannot_be_written_nor_referred_to(country, path):
    steward, caller = Caller(("steward",)), Caller(("clinician", {"state": "LAGOS"}))
    foreign = steward.rows(f"/api/{path}")[0]
    assert caller.send("patch", f"/api/{path}/{foreign['id']}", {}).status_code == 404
    assert caller.send("delete", f"/api/{path}/{foreign['id']}").status_code == 403
    posted = caller.send("post", f"/api/{path}", {name: foreign[name] for name in foreign if name not in READ_ONLY})
    assert codes(posted)[0][0] == "does_not_exist"


READ_ONLY = {"id", "created_at", "updated_at", "time_is_estimated", "dob_is_estimated", "record_id", "visit_id"}


def test_a_steward_of_a_state_makes_no_facility_elsewhere(country):
    caller = Caller(("steward", {"state": "KANO"}))
    body = {"name": "New", "state": "LAGOS", "lga": "Ikeja"}
    assert codes(caller.send("post", "/api/facilities", body)) == [("does_not_exist", "state")]
    moved = caller.send("patch", f"/api/facilities/{country[0].pk}", {"state": "LAGOS"})
    assert codes(moved) == [("does_not_exist", "state")]
    assert caller.send("post", "/api/facilities", body | {"state": "KANO", "lga": "Dala"}).status_code == 201


def test_a_steward_of_an_lga_makes_a_facility_there(country):
    caller = Caller(("steward", {"state": "KANO", "lga": "Fagge"}))
    assert caller.send("post", "/api/facilities", {"name": "New", "state": "KANO", "lga": "fagge"}).status_code == 201
    assert caller.send("post", "/api/facilities", {"name": "New", "state": "KANO", "lga": "Dala"}).status_code == 400


# --- Masks


def test_an_analyst_sees_nobody(country):
    caller = Caller(("analyst",))
    someone = caller.rows("/api/patients")[0]
    masked = ("first_name", "last_name", "phone", "patient_number", "dob")
    assert [someone[name] for name in masked] == [None] * 5
    assert someone["birth_year"] == 1990
    event = caller.rows("/api/medical-records")[0]
    assert (event["record_id"], event["data"]["treatment"], event["data"]["notes"]) == (None, None, None)
    assert event["data"]["diagnosis"] == "Malaria"
    seen = caller.rows("/api/triage-visits")[0]
    masked = ("chief_complaint", "vital_signs", "recommendations", "language", "provider", "visit_id")
    assert [seen[name] for name in masked] == [None] * 6
    assert seen["triage_level"] == 2


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
@pytest.mark.parametrize("query", [{}, {"changed_since": "2020-01-01"}])
def test_a_file_for_an_analyst_names_nobody(country, kind, query):
    response = Caller(("analyst",)).get("/api/patients", {"format": kind} | query)
    text = b"".join(response.streaming_content).decode()
    assert "1990" in text
    assert "Okafor" not in text
    assert "+234" not in text
    assert "1990-01-01" not in text


def test_an_analyst_cannot_select_or_order_by_what_is_masked(country):
    caller = Caller(("analyst",))
    for query in ({"dob_after": "1990-01-01"}, {"dob_before": "1990-01-01"}, {"ordering": "-dob"}):
        assert codes(caller.get("/api/patients", query))[0][0] == "masked_field"
    assert len(caller.ids("/api/patients", {"age_group": "Adult"})) == 3


def test_who_is_an_analyst_of_the_nation_and_a_clinician_somewhere_sees_both_kinds(country):
    caller = Caller(("analyst",), ("clinician", {"facility": country[1]}))
    for _ in range(OFTEN + 2):
        names = [someone["last_name"] for someone in caller.rows("/api/patients")]
        assert [name is None for name in names] == [True, False, True]
    assert len(caller.ids("/api/patients", {"dob_after": "1990-01-01"})) == 1
    found = caller.send("post", "/api/patients/search", {"name": "okafor"}).json()["results"]
    assert [someone["facility_id"] for someone in found] == [country[1].pk]
    detail = caller.get(f"/api/patients/{caller.ids('/api/patients')[0]}").json()
    assert (detail["last_name"], detail["birth_year"]) == (None, 1990)


# --- At the next request


def test_a_role_taken_away_or_a_disabled_user_counts_at_the_next_request(country):
    caller = Caller(("clinician",))
    assert caller.get("/api/patients").status_code == 200
    Membership.objects.filter(user=caller.user).update(role="auditor")
    assert caller.get("/api/patients").status_code == 403
    User.objects.filter(pk=caller.user.pk).update(is_active=False)
    assert caller.get("/api/patients").status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_the_same_however_often_it_is_asked_for(country, path):
    for role, scope in (("steward", {}), ("analyst", {}), ("clinician", {"state": "KANO"})):
        caller = Caller((role, scope))
        queries = ({}, {"cursor": "", "per_page": "1"}, {"facility_id": country[0].pk} if path != PATHS[0] else {})
        for query in queries:
            answers = [caller.get(f"/api/{path}", query).json() for _ in range(OFTEN + 3)]
            assert all(answer == answers[0] for answer in answers)


def test_a_superuser_may_do_everything(alice, client, country):
    client.force_login(alice)
    assert client.get("/api/patients").json()["count"] == 3
    assert client.delete(f"/api/facilities/{facility().pk}").status_code == 204
    assert Facility.objects.filter(deleted_at=None).count() == 3
