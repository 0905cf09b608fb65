from datetime import date, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse

from clinical.models import Facility, FacilityAlias, MedicalRecord, Membership, Patient, TriageVisit, User
from tests import rows

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=ZoneInfo("Africa/Lagos"))
MODELS = ["facility", "patient", "medicalrecord", "triagevisit", "user"]


@pytest.fixture
def facility():
    return Facility.objects.create(
        name="Ajeromi General Hospital", state="LAGOS", lga="Ajeromi-Ifelodun", batch_id=1, line=2
    )


@pytest.fixture
def patient(facility):
    return Patient.objects.create(
        facility=facility, first_name="Adaeze", last_name="Okafor", sex="F", dob=date(1990, 5, 1), batch_id=1, line=3
    )


def visit(patient, **kwargs):
    values = {"triage_level": 2, "visited_at": NOON, "fingerprint": uuid4()}
    return TriageVisit.objects.create(patient=patient, facility=patient.facility, **values | kwargs)


def record(patient, **kwargs):
    data = dict.fromkeys(MedicalRecord.CONTENT) | {"notes": "<script>alert(1)</script>"}
    values = {"data": data, "recorded_at": NOON, "fingerprint": uuid4()}
    return MedicalRecord.objects.create(patient=patient, facility=patient.facility, **values | kwargs)


def page(model, name="changelist", *args):
    return reverse(f"admin:clinical_{model}_{name}", args=args)


def decide(desk, row, action):
    data = {"action": action, "_selected_action": [row.pk], "index": "0", "select_across": "0"}
    response = desk.post(page(row._meta.model_name), data, follow=True)
    row.refresh_from_db()
    return response


@pytest.mark.parametrize("model", MODELS)
def test_each_list_and_one_page_open_for_a_superuser(desk, patient, alice, model):
    rows = {
        "facility": patient.facility,
        "patient": patient,
        "medicalrecord": record(patient),
        "triagevisit": visit(patient),
        "user": alice,
    }
    assert desk.post(page(model), {"q": "okafor"}, follow=True).status_code == 200
    assert desk.get(page(model, "change", rows[model].pk)).status_code == 200


def test_a_person_who_is_no_staff_is_sent_to_the_log_in(client):
    client.force_login(User.objects.create_user("bob", password="not-a-secret-of-anybody"))
    assert client.get(page("patient")).status_code == 302


@pytest.mark.parametrize("model", ["facility", "patient", "medicalrecord", "triagevisit"])
def test_a_list_takes_as_many_queries_for_thirty_rows_as_for_one(desk, patient, django_assert_max_num_queries, model):
    for number in range(30):
        other = Facility.objects.create(name=f"Clinic {number}", state="KANO", lga="Dala", lga_name="Dala")
        person = Patient.objects.create(
            facility=other, first_name="Musa", last_name=f"Bello {number}", dob="1980-01-01"
        )
        record(person)
        visit(person)
    with django_assert_max_num_queries(10):
        assert desk.get(page(model)).status_code == 200


def test_what_a_record_says_is_escaped(desk, patient):
    text = desk.get(page("medicalrecord", "change", record(patient).pk)).content.decode()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert(1)" not in text


@pytest.mark.parametrize("model", ["facility", "patient", "medicalrecord", "triagevisit", "user"])
def test_no_row_can_be_deleted(desk, patient, alice, model):
    rows = {"facility": patient.facility, "patient": patient, "user": alice}
    row = rows.get(model) or {"medicalrecord": record, "triagevisit": visit}[model](patient)
    assert desk.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert type(row).objects.filter(pk=row.pk).exists()


def test_an_event_cannot_be_changed(desk, patient):
    event = visit(patient)
    desk.post(page("triagevisit", "change", event.pk), {"triage_level": "5"})
    event.refresh_from_db()
    assert event.triage_level == 2


def test_a_row_is_marked_as_deleted_and_restored(desk, patient, alice):
    event = visit(patient)
    decide(desk, event, "mark_deleted")
    assert event.deleted_at is not None
    assert event.deleted_by == alice
    decide(desk, event, "restore")
    assert event.deleted_at is None


def test_a_patient_with_visits_is_not_marked_as_deleted(desk, patient):
    visit(patient)
    response = decide(desk, patient, "mark_deleted")
    assert patient.deleted_at is None
    assert "1 are still referred to" in response.content.decode()


def test_a_visit_is_not_restored_while_its_patient_is_deleted(desk, patient):
    event = visit(patient)
    decide(desk, event, "mark_deleted")
    decide(desk, patient, "mark_deleted")
    decide(desk, event, "restore")
    assert event.deleted_at is not None


def patient_form(patient, **changes):
    shown = {
        "facility": patient.facility_id,
        "first_name": patient.first_name,
        "last_name": patient.last_name,
        "dob": patient.dob.isoformat(),
        "sex": patient.sex,
        "phone": patient.phone or "",
        "patient_number": "",
        "aliases-TOTAL_FORMS": "0",
        "aliases-INITIAL_FORMS": "0",
    }
    return shown | changes


def facility_form(facility, **changes):
    shown = {"name": facility.name, "state": facility.state, "lga": facility.lga, "type": "", "lat": "", "lon": ""}
    return shown | {"aliases-TOTAL_FORMS": "0", "aliases-INITIAL_FORMS": "0"} | changes


def test_a_phone_is_kept_in_one_spelling_and_shown_beside_what_the_source_said(desk, patient):
    desk.post(page("patient", "change", patient.pk), patient_form(patient, phone="0803 123 4567"))
    patient.refresh_from_db()
    assert patient.phone == "+2348031234567"
    text = desk.get(page("patient", "change", patient.pk)).content.decode()
    assert "the source says nothing; a person has set “+2348031234567”" in text


def test_a_phone_that_nobody_can_call_is_refused(desk, patient):
    response = desk.post(page("patient", "change", patient.pk), patient_form(patient, phone="12"))
    assert "This is no phone number" in response.content.decode()


def test_a_value_that_the_source_overruled_is_shown_until_it_is_settled(desk, patient):
    Patient.objects.filter(pk=patient.pk).update(overridden={"phone": "+2348031234567"})
    address = page("patient", "change", patient.pk)
    assert "the source now says nothing; a person had set “+2348031234567”" in desk.get(address).content.decode()
    assert desk.get(page("patient"), {"differences": "overruled"}).context["cl"].result_count == 1
    decide(desk, patient, "settle")
    assert patient.overridden == {}


def test_another_patient_of_the_same_identity_is_refused_with_its_number(desk, patient):
    response = desk.post(
        page("patient", "add"), patient_form(patient, first_name=" ADAEZE", last_name="okafor ", sex="Unknown")
    )
    assert f"Patient {patient.pk} of this facility has" in response.content.decode()
    assert Patient.objects.count() == 1


def test_a_facility_of_the_same_identity_is_refused_in_any_spelling_of_its_lga(desk, facility):
    facility.save()
    response = desk.post(page("facility", "add"), facility_form(facility, lga="AJEROMI IFELODUN LGA"))
    assert f"Facility {facility.pk} has" in response.content.decode()


def test_a_renamed_facility_keeps_its_old_name_and_nobody_else_gets_it(desk, facility):
    facility.save()
    desk.post(page("facility", "change", facility.pk), facility_form(facility, name="Ajeromi Specialist Hospital"))
    assert FacilityAlias.objects.get().name == "Ajeromi General Hospital"
    response = desk.post(page("facility", "add"), facility_form(facility))
    assert f"Facility {facility.pk} has, or had, this name" in response.content.decode()
    assert "Ajeromi General Hospital" in desk.get(page("facility", "change", facility.pk)).content.decode()


@pytest.mark.parametrize(("lat", "lon"), [("6.45", ""), ("40", "3.3")])
def test_coordinates_that_a_file_would_lose_are_refused(desk, facility, lat, lon):
    response = desk.post(page("facility", "change", facility.pk), facility_form(facility, lat=lat, lon=lon))
    assert "Give both coordinates or neither, inside Nigeria." in response.content.decode()


def test_saving_a_facility_unchanged_leaves_no_trace_of_a_person(desk, facility):
    desk.post(page("facility", "change", facility.pk), facility_form(facility))
    facility.refresh_from_db()
    assert facility.delivered == {}
    assert facility.ownership is None


def test_a_deleted_facility_is_not_offered_for_a_patient(desk, facility):
    asked = {"term": "Ajeromi", "app_label": "clinical", "model_name": "patient", "field_name": "facility"}
    assert len(desk.get(reverse("admin:autocomplete"), asked).json()["results"]) == 1
    decide(desk, facility, "mark_deleted")
    assert desk.get(reverse("admin:autocomplete"), asked).json()["results"] == []


# --- Scope


@pytest.fixture
def of_kano(client):
    """The desk of a steward of one state, and a patient of that state and of another."""
    steward = User.objects.create_user("kano", is_staff=True)
    Membership.objects.create(user=steward, role="steward", state="KANO")
    client.force_login(steward)
    return client, rows.patient(rows.facility(state="KANO")), rows.patient(rows.facility(state="LAGOS"))


@pytest.mark.parametrize("name", ["facility", "patient"])
def test_a_steward_of_a_state_sees_its_rows_and_no_others(of_kano, name):
    client, mine, foreign = of_kano
    ours, others = (mine, foreign) if name == "patient" else (mine.facility, foreign.facility)
    listed = client.get(f"/admin/clinical/{name}/").context["cl"].result_list
    assert [row.pk for row in listed] == [ours.pk]
    assert client.get(f"/admin/clinical/{name}/{ours.pk}/change/").status_code == 200
    assert client.get(f"/admin/clinical/{name}/{others.pk}/change/").status_code == 302


def test_a_steward_of_a_state_finds_and_moves_nobody_elsewhere(of_kano):
    client, mine, foreign = of_kano
    query = {"app_label": "clinical", "model_name": "patient", "field_name": "facility", "term": "Clinic"}
    found = client.get("/admin/autocomplete/", query).json()["results"]
    assert [row["id"] for row in found] == [str(mine.facility_id)]
    body = {"facility": foreign.facility_id, "first_name": "A", "last_name": "B", "dob": "1990-01-01", "sex": "F"}
    assert client.post(f"/admin/clinical/patient/{mine.pk}/change/", body).status_code == 200
    mine.refresh_from_db()
    assert mine.facility.state == "KANO"


def test_users_and_tokens_are_for_superusers(of_kano):
    client, *_ = of_kano
    assert client.get("/admin/clinical/user/").status_code == 403


def test_a_superuser_gives_a_user_a_role_within_a_scope(desk):
    bob = User.objects.create_user("bob", password="not-a-secret-of-anybody")
    page = f"/admin/clinical/user/{bob.pk}/change/"
    form = desk.get(page).context["adminform"].form
    body = {name: value for name, value in form.initial.items() if isinstance(value, str | bool) and value}
    rows_of = {"memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "0"}
    row = {"memberships-0-role": "clinician", "memberships-0-state": "KANO", "memberships-0-lga": "dala lga"}
    answer = desk.post(page, body | rows_of | row | {"memberships-0-user": bob.pk})
    assert answer.status_code == 302, answer.context["errors"]
    assert [(one.role, one.state, one.lga) for one in bob.memberships.all()] == [("clinician", "KANO", "Dala")]
