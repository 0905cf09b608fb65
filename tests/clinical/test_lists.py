import base64
import json
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs, urlparse

import psycopg2
import pytest
import time_machine
from django.db import connection
from django.test import Client

from clinical import logins
from clinical.api import counting, exports
from clinical.api.lists import Order, cursor_of
from clinical.models import Facility, Patient
from tests.callers import Caller, codes
from tests.rows import facility, patient, record, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
LISTS = ["facilities", "patients", "medical-records", "triage-visits"]


@pytest.fixture
def steward():
    return Caller(("steward",))


@pytest.fixture
def rows():
    """One row of each list."""
    clinic = facility(name="Ajeromi General Hospital", lga="Ajeromi-Ifelodun", lat="6.45", lon="3.34")
    ada = patient(clinic, first_name="Ada", last_name="Okafor", phone="+2348031234567")
    return {
        "facilities": clinic,
        "patients": ada,
        "medical-records": record(ada, DAY, record_type="Consultation", diagnosis="Malaria", record_id="R-1"),
        "triage-visits": visit(ada, DAY, 2, conditions=["Fever", "Cough"], chief_complaint="hot"),
    }


def follow(caller, path, query):
    """The ids of each page, by the links."""
    answer = caller.get(path, query).json()
    yield [row["id"] for row in answer["results"]]
    while answer["next"]:
        link = urlparse(answer["next"])
        answer = caller.get(link.path, {name: text for name, (text,) in parse_qs(link.query, True).items()}).json()
        yield [row["id"] for row in answer["results"]]


# --- What an answer holds


@pytest.mark.parametrize("name", LISTS)
def test_a_list_and_an_object_answer_alike_with_and_without_a_slash(steward, rows, name):
    for slash in ("", "/"):
        answer = steward.get(f"/api/{name}{slash}").json()
        assert set(answer) == {"count", "next", "previous", "results"}
        assert [steward.get(f"/api/{name}/{rows[name].pk}{slash}").json()] == answer["results"]


def test_a_row_carries_what_the_contract_names(steward, rows):
    found = {name: " ".join(steward.rows(f"/api/{name}")[0]) for name in LISTS}
    kept = "created_at updated_at"
    assert found == {
        "facilities": f"id name state lga lat lon type ownership level hfr_code {kept}",
        "patients": f"id facility_id first_name last_name sex dob phone patient_number dob_is_estimated {kept}",
        "medical-records": (
            f"id patient_id facility_id record_type data record_id recorded_at time_is_estimated {kept}"
        ),
        "triage-visits": (
            "id patient_id facility_id triage_level chief_complaint vital_signs conditions recommendations visit_id"
            f" visited_at time_is_estimated language provider {kept}"
        ),
    }


def test_coordinates_are_numbers_and_instants_end_in_z(steward, rows):
    (clinic,) = steward.rows("/api/facilities")
    (event,) = steward.rows("/api/medical-records")
    assert (clinic["lat"], clinic["lon"]) == (6.45, 3.34)
    assert event["recorded_at"] == "2026-11-20T08:00:00Z"
    assert clinic["created_at"].endswith("Z")


@pytest.mark.parametrize("name", LISTS)
def test_what_is_marked_as_deleted_is_absent(steward, rows, name):
    type(rows[name]).objects.filter(pk=rows[name].pk).update(deleted_at=datetime.now(UTC))
    assert steward.ids(f"/api/{name}") == []
    assert steward.get(f"/api/{name}/{rows[name].pk}").status_code == 404


@pytest.mark.parametrize("pk", ["nobody", "0", "-1", "1.0", str(10**30), "%00", "\u0661"])
def test_an_id_that_is_no_id_is_absent(steward, pk):
    assert steward.get(f"/api/patients/{pk}").status_code == 404


# --- Filters


@pytest.mark.parametrize(
    ("name", "query", "is_found"),
    [
        ("facilities", {"state": "lagos state"}, True),
        ("facilities", {"state": "KANO"}, False),
        ("facilities", {"state": "Nowhere"}, False),
        ("facilities", {"lga": "AJEROMI/IFELODUN"}, True),
        ("facilities", {"type": "cLINIC"}, True),
        ("facilities", {"search": "general"}, True),
        ("facilities", {"search": "IFELODUN"}, True),
        ("facilities", {"search": "100%"}, False),
        ("patients", {"sex": "F"}, True),
        ("patients", {"sex": "M"}, False),
        ("patients", {"age_group": "Adult"}, True),
        ("patients", {"age_group": "Senior"}, False),
        ("patients", {"dob_after": "1990-01-01", "dob_before": "1990-01-01"}, True),
        ("patients", {"dob_after": "1990-01-02"}, False),
        ("medical-records", {"record_type": "CONSULTATION"}, True),
        ("medical-records", {"diagnosis": "malaria"}, True),
        ("medical-records", {"diagnosis": "mal"}, False),
        ("medical-records", {"recorded_after": "2026-11-20", "recorded_before": "2026-11-20"}, True),
        ("medical-records", {"recorded_after": "2026-11-21"}, False),
        ("medical-records", {"recorded_after": "2026-11-20T08:00:00Z"}, True),
        ("medical-records", {"recorded_after": "2026-11-20T09:00:00.000001"}, False),
        ("triage-visits", {"triage_level": "2"}, True),
        ("triage-visits", {"triage_level": "3"}, False),
        ("triage-visits", {"condition": "cough"}, True),
        ("triage-visits", {"condition": "Fever; Cough"}, False),
        ("triage-visits", {"visited_before": "2026-11-19"}, False),
        ("triage-visits", {"patient_id": "", "condition": ""}, True),
    ],
)
def test_a_list_is_filtered(steward, rows, name, query, is_found):
    assert steward.ids(f"/api/{name}", query) == ([rows[name].pk] if is_found else [])


@pytest.mark.parametrize("name", ["medical-records", "triage-visits"])
def test_events_are_filtered_by_patient_and_facility(steward, rows, name):
    patient_id, facility_id = rows["patients"].pk, rows["facilities"].pk
    assert steward.ids(f"/api/{name}", {"patient_id": patient_id, "facility_id": facility_id}) == [rows[name].pk]
    assert steward.ids(f"/api/{name}", {"patient_id": patient_id + 1}) == []
    assert steward.ids(f"/api/{name}", {"facility_id": facility_id + 1}) == []


@time_machine.travel(datetime(2023, 2, 28, 12, tzinfo=UTC), tick=False)
def test_who_was_born_on_29_february_is_a_year_older_in_march(steward):
    leapling = patient(dob=date(2020, 2, 29))
    assert steward.ids("/api/patients", {"age_group": "Child"}) == [leapling.pk]
    Patient.objects.filter(pk=leapling.pk).update(dob=date(2010, 2, 28))
    assert steward.ids("/api/patients", {"age_group": "Adolescent"}) == [leapling.pk]
    Patient.objects.filter(pk=leapling.pk).update(dob=date(2008, 2, 29))
    assert steward.ids("/api/patients", {"age_group": "Adult"}) == []


@pytest.mark.parametrize(
    ("path", "query", "code", "attr"),
    [
        ("patients", {"facilty_id": "1"}, "unknown_parameter", None),
        ("patients", {"facility_id": ["1", "2"]}, "duplicate_parameter", "facility_id"),
        ("patients", {"facility_id": "many"}, "invalid", "facility_id"),
        ("patients", {"facility_id": "1.0"}, "invalid", "facility_id"),
        ("patients", {"facility_id": str(2**63)}, "invalid", "facility_id"),
        ("patients", {"sex": "female"}, "invalid_choice", "sex"),
        ("patients", {"dob_after": "01/02/1990"}, "invalid", "dob_after"),
        ("patients", {"dob_after": "1990-02-30"}, "invalid", "dob_after"),
        ("patients", {"dob_after": "2000-01-02", "dob_before": "2000-01-01"}, "reversed_range", "dob_before"),
        ("patients", {"per_page": "0"}, "invalid", "per_page"),
        ("patients", {"per_page": "1001"}, "invalid", "per_page"),
        ("patients", {"per_page": "\u0665"}, "invalid", "per_page"),
        ("patients", {"page": "0"}, "invalid", "page"),
        ("patients", {"page": "2002"}, "use_cursor", "page"),
        ("patients", {"page": "1", "cursor": ""}, "invalid", "page"),
        ("patients", {"cursor": "nonsense"}, "invalid", "cursor"),
        ("patients", {"cursor": "WyItaWQiLDEsbnVsbF0"}, "invalid", "cursor"),
        ("patients", {"ordering": "last_name"}, "invalid", "ordering"),
        ("patients", {"ordering": "--id"}, "invalid", "ordering"),
        ("patients", {"changed_since": "yesterday"}, "invalid", "changed_since"),
        ("patients", {"changed_since": "2020-01-01", "ordering": "id"}, "invalid", "ordering"),
        ("patients", {"format": "xml"}, "unknown_format", "format"),
        ("patients", {"format": "csv", "page": "1"}, "invalid", "page"),
        ("patients", {"format": "ndjson", "cursor": ""}, "invalid", "cursor"),
        ("facilities", {"search": "ab"}, "too_short", "search"),
        ("facilities", {"search": "a\0bc"}, "invalid", "search"),
        ("triage-visits", {"triage_level": "6"}, "invalid", "triage_level"),
        ("triage-visits", {"visited_after": "0001-01-01T00:00:00+14:00"}, "invalid", "visited_after"),
        ("patients/1", {"verbose": "1"}, "unknown_parameter", None),
    ],
)
def test_a_query_that_is_not_understood_is_refused_and_not_repeated(steward, path, query, code, attr):
    response = steward.get(f"/api/{path}", query)
    assert response.status_code == 400
    assert codes(response) == [(code, attr)]


# --- Pages and cursors


def test_pages_are_cut_in_the_order_of_ids_and_lead_to_one_another(steward):
    made = [facility().pk for _ in range(5)]
    answer = steward.get("/api/facilities", {"per_page": "2", "page": "2"}).json()
    assert [row["id"] for row in answer["results"]] == made[2:4]
    assert answer["count"] == 5
    assert "page=1" in answer["previous"]
    assert [*follow(steward, "/api/facilities", {"per_page": "2", "state": "LAGOS"})] == [made[:2], made[2:4], made[4:]]


def test_a_page_beyond_the_last_is_absent(steward):
    facility()
    assert steward.get("/api/facilities", {"page": "2"}).status_code == 404


def test_a_walk_gives_every_row_once_although_others_come_and_go(steward):
    made = [facility().pk for _ in range(6)]
    walk = follow(steward, "/api/facilities", {"per_page": "2", "cursor": ""})
    assert next(walk) == made[:2]
    Facility.objects.filter(pk__in=[made[0], made[3]]).update(deleted_at=datetime.now(UTC))
    late = facility().pk
    assert [*walk] == [[made[2], made[4]], [made[5], late]]


def test_a_walk_has_no_count_and_knows_its_own_order(steward):
    for _ in range(3):
        facility()
    answer = steward.get("/api/facilities", {"per_page": "2", "cursor": "", "ordering": "-id"}).json()
    assert "count" not in answer
    cursor = parse_qs(urlparse(answer["next"]).query)["cursor"][0]
    refused = steward.get("/api/facilities", {"cursor": cursor, "ordering": "id"})
    assert codes(refused) == [("invalid", "cursor")]


@pytest.mark.parametrize(
    ("path", "ordering", "key"),
    [
        ("facilities", "name", lambda row: (row["name"], row["id"])),
        ("facilities", "-state", lambda row: (row["state"], row["id"])),
        ("facilities", "updated_at", lambda row: (row["updated_at"], row["id"])),
        ("patients", "dob", lambda row: (row["dob"], row["id"])),
        ("patients", "-dob", lambda row: (row["dob"], row["id"])),
        ("triage-visits", "triage_level", lambda row: (row["triage_level"], row["id"])),
        ("triage-visits", "-visited_at", lambda row: (row["visited_at"], row["id"])),
        ("medical-records", "recorded_at", lambda row: (row["recorded_at"], row["id"])),
        ("medical-records", "-created_at", lambda row: (row["created_at"], row["id"])),
    ],
)
def test_an_order_is_kept_over_pages_and_walks_ties_broken_by_id(steward, path, ordering, key):
    for number in range(7):
        clinic = facility(name=f"Clinic {number % 3} {number}", state=["KANO", "LAGOS"][number % 2])
        ada = patient(clinic, dob=date(1990, 1, 1 + number % 3))
        visit(ada, DAY - timedelta(days=number % 2), 1 + number % 3)
        record(ada, DAY - timedelta(days=number % 3))
    expected = [row["id"] for row in sorted(steward.rows(f"/api/{path}"), key=key, reverse=ordering.startswith("-"))]
    for more in ({}, {"cursor": ""}):
        pages = follow(steward, f"/api/{path}", {"per_page": "3", "ordering": ordering} | more)
        assert [pk for page in pages for pk in page] == expected


def test_no_date_of_birth_stands_in_a_cursor(steward):
    for _ in range(3):
        patient(dob=date(1971, 3, 9))
    link = steward.get("/api/patients", {"per_page": "1", "ordering": "dob", "cursor": ""}).json()["next"]
    cursor = parse_qs(urlparse(link).query)["cursor"][0]
    assert "1971" not in base64.urlsafe_b64decode(cursor + "==").decode()


# --- Counts


def test_a_count_follows_every_write(steward):
    clinics = [facility() for _ in range(3)]
    assert steward.get("/api/facilities", {"per_page": "1"}).json()["count"] == 3
    Facility.objects.filter(pk=clinics[0].pk).update(deleted_at=datetime.now(UTC))
    assert steward.get("/api/facilities", {"per_page": "1"}).json()["count"] == 2
    facility()
    assert steward.get("/api/facilities", {"per_page": "1"}).json()["count"] == 3


def test_a_count_follows_what_its_own_transaction_writes_though_a_later_one_has_ended(steward):
    clinics = [facility() for _ in range(3)]
    with closing(psycopg2.connect(**connection.get_connection_params())) as later, later, later.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
    assert steward.get("/api/facilities", {"per_page": "1"}).json()["count"] == 3
    Facility.objects.filter(pk=clinics[0].pk).update(deleted_at=datetime.now(UTC))
    assert steward.get("/api/facilities", {"per_page": "1"}).json()["count"] == 2


def test_a_count_beyond_the_exact_is_an_estimate_and_says_so(steward, monkeypatch):
    monkeypatch.setattr(counting, "EXACT_UP_TO", 3)
    for _ in range(6):
        facility()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE facilities")
    answer = steward.get("/api/facilities", {"per_page": "1"}).json()
    assert answer["count_is_estimate"] is True
    assert answer["count"] >= 4
    assert "count_is_estimate" not in steward.get("/api/facilities", {"per_page": "50"}).json()


@pytest.mark.parametrize("name", LISTS)
def test_a_list_takes_as_many_queries_however_long(steward, rows, django_assert_num_queries, name):
    """The session, its user, what they may do, the rows; the page itself tells the count. And who read of patients."""
    with django_assert_num_queries(4 if name == "facilities" else 5):
        steward.rows(f"/api/{name}")


# --- What has changed since


def test_changes_tell_of_writes_and_deletions_in_their_order(steward):
    since = datetime.now(UTC) - timedelta(seconds=1)
    kept, gone = facility(), facility()
    Facility.objects.filter(pk=gone.pk).update(deleted_at=datetime.now(UTC))
    answer = steward.get("/api/facilities", {"changed_since": since.isoformat()}).json()
    first, second = sorted(answer["results"], key=lambda row: row["id"])
    assert first["id"] == kept.pk
    assert set(second) == {"id", "deleted_at"}
    assert answer["next_changed_since"].endswith("Z")


def test_changes_before_the_instant_are_left_out(steward):
    facility()
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert steward.ids("/api/facilities", {"changed_since": later.isoformat()}) == []


def test_changes_can_be_walked_and_filtered(steward):
    made = [facility(state="KANO").pk for _ in range(5)]
    facility()
    pages = follow(
        steward, "/api/facilities", {"changed_since": "2020-01-01", "state": "KANO", "per_page": "2", "cursor": ""}
    )
    assert [pk for page in pages for pk in page] == made


# --- Files


def read(response):
    return b"".join(response.streaming_content).decode()


def test_csv_has_all_rows_and_neutralises_what_would_run(steward):
    facility(name="=cmd|' /C calc'!A0", ownership="-2+3")
    facility(name="@SUM(A1)", ownership="+2348031234567", level="-12.5")
    text = read(steward.get("/api/facilities", {"format": "csv", "ordering": "id"}))
    assert text.startswith("\ufeffid,name,state,lga,lat,lon,type,ownership,level,hfr_code,created_at,updated_at\r\n")
    assert "'=cmd|' /C calc'!A0" in text
    assert "'@SUM(A1)" in text
    assert "'-2+3" in text
    assert ",+2348031234567,-12.5," in text


def test_csv_spreads_the_content_of_a_record(steward, rows):
    header, line, _ = read(steward.get("/api/medical-records", {"format": "csv"})).split("\r\n")
    assert "record_type,diagnosis,treatment,medications,notes,record_id" in header
    assert "Consultation,Malaria,,,," in line


def test_ndjson_is_verbatim_and_equal_to_the_list(steward):
    facility(name="=1+1")
    facility()
    lines = read(steward.get("/api/facilities", {"format": "ndjson"})).splitlines()
    assert [json.loads(line) for line in lines] == steward.rows("/api/facilities")


def test_a_file_obeys_filters_and_is_longer_than_any_page(steward, monkeypatch):
    monkeypatch.setattr(exports, "ROWS", 3)
    for number in range(10):
        facility(state=["KANO", "LAGOS"][number % 2])
    assert len(read(steward.get("/api/facilities", {"format": "csv", "state": "KANO"})).splitlines()) == 6


def test_a_file_of_changes_has_tombstones_and_the_next_instant(steward):
    gone = facility()
    Facility.objects.filter(pk=gone.pk).update(deleted_at=datetime.now(UTC))
    response = steward.get("/api/facilities", {"format": "csv", "changed_since": "2020-01-01"})
    assert response["X-Next-Changed-Since"].endswith("Z")
    header, line = read(response).split("\r\n")[:2]
    assert header.endswith(",deleted_at")
    assert line.startswith(f"{gone.pk},,,")


# --- Conditional reading


def test_an_object_that_has_not_changed_is_not_sent_again(steward, rows):
    path = f"/api/patients/{rows['patients'].pk}"
    tag = steward.get(path)["ETag"]
    again = steward.client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_a_cursor_that_was_made_up_finds_no_date_of_birth_out_of_scope():
    """By another patient's id one could ask who is older, day by day."""
    kano, lagos = facility(state="KANO"), facility(state="LAGOS")
    mine, other, restricted = patient(kano), patient(lagos, dob=date(1980, 5, 1)), patient(kano)
    type(restricted).objects.filter(pk=restricted.pk).update(restricted_at=datetime.now(tz=UTC))
    clerk, order = Caller(("clerk", {"state": "KANO"})), Order("dob", is_personal=True)
    token = logins.issue_token(Caller(("clerk",)).user.username, 1, state="KANO")

    def answered(someone, **headers):
        query = {"ordering": "dob", "cursor": cursor_of(order, {"id": someone.pk})}
        client = Client() if headers else clerk.client
        return client.get("/api/patients", query, headers=headers).status_code

    for headers in ({}, {"authorization": f"Bearer {token}"}):
        assert [answered(one, **headers) for one in (mine, other, restricted)] == [200, 400, 400]
