"""The passport in the admin: on a row's page, on a batch's, on a refused row's; and the way back from a deed."""

import pytest
from django.urls import reverse

from clinical import actions
from clinical.models import AuditEvent, Facility, MedicalRecord, Patient, TriageVisit, User
from ingestion import stewards
from ingestion.models import RejectedRow
from tests.callers import Caller
from tests.deliveries import PATIENTS, deliver, last_batch, night
from tests.rows import facility, patient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("a_night")]


@pytest.fixture
def musa(a_night):
    return Patient.objects.get(first_name="Musa")


def page(name, *args):
    return reverse(f"admin:{name}", args=args)


def shown(desk, *url):
    response = desk.get(page(*url))
    assert response.status_code == 200
    return response.content.decode()


def undo(desk, row, event, model="clinical_patient"):
    return desk.post(page(f"{model}_undo", row.pk, event.pk), follow=True).content.decode()


def edited(row, **changed):
    caller = Caller(("steward",))
    caller.send("patch", f"/api/patients/{row.pk}", changed)
    return AuditEvent.objects.filter(action="update").latest("id")


def test_a_rows_page_asks_for_its_origin_and_tells_its_changes(desk, musa):
    edited(musa, patient_number="N-1")
    html = shown(desk, "clinical_patient_change", musa.pk)
    assert page("clinical_patient_origin", musa.pk) in html
    assert "patient number" in html
    assert "Undo this" in html


def test_the_origin_shows_each_cell_beside_what_is_stored(desk, musa):
    html = shown(desk, "clinical_patient_origin", musa.pk)
    assert "patients-2026-11-20.csv, line 3" in html
    assert html.count("Kuje General Hospital") == 2
    assert AuditEvent.objects.filter(action="passport", object_id=musa.pk).count() == 1


@pytest.mark.parametrize("model", [Facility, MedicalRecord, TriageVisit])
def test_each_table_has_origins(desk, musa, model):
    row = model.objects.first()
    assert "As delivered" in shown(desk, f"clinical_{model._meta.model_name}_origin", row.pk)


def test_the_origin_of_a_row_made_by_hand_says_so(desk):
    assert "a person has made it" in shown(desk, "clinical_patient_origin", patient().pk)


def test_a_deed_is_undone_on_the_rows_page(desk, musa):
    event = edited(musa, patient_number="N-1")
    assert "Undone" in undo(desk, musa, event)
    musa.refresh_from_db()
    assert musa.patient_number is None
    html = shown(desk, "clinical_patient_change", musa.pk)
    assert "undone since" in html
    assert "Undo this" not in html


def test_a_deed_that_was_built_on_is_not_undone_and_says_why(desk, musa):
    first = edited(musa, patient_number="N-1")
    edited(musa, patient_number="N-2")
    assert "changed again since" in undo(desk, musa, first)
    musa.refresh_from_db()
    assert musa.patient_number == "N-2"


def test_a_deed_of_another_row_is_not_found_and_looking_undoes_nothing(desk, musa):
    event = edited(musa, patient_number="N-1")
    assert desk.post(page("clinical_patient_undo", patient().pk, event.pk)).status_code == 404
    assert desk.get(page("clinical_patient_undo", musa.pk, event.pk)).status_code == 405


def test_a_deed_done_to_rows_of_others_too_is_theirs_to_undo(client):
    mine = patient(last_name="Lagosian")
    patient(facility(state="KANO", lga="Dala", lga_name="Dala"), last_name="Kanoan")
    actions.mark_deleted(Patient.objects.all(), by=Caller(("steward",)).user)
    lagos = steward_at_desk(client, state="LAGOS")
    assert "out of your scope" in undo(lagos, mine, AuditEvent.objects.get(action="delete"))
    mine.refresh_from_db()
    assert mine.deleted_at


def steward_at_desk(client, **scope):
    caller = Caller(("steward", scope))
    User.objects.filter(pk=caller.user.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=caller.user.pk))
    return client


def test_what_is_out_of_scope_has_no_page(client, musa):
    lagos = steward_at_desk(client, state="LAGOS")
    assert lagos.get(page("clinical_patient_origin", musa.pk)).status_code == 404
    line = lagos.get(page("ingestion_ingestbatch_line", last_batch("patients").pk), {"line": 3})
    assert line.status_code == 404


def test_the_page_of_a_batch_answers_what_became_of_a_line(desk, musa):
    batch = last_batch("patients")
    url = page("ingestion_ingestbatch_line", batch.pk)
    assert url in shown(desk, "ingestion_ingestbatch_change", batch.pk)
    answer = desk.get(url, {"line": "3"}).content.decode()
    assert page("clinical_patient_change", musa.pk) in answer
    assert "It became a new row." in answer
    assert "no such line" in desk.get(url, {"line": "99"}).content.decode()
    assert "Give the number" in desk.get(url, {"line": "three"}).content.decode()


def test_a_refused_row_tells_who_corrected_it_and_a_correction_can_be_undone(desk, musa, alice):
    deliver("patients-2026-11-21.csv", PATIENTS.splitlines()[0] + "\nNowhere,Ladi,Umar,F,1990-01-01,\n")
    night()
    row = RejectedRow.objects.get()
    stewards.correct(RejectedRow.objects.all(), {"facility_name": "Somewhere"}, by=alice)
    html = shown(desk, "ingestion_rejectedrow_change", row.pk)
    assert "corrections: facility name" in html
    assert "alice" in html
    event = AuditEvent.objects.get(action="correct")
    assert "Undone" in undo(desk, row, event, "ingestion_rejectedrow")
    row.refresh_from_db()
    assert row.corrections == {}


def test_a_correction_by_which_a_row_has_landed_stays(desk, musa, alice):
    deliver("patients-2026-11-21.csv", PATIENTS.splitlines()[0] + "\nNowhere,Ladi,Umar,F,1990-01-01,\n")
    night()
    stewards.correct(RejectedRow.objects.all(), {"facility_name": "Ikeja Clinic"}, by=alice)
    stewards.replay(RejectedRow.objects.all(), by=alice)
    row = RejectedRow.objects.get()
    assert "has landed since" in undo(desk, row, AuditEvent.objects.get(action="correct"), "ingestion_rejectedrow")
    row.refresh_from_db()
    assert row.corrections == {"facility_name": "Ikeja Clinic"}
