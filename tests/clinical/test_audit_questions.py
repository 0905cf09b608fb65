"""What is asked of the audit, by commands, at the desk, and by the alarm."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from clinical import merging
from clinical.audit import questions, reads
from clinical.models import AuditEvent, Membership, User
from medilink import alerts
from medilink.models import Alert
from tests.callers import Caller
from tests.rows import facility, patient

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)


@pytest.fixture
def nurse():
    return Caller(("clinician",))


def answered(*words):
    out = io.StringIO()
    call_command("audit", *words, stdout=out)
    return out.getvalue()


def test_who_saw_a_patient_by_whichever_route(nurse, alice):
    at = facility()
    one, other = patient(at), patient(at)
    nurse.get(f"/api/patients/{one.pk}")
    nurse.get("/api/patients")
    nurse.get(f"/api/patients/{other.pk}")
    assert [line.action for line in questions.who_saw(one.pk)] == ["list", "read"]
    assert {line.actor for line in questions.who_saw(one.pk)} == {nurse.user.username}
    assert questions.who_saw(one.pk, until=NOW - timedelta(days=1)) == []


def test_who_saw_somebody_before_two_were_found_to_be_one_saw_this_patient(nurse, alice):
    at = facility()
    survivor, other = patient(at), patient(at)
    nurse.get(f"/api/patients/{other.pk}")
    merging.merge_patients(survivor, other, by=alice)
    assert [line.action for line in questions.who_saw(survivor.pk)] == ["merge", "read"]


def test_what_a_user_saw_by_facility_state_and_route(nurse):
    kano, lagos = facility(state="KANO", lga="Dala"), facility()
    for at in (kano, lagos, lagos):
        nurse.get(f"/api/patients/{patient(at).pk}")
    nurse.get("/api/patients", {"facility_id": kano.pk})
    found = questions.seen_by(nurse.user.username)
    assert (found.patients, found.events) == (3, 4)
    assert found.states == [{"state": "LAGOS", "patients": 2}, {"state": "KANO", "patients": 1}]
    assert {(line["facility_id"], line["patients"]) for line in found.facilities} == {(kano.pk, 1), (lagos.pk, 2)}
    assert {(line["route"], line["times"]) for line in found.routes} == {("patients-detail", 3), ("patients-list", 1)}
    assert questions.seen_by(nurse.user.username, since=NOW + timedelta(days=1)).patients == 0


def test_the_command_answers_in_words_json_and_csv(nurse):
    one = patient(facility())
    nurse.get(f"/api/patients/{one.pk}")
    name = nurse.user.username
    assert f"{name} (clinician) read patients treatment patients-detail" in answered("who-saw", f"{one.pk}")
    assert json.loads(answered("who-saw", f"{one.pk}", "--json"))[0]["actor"] == name
    (line,) = csv.DictReader(io.StringIO(answered("who-saw", f"{one.pk}", "--csv")))
    assert line["route"] == "patients-detail"
    assert answered("who-saw", f"{one.pk}", "--to", "2020-01-01").startswith("0 times")
    assert answered("seen-by", name).startswith("1 patients, 1 times")
    assert json.loads(answered("seen-by", name, "--json"))["patients"] == 1
    assert answered("seen-by", name, "--csv").split() == ["patient_id", f"{one.pk}"]
    with pytest.raises(CommandError, match="There is no user"):
        answered("seen-by", "nobody")
    with pytest.raises(CommandError, match="invalid"):
        answered("seen-by", name, "--from", "yesterday")


def test_the_api_finds_lines_by_patient_and_outcome(nurse):
    auditor, one = Caller(("auditor",)), patient(facility())
    nurse.get(f"/api/patients/{one.pk}")
    auditor.get(f"/api/patients/{one.pk}")
    reads.forget_refusals()
    (line,) = auditor.rows("/api/audit-events", {"patient_id": one.pk})
    assert (line["actor"], line["patient_ids"], line["purpose"]) == (nurse.user.username, [one.pk], "treatment")
    (line,) = auditor.rows("/api/audit-events", {"outcome": "denied", "table": "patients"})
    assert (line["actor"], line["object_id"], line["details"]["status"]) == (auditor.user.username, one.pk, 403)


# --- At the desk


def test_the_desk_answers_both_and_asking_is_noted(desk, nurse):
    one = patient(facility())
    nurse.get(f"/api/patients/{one.pk}")
    text = desk.get("/admin/clinical/auditevent/who-saw/", {"patient": one.pk}).content.decode()
    assert f"Patient {one.pk}: 1 time, by 1" in text
    assert nurse.user.username in text
    text = desk.get("/admin/clinical/auditevent/seen-by/", {"user": nurse.user.username}).content.decode()
    assert "1 patient, 1 time" in text
    assert "There is no user" in desk.get("/admin/clinical/auditevent/seen-by/", {"user": "nobody"}).content.decode()
    noted = AuditEvent.objects.filter(table="audit_events").values_list("action", "object_id")
    assert [*noted.order_by("id")] == [("who_saw", one.pk), ("seen_by", nurse.user.pk)]
    assert "Who saw this patient" in desk.get(f"/admin/clinical/patient/{one.pk}/change/").content.decode()


@pytest.mark.parametrize("page", ["who-saw", "seen-by"])
def test_who_may_not_read_the_audit_may_not_ask_it(client, page):
    steward = User.objects.create_user("steward", is_staff=True)
    Membership.objects.create(user=steward, role="steward")
    client.force_login(steward)
    one = patient(facility())
    assert client.get(f"/admin/clinical/auditevent/{page}/").status_code == 403
    assert "Who saw this patient" not in client.get(f"/admin/clinical/patient/{one.pk}/change/").content.decode()


# --- The alarm


def read_of(user, patients, roles=("clinician",)):
    AuditEvent.objects.create(
        actor=user, roles=[*roles], action="list", table="patients", patient_ids=[*patients], outcome="ok"
    )


def causes():
    return [cause for cause in alerts.causes(datetime.now(UTC)) if cause.key.startswith("enumeration")]


def test_who_reads_of_too_many_distinct_patients_in_an_hour_raises_one_alert(settings, nurse):
    settings.ENUMERATION_ALARM = 100
    read_of(nurse.user, range(60))
    read_of(nurse.user, range(60))
    assert causes() == []  # the same sixty
    read_of(nurse.user, range(60, 120))
    (cause,) = causes()
    assert cause.key == f"enumeration:{nurse.user.pk}"
    assert "more than 100 patients" in cause.what
    assert nurse.user.username not in cause.what
    alerts.tell()
    alerts.tell()
    assert [alert.cause for alert in Alert.objects.open()].count(cause.key) == 1


def test_a_program_may_read_of_more(settings, nurse):
    settings.ENUMERATION_ALARM, settings.ENUMERATION_ALARM_SERVICE = 100, 1000
    read_of(nurse.user, range(500), ["service"])
    assert causes() == []
    read_of(nurse.user, range(2000), ["service"])
    assert len(causes()) == 1
