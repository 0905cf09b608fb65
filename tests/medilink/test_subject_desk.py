"""A patient's rights on the desk: who may, what is asked first, and that it does what the command does."""

import io
import json
import zipfile

import pytest
from django.test import Client

from clinical import subjects
from clinical.models import AuditEvent, Erasure, Membership, Patient, User
from medilink import tasks
from tests.rows import facility, patient

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_workers(settings, monkeypatch):
    settings.REQUIRE_TOTP = False
    monkeypatch.setattr("medilink.subject_desk._queue", lambda task: None)


@pytest.fixture
def amina():
    return patient(facility(state="KANO"), first_name="Amina", phone="+2348031234567", patient_number="=1+1")


def steward(name="kano", state="KANO", role="steward"):
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(user=user, role=role, state=state)
    client = Client()
    client.force_login(user)
    return client


def page(someone):
    return f"/admin/clinical/patient/{someone.pk}/rights/"


def test_a_steward_restricts_and_lifts_it_again_with_a_reason(amina):
    kano = steward()
    assert "This field is required" in kano.post(page(amina), {"deed": "restrict"}).content.decode()
    kano.post(page(amina), {"deed": "restrict", "why": "consent"})
    amina.refresh_from_db()
    assert amina.restricted_at
    assert "Lift the restriction" in kano.get(page(amina)).content.decode()
    kano.post(page(amina), {"deed": "unrestrict", "why": "request"})
    amina.refresh_from_db()
    assert amina.restricted_at is None
    assert {"restrict", "unrestrict"} <= {*AuditEvent.objects.values_list("action", flat=True)}


def test_an_erasure_takes_the_typed_id_and_two_stewards_and_a_worker_carries_it_out(amina):
    kano, other = steward(), steward("other")
    for sure in ("", "1234567"):
        kano.post(page(amina), {"deed": "erase", "why": "request", "sure": sure})
        assert not Erasure.objects.exists()
    kano.post(page(amina), {"deed": "erase", "why": "request", "sure": amina.pk})
    kano.post(page(amina), {"deed": "confirm", "sure": amina.pk})
    assert Erasure.objects.get().confirmed_at is None
    assert "Another steward has to confirm it" in kano.get(page(amina)).content.decode()
    other.post(page(amina), {"deed": "confirm", "sure": amina.pk})
    assert Erasure.objects.get().confirmed_by.username == "other"
    tasks.erase_confirmed()
    amina.refresh_from_db()
    assert (amina.first_name, bool(amina.erased_at)) != ("Amina", False)
    assert Erasure.objects.get().done_at


def test_what_was_asked_for_is_withdrawn(amina):
    kano = steward()
    kano.post(page(amina), {"deed": "erase", "why": "request", "sure": amina.pk})
    kano.post(page(amina), {"deed": "withdraw"})
    assert not Erasure.objects.exists()


def test_an_export_holds_all_and_is_noted_but_tells_no_steward_who_saw_the_patient(amina, alice):
    answer = steward().post(page(amina), {"deed": "export"})
    told = json.loads(answer.content)
    assert answer["Content-Disposition"] == f'attachment; filename="patient-{amina.pk}.json"'
    assert told["patients"][0]["first_name"] == "Amina"
    assert told["seen_by"] is None
    assert AuditEvent.objects.filter(action="export_patient", patient_ids=[amina.pk]).exists()
    desk = Client()
    desk.force_login(alice)
    assert json.loads(desk.post(page(amina), {"deed": "export"}).content)["seen_by"]


def test_a_zip_has_the_document_a_table_for_each_part_and_a_page(amina):
    packed = zipfile.ZipFile(io.BytesIO(steward().post(page(amina), {"deed": "export-zip"}).content))
    assert {"patient.json", "index.html", "patients.csv", "triage_visits.csv"} <= {*packed.namelist()}
    assert "'=1+1" in packed.read("patients.csv").decode()
    assert "Amina" in packed.read("index.html").decode()


@pytest.mark.parametrize(("state", "role"), [("LAGOS", "steward"), ("KANO", "clinician"), ("KANO", "analyst")])
def test_nobody_else_has_the_page(amina, state, role):
    other = steward("other", state, role)
    for answer in (other.get(page(amina)), other.post(page(amina), {"deed": "export"})):
        assert answer.status_code == 404
    assert not AuditEvent.objects.filter(action="export_patient").exists()


def test_the_patients_page_leads_there(amina):
    told = steward().get(f"/admin/clinical/patient/{amina.pk}/origin/").content.decode()
    assert page(amina) in told
    assert "Who saw this patient" not in told


def test_a_restricted_patient_keeps_the_page(amina, alice):
    subjects.restrict(amina.pk, why="request", by=alice)
    assert steward().get(page(amina)).status_code == 200
    assert Patient.objects.filter(pk=amina.pk, restricted_at__isnull=False).exists()
