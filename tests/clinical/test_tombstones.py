"""Who syncs by changed_since is told of rows that are gone: what a revert took away, and nothing that came back."""

import csv
import io
import json
import random
import re
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs, urlparse

import pytest
from django.db import connection

from clinical import access, audit, undo
from clinical.api import tombstones
from clinical.models import MedicalRecord, Patient, Revision
from ingestion import reverting
from tests.callers import Caller, codes
from tests.deliveries import deliver_all, last_batch, night
from tests.rows import facility, past_all_triggers, patient, record, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
BEGINNING = "2020-01-01"
START = datetime(2026, 11, 20, 8, tzinfo=UTC)
LISTS = ["facilities", "patients", "medical-records", "triage-visits"]


@pytest.fixture
def steward():
    return Caller(("steward",))


@pytest.fixture
def rows():
    """One row of each list, in Ikeja."""
    clinic = facility()
    ada = patient(clinic, phone="+2348031234567")
    return {
        "facilities": clinic,
        "patients": ada,
        "medical-records": record(ada, DAY, diagnosis="Malaria"),
        "triage-visits": visit(ada, DAY),
    }


def remove(*rows):
    """As a revert does: from the table, children first."""
    ids = [row.pk for row in rows]
    for row in rows:
        type(row).objects.filter(pk=row.pk)._raw_delete("default")
    return ids


def gone(caller, path, query=None):
    found = caller.rows(f"/api/{path}", {"changed_since": BEGINNING} | (query or {}))
    assert all(set(row) == {"id", "deleted_at"} for row in found if "deleted_at" in row)
    return [row["id"] for row in found if "deleted_at" in row]


def walked(caller, path, query):
    """The rows of each page, by the links."""
    answer = caller.get(path, query).json()
    yield from answer["results"]
    while answer["next"]:
        link = urlparse(answer["next"])
        answer = caller.get(link.path, {name: text for name, (text,) in parse_qs(link.query, True).items()}).json()
        yield from answer["results"]


def read(response):
    return b"".join(response.streaming_content).decode()


# --- A batch that was taken back


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("name", "dataset"), [("medical-records", "medical_records"), ("triage-visits", "triage_visits")]
)
def test_each_row_of_a_reverted_batch_is_told_once(steward, alice, name, dataset):
    deliver_all()
    night()
    ids = sorted(steward.ids(f"/api/{name}"))
    reverting.revert(last_batch(dataset), reason="A wrong export.", by=alice)
    answer = steward.get(f"/api/{name}", {"changed_since": BEGINNING}).json()
    assert [row["id"] for row in answer["results"]] == ids
    assert answer["count"] == len(ids)
    assert {*map(frozenset, answer["results"])} == {frozenset({"id", "deleted_at"})}
    assert answer["results"][0]["deleted_at"].endswith("Z")


# --- Pages, walks and files


def changed(*, seed):
    """Rows and removals of one table at few instants, so that many share one; (instant, id, whether it is gone)."""
    chance = random.Random(seed)
    clinic = facility()
    expected = []
    for number in range(12):
        at = START + timedelta(seconds=chance.randrange(3))
        row = patient(clinic, updated_at=at)
        if number % 2:
            remove(row)
            with past_all_triggers():
                Revision.objects.filter(table="patients", object_id=row.pk).update(at=at)
        elif chance.random() < 0.3:
            Patient.objects.filter(pk=row.pk).update(deleted_at=at)  # at the instant of this transaction
            at = Patient.objects.get(pk=row.pk).updated_at
        expected.append((at, row.pk))
    return [pk for _, pk in sorted(expected)]


@pytest.mark.parametrize("per_page", [1, 2, 3])
@pytest.mark.parametrize("way", [{}, {"cursor": ""}])
def test_a_walk_has_every_change_and_every_removal_once_and_in_order(steward, per_page, way):
    expected = changed(seed=per_page)
    found = [*walked(steward, "/api/patients", {"changed_since": BEGINNING, "per_page": per_page} | way)]
    assert [row["id"] for row in found] == expected
    assert sum(set(row) == {"id", "deleted_at"} for row in found) >= 6


def test_a_walk_begins_at_the_instant(steward):
    expected = changed(seed=7)
    since = START + timedelta(seconds=1)
    found = steward.ids("/api/patients", {"changed_since": since.isoformat()})
    early = Revision.objects.filter(table="patients", at__lt=since).count()
    early += Patient.objects.filter(updated_at__lt=since).count()
    assert early > 0
    assert found == expected[early:]


def test_the_count_has_the_removals_and_follows_them(steward, rows):
    others = [patient(rows["facilities"]) for _ in range(3)]
    query = {"changed_since": BEGINNING, "per_page": "1"}
    assert steward.get("/api/patients", query).json()["count"] == 4
    remove(others[0])
    assert steward.get("/api/patients", query).json()["count"] == 4
    assert steward.get("/api/patients", query | {"sex": "M"}).json()["count"] == 1


def test_files_have_them_in_the_order_of_the_list(steward):
    expected = changed(seed=11)
    query = {"changed_since": BEGINNING}
    lines = read(steward.get("/api/patients", query | {"format": "ndjson"})).splitlines()
    assert [json.loads(line) for line in lines] == steward.rows("/api/patients", query)
    table = read(steward.get("/api/patients", query | {"format": "csv"})).removeprefix("\ufeff")
    cells = [*csv.DictReader(io.StringIO(table))]
    assert [int(row["id"]) for row in cells] == expected
    removed = [row for row in cells if row["deleted_at"]]
    assert len(removed) >= 6
    assert all({name for name, cell in row.items() if cell} == {"id", "deleted_at"} for row in removed)


@pytest.mark.parametrize("name", LISTS)
def test_a_removal_stands_beside_rows_of_every_kind(steward, rows, name):
    last = [rows[key] for key in reversed(LISTS)]
    kept = steward.rows(f"/api/{name}")
    twin = {
        "facilities": facility,
        "patients": patient,
        "medical-records": lambda: record(rows["patients"], DAY),
        "triage-visits": lambda: visit(rows["patients"], DAY),
    }[name]()
    remove(twin)
    found = steward.rows(f"/api/{name}", {"changed_since": BEGINNING})
    assert [row for row in found if "deleted_at" not in row] == kept
    assert gone(steward, name) == [twin.pk]
    remove(*last)
    assert rows[name].pk in gone(steward, name)


# --- What is no tombstone


def test_what_came_back_under_its_id_is_a_row_again(steward, rows):
    with audit.putting_back():
        remove(rows["medical-records"])
        assert gone(steward, "medical-records") == [rows["medical-records"].pk]
        undo.put_back(Revision.objects.filter(table="medical_records", became__isnull=True))
    assert gone(steward, "medical-records") == []
    assert steward.ids("/api/medical-records", {"changed_since": BEGINNING}) == [rows["medical-records"].pk]


def test_what_went_twice_is_told_once(steward, rows):
    last = rows["medical-records"]
    with audit.putting_back():
        remove(last)
        undo.put_back(Revision.objects.filter(table="medical_records", became__isnull=True))
    remove(last)
    assert Revision.objects.filter(table="medical_records", became__isnull=True).count() == 2
    assert gone(steward, "medical-records") == [last.pk]


def test_a_mark_of_deletion_is_told_by_the_row_itself(steward, rows):
    marked = record(rows["patients"], DAY)
    MedicalRecord.objects.filter(pk=marked.pk).update(deleted_at=datetime.now(UTC))
    remove(rows["medical-records"])
    assert sorted(gone(steward, "medical-records")) == [rows["medical-records"].pk, marked.pk]


def test_removals_of_other_tables_and_before_the_instant_are_none(steward, rows):
    remove(rows["medical-records"])
    assert gone(steward, "triage-visits") == []
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    assert gone(steward, "medical-records", {"changed_since": later}) == []


# --- Filters


def test_removals_are_cut_by_facility_and_patient_only(steward, rows):
    ada, event = rows["patients"], rows["medical-records"]
    remove(event)
    for query in ({"patient_id": ada.pk}, {"facility_id": ada.facility_id}, {"diagnosis": "Typhoid"}):
        assert gone(steward, "medical-records", query) == [event.pk]
    assert gone(steward, "medical-records", {"patient_id": ada.pk + 1}) == []
    assert gone(steward, "medical-records", {"facility_id": ada.facility_id + 1}) == []


def test_a_filter_is_judged_as_ever(rows):
    remove(rows["triage-visits"])
    analyst = Caller(("analyst",))
    query = {"changed_since": BEGINNING}
    assert codes(analyst.get("/api/triage-visits", query | {"patient_id": "x"})) == [("invalid", "patient_id")]
    assert codes(analyst.get("/api/patients", query | {"dob_after": "1990-01-01"})) == [("masked_field", "dob_after")]


# --- Who is told


@pytest.mark.parametrize("name", LISTS)
def test_only_who_could_see_the_row_is_told(rows, name):
    clinic = rows["facilities"]
    inside = [{"state": "LAGOS"}, {"state": "LAGOS", "lga": "Ikeja"}]
    outside = [{"state": "KANO"}, {"state": "LAGOS", "lga": "Agege"}, {"facility": facility()}]
    if name != "facilities":  # the scope of a user is not taken away
        inside.append({"facility": clinic})
        remove(*(rows[key] for key in reversed(LISTS[1:])))
    else:
        remove(*(rows[key] for key in reversed(LISTS)))
    for scope in inside:
        assert gone(Caller(("steward", scope)), name) == [rows[name].pk], scope
    for scope in outside:
        assert gone(Caller(("steward", scope)), name) == [], scope


def test_a_row_is_told_to_its_state_although_its_facility_went_after_it(rows):
    remove(*(rows[key] for key in reversed(LISTS)))
    assert gone(Caller(("clinician", {"state": "LAGOS"})), "patients") == [rows["patients"].pk]
    assert gone(Caller(("clinician", {"state": "KANO"})), "patients") == []


@pytest.mark.parametrize("name", LISTS[1:])
@pytest.mark.parametrize("pairs", [[("analyst",)], [("analyst",), ("steward", {"state": "LAGOS"})]])
def test_who_sees_rows_masked_or_some_of_them_is_told_too(rows, name, pairs):
    remove(*(rows[key] for key in reversed(LISTS[1:])))
    ada = patient(facility(state="KANO"))
    record(ada, DAY)
    visit(ada, DAY)
    caller = Caller(*pairs)
    assert gone(caller, name) == [rows[name].pk]
    assert len(caller.rows(f"/api/{name}", {"changed_since": BEGINNING})) == 2


def test_nothing_of_a_removed_person_is_told(rows):
    remove(*(rows[key] for key in reversed(LISTS[1:])))
    for query in ({}, {"format": "csv"}, {"format": "ndjson"}, {"cursor": ""}):
        response = Caller(("steward",)).get("/api/patients", {"changed_since": BEGINNING} | query)
        text = read(response) if response.streaming else response.content.decode()
        assert str(rows["patients"].pk) in text
        assert rows["patients"].last_name not in text


# --- What it costs


def test_where_nothing_is_gone_one_look_at_an_index_is_all_it_costs(steward, rows, django_assert_num_queries):
    """The session, its user, what they may do, the oldest writer, the look, the rows; and who read them."""
    with django_assert_num_queries(7) as asked:
        steward.rows("/api/patients", {"changed_since": BEGINNING})
    assert "UNION" not in asked[-2]["sql"]
    remove(rows["medical-records"])
    with django_assert_num_queries(7) as asked:
        steward.rows("/api/medical-records", {"changed_since": BEGINNING})
    assert "UNION" in asked[-2]["sql"]


def by_indexes_only():
    """However few rows a test has, PostgreSQL goes as it would for many."""
    with connection.cursor() as cursor:
        for other in ("seqscan", "bitmapscan", "sort"):
            cursor.execute(f"SET LOCAL enable_{other} = off")


def test_the_look_is_answered_by_the_index_alone():
    by_indexes_only()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {tombstones.ANY_SINCE}", ["patients", START, START])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Only Scan using revisions_of_gone_rows" in plan


@pytest.mark.parametrize("scope", [access.NATION, access.Scope(states=frozenset({"LAGOS"}))])
def test_a_page_is_read_in_the_order_of_two_indexes_and_no_further(rows, scope):
    remove(rows["medical-records"])
    by_indexes_only()
    since = START - timedelta(days=2000)
    changes = MedicalRecord.objects.filter(updated_at__gte=since).values_list("id", "updated_at")
    removals = tombstones.since(MedicalRecord, since, scope, {})
    plan = tombstones.among(changes, removals, ("id", "updated_at"), most=3)[:3].explain()
    assert "Merge Append" in plan
    cut = re.findall(r"->  Limit[^\n]*\n *->  Index (?:Only )?Scan using (\w+)", plan)
    assert {"medical_records_changed", "revisions_of_gone_rows"} <= {*cut}
    assert "->  Sort" not in plan
    assert "Anti Join" not in plan
