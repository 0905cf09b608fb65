"""Whoever has the database's tables does not have what a browser's session holds."""

import base64

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session

from clinical.models import Patient
from medilink.sealed_sessions import SEALED, SessionStore
from tests import rows

pytestmark = pytest.mark.django_db
PATIENTS = "/admin/clinical/patient/"


def test_what_is_searched_for_is_sealed(desk):
    desk.post(PATIENTS, {"q": "zainab"})
    (kept,) = Session.objects.values_list("session_data", flat=True)
    sealed = db.SessionStore().decode(kept)[SEALED]
    assert b"zainab" not in base64.b64decode(sealed)
    assert "zainab" in str(dict(desk.session))


def test_a_session_in_the_place_of_another_is_empty(desk):
    (one,) = Session.objects.all()
    other = SessionStore()
    other["user"] = "somebody"
    other.save()
    Session.objects.filter(pk=other.session_key).update(session_data=one.session_data)
    assert dict(SessionStore(other.session_key).items()) == {}
    assert dict(SessionStore(one.pk).items())


@pytest.mark.parametrize("kept", ["", "AAAA", "eyJhIjoxfQ:1tX:abc", "as Django writes it"])
def test_what_was_never_sealed_is_an_empty_session(desk, kept):
    text = db.SessionStore().encode({"user": "somebody"}) if " " in kept else kept
    Session.objects.update(session_data=text)
    assert dict(SessionStore(Session.objects.get().pk).items()) == {}


def change(desk, patient, **fields):
    form = {"facility": patient.facility_id, "first_name": patient.first_name, "last_name": patient.last_name}
    form |= {"dob": "1990-01-01", "sex": "F", "phone": "", "patient_number": ""} | fields
    empty = {f"aliases-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    return desk.post(f"{PATIENTS}{patient.pk}/change/", form | empty)


def test_what_is_told_of_a_patient_stands_in_no_cookie(desk):
    patient = rows.patient(first_name="Zainab")
    answer = change(desk, patient, patient_number="17")
    assert answer.status_code == 302
    assert {*answer.cookies} <= {"sessionid", "csrftoken"}
    assert "Zainab" in desk.get(PATIENTS).content.decode()


def test_the_admins_own_log_keeps_columns_and_no_names(desk, alice):
    patient = rows.patient(first_name="Zainab")
    assert change(desk, patient, patient_number="17").status_code == 302
    entry = LogEntry.objects.get(object_id=patient.pk)
    assert entry.object_repr == ""
    assert entry.get_change_message() == "Changed Patient number."
    about = [{"added": {"name": "alias", "object": "Zainab"}}, {"added": {}}, {"changed": {"fields": ["sex"]}}]
    entry = LogEntry.objects.log_actions(alice.pk, [patient], CHANGE, change_message=about, single_object=True)
    entry.refresh_from_db()
    assert (entry.object_repr, entry.get_change_message()) == ("", "Added alias “”. Added. Changed sex.")
    assert Patient.objects.get().first_name == "Zainab"
