"""Batches, runs and refused rows over HTTP, and a steward's decisions about them."""

import pytest
from django.db import connection

from clinical.models import AuditEvent, Patient
from ingestion import tasks
from ingestion.models import IngestBatch, IngestRun, Kind, RejectedRow
from tests.callers import Caller, codes
from tests.deliveries import FACILITIES, PATIENTS, deliver, night
from tests.ingestion import factories
from tests.rows import facility

pytestmark = pytest.mark.django_db


@pytest.fixture
def steward():
    return Caller(("steward",))


def a_row(batch=None, **columns):
    given = {"line": 2, "reasons": ["DATE_AMBIGUOUS:dob"], "raw": {"first_name": "Ada", "n": next(factories.NUMBERS)}}
    batch = batch or factories.batch()
    return RejectedRow.objects.create(batch=batch, dataset="patients", source=batch.source, **given | columns)


# --- Lists


def test_a_batch_is_told_with_its_counts_and_reasons(steward):
    made = factories.batch(status="held", reasons=["ROW_ERROR_RATIO"])
    (row,) = steward.rows("/api/batches")
    assert (row["id"], row["status"], row["reasons"], row["dataset"]) == (
        made.pk,
        "held",
        ["ROW_ERROR_RATIO"],
        "patients",
    )
    assert steward.get(f"/api/batches/{made.pk}").json() == row
    assert "held_key" not in row


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ({"status": "held"}, True),
        ({"status": "loaded"}, False),
        ({"reason": "HEADER_MISSING_COLUMN"}, True),
        ({"reason": "HEADER_MISSING_COLUMN:dob"}, True),
        ({"reason": "HEADER_MISSING_COLUMN:sex"}, False),
        ({"kind": "manual", "dataset": "patients"}, True),
        ({"business_date": "2026-11-22"}, True),
        ({"source": "*/other.csv"}, False),
        ({"run_id": "5"}, False),
    ],
)
def test_batches_are_filtered(steward, query, is_found):
    made = factories.batch(status="held", reasons=["HEADER_MISSING_COLUMN:dob"])
    assert steward.ids("/api/batches", query) == ([made.pk] if is_found else [])


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ({"reason": "DATE_AMBIGUOUS"}, True),
        ({"reason": "DATE_AMBIGUOUS:sex"}, False),
        ({"status": "open", "dataset": "patients"}, True),
        ({"status": "dismissed"}, False),
        ({"facility_id": "1000000"}, False),
    ],
)
def test_refused_rows_are_filtered(steward, query, is_found):
    made = a_row()
    assert steward.ids("/api/rejected-rows", query) == ([made.pk] if is_found else [])
    assert steward.ids("/api/rejected-rows", {"batch_id": made.batch_id}) == [made.pk]


def test_a_refused_row_is_told_with_its_evidence(steward):
    made = a_row()
    row = steward.get(f"/api/rejected-rows/{made.pk}").json()
    assert (row["line"], row["raw"], row["status"], row["times_seen"]) == (2, made.raw, "open", 1)


def test_counts_are_counted_anew(steward):
    for _ in range(3):
        a_row()
    assert steward.get("/api/rejected-rows", {"per_page": "1"}).json()["count"] == 3
    a_row()
    assert steward.get("/api/rejected-rows", {"per_page": "1"}).json()["count"] == 4


@pytest.mark.parametrize("path", ["batches", "rejected-rows"])
def test_a_list_takes_as_many_queries_however_long(steward, django_assert_num_queries, path):
    """The session, its user, what they may do, the rows; and who read of refused ones."""
    for _ in range(30):
        a_row()
    with django_assert_num_queries(4 if path == "batches" else 5):
        steward.rows(f"/api/{path}")


@pytest.mark.parametrize("path", ["batches", "rejected-rows"])
def test_a_list_is_given_as_a_file(steward, path):
    a_row()
    for kind in ("csv", "ndjson"):
        assert b"".join(steward.get(f"/api/{path}", {"format": kind}).streaming_content)


# --- Who may


def test_an_auditor_sees_no_cells(steward):
    made = a_row(corrections={"dob": "1990-01-01"})
    row = Caller(("auditor",)).get(f"/api/rejected-rows/{made.pk}").json()
    assert (row["raw"], row["corrections"], row["reasons"]) == (None, None, ["DATE_AMBIGUOUS:dob"])


@pytest.mark.parametrize(
    ("role", "reads", "runs"), [("service", 200, 202), ("auditor", 200, 403), ("analyst", 403, 403)]
)
def test_a_role_may_what_its_line_says(role, reads, runs):
    caller, made = Caller((role,)), a_row()
    assert caller.get("/api/batches").status_code == reads
    assert caller.get("/api/rejected-rows").status_code == reads
    assert caller.send("post", "/api/batches", {}).status_code == runs
    assert caller.send("post", f"/api/rejected-rows/{made.pk}/dismiss", {"reason": "x"}).status_code == 403


def test_a_state_has_the_rows_of_its_facilities_and_those_that_name_it():
    kano, lagos = facility(state="KANO", lga="Dala", lga_name="Dala"), facility()
    elsewhere, folder = factories.batch(), factories.batch(folder="exports/Kano State")
    mine = [
        a_row(elsewhere, facility=kano),
        a_row(folder),
        a_row(elsewhere, raw={"facility_state": "kano state", "a": 1}),
    ]
    a_row(elsewhere, facility=lagos)
    a_row(folder, facility=lagos)
    nobody = a_row(factories.batch())
    steward = Caller(("steward", {"state": "KANO"}))
    assert steward.ids("/api/rejected-rows") == [row.pk for row in mine]
    assert steward.ids("/api/batches") == [elsewhere.pk, folder.pk]
    assert steward.send("post", f"/api/rejected-rows/{nobody.pk}/dismiss", {"reason": "x"}).status_code == 404
    assert Caller(("steward", {"facility": kano})).ids("/api/rejected-rows") == [mine[0].pk]


# --- Runs


def test_a_run_that_is_asked_for_loads_what_is_due(steward, bucket):
    deliver("facilities.csv", FACILITIES)
    asked = steward.send("post", "/api/batches", {})
    assert asked.status_code == 202
    run_id = asked.json()["run_id"]
    assert steward.get(f"/api/batches/runs/{run_id}").json()["status"] == "queued"
    tasks.ingest(run_id)
    assert steward.get(f"/api/batches/runs/{run_id}").json()["status"] == "done"
    (batch,) = steward.rows("/api/batches", {"run_id": run_id})
    assert (batch["status"], batch["inserted"]) == ("archived", batch["rows_read"])


def test_a_dry_run_tells_and_writes_nothing(steward, bucket):
    deliver("facilities.csv", FACILITIES)
    run_id = steward.send("post", "/api/batches", {"dry_run": True}).json()["run_id"]
    tasks.ingest(run_id)
    told = steward.get(f"/api/batches/runs/{run_id}").json()
    assert (told["status"], told["dry_run"]) == ("done", True)
    assert told["batches"][0]["counts"]["inserted"] > 0
    assert not IngestBatch.objects.exists()


def test_a_dry_run_tells_a_state_of_files_in_its_own_folders(bucket):
    for folder in ("kano", "lagos", "partner"):
        deliver(f"{folder}/facilities.csv", FACILITIES)
    told = {}
    for place, scope in (("nation", {}), ("KANO", {"state": "KANO"}), ("facility", {"facility": facility()})):
        asker = Caller(("steward", scope))
        run_id = asker.send("post", "/api/batches", {"dry_run": True}).json()["run_id"]
        tasks.ingest(run_id)
        answer = asker.get(f"/api/batches/runs/{run_id}").json()
        told[place] = sorted(one["key"].rpartition("input/")[2] for one in answer["batches"])
    files = ["kano/facilities.csv", "lagos/facilities.csv", "partner/facilities.csv"]
    assert told == {"nation": files, "KANO": files[:1], "facility": []}


def test_a_run_whose_message_was_lost_is_taken_up_by_the_sweep(steward, bucket, settings):
    settings.INGEST_WATCH = False
    run_id = steward.send("post", "/api/batches", {}).json()["run_id"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_runs SET created_at = now() - interval '10 minutes'")
    tasks.sweep()
    assert IngestRun.objects.get(pk=run_id).status == "done"


def test_a_second_run_is_refused_while_the_first_waits_or_works(steward, bucket):
    assert steward.send("post", "/api/batches", {}).status_code == 202
    refused = steward.send("post", "/api/batches", {})
    assert (refused.status_code, codes(refused)) == (409, [("already_running", None)])
    assert steward.send("post", "/api/batches", {"prefix": "medical_records/input/kano/"}).status_code == 202


def test_the_same_request_again_asks_for_one_run(steward, bucket):
    first, again = (steward.send("post", "/api/batches", {}, Idempotency_Key="n-1").json() for _ in range(2))
    assert first == again
    assert IngestRun.objects.filter(kind=Kind.MANUAL).count() == 1


@pytest.mark.parametrize(
    "body",
    [{"prefix": "secrets/"}, {"keys": ["other/x.csv"]}, {"keys": "x"}, {"dryrun": True}, {"dry_run": "maybe"}],
)
def test_a_run_outside_of_the_input_is_refused(steward, bucket, body):
    assert steward.send("post", "/api/batches", body).status_code == 400


# --- Decisions about batches


def test_a_held_batch_is_discarded_with_its_reason(steward, bucket):
    made = factories.batch(status="held", reasons=["ROW_ERROR_RATIO"])
    answer = steward.send("post", f"/api/batches/{made.pk}/discard", {"reason": "sent twice"})
    assert (answer.status_code, answer.json()["status"], answer.json()["settled_why"]) == (
        200,
        "discarded",
        "sent twice",
    )
    assert AuditEvent.objects.get(table="ingest_batches").action == "discard"


def test_a_held_batch_is_released_and_a_rejected_one_tried_again(steward, bucket):
    held, rejected = factories.batch(status="held", reasons=["X"]), factories.batch(status="rejected", reasons=["X"])
    assert steward.send("post", f"/api/batches/{held.pk}/release", {"as": "loaded"}).json()["status"] == "discovered"
    assert steward.send("post", f"/api/batches/{rejected.pk}/retry", {}).json()["status"] == "discovered"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("release", {"as": "loaded"}, 409),
        ("discard", {"reason": "x"}, 409),
        ("retry", {}, 409),
        ("release", {"as": "anything"}, 400),
        ("release", {}, 400),
        ("discard", {}, 400),
        ("retry", {"force": True}, 400),
    ],
)
def test_a_decision_that_does_not_fit_is_refused(steward, path, body, status):
    made = factories.batch(status="loaded")
    assert steward.send("post", f"/api/batches/{made.pk}/{path}", body).status_code == status
    assert steward.send("post", f"/api/batches/{made.pk + 1}/retry", {}).status_code == 404


# --- Decisions about refused rows


@pytest.fixture
def refused(bucket):
    """A patient whose date of birth could be two days."""
    deliver("facilities.csv", FACILITIES)
    header, *rows = PATIENTS.strip().split("\n")
    day = next(cell for cell in rows[0].split(",") if cell.count("-") == 2)
    deliver("patients.csv", "\n".join([header, rows[0].replace(day, "01/02/1990")]) + "\n")
    night()
    return RejectedRow.objects.get()


def test_a_corrected_row_lands(steward, refused):
    answer = steward.send("post", f"/api/rejected-rows/{refused.pk}/replay", {"cells": {"dob": "1990-02-01"}})
    assert (answer.status_code, answer.json()["status"]) == (200, "replayed")
    assert Patient.objects.get(pk=answer.json()["became_id"]).dob.isoformat() == "1990-02-01"
    assert answer.json()["raw"]["dob"] == "01/02/1990"
    again = steward.send("post", f"/api/rejected-rows/{refused.pk}/replay", {})
    assert codes(again) == [("not_possible", None)]


def test_a_selection_is_corrected_and_tried_again_by_a_worker(steward, refused):
    body = {"filter": {"reason": "DATE_AMBIGUOUS", "batch_id": refused.batch_id}, "cells": {"dob": "1990-02-01"}}
    answer = steward.send("post", "/api/rejected-rows/replay", body)
    assert (answer.status_code, answer.json()) == (202, {"rows": 1})
    tasks.replay_rows([refused.pk])
    refused.refresh_from_db()
    assert refused.state == "replayed"


def test_rows_are_dismissed_one_or_many(steward):
    one, other, third = a_row(), a_row(reasons=["ENUM:sex"]), a_row(reasons=["ENUM:sex"])
    assert (
        steward.send("post", f"/api/rejected-rows/{one.pk}/dismiss", {"reason": "a test"}).json()["status"]
        == "dismissed"
    )
    answer = steward.send("post", "/api/rejected-rows/dismiss", {"filter": {"reason": "ENUM"}, "reason": "tests"})
    assert answer.json() == {"rows": 2}
    assert {row.state for row in RejectedRow.objects.filter(pk__in=[other.pk, third.pk])} == {"dismissed"}
    assert AuditEvent.objects.filter(table="rejected_rows").count() == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("replay", {"cells": {"colour": "red"}}),
        ("replay", {"cells": "x"}),
        ("replay", {"dob": "1990-01-01"}),
        ("dismiss", {}),
        ("dismiss", {"reason": " "}),
        ("dismiss", {"reason": 5}),
    ],
)
def test_a_decision_about_a_row_that_does_not_fit_is_refused(steward, path, body):
    assert steward.send("post", f"/api/rejected-rows/{a_row().pk}/{path}", body).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "x"},
        {"filter": {}, "reason": "x"},
        {"filter": {"colour": "red"}, "reason": "x"},
        {"filter": {"dataset": "x"}, "reason": "x"},
    ],
)
def test_a_selection_that_would_be_everything_is_refused(steward, body):
    a_row()
    assert steward.send("post", "/api/rejected-rows/dismiss", body).status_code == 400
    assert RejectedRow.objects.get().state == "open"
