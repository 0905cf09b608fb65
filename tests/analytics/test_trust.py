"""How far an answer can be trusted: what is excluded moves with each refused row and held file, the figures do not."""

import random

import pytest
from django.db import connection

from analytics import marts
from clinical import merging
from clinical.models import Facility
from ingestion import runs, stewards
from ingestion.models import ExcludedRows, IngestBatch, RejectedRow, Status
from tests import rows
from tests.callers import Caller
from tests.deliveries import RECORDS, VISITS, deliver, deliver_all, night

pytestmark = pytest.mark.django_db
STATS = "/api/analytics/facility-stats"
IKEJA, KUJE = "Ikeja Clinic", "Kuje General Hospital"
HEADER = VISITS.splitlines()[0]
NOTHING = {"refused": 0, "waiting": 0, "held": 0, "unplaced": 0, "unread_files": 0}


@pytest.fixture
def loaded(bucket):
    deliver_all()
    night()
    marts.refresh(is_forced=True)
    return {place.name: place.pk for place in Facility.objects.all()}


def visits(clinic, patient, level, count, start=0):
    lines = (f"{clinic},{patient},{level},complaint {n},,," for n in range(start, start + count))
    return "\n".join([HEADER, *lines]) + "\n"


def told(caller, **query):
    """(excluded_rows, what it is made of, the figures)"""
    answer = caller.get(STATS, query).json()
    return answer["trust"]["excluded_rows"], answer["trust"]["excluded"], answer["facilities"]


def excluded(caller, **query):
    return told(caller, **query)[0]


def test_ten_refused_rows_are_excluded_of_their_facility_alone_until_they_are_replayed(loaded):
    steward = Caller(("steward",))
    before = told(steward)[2]
    deliver("triage_visits-2026-11-21.csv", visits(IKEJA, "Ngozi,Okafor", 9, 10) + f"{IKEJA},Ngozi,Okafor,3,good,,,\n")
    night()
    assert RejectedRow.objects.filter(state="open").count() == 10
    moved = [excluded(steward), excluded(steward, facility_id=loaded[IKEJA]), excluded(steward, state="Lagos")]
    assert moved == [10, 10, 10]
    assert told(steward, facility_id=loaded[KUJE])[:2] == (0, NOTHING)
    assert excluded(steward, state="FCT") == 0
    assert told(steward)[2] == before
    stewards.correct(RejectedRow.objects.all(), {"triage_level": "2"}, by=None)
    stewards.replay(RejectedRow.objects.all(), by=None)
    assert told(steward)[:2] == (0, NOTHING)


def test_what_was_delivered_for_a_merged_facility_is_excluded_of_its_survivor(loaded):
    steward = Caller(("steward",))
    deliver("triage_visits-2026-11-21.csv", visits(IKEJA, "Ngozi,Okafor", 9, 5) + f"{IKEJA},Ngozi,Okafor,3,good,,,\n")
    night()
    gone = Facility.objects.get(name=IKEJA)
    kept = rows.facility(name="Ikeja Klinik", state=gone.state, lga=gone.lga, lga_name=gone.lga_name)
    merging.merge_facilities(kept, gone, by=steward.user)
    marts.refresh(is_forced=True)
    in_state = Caller(("steward", {"state": "LAGOS"}))
    assert [excluded(one, facility_id=kept.pk) for one in (steward, in_state)] == [5, 5]


def test_the_dashboard_says_below_each_figure_what_is_not_in_it(loaded):
    steward = Caller(("steward",))
    deliver("triage_visits-2026-11-21.csv", visits(IKEJA, "Ngozi,Okafor", 9, 10) + f"{IKEJA},Ngozi,Okafor,3,good,,,\n")
    night()
    page = steward.get("/dashboard", accept="text/html").content.decode()
    assert "10 rows were delivered and are not in it: 10 refused." in page
    elsewhere = steward.get("/dashboard", {"facility_id": loaded[KUJE]}, accept="text/html").content.decode()
    assert "delivered and" not in elsewhere
    assert steward.get("/dashboard/visits.csv")["X-Excluded-Rows"] == "10"


def test_rows_that_wait_for_a_parent_are_told_apart_and_leave_when_it_comes(loaded):
    steward = Caller(("steward",))
    deliver("triage_visits-2026-11-21.csv", visits("Nowhere Clinic", "Ngozi,Okafor", 3, 4))
    night()
    assert told(steward)[:2] == (4, NOTHING | {"waiting": 4, "unplaced": 4})
    assert told(steward, state="LAGOS")[:2] == (0, NOTHING | {"unplaced": 4})
    deliver("facilities-2026-11-22.csv", "name,state,lga,lat,lon,type\nNowhere Clinic,LAGOS,Ikeja,,,Clinic\n")
    deliver(
        "patients-2026-11-22.csv",
        "facility_name,first_name,last_name,sex,dob,phone\nNowhere Clinic,Ngozi,Okafor,F,1975-12-31,\n",
    )
    night()
    assert told(steward)[:2] == (0, NOTHING)


def test_a_held_file_is_excluded_where_its_rows_are_until_it_is_released_or_discarded(loaded):
    steward = Caller(("steward",))
    before = told(steward)[2]
    deliver("medical_records-2026-11-21.csv", RECORDS)  # the same content under another day
    night()
    held = IngestBatch.objects.get(status=Status.HELD)
    assert told(steward)[:2] == (3, NOTHING | {"held": 3})
    assert [excluded(steward, facility_id=loaded[name]) for name in (KUJE, IKEJA, "Health Post")] == [2, 1, 0]
    assert told(steward)[2] == before
    stewards.discard(held, reason="sent twice", by=None)
    assert told(steward)[:2] == (0, NOTHING)


def test_a_file_held_for_its_many_bad_rows_counts_all_of_them(loaded):
    steward = Caller(("steward",))
    deliver("triage_visits-2026-11-21.csv", visits(IKEJA, "Ngozi,Okafor", 9, 20) + f"{KUJE},Musa,Bello,3,good,,,\n")
    assert night().exit_code() == runs.STOPPED_SOME
    assert [excluded(steward, facility_id=loaded[name]) for name in (IKEJA, KUJE)] == [20, 1]
    assert excluded(steward) == 21


def test_a_file_that_cannot_be_read_is_told_as_a_file(loaded):
    deliver("triage_visits-2026-11-21.csv", "one,two\n1,2\n")
    night()
    assert IngestBatch.objects.filter(status=Status.REJECTED).exists()
    assert told(Caller(("steward",)))[:2] == (0, NOTHING | {"unread_files": 1})
    assert told(Caller(("steward",)), state="KANO")[:2] == (0, NOTHING | {"unread_files": 1})


def test_nobody_is_told_of_the_rows_of_another_place(loaded):
    deliver("triage_visits-2026-11-21.csv", visits(IKEJA, "Ngozi,Okafor", 9, 3))
    night()
    kano = Caller(("clinician", {"state": "KANO"}))
    at_ikeja = Caller(("clerk", {"facility_id": loaded[IKEJA]}))
    assert [excluded(kano), excluded(kano, state="LAGOS"), excluded(at_ikeja)] == [0, 0, 3]


def test_of_what_the_numbers_are_made_and_how_many_facilities_report(loaded):
    trust = Caller(("steward",)).get(STATS).json()["trust"]
    last = IngestBatch.objects.loaded().latest("id")
    assert (trust["batches"]["count"], trust["batches"]["last_id"]) == (4, last.pk)
    assert trust["suppressed_cells"] == 0
    assert trust["reporting"]["days"] == 30


@pytest.mark.django_db(transaction=True)  # a batch's rows are known by their time, which is their transaction's
def test_a_states_numbers_say_their_batches_right_after_a_load_and_a_refresh(loaded):
    def lagos():
        return Caller(("steward", {"state": "LAGOS"})).get(STATS).json()["trust"]["batches"]

    before = lagos()["count"]
    deliver("triage_visits-2026-11-21.csv", visits(IKEJA, "Ngozi,Okafor", 2, 3))
    night()
    ikeja = IngestBatch.objects.latest("id")
    marts.refresh()
    assert (before, lagos()["count"], lagos()["last_id"]) == (2, 3, ikeja.pk)
    at_kuje = Caller(("clerk", {"facility_id": loaded[KUJE]})).get(STATS).json()["trust"]["batches"]
    assert at_kuje["last_id"] < ikeja.pk


def test_the_cells_that_are_hidden_from_an_analyst_are_counted(loaded):
    path = "/api/analytics/condition-analysis"
    hidden = [Caller((role,)).get(path).json()["trust"]["suppressed_cells"] for role in ("analyst", "steward")]
    assert hidden == [2, 0]
    assert Caller(("analyst",)).get(path, {"state": "FCT"}).json()["trust"]["suppressed_cells"] == 2


def test_a_file_says_in_its_header_how_far_to_trust_it(loaded):
    response = Caller(("steward",)).get("/api/analytics/facilities", {"format": "csv"})
    b"".join(response.streaming_content)
    assert '"excluded_rows":0' in response["X-Medilink-Trust"]


# --- The counts against the rows themselves, whatever is done to them

SLOW = """
SELECT dataset, kind, facility_id, count(*) FROM (
    SELECT dataset, facility_id, CASE WHEN reasons <@ '{FACILITY_NOT_FOUND,PATIENT_NOT_FOUND}' THEN 'waiting'
           ELSE 'refused' END AS kind FROM rejected_rows WHERE state = 'open'
) AS r GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
QUICK = """
SELECT dataset, kind, facility_id, sum(rows) FROM excluded_rows WHERE NOT is_total
GROUP BY 1, 2, 3 HAVING sum(rows) <> 0 ORDER BY 1, 2, 3
"""
ROWS = """
INSERT INTO rejected_rows (batch_id, line, reasons, cell_keys, dataset, source, ordinal, raw_hash, facility_id, state,
                           times_seen, settled_why)
SELECT %s, n, ARRAY[CASE WHEN n %% 3 = 0 THEN 'PATIENT_NOT_FOUND' ELSE 'LEVEL_INVALID:triage_level' END], '{}',
       'triage_visits', 's', 1, gen_random_uuid(), CASE WHEN n %% 5 > 0 THEN %s + n %% 3 END, 'open', 1, ''
FROM generate_series(%s, %s) n
"""
DEEDS = (
    "UPDATE rejected_rows SET state = 'dismissed', settled_at = now() WHERE id %% 7 = %s",
    "UPDATE rejected_rows SET state = 'open' WHERE id %% 11 = %s",
    "UPDATE rejected_rows SET reasons = '{{PATIENT_NOT_FOUND}}' WHERE id %% 5 = %s",
    "UPDATE rejected_rows SET facility_id = NULL WHERE id %% 6 = %s",
    "DELETE FROM rejected_rows WHERE id %% 13 = %s",
    "UPDATE rejected_rows SET times_seen = times_seen + 1 WHERE id %% 2 = %s",
)


def read(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_the_counts_are_those_of_the_rows_after_whatever_is_done_to_them(loaded):
    chance = random.Random(7)
    batch = IngestBatch.objects.latest("id").pk
    first = min(loaded.values())
    for step in range(60):
        with connection.cursor() as cursor:
            if step % 4 == 0:
                cursor.execute(ROWS, [batch, first, step * 20, step * 20 + 19])
            else:
                cursor.execute(chance.choice(DEEDS).replace("{{", "{").replace("}}", "}"), [chance.randrange(2)])
        if step % 10 == 9:
            ExcludedRows.objects.fold()
        assert read(QUICK) == read(SLOW)
        total = read("SELECT coalesce(sum(rows), 0) FROM excluded_rows WHERE is_total")
        assert total == [(RejectedRow.objects.filter(state="open").count(),)]


def test_folded_lines_say_what_they_said(loaded):
    batch = IngestBatch.objects.latest("id").pk
    for n in range(60):
        with connection.cursor() as cursor:
            cursor.execute(ROWS, [batch, min(loaded.values()), n * 10, n * 10 + 9])
    before = read(QUICK)
    ExcludedRows.objects.fold()
    assert read(QUICK) == before
    assert ExcludedRows.objects.filter(is_total=True).count() == 2
