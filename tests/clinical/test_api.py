from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from clinical.models import Facility, MedicalRecord, Patient, TriageVisit, User

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LISTS = ["facilities", "patients", "medical-records", "triage-visits"]


@pytest.fixture
def staff(client):
    client.force_login(User.objects.create_user("alice", password="not-a-secret-of-anybody", is_staff=True))
    return client


@pytest.fixture
def rows():
    """One row of each list."""
    facility = Facility.objects.create(
        name="Ajeromi General Hospital", state="LAGOS", lga="Ajeromi-Ifelodun", lat="6.45", lon="3.34", type="Hospital"
    )
    patient = Patient.objects.create(
        facility=facility,
        first_name="Adaeze",
        last_name="Okafor",
        sex="F",
        dob=date(1990, 5, 1),
        phone="+2348031234567",
    )
    event = {"patient": patient, "facility": facility, "fingerprint": uuid4()}
    data = {"diagnosis": "malaria", "treatment": None, "medications": None, "notes": None}
    return {
        "facilities": facility,
        "patients": patient,
        "medical-records": MedicalRecord.objects.create(
            record_type="Consultation", data=data, recorded_at=NOON, **event
        ),
        "triage-visits": TriageVisit.objects.create(triage_level=2, conditions=["fever"], visited_at=NOON, **event),
    }


def results(client, path, query=None):
    response = client.get(path, query or {})
    assert response.status_code == 200, response.content
    return response.json()["results"]


@pytest.mark.parametrize("name", LISTS)
def test_each_list_answers_with_and_without_a_slash(staff, rows, name):
    for path in (f"/api/{name}", f"/api/{name}/"):
        answer = staff.get(path).json()
        assert set(answer) == {"count", "next", "previous", "results"}
        assert [row["id"] for row in answer["results"]] == [rows[name].pk]


@pytest.mark.parametrize("name", LISTS)
def test_each_object_answers_with_and_without_a_slash(staff, rows, name):
    for path in (f"/api/{name}/{rows[name].pk}", f"/api/{name}/{rows[name].pk}/"):
        assert staff.get(path).json()["id"] == rows[name].pk


@pytest.mark.parametrize("name", LISTS)
def test_nobody_but_staff_is_answered(client, name):
    assert client.get(f"/api/{name}").status_code == 403
    client.force_login(User.objects.create_user("bob", password="not-a-secret-of-anybody"))
    assert client.get(f"/api/{name}").status_code == 403


@pytest.mark.parametrize("name", LISTS)
def test_nothing_can_be_written(staff, rows, name):
    assert staff.post(f"/api/{name}", {}, content_type="application/json").status_code == 405
    assert staff.delete(f"/api/{name}/{rows[name].pk}").status_code == 405


@pytest.mark.parametrize("name", LISTS)
def test_what_is_marked_as_deleted_is_absent(staff, rows, name):
    type(rows[name]).objects.filter(pk=rows[name].pk).update(deleted_at=NOON)
    assert results(staff, f"/api/{name}") == []
    assert staff.get(f"/api/{name}/{rows[name].pk}").status_code == 404


@pytest.mark.parametrize("name", LISTS)
def test_an_id_that_is_no_id_is_absent(staff, name):
    assert staff.get(f"/api/{name}/nobody").status_code == 404
    assert staff.get(f"/api/{name}/{10**30}").status_code == 404


def test_a_facility_has_numbers_for_coordinates_and_instants_end_in_z(staff, rows):
    (row,) = results(staff, "/api/facilities")
    assert row["created_at"].endswith("Z")
    assert row["updated_at"].endswith("Z")
    del row["created_at"], row["updated_at"]
    assert row == {
        "id": rows["facilities"].pk,
        "name": "Ajeromi General Hospital",
        "state": "LAGOS",
        "lga": "Ajeromi-Ifelodun",
        "lat": 6.45,
        "lon": 3.34,
        "type": "Hospital",
        "ownership": None,
        "level": None,
        "hfr_code": None,
    }


def test_a_patient_carries_what_the_contract_names(staff, rows):
    (row,) = results(staff, "/api/patients")
    assert row | {"created_at": "", "updated_at": ""} == {
        "id": rows["patients"].pk,
        "facility_id": rows["facilities"].pk,
        "first_name": "Adaeze",
        "last_name": "Okafor",
        "sex": "F",
        "dob": "1990-05-01",
        "phone": "+2348031234567",
        "patient_number": None,
        "created_at": "",
        "updated_at": "",
    }


def test_a_record_carries_what_the_contract_names(staff, rows):
    (row,) = results(staff, "/api/medical-records")
    assert row["data"] == {"diagnosis": "malaria", "treatment": None, "medications": None, "notes": None}
    assert row["recorded_at"] == "2026-11-20T12:00:00Z"
    assert {"patient_id", "facility_id", "record_type", "record_id"} <= set(row)


def test_a_visit_carries_what_the_contract_names(staff, rows):
    (row,) = results(staff, "/api/triage-visits")
    assert row["conditions"] == ["fever"]
    assert row["visited_at"] == "2026-11-20T12:00:00Z"
    assert set(row) == {
        *("id", "patient_id", "facility_id", "triage_level", "chief_complaint", "vital_signs", "conditions"),
        *("recommendations", "visit_id", "visited_at", "language", "provider", "created_at", "updated_at"),
    }


@pytest.mark.parametrize(
    ("name", "query", "found"),
    [
        ("facilities", {"state": "LAGOS"}, 1),
        ("facilities", {"state": "KANO"}, 0),
        ("patients", {"sex": "F"}, 1),
        ("patients", {"sex": "M"}, 0),
        ("medical-records", {"record_type": "Consultation"}, 1),
        ("medical-records", {"record_type": "Laboratory"}, 0),
        ("triage-visits", {"triage_level": "2"}, 1),
        ("triage-visits", {"triage_level": "3"}, 0),
    ],
)
def test_a_list_is_filtered(staff, rows, name, query, found):
    assert len(results(staff, f"/api/{name}", query)) == found


@pytest.mark.parametrize("name", ["medical-records", "triage-visits"])
def test_events_are_filtered_by_patient_and_facility(staff, rows, name):
    patient, facility = rows["patients"].pk, rows["facilities"].pk
    assert len(results(staff, f"/api/{name}", {"patient_id": patient, "facility_id": facility})) == 1
    assert results(staff, f"/api/{name}", {"patient_id": patient + 1}) == []
    assert results(staff, f"/api/{name}", {"facility_id": facility + 1}) == []


def test_a_filter_of_the_wrong_type_is_refused(staff):
    assert staff.get("/api/patients", {"facility_id": "many"}).status_code == 400


def test_a_list_is_ordered_by_id_and_paged(staff):
    made = [Facility.objects.create(name=f"Clinic {number}", state="KANO", lga="Dala").pk for number in range(5)]
    answer = staff.get("/api/facilities", {"per_page": "2", "page": "2"}).json()
    assert [row["id"] for row in answer["results"]] == made[2:4]
    assert answer["count"] == 5
    assert answer["next"] is not None


@pytest.mark.parametrize("name", LISTS)
def test_a_list_takes_few_queries(staff, rows, django_assert_max_num_queries, name):
    with django_assert_max_num_queries(4):
        results(staff, f"/api/{name}")
