"""Posting, changing and deleting through the API."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from clinical.models import AuditEvent, Facility, IdempotencyKey, MedicalRecord, Patient, TriageVisit
from tests.callers import Caller, codes
from tests.rows import facility, patient, record, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)


@pytest.fixture
def steward():
    return Caller(("steward",))


@pytest.fixture
def clinic():
    return facility(name="Ikeja Clinic")


@pytest.fixture
def ada(clinic):
    return patient(clinic, first_name="Ada", last_name="Okafor", dob=date(1990, 5, 1))


def place(**changed):
    return {"name": "Dala Clinic", "state": "KANO", "lga": "Dala", "lat": 12.0, "lon": 8.5, "type": "Clinic"} | changed


def person(clinic, **changed):
    names = {"first_name": "Ngozi", "last_name": "Eze", "sex": "F", "dob": "1985-12-31", "phone": "08031234567"}
    return {"facility_id": clinic.pk} | names | changed


def event(of, **changed):
    return {"patient_id": of.pk, "facility_id": of.facility_id} | changed


# --- Facilities


def test_a_posted_facility_is_answered_as_it_is_stored(steward):
    response = steward.send("post", "/api/facilities", place(state="Kano State", name=" Dala   Clinic "))
    made = response.json()
    assert response.status_code == 201
    assert response["Location"].endswith(f"/api/facilities/{made['id']}")
    assert (made["name"], made["state"], made["lat"]) == ("Dala Clinic", "KANO", 12.0)
    assert steward.get(f"/api/facilities/{made['id']}").json() == made


@pytest.mark.parametrize("same", [{}, {"name": "DALA clinic"}, {"lga": "dala LGA"}])
def test_a_facility_of_the_same_identity_is_a_duplicate(steward, same):
    steward.send("post", "/api/facilities", place())
    response = steward.send("post", "/api/facilities", place(**same))
    assert (response.status_code, codes(response)) == (409, [("duplicate", None)])


def test_an_earlier_name_of_another_facility_is_a_duplicate(steward, clinic):
    steward.send("patch", f"/api/facilities/{clinic.pk}", {"name": "New Name"})
    response = steward.send("post", "/api/facilities", place(name="ikeja clinic", state="LAGOS", lga="Ikeja"))
    assert response.status_code == 409


@pytest.mark.parametrize(
    ("changed", "code", "attr"),
    [
        ({"name": ""}, "blank", "name"),
        ({"name": None}, "null", "name"),
        ({"name": 5}, "invalid", "name"),
        ({"name": "x" * 256}, "max_length", "name"),
        ({"name": "a\u200bb"}, "char_removed", "name"),
        ({"state": "Atlantis"}, "enum", "state"),
        ({"lga": ""}, "blank", "lga"),
        ({"lat": 91}, "max_value", "lat"),
        ({"lat": 3.9}, "min_value", "lat"),
        ({"lat": "12.0"}, "invalid", "lat"),
        ({"lat": True}, "invalid", "lat"),
        ({"lat": None}, "geo_incomplete", "lat"),
        ({"lon": None}, "geo_incomplete", "lon"),
        ({"ownership": "x" * 65537}, "max_length", "ownership"),
        ({"id": 7}, "read_only", "id"),
        ({"nmae": "x"}, "unknown_field", "nmae"),
    ],
)
def test_a_facility_that_a_file_would_warn_of_or_refuse_is_refused(steward, changed, code, attr):
    response = steward.send("post", "/api/facilities", place(**changed))
    assert (response.status_code, codes(response)) == (400, [(code, attr)])
    assert Facility.objects.count() == 0


def test_an_unknown_lga_is_no_reason_to_refuse(steward):
    assert steward.send("post", "/api/facilities", place(lga="Newly Made")).status_code == 201


def test_a_patch_changes_what_it_names_and_a_put_the_rest_as_well(steward, clinic):
    Facility.objects.filter(pk=clinic.pk).update(ownership="public")
    path = f"/api/facilities/{clinic.pk}"
    patched = steward.send("patch", path, {"type": "Hospital"}).json()
    assert (patched["type"], patched["ownership"]) == ("Hospital", "public")
    put = steward.send("put", path, {"name": "Ikeja Clinic", "state": "LAGOS", "lga": "Ikeja"}).json()
    assert (put["type"], put["ownership"]) == (None, None)
    assert codes(steward.send("put", path, {"name": "Ikeja Clinic"})) == [("required", "state"), ("required", "lga")]


def test_the_lga_that_names_are_compared_by_follows_a_change(steward, clinic):
    steward.send("patch", f"/api/facilities/{clinic.pk}", {"lga": "EPE LGA"})
    assert Facility.objects.get(pk=clinic.pk).lga_name == "Epe"


def test_read_only_fields_may_be_sent_back_as_they_came(steward, clinic):
    path = f"/api/facilities/{clinic.pk}"
    answer = steward.get(path).json()
    assert steward.send("put", path, answer).status_code == 200
    refused = steward.send("put", path, answer | {"created_at": "2020-01-01T00:00:00Z"})
    assert codes(refused) == [("read_only", "created_at")]


# --- Patients


def test_a_posted_patient_is_normalised_as_a_file_is(steward, clinic):
    made = steward.send("post", "/api/patients", person(clinic, sex="female", dob="1985")).json()
    assert (made["sex"], made["dob"], made["phone"]) == ("F", "1985-01-01", "+2348031234567")
    assert made["dob_is_estimated"] is True


@pytest.mark.parametrize(
    ("changed", "code", "attr"),
    [
        ({"phone": "12"}, "phone_invalid", "phone"),
        ({"sex": ""}, "blank", "sex"),
        ({"sex": "x"}, "enum", "sex"),
        ({"dob": "01/02/1990"}, "date_ambiguous", "dob"),
        ({"dob": "1899-12-31"}, "range", "dob"),
        ({"dob": "2990-01-01"}, "date_future", "dob"),
        ({"dob": "1990-02-30"}, "type_invalid", "dob"),
        ({"facility_id": 2**40}, "does_not_exist", "facility_id"),
        ({"facility_id": "1"}, "invalid", "facility_id"),
        ({"facility_id": True}, "invalid", "facility_id"),
        ({"first_name": " \t"}, "blank", "first_name"),
    ],
)
def test_a_patient_that_a_file_would_warn_of_or_refuse_is_refused(steward, clinic, changed, code, attr):
    response = steward.send("post", "/api/patients", person(clinic, **changed))
    assert (response.status_code, codes(response)) == (400, [(code, attr)])


def test_a_patient_without_a_sex_must_say_so(steward, clinic):
    body = person(clinic)
    del body["sex"]
    assert codes(steward.send("post", "/api/patients", body)) == [("required", "sex")]


def test_a_patient_of_the_same_identity_is_a_duplicate_even_where_it_is_deleted(steward, clinic):
    made = steward.send("post", "/api/patients", person(clinic)).json()
    steward.send("delete", f"/api/patients/{made['id']}")
    response = steward.send("post", "/api/patients", person(clinic, first_name="NGOZI"))
    assert (response.status_code, codes(response)) == (409, [("duplicate", None)])


def test_a_patient_who_moves_takes_the_events_along_and_leaves_an_earlier_identity(steward, ada):
    seen, other = visit(ada, DAY), facility()
    steward.send("patch", f"/api/patients/{ada.pk}", {"facility_id": other.pk})
    assert TriageVisit.objects.get(pk=seen.pk).facility_id == other.pk
    assert ada.aliases.get().facility_id == ada.facility_id


def test_what_a_person_has_set_is_remembered_beside_what_the_source_says(steward, ada):
    Patient.objects.filter(pk=ada.pk).update(phone="+2348030000000")
    steward.send("patch", f"/api/patients/{ada.pk}", {"phone": "08039999999"})
    assert "phone" in Patient.objects.get(pk=ada.pk).delivered


# --- Events


def test_a_visit_without_an_id_is_always_new_and_happens_now(steward, ada):
    body = event(ada, triage_level=3, chief_complaint="cough", conditions=["Cough", "Fever"])
    first, second = (steward.send("post", "/api/triage-visits", body).json() for _ in range(2))
    assert first["id"] != second["id"]
    assert first["time_is_estimated"] is False
    assert abs(datetime.fromisoformat(first["visited_at"]) - timezone.now()) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("path", "body"),
    [("triage-visits", {"visit_id": "V-1", "triage_level": 3}), ("medical-records", {"record_id": "R-1"})],
)
def test_an_id_that_the_facility_has_already_is_a_duplicate(steward, ada, path, body):
    assert steward.send("post", f"/api/{path}", event(ada, **body)).status_code == 201
    response = steward.send("post", f"/api/{path}", event(ada, **body))
    assert (response.status_code, codes(response)) == (409, [("duplicate", None)])


@pytest.mark.parametrize(
    ("changed", "code", "attr"),
    [
        ({"triage_level": 0}, "min_value", "triage_level"),
        ({"triage_level": 6}, "max_value", "triage_level"),
        ({"triage_level": "3"}, "invalid", "triage_level"),
        ({"triage_level": 3.0}, "invalid", "triage_level"),
        ({"conditions": "Malaria"}, "not_a_list", "conditions"),
        ({"conditions": [""]}, "blank", "conditions.0"),
        ({"visited_at": "1989-01-01"}, "range", "visited_at"),
        ({"visited_at": "2990-01-01"}, "date_future", "visited_at"),
        ({"visited_at": "yesterday"}, "type_invalid", "visited_at"),
        ({"patient_id": 2**40}, "does_not_exist", "patient_id"),
        ({"facility_id": 2**40}, "facility_mismatch", "facility_id"),
        ({"chief_complaint": ["x"]}, "invalid", "chief_complaint"),
    ],
)
def test_a_visit_that_a_file_would_refuse_is_refused(steward, ada, changed, code, attr):
    response = steward.send("post", "/api/triage-visits", event(ada, triage_level=3) | changed)
    assert (response.status_code, codes(response)) == (400, [(code, attr)])


def test_an_event_before_the_birth_of_the_patient_is_refused(steward, clinic):
    child = patient(clinic, dob=date(2020, 5, 2))
    body = event(child, recorded_at="2020-05-01T23:59:59+01:00")
    assert codes(steward.send("post", "/api/medical-records", body)) == [("range", "recorded_at")]
    assert steward.send("post", "/api/medical-records", body | {"recorded_at": "2020-05-02"}).status_code == 201


def test_an_event_stays_with_its_patient(steward, ada):
    seen, other = visit(ada, DAY), patient()
    refused = steward.send("patch", f"/api/triage-visits/{seen.pk}", {"patient_id": other.pk})
    assert codes(refused) == [("read_only", "patient_id")]


def test_a_patch_of_a_record_leaves_the_rest_of_its_content(steward, ada):
    kept = record(ada, DAY, diagnosis="Malaria", notes="note")
    body = {"data": {"treatment": "rest"}}
    answer = steward.send("patch", f"/api/medical-records/{kept.pk}", body).json()
    assert answer["data"] == {"diagnosis": "Malaria", "treatment": "rest", "medications": None, "notes": "note"}
    refused = steward.send("patch", f"/api/medical-records/{kept.pk}", {"data": {"diagnoses": "x"}})
    assert codes(refused)[0][0] == "unknown_field"


# --- Deleting


def test_deleting_marks_the_row_and_says_by_whom(steward, ada):
    assert steward.send("delete", f"/api/patients/{ada.pk}").status_code == 204
    marked = Patient.objects.get(pk=ada.pk)
    assert (marked.deleted_by, marked.deleted_at is None) == (steward.user, False)
    assert steward.send("delete", f"/api/patients/{ada.pk}").status_code == 404


def test_what_others_refer_to_is_protected(steward, ada):
    visit(ada, DAY)
    for path in (f"/api/patients/{ada.pk}", f"/api/facilities/{ada.facility_id}"):
        response = steward.send("delete", path)
        assert (response.status_code, codes(response)) == (409, [("protected", None)])


# --- Conditional requests


@pytest.mark.django_db(transaction=True)
def test_a_change_of_what_has_changed_meanwhile_is_refused():
    steward, clinic = Caller(("steward",)), facility()
    path = f"/api/facilities/{clinic.pk}"
    tag = steward.get(path)["ETag"]
    changed = steward.send("patch", path, {"type": "Hospital"}, If_Match=tag)
    assert changed.status_code == 200
    assert steward.send("patch", path, {"type": "Clinic"}, If_Match=tag).status_code == 412
    assert steward.send("delete", path, If_Match=tag).status_code == 412
    assert steward.send("delete", path, If_Match=changed["ETag"]).status_code == 204


# --- Idempotency keys


def test_the_same_post_again_gets_the_first_answer(steward, clinic):
    first, again = (steward.send("post", "/api/patients", person(clinic), Idempotency_Key="k-1") for _ in range(2))
    assert (again.status_code, again.json(), again["ETag"]) == (201, first.json(), first["ETag"])
    assert again["Idempotent-Replay"] == "true"
    assert "Idempotent-Replay" not in first
    assert Patient.objects.count() == 1


def test_another_body_under_the_same_key_is_refused(steward, clinic):
    steward.send("post", "/api/patients", person(clinic), Idempotency_Key="k-1")
    assert steward.send("post", "/api/patients", person(clinic, sex="M"), Idempotency_Key="k-1").status_code == 422


def test_a_key_is_of_one_user_and_one_route_and_one_day(steward, clinic):
    steward.send("post", "/api/patients", person(clinic), Idempotency_Key="k-1")
    assert steward.send("post", "/api/facilities", place(), Idempotency_Key="k-1").status_code == 201
    other = Caller(("steward",)).send("post", "/api/patients", person(clinic, last_name="Bello"), Idempotency_Key="k-1")
    assert other.status_code == 201
    IdempotencyKey.objects.update(created_at=datetime.now(UTC) - timedelta(hours=25))
    later = steward.send("post", "/api/patients", person(clinic, last_name="Musa"), Idempotency_Key="k-1")
    assert later.status_code == 201


def test_a_refused_post_may_be_tried_again_under_its_key(steward, clinic):
    assert steward.send("post", "/api/patients", person(clinic, dob="x"), Idempotency_Key="k").status_code == 400
    assert steward.send("post", "/api/patients", person(clinic), Idempotency_Key="k").status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
def test_a_key_that_is_no_key_is_refused(steward, clinic, key):
    assert steward.send("post", "/api/patients", person(clinic), Idempotency_Key=key).status_code == 400


# --- The audit


def test_each_write_leaves_a_line_without_values(steward, clinic):
    made = steward.send("post", "/api/patients", person(clinic)).json()
    steward.send("patch", f"/api/patients/{made['id']}", {"phone": None})
    steward.send("delete", f"/api/patients/{made['id']}")
    lines = AuditEvent.objects.filter(table="patients", object_id=made["id"], actor=steward.user).order_by("id")
    assert [line.action for line in lines] == ["create", "update", "delete"]
    assert lines[1].details == {"fields": ["phone"]}
    assert "Ngozi" not in str([line.details for line in lines])


def test_a_change_that_changes_nothing_leaves_no_line(steward, ada):
    steward.send("patch", f"/api/patients/{ada.pk}", {"first_name": "Ada"})
    assert not AuditEvent.objects.filter(table="patients", action="update").exists()


# --- Searching


@pytest.mark.parametrize(
    "body",
    [
        {"name": "ada"},
        {"name": "OKAFOR ada"},
        {"name": "kafo"},
        {"phone": "0803 123 4567"},
        {"name": "okafor", "dob": "1990-05-01"},
    ],
)
def test_a_patient_is_found_by_parts_of_the_name_or_the_whole_phone(steward, ada, body):
    Patient.objects.filter(pk=ada.pk).update(phone="+2348031234567")
    patient(ada.facility, first_name="Musa", last_name="Bello", dob=date(1980, 1, 1))
    found = steward.send("post", "/api/patients/search", body).json()["results"]
    assert [row["id"] for row in found] == [ada.pk]


def test_the_best_match_comes_first(steward, clinic):
    longer = patient(clinic, first_name="Adaeze Chiamaka", last_name="Okafor-Nwosu")
    whole = patient(clinic, first_name="Ada", last_name="Okafor")
    found = steward.send("post", "/api/patients/search", {"name": "ada okafor"}).json()["results"]
    assert [row["id"] for row in found] == [whole.pk, longer.pk]


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "ab"}, {"name": "12 34"}, {"dob": "1990-01-01"}, {"phone": "0803"}, {"nmae": "ada"}, {"name": None}],
)
def test_a_search_that_would_find_anybody_is_refused(steward, body):
    assert steward.send("post", "/api/patients/search", body).status_code == 400


def test_a_search_stays_in_scope_and_gives_pages(steward, clinic):
    for _ in range(3):
        patient(clinic, first_name="Zainab")
    page = steward.send("post", "/api/patients/search", {"name": "zainab", "per_page": 2}).json()
    assert (len(page["results"]), page["next"], page["previous"]) == (2, 2, None)
    kano = Caller(("clinician", {"state": "KANO"}))
    assert kano.send("post", "/api/patients/search", {"name": "zainab"}).json()["results"] == []
    analyst = Caller(("analyst",))
    assert analyst.send("post", "/api/patients/search", {"name": "zainab"}).status_code == 400
    assert MedicalRecord.objects.count() == 0
