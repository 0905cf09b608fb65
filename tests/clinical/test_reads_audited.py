"""Whoever is told of a patient leaves one line of the audit, with who it was, what for, and of whom."""

import json

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.urls import get_resolver, reverse

from analytics import marts
from clinical import logins
from clinical.audit import reads
from clinical.models import AuditEvent, Membership, TriageVisit, User
from tests.callers import Caller
from tests.clinical.test_lists import DAY
from tests.rows import facility, patient, record, visit

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nobody_was_refused():
    reads.forget_refusals()


@pytest.fixture
def steward():
    return Caller(("steward",))


@pytest.fixture
def people():
    """Sixty patients at one facility, each with a record and a visit, and marts of them."""
    at = facility()
    found = [patient(at) for _ in range(60)]
    for one in found:
        record(one, DAY)
        visit(one, DAY)
    marts.refresh()
    return found


def after(ask):
    """What `ask` answers, and the lines that it has left."""
    last = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    answer = ask()
    if answer.streaming:
        answer.body = b"".join(answer.streaming_content)
    return answer, [*AuditEvent.objects.filter(id__gt=last).order_by("id")]


LISTS = {
    "patients": "patients",
    "medical-records": "medical_records",
    "triage-visits": "triage_visits",
    "analytics/patients": "dim_patients",
    "analytics/patient-summary": "patient_summary",
    "analytics/medical-records": "fct_medical_records",
    "analytics/triage-visits": "fct_triage_visits",
}


@pytest.mark.parametrize(("name", "table"), LISTS.items())
def test_a_page_of_fifty_leaves_one_line_with_fifty_patients(steward, people, name, table):
    answer, lines = after(lambda: steward.get(f"/api/{name}", {"facility_id": people[0].facility_id}))
    shown = answer.json()["results"]
    (line,) = lines
    assert (line.table, line.action, line.outcome, line.rows) == (table, "list", "ok", 50)
    assert line.patient_ids == [row["id" if name == "patients" else "patient_id"] for row in shown]
    assert line.actor == steward.user
    assert (line.roles, line.purpose, line.address) == (["steward"], "operations", "127.0.0.1")
    assert line.request_id == answer["X-Request-ID"]
    assert line.details == {"query": [f"facility_id={people[0].facility_id}"]}


def test_filters_are_told_by_name_and_their_values_only_where_they_say_nothing_of_a_person(steward, people):
    asked = {"facility_id": "1", "sex": "F", "dob_after": "1990-01-01", "per_page": "2"}
    _, (line,) = after(lambda: steward.get("/api/patients", asked))
    assert line.details == {"query": ["dob_after", "facility_id=1", "per_page=2", "sex"]}


@pytest.mark.parametrize(("name", "table"), list(LISTS.items())[:3])
def test_a_row_leaves_one_line_with_its_patient(steward, people, name, table):
    pk = steward.ids(f"/api/{name}")[-1]
    answer, lines = after(lambda: steward.get(f"/api/{name}/{pk}"))
    whom = answer.json()["id" if name == "patients" else "patient_id"]
    assert [(line.table, line.action, line.object_id, line.patient_ids) for line in lines] == [
        (table, "read", pk, [whom])
    ]
    assert [line.route for line in lines] == [f"{name}-detail"]


def test_a_search_is_told_without_what_was_searched_for(steward, people):
    name = people[0].last_name
    answer, lines = after(lambda: steward.send("post", "/api/patients/search", {"name": name}))
    (line,) = lines
    assert line.action == "search"
    assert sorted(line.patient_ids) == sorted(row["id"] for row in answer.json()["results"])
    assert line.details == {"query": ["name"]}
    assert name not in json.dumps(line.details)


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_an_export_tells_at_its_beginning_and_before_each_part(steward, people, kind, monkeypatch):
    monkeypatch.setattr("clinical.api.exports.ROWS", 25)
    _, lines = after(lambda: steward.get("/api/patients", {"format": kind}))
    assert [line.details["part"] for line in lines] == [0, 1, 2, 3]
    assert {line.action for line in lines} == {"export"}
    whom = [pk for line in lines for pk in line.patient_ids or ()]
    assert sorted(whom) == [one.pk for one in people]
    assert {line.request_id for line in lines} == {lines[0].request_id}


@pytest.mark.django_db(transaction=True)
def test_what_was_sent_of_an_export_that_is_broken_off_is_noted_all_the_same(steward, monkeypatch):
    for name in ("ROWS", "LINES"):
        monkeypatch.setattr(f"clinical.api.exports.{name}", 2)
    people = [patient(facility()) for _ in range(6)]
    answer = steward.get("/api/patients", {"format": "ndjson"})
    sent = next(iter(answer.streaming_content))
    answer.close()
    assert sent.count(b"\n") == 2
    with connection.cursor() as cursor:  # what was rolled back took the return to our own role with it
        cursor.execute("RESET ROLE")
    whom = AuditEvent.objects.filter(action="export").order_by("id").values_list("patient_ids", flat=True)
    assert [*whom] == [None, [one.pk for one in people[:2]]]


def test_what_has_changed_since_and_a_row_that_has_not_are_reads(steward, people):
    _, lines = after(lambda: steward.get("/api/patients", {"changed_since": "2020-01-01", "per_page": 5}))
    assert [(line.action, len(line.patient_ids)) for line in lines] == [("changes", 5)]
    tag = steward.get(f"/api/patients/{people[0].pk}")["ETag"]
    answer, lines = after(lambda: steward.get(f"/api/patients/{people[0].pk}", **{"If-None-Match": tag}))
    assert answer.status_code == 304
    assert [line.patient_ids for line in lines] == [[people[0].pk]]


def test_a_deed_leaves_its_own_line_and_no_other(steward, people):
    someone = people[0]
    for method, path, body in (
        ("patch", f"/api/patients/{someone.pk}", {"sex": "M"}),
        ("delete", f"/api/triage-visits/{TriageVisit.objects.get(patient=someone).pk}", None),
    ):
        answer, lines = after(lambda method=method, path=path, body=body: steward.send(method, path, body))
        assert answer.status_code < 300
        assert [line.patient_ids for line in lines] == [[someone.pk]]


def test_the_same_post_again_is_a_read_of_its_answer(steward):
    body = {"facility_id": facility().pk, "first_name": "Ada", "last_name": "Eze", "sex": "F", "dob": "1990-01-01"}
    made, lines = after(lambda: steward.send("post", "/api/patients", body, Idempotency_Key="k"))
    assert [line.action for line in lines] == ["create"]
    _, lines = after(lambda: steward.send("post", "/api/patients", body, Idempotency_Key="k"))
    assert [(line.action, line.patient_ids) for line in lines] == [("read", [made.json()["id"]])]


def test_what_for_is_what_the_caller_says_where_it_is_one_of_a_few_words(people):
    clinician = Caller(("clinician",))
    for said, noted in (("public_health", "public_health"), ("curiosity", "treatment"), ("", "treatment")):
        _, (line,) = after(lambda said=said: clinician.get("/api/patients", **({"X-Purpose": said} if said else {})))
        assert line.purpose == noted


def test_facilities_are_nobodys_secret(steward, people):
    assert after(lambda: steward.get("/api/facilities"))[1] == []


# --- Refusals


def test_who_is_refused_is_noted_with_address_and_outcome(people):
    clerk = Caller(("clerk", {"state": "KANO"}))
    auditor = Caller(("auditor",))
    pk = people[0].pk
    for ask, status, actor in (
        (lambda: Client().get(f"/api/patients/{pk}"), 401, None),
        (lambda: auditor.get(f"/api/patients/{pk}"), 403, auditor.user),
        (lambda: clerk.get(f"/api/patients/{pk}"), 404, clerk.user),
    ):
        answer, lines = after(ask)
        assert answer.status_code == status
        (line,) = lines
        assert (line.outcome, line.actor, line.address, line.patient_ids) == ("denied", actor, "127.0.0.1", None)
        assert (line.table, line.action, line.object_id, line.details["status"]) == ("patients", "read", pk, status)


def test_who_asks_too_often_is_noted(people, settings):
    settings.THROTTLE_USER = "1/hour"
    caller = Caller(("steward",))
    caller.get("/api/facilities")
    answer, lines = after(lambda: caller.get("/api/patients"))
    assert answer.status_code == 429
    assert [(line.outcome, line.details["status"]) for line in lines] == [("denied", 429)]


def test_who_knocks_a_thousand_times_fills_no_table():
    _, lines = after(lambda: [Client().get("/api/patients") for _ in range(100)][-1])
    assert len(lines) == reads.NOTED_EACH + 2
    assert [line.details.get("times") for line in lines[-2:]] == [32, 64]


# --- Pages of the desk


def test_each_list_of_the_desk_leaves_one_line(desk, people):
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        answer, lines = after(lambda name=name: desk.get(reverse(f"admin:{name}_changelist")))
        if answer.status_code == 200 and "cl" in (getattr(answer, "context_data", None) or {}):
            assert [line.action for line in lines] == ["list"], name


@pytest.mark.parametrize("name", ["patient", "medicalrecord", "triagevisit"])
def test_a_list_and_a_page_of_the_desk_tell_whom_they_show(desk, alice, people, name):
    answer, (line,) = after(lambda: desk.get(f"/admin/clinical/{name}/"))
    shown = answer.context_data["cl"].result_list
    assert line.rows == len(line.patient_ids) == 50
    assert line.patient_ids == [row.pk if name == "patient" else row.patient_id for row in shown]
    row = shown[0]
    for page in ("change", "history"):
        _, (line,) = after(lambda page=page: desk.get(f"/admin/clinical/{name}/{row.pk}/{page}/"))
        assert (line.action, line.object_id, line.actor, line.roles) == ("read", row.pk, alice, ["superuser"])
        assert line.patient_ids == [row.pk if name == "patient" else row.patient_id]
        assert line.route == f"admin:clinical_{name}_{page}"


def test_what_is_offered_while_one_types_is_a_search(desk, people):
    """Of facilities so far; a field that offers patients would tell whom."""
    asked = {"app_label": "clinical", "model_name": "patient", "field_name": "facility", "term": "clinic"}
    answer, lines = after(lambda: desk.get("/admin/autocomplete/", asked))
    assert answer.status_code == 200
    assert [(line.table, line.action) for line in lines] == [("facilities", "search")]


def test_who_is_turned_away_from_the_desk_is_noted(client, people):
    pk = people[0].pk
    answer, (line,) = after(lambda: client.get(f"/admin/clinical/patient/{pk}/change/"))
    assert (answer.status_code, line.outcome, line.actor) == (302, "denied", None)
    elsewhere = User.objects.create_user("elsewhere", is_staff=True)
    Membership.objects.create(user=elsewhere, role="steward", state="KANO")
    client.force_login(elsewhere)
    _, (line,) = after(lambda: client.get(f"/admin/clinical/patient/{pk}/change/"))
    assert (line.outcome, line.actor, line.table, line.object_id) == ("denied", elsewhere, "patients", pk)


# --- Log-ins


def test_log_ins_failures_and_log_outs_are_noted():
    User.objects.create_user("ada", password="correct horse battery")
    right, wrong = ({"username": "ada", "password": text} for text in ("correct horse battery", "a guess of somebody"))
    client = Client()

    def post(path, body):
        return lambda: client.post(path, json.dumps(body), content_type="application/json")

    answer, lines = after(post("/api/auth/token", wrong))
    assert (answer.status_code, [(line.action, line.outcome) for line in lines]) == (401, [("log_in", "denied")])
    answer, lines = after(post("/api/auth/token", right))
    assert [(line.action, line.outcome, line.actor.username) for line in lines] == [("log_in", "ok", "ada")]
    _, lines = after(post("/api/auth/revoke", {"refresh": answer.json()["refresh"]}))
    assert [line.action for line in lines] == ["log_out"]
    _, lines = after(post("/api/auth/token", {"username": "my password by mistake", "password": "x"}))
    assert "mistake" not in str([(line.details, line.object_id) for line in lines])


def test_roles_and_tokens_are_noted():
    logins.create_user("app", "service", state="KANO")
    token = logins.issue_token("app", 1)
    logins.revoke_token(token)
    Membership.objects.get().delete()
    found = AuditEvent.objects.order_by("id").values_list("action", flat=True)
    assert [*found] == ["create", "update", "grant", "issue_token", "revoke_token", "withdraw"]
    assert AuditEvent.objects.get(action="grant").details == {
        "user_id": User.objects.get().pk,
        "role": "service",
        "state": "KANO",
    }
    assert token not in str([*AuditEvent.objects.values()])


# --- What cannot be noted is not told


def test_an_answer_that_cannot_be_noted_does_not_leave(steward, people):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_events ADD CONSTRAINT no_room CHECK (action <> 'list') NOT VALID")
    answer = steward.get("/api/patients")
    assert answer.status_code == 503
    assert people[0].first_name not in answer.content.decode()


# --- Every address


def addresses(patterns=None, before=""):
    for pattern in patterns or get_resolver().url_patterns:
        here = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from addresses(pattern.url_patterns, here)
        else:
            yield here, pattern.callback


# Places, files, and numbers of many.
TELLS_OF_NOBODY = {
    *("facilities", "ingest_batches", "dim_facilities", "facility_performance", "triage_trends", "condition_analysis"),
    *("condition_codes", "nightly_reports"),
}


def test_every_view_of_the_api_that_has_rows_of_patients_knows_of_whom_they_are():
    """A new one is found here: its rows name a patient, or it is one of those that tell of nobody."""
    for _, callback in addresses():
        view = getattr(callback, "cls", None)
        model = getattr(view, "model", None)
        if model is None or not hasattr(view, "columns"):
            continue
        table = getattr(view, "relation", model._meta.db_table)
        assert (view._noted_as() is None) == (table in TELLS_OF_NOBODY), view
