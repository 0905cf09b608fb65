"""Where a batch's bytes end up, whatever happens on the way: nothing lost, nothing overwritten, nothing twice."""

import hashlib
import io
import logging
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from ingestion import keeping
from ingestion.discovery import discover
from ingestion.keeping import keep, keep_pending, open_batch, pending
from ingestion.models import IngestBatch
from ingestion.sources import ObjectChanged, ObjectGone, StorageDenied
from tests.ingestion import factories
from tests.lab.store import Fault

pytestmark = pytest.mark.django_db
INPUT = "medical_records/input/"
KEY = f"{INPUT}kano/patients_2026-01-31.csv"
ARCHIVED = "medical_records/archive/2026-01-31/patients_2026-01-31.csv"
BODY = b"first_name\nAmina\n"
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER_ARCHIVED = f"medical_records/archive/2026-01-31/patients_2026-01-31__{SHA256[:12]}.csv"
WAITS = {"status": "discovered", "reasons": ["WAITS_FOR_PATIENTS"]}


def delivered(s3, status, *, key=KEY, body=BODY, **values):
    """A batch of an object that lies in the input, as it stands when loading has come to an end."""
    s3.put(key, body)
    found = discover(INPUT, run=None, kind="manual", keys=[key])
    values = {"status": status, "sha256": hashlib.sha256(body).hexdigest(), "finished_at": timezone.now()} | values
    IngestBatch.objects.filter(pk=found[-1].pk).update(**values)
    return IngestBatch.objects.get(pk=found[-1].pk)


def held_key(batch):
    return f"medical_records/held/2026-01-31/{batch.pk}/patients_2026-01-31.csv"


def turn(batch, status, **values):
    IngestBatch.objects.filter(pk=batch.pk).update(status=status, **values)


def read(batch):
    body, headers = open_batch(batch)
    with body:
        return body.read(1000), headers.size


# --- To the archive


@pytest.mark.parametrize(
    ("status", "afterwards"), [("loaded", "archived"), ("duplicate", "duplicate"), ("discarded", "discarded")]
)
def test_a_settled_batch_is_archived_and_leaves_the_input(s3, status, afterwards):
    batch = delivered(s3, status)
    keep(batch)
    assert (s3.keys(), s3.get(ARCHIVED)) == ([ARCHIVED], BODY)
    assert (batch.status, batch.archive_key, batch.held_key) == (afterwards, ARCHIVED, None)
    assert batch.archived_at is not None
    assert not pending().exists()


def test_the_archived_object_tells_where_it_came_from(s3):
    batch = delivered(s3, "loaded")
    keep(batch)
    assert s3.metadata(ARCHIVED) == {
        "original-key": KEY,
        "etag": hashlib.md5(BODY).hexdigest(),
        "last-modified": batch.last_modified.astimezone(UTC).isoformat(timespec="microseconds"),
        "business-date": "2026-01-31",
        "sha256": SHA256,
        "batch-id": str(batch.pk),
    }


@pytest.mark.parametrize(
    "name", ["../patients 1.csv", "100%/patients%20.csv", "\u1ecdj\u1ecd\u0301/patients+\u1eb9.csv.gz"]
)
def test_odd_keys_are_archived_under_their_file_name(s3, name):
    batch = delivered(s3, "loaded", key=INPUT + name, business_date=date(2026, 1, 31))
    keep(batch)
    assert s3.keys() == [f"medical_records/archive/2026-01-31/{name.rpartition('/')[2]}"]


def test_another_name_is_taken_when_other_bytes_have_the_first(s3):
    s3.put(ARCHIVED, b"other")
    batch = delivered(s3, "loaded")
    keep(batch)
    assert (s3.get(ARCHIVED), s3.get(OTHER_ARCHIVED), batch.archive_key) == (b"other", BODY, OTHER_ARCHIVED)


def test_another_name_is_taken_when_what_was_discarded_could_never_be_read(s3):
    s3.put(ARCHIVED, b"other")
    batch = delivered(s3, "discarded", sha256=None)
    keep(batch)
    assert s3.keys("medical_records/archive/") == [ARCHIVED, batch.archive_key]
    assert s3.get(batch.archive_key) == BODY


def test_the_batch_stays_pending_when_both_names_are_taken(s3):
    s3.put(ARCHIVED, b"other")
    s3.put(OTHER_ARCHIVED, b"another")
    batch = delivered(s3, "loaded")
    assert (keep_pending(), pending().get(), s3.get(KEY)) == (0, batch, BODY)


def test_two_deliveries_of_a_day_are_archived_side_by_side(s3):
    keep(delivered(s3, "loaded"))
    again = delivered(s3, "loaded", body=b"first_name\nBala\n")
    keep(again)
    assert s3.get(ARCHIVED) == BODY
    assert s3.get(again.archive_key) == b"first_name\nBala\n"


def test_the_same_bytes_of_another_folder_are_one_archived_object(s3):
    first, second = delivered(s3, "loaded"), delivered(s3, "duplicate", key=KEY.replace("kano", "lagos"))
    assert keep_pending() == 2
    for batch in (first, second):
        batch.refresh_from_db()
    assert (first.archive_key, second.archive_key, s3.keys()) == (ARCHIVED, ARCHIVED, [ARCHIVED])


def test_only_the_loaded_version_leaves_the_input_when_the_bucket_has_versions(s3):
    s3.keep_versions()
    older = s3.put(KEY, b"older")
    batch = delivered(s3, "loaded")
    newer = s3.put(KEY, b"newer")
    keep(batch)
    assert s3.versions(KEY) == [newer, older]
    assert s3.metadata(ARCHIVED)["version"] == batch.version_id
    assert [found.version_id for found in discover(INPUT, run=None, kind="manual")] == [newer]


# --- Put safe while somebody decides


@pytest.mark.parametrize("values", [{"status": "rejected"}, {"status": "held"}, {"status": "failed"}, WAITS])
def test_a_batch_that_waits_for_somebody_is_put_safe(s3, values):
    batch = delivered(s3, **values)
    keep(batch)
    assert (s3.keys(), s3.get(held_key(batch)), batch.held_key) == ([held_key(batch)], BODY, held_key(batch))
    assert (batch.status, batch.archived_at) == (values["status"], None)
    assert read(batch) == (BODY, len(BODY))
    assert not pending().exists()


@pytest.mark.parametrize("status", ["discovered", "loading"])
def test_a_batch_that_is_due_or_being_loaded_stays_in_the_input(s3, status):
    batch = delivered(s3, status, lease_until=timezone.now())
    keep(batch)
    assert (s3.keys(), batch.held_key, read(batch)[0]) == ([KEY], None, BODY)


@pytest.mark.parametrize("status", ["rejected", "discarded"])
def test_an_unknown_dataset_stays_where_it_is(s3, status):
    s3.put(f"{INPUT}notes.txt")
    (batch,) = discover(INPUT, run=None, kind="manual")
    turn(batch, status)
    assert (keep_pending(), s3.keys()) == (0, [f"{INPUT}notes.txt"])


def test_nothing_is_moved_when_the_object_was_gone_before_it_was_read(s3):
    batch = delivered(s3, "failed", reasons=["OBJECT_GONE"])
    keep(batch)
    assert (s3.keys(), batch.held_key) == ([KEY], None)


@pytest.mark.parametrize(("status", "afterwards"), [("loaded", "archived"), ("discarded", "discarded")])
def test_held_bytes_go_to_the_archive_when_somebody_has_decided(s3, status, afterwards):
    batch = delivered(s3, "held")
    keep(batch)
    s3.put(KEY, b"tomorrow's")
    turn(batch, status)
    keep(batch)
    assert (s3.keys(), s3.get(ARCHIVED)) == ([ARCHIVED, KEY], BODY)
    assert (batch.status, batch.archive_key, batch.held_key) == (afterwards, ARCHIVED, None)
    assert s3.metadata(ARCHIVED)["original-key"] == KEY


def test_held_bytes_stay_held_when_a_retry_stops_again(s3):
    batch = delivered(s3, "rejected")
    keep(batch)
    turn(batch, "failed")
    keep(batch)
    assert (s3.keys(), batch.held_key) == ([held_key(batch)], held_key(batch))


def test_a_held_copy_of_another_database_is_not_overwritten(s3):
    """After a rebuild, batch ids begin anew, and the held prefix may still hold objects of the same names."""
    batch = delivered(s3, "held")
    s3.put(held_key(batch), b"other")
    keep(batch)
    assert (s3.get(held_key(batch)), read(batch)[0]) == (b"other", BODY)
    turn(batch, "loaded")
    keep(batch)
    assert s3.keys() == [ARCHIVED, held_key(batch)]


# --- What has no object, and what is history


def test_replays_and_local_files_have_no_bytes_to_keep(s3):
    batch = delivered(s3, "loaded")
    keep(batch)
    factories.batch(status="loaded", parent=batch)
    factories.batch(status="loaded", bucket="")
    factories.batch(status="held", bucket="another")
    assert (keep_pending(), s3.keys()) == (0, [ARCHIVED])


@pytest.mark.parametrize(("status", "afterwards"), [("loaded", "archived"), ("duplicate", "duplicate")])
def test_history_loaded_from_the_archive_stays_there(s3, status, afterwards):
    s3.put(ARCHIVED, BODY)
    batch = factories.batch(object_key=ARCHIVED, etag=hashlib.md5(BODY).hexdigest(), size=len(BODY), status=status)
    assert read(batch)[0] == BODY
    keep(batch)
    assert (batch.status, batch.archive_key, s3.keys()) == (afterwards, ARCHIVED, [ARCHIVED])
    assert batch.archived_at is not None


def test_history_stays_in_the_archive_when_it_was_stopped(s3):
    s3.put(ARCHIVED, BODY)
    factories.batch(object_key=ARCHIVED, status="rejected")
    assert (keep_pending(), s3.keys()) == (0, [ARCHIVED])


# --- The input goes its own way meanwhile


@pytest.mark.parametrize(("status", "field"), [("loaded", "archive_key"), ("held", "held_key")])
def test_the_bytes_that_were_read_are_kept_when_the_input_was_overwritten(s3, status, field):
    batch = delivered(s3, status)
    s3.put(KEY, b"newer")
    keep(batch, io.BytesIO(BODY))
    assert (s3.get(getattr(batch, field)), s3.get(KEY)) == (BODY, b"newer")
    (newer,) = discover(INPUT, run=None, kind="manual")
    assert newer.object_key == KEY


def test_the_bytes_that_were_read_are_kept_when_the_input_was_deleted(s3):
    batch = delivered(s3, "loaded")
    s3.delete(KEY)
    keep(batch, io.BytesIO(BODY))
    assert (batch.status, s3.get(ARCHIVED)) == ("archived", BODY)


@pytest.mark.parametrize("status", ["loaded", "held"])
def test_the_batch_stays_pending_when_its_bytes_may_still_be_with_a_worker(s3, status):
    batch = delivered(s3, status)
    s3.put(KEY, b"newer")
    with pytest.raises(ObjectChanged):
        keep(batch)
    assert (pending().get(), s3.keys()) == (batch, [KEY])


def test_a_loaded_batch_is_no_longer_pending_when_its_bytes_are_lost_for_good(s3, caplog):
    batch = delivered(s3, "loaded", finished_at=timezone.now() - timedelta(hours=2))
    s3.delete(KEY)
    keep(batch)
    assert (batch.status, batch.archive_key, pending().exists()) == ("loaded", None, False)
    assert f"bytes of batch {batch.pk} are lost" in caplog.text


def test_a_stopped_batch_says_so_when_its_bytes_are_lost_for_good(s3):
    batch = delivered(s3, "held", reasons=["OVERLAP_SUSPECT"], finished_at=timezone.now() - timedelta(hours=2))
    s3.put(KEY, b"newer")
    keep(batch)
    assert (batch.status, batch.reasons) == ("held", ["OVERLAP_SUSPECT", "OBJECT_GONE"])
    assert not pending().exists()


# --- Interrupted


def deny_from(number):
    """The store refuses from the request of this number on; then nothing of this call gets any further."""
    numbers = iter(range(1_000))
    return lambda _method, _path: Fault(status=403, code="AccessDenied") if next(numbers) >= number else None


@pytest.mark.parametrize("status", ["loaded", "held"])
@pytest.mark.parametrize("number", range(11))
def test_the_next_call_takes_it_up_when_the_store_fails_at_any_request(s3, faults, status, number):
    batch = delivered(s3, status)
    faults.seen.clear()
    faults.bad = deny_from(number)
    try:
        keep(batch)
    except StorageDenied:
        assert pending().get() == batch
        assert BODY in [s3.get(key) for key in s3.keys()]  # noqa: SIM118
    faults.stop()
    keep(batch)
    where = {"loaded": batch.archive_key, "held": batch.held_key}[status]
    assert (s3.keys(), s3.get(where), pending().exists()) == ([where], BODY, False)


@pytest.mark.parametrize("number", range(12))
def test_the_next_call_takes_it_up_when_the_way_from_held_to_archive_fails_at_any_request(s3, faults, number):
    batch = delivered(s3, "held")
    keep(batch)
    turn(batch, "loaded")
    faults.bad = deny_from(number)
    try:
        keep(batch)
    except StorageDenied:
        assert BODY in [s3.get(key) for key in s3.keys()]  # noqa: SIM118
    faults.stop()
    keep(batch)
    assert (s3.keys(), s3.get(ARCHIVED), batch.status) == ([ARCHIVED], BODY, "archived")


@pytest.mark.parametrize("status", ["loaded", "held"])
def test_the_next_call_records_it_when_a_worker_died_after_the_delete(s3, status):
    """The record is undone, as a worker's death before its commit would have it."""
    batch = delivered(s3, status)
    keep(batch)
    where = s3.keys()
    turn(batch, status, held_key=None, archive_key=None, archived_at=None)
    keep(batch)
    assert (s3.keys(), [batch.archive_key or batch.held_key]) == (where, where)


def test_a_batch_is_opened_and_archived_when_a_worker_died_before_it_recorded_the_held_copy(s3):
    batch = delivered(s3, "held")
    keep(batch)
    turn(batch, "discovered", held_key=None)
    batch.refresh_from_db()
    assert read(batch)[0] == BODY
    turn(batch, "loaded")
    keep(batch)
    assert s3.keys() == [ARCHIVED]


def test_a_held_copy_that_proves_nothing_is_not_opened(s3):
    batch = delivered(s3, "discovered")
    s3.put(held_key(batch), BODY)
    s3.delete(KEY)
    with pytest.raises(ObjectGone):
        open_batch(batch)


def test_a_batch_is_gone_when_neither_the_input_nor_the_held_copy_is_there(s3):
    batch = delivered(s3, "held")
    keep(batch)
    s3.delete(batch.held_key)
    with pytest.raises(ObjectGone):
        open_batch(batch)


def test_one_failure_does_not_stop_the_others_and_names_no_key(s3, faults, caplog):
    first, second = delivered(s3, "loaded", key=f"{INPUT}Amina/patients.csv"), delivered(s3, "held")
    faults.bad = lambda _method, path: Fault(status=403, code="AccessDenied") if "Amina" in path else None
    with caplog.at_level(logging.INFO):
        assert keep_pending() == 1
    assert pending().get() == first
    assert f"batch {first.pk} are not safe yet (StorageDenied)" in caplog.text
    assert "Amina" not in caplog.text
    assert s3.get(held_key(second)) == BODY


# --- Others at work


@pytest.mark.django_db(transaction=True)
def test_nothing_is_deleted_or_recorded_when_the_batch_is_taken_up_again_meanwhile(s3, faults):
    batch = delivered(s3, "rejected")

    def retry():
        turn(batch, "discovered", reasons=[])
        connection.close()

    faults.bad = lambda method, _path: Fault(first=retry) if method == "PUT" else None
    keep(batch)
    assert (batch.status, batch.held_key, s3.get(KEY)) == ("discovered", None, BODY)


@pytest.mark.django_db(transaction=True)
def test_nothing_is_deleted_when_another_holds_the_batch(s3):
    batch = delivered(s3, "rejected")
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT FROM ingest_batches WHERE id = %s FOR UPDATE", [batch.pk])
    keep(batch)
    assert (batch.held_key, s3.get(KEY)) == (None, BODY)
    other.rollback()
    other.close()
    keep(batch)
    assert (batch.held_key, s3.keys()) == (held_key(batch), [held_key(batch)])


@pytest.mark.django_db(transaction=True)
def test_two_that_keep_the_same_batch_at_once_end_as_one(s3, faults):
    batch = delivered(s3, "loaded")
    calls = iter([True])

    def keep_too():
        if next(calls, False):
            keep(IngestBatch.objects.get(pk=batch.pk))
            connection.close()

    faults.bad = lambda method, _path: Fault(first=keep_too) if method == "DELETE" else None
    keep(batch)
    assert (batch.status, s3.keys(), s3.get(ARCHIVED)) == ("archived", [ARCHIVED], BODY)


def test_the_stored_status_decides_when_the_one_in_hand_is_old(s3):
    batch = delivered(s3, "loaded")
    turn(batch, "loading", lease_until=datetime(2026, 1, 31, tzinfo=UTC))
    keep(batch)
    assert (s3.keys(), IngestBatch.objects.get().status) == ([KEY], "loading")


def test_patience_is_longer_than_a_worker_needs_to_upload_what_it_read():
    assert timedelta(minutes=30) <= keeping.PATIENCE
