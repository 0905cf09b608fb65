"""What becomes a batch, on a real bucket: everything once, nothing lost, and never what a delete has uncovered."""

import hashlib
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from ingestion import sources
from ingestion.discovery import discover, in_load_order
from ingestion.models import IngestBatch, IngestRun
from tests.ingestion import factories
from tests.lab.store import Fault

pytestmark = pytest.mark.django_db
INPUT = "medical_records/input/"
KEY = f"{INPUT}patients.csv"


def found(prefix=INPUT, **options):
    return discover(prefix, **{"run": None, "kind": "manual"} | options)


def found_keys(**options):
    return [batch.object_key for batch in found(**options)]


def found_versions():
    return [batch.version_id for batch in found()]


def age_batches(**ago):
    """As if they had been listed earlier; LastModified has whole seconds, and a test must not wait for the next one."""
    IngestBatch.objects.update(last_modified=F("last_modified") - timedelta(**ago))


# --- What a batch says


def test_a_batch_says_what_was_listed_when_it_is_found(s3, bucket):
    run = IngestRun.objects.create(kind="nightly")
    s3.put(f"{INPUT}Kano/2026-01-31/triage_visits-0130.csv.gz", b"12345")
    listed = next(sources.due_candidates(INPUT))
    (batch,) = found(run=run, kind="nightly")
    batch = IngestBatch.objects.get(pk=batch.pk)
    assert (batch.bucket, batch.object_key, batch.size) == (bucket, listed.key, 5)
    assert (batch.etag, batch.version_id, batch.last_modified) == (listed.etag, None, listed.last_modified)
    assert (batch.folder, batch.source) == ("Kano/2026-01-31", "Kano/*/triage_visits-*.csv.gz")
    assert (batch.dataset, batch.business_date) == ("triage_visits", date(2026, 1, 31))
    assert (batch.status, batch.kind, batch.run) == ("discovered", "nightly", run)
    assert (batch.reasons, batch.finished_at, batch.older_versions) == ([], None, [])


def test_a_given_business_date_takes_precedence_over_the_name(s3):
    s3.put(f"{INPUT}patients_2026-01-31.csv")
    (batch,) = found(business_date=date(2025, 5, 5))
    assert batch.business_date == date(2025, 5, 5)


def test_source_and_folder_are_counted_from_the_input_prefix_when_a_narrower_one_is_listed(s3):
    s3.put(f"{INPUT}kano/dala/patients.csv")
    (batch,) = found(f"{INPUT}kano/da")
    assert (batch.source, batch.folder) == ("kano/dala/patients.csv", "kano/dala")


def test_source_and_folder_are_counted_from_the_given_folder_when_it_is_outside_the_input(s3):
    s3.put("elsewhere/kano/patients.csv")
    (batch,) = found("elsewhere/ka")
    assert (batch.source, batch.folder) == ("kano/patients.csv", "kano")


def test_an_unknown_name_is_rejected_once_and_stays_when_it_is_found(s3):
    s3.put(f"{INPUT}notes.txt")
    (batch,) = found()
    again = found()
    batch.refresh_from_db()
    assert (batch.status, batch.reasons, batch.dataset) == ("rejected", ["UNKNOWN_DATASET"], None)
    assert batch.finished_at is not None
    assert again == []
    assert s3.keys() == [f"{INPUT}notes.txt"]


def test_a_key_that_the_database_cannot_store_stops_no_other(s3, faults):
    for name in ("a/patients.csv", "b/patients.csv"):
        s3.put(INPUT + name)
    faults.bad = lambda _method, _path: Fault(edit=lambda body: body.replace(b"a/patients.csv", b"%00/patients.csv"))
    assert found_keys() == [f"{INPUT}b/patients.csv"]


# --- What is due


def test_every_matching_object_is_found_at_any_depth(s3):
    keys = [f"{INPUT}{name}" for name in ("a/b/c/patients.csv", "patients.csv", "patients_2.csv", "patients_3.csv.gz")]
    for key in [*keys, f"{INPUT}folder/", f"{INPUT}patients.csv/", "other/patients.csv"]:
        s3.put(key)
    assert sorted(found_keys()) == sorted(keys)


@pytest.mark.parametrize(
    "name",
    [
        "a b/patients 1.csv",
        "100%/patients%20.csv",
        "\u1eb9\u0300k\u1ecd\u0301/patients_\u1ecdj\u1ecd\u0301.csv",
        "\U0001f468\u200d\u2695\ufe0f/patients.csv",
        "../../patients.csv",
        "./patients.csv",
        "a//patients.csv",
        "a+b&c=d?e#f/patients;'\"<>.csv",
        "tab\tbell\a/patients.csv",
        "back\\slash/patients.csv",
    ],
)
def test_odd_keys_are_found_and_opened_as_they_are_written(s3, name):
    s3.put(INPUT + name, b"odd")
    (batch,) = found()
    body, _headers = sources.open_object(next(sources.due_candidates(INPUT)))
    with body:
        assert (batch.object_key, body.read(10)) == (INPUT + name, b"odd")


def test_nothing_is_due_when_everything_was_found_already(s3):
    s3.put(KEY)
    assert [found_keys(), found_keys()] == [[KEY], []]


def test_a_key_is_due_again_when_it_was_overwritten(s3):
    s3.put(KEY, b"first")
    first = found()
    s3.put(KEY, b"second")
    second = found()
    assert first[0].etag != second[0].etag
    assert IngestBatch.objects.count() == 2


def test_the_same_bytes_are_due_again_when_they_are_delivered_later(s3):
    s3.put(KEY)
    found()
    age_batches(days=1)
    assert found_keys() == [KEY]


def test_a_batch_is_due_in_each_bucket_when_two_have_the_same_key(s3, settings):
    s3.put(KEY)
    found()
    IngestBatch.objects.update(bucket="another")
    assert found_keys() == [KEY]


def test_a_replay_says_nothing_about_its_object(s3):
    s3.put(KEY)
    (batch,) = found()
    IngestBatch.objects.update(object_key="another")
    factories.batch(parent=batch, object_key=KEY, etag=batch.etag, last_modified=batch.last_modified)
    assert found_keys() == [KEY]


def test_our_own_copies_are_never_due_when_the_prefix_spans_them(s3):
    for folder in ("input", "archive/2026-11-22", "held/2026-11-22/1"):
        s3.put(f"medical_records/{folder}/patients.csv")
    assert found_keys(prefix="medical_records/") == [KEY]
    assert found_keys(keys=["medical_records/archive/2026-11-22/patients.csv"]) == []


def test_only_the_named_keys_are_found_when_some_are_named(s3):
    for name in ("patients.csv", "patients.csv.gz", "patients_2.csv", "facilities.csv"):
        s3.put(INPUT + name)
    wanted = [KEY, f"{INPUT}facilities.csv", f"{INPUT}absent.csv", KEY]
    assert found_keys(keys=wanted) == [f"{INPUT}facilities.csv", KEY]


def test_a_batch_is_returned_once_when_another_has_registered_it_for_another_run(s3):
    """As if both had listed before either wrote: the second one's insert meets the first one's row."""
    s3.put(KEY)
    listed = next(sources.due_candidates(INPUT))
    factories.batch(
        object_key=KEY,
        etag=listed.etag,
        last_modified=listed.last_modified,
        run=IngestRun.objects.create(kind="manual"),
    )
    assert found() == []
    assert IngestBatch.objects.count() == 1


def test_the_queries_are_few_when_a_listing_has_pages(s3):
    s3.put_many(f"{INPUT}{number:04}/patients.csv" for number in range(1_100))
    with CaptureQueriesContext(connection) as first:
        batches = found()
    with CaptureQueriesContext(connection) as second:
        again = found()
    assert (len(batches), len(set(batches)), len(again)) == (1_100, 1_100, 0)
    assert len(first) <= 6
    assert len(second) <= 2


# --- Versions


def test_only_the_current_version_is_due_when_the_key_was_never_seen(s3):
    s3.keep_versions()
    versions = [s3.put(KEY, body) for body in (b"1", b"2", b"3")]
    (batch,) = found()
    assert batch.version_id == versions[2]
    assert sorted(batch.older_versions) == sorted(versions[:2])


def test_every_newer_version_is_due_oldest_first_when_the_key_was_seen(s3):
    s3.keep_versions()
    s3.put(KEY, b"1")
    found()
    newer = [s3.put(KEY, body) for body in (b"2", b"3", b"4")]
    assert found_versions() == newer
    assert found() == []


def test_newer_versions_of_the_same_second_are_due_when_they_were_not_listed_before(s3):
    s3.keep_versions()
    s3.put(KEY, b"1")
    found()
    newer = s3.put(KEY, b"2")
    IngestBatch.objects.update(last_modified=sources.head(KEY).object.last_modified)
    assert found_versions() == [newer]


def test_a_slow_upload_is_due_when_it_bears_an_earlier_time_than_the_last_one_seen(s3):
    """The LastModified of a multipart upload is the moment at which it began."""
    s3.keep_versions()
    seen = s3.put(KEY, b"1")
    found()
    s3.delete(KEY, seen)
    age_batches(hours=-1)
    late = s3.put(KEY, b"2")
    assert found_versions() == [late]


def test_an_older_version_is_never_due_when_deleting_the_loaded_one_uncovers_it(s3):
    s3.keep_versions()
    s3.put(KEY, b"1")
    s3.put(KEY, b"2")
    (batch,) = found()
    s3.delete(KEY, batch.version_id)
    assert found() == []
    newer = s3.put(KEY, b"3")
    assert found_versions() == [newer]
    s3.delete(KEY, newer)
    assert found() == []


def test_nothing_is_due_when_the_last_thing_that_happened_was_a_deletion(s3):
    s3.keep_versions()
    s3.put(KEY, b"1")
    s3.delete(KEY)
    assert found() == []


def test_a_version_before_a_deletion_is_due_when_the_key_was_seen_and_it_was_not(s3):
    s3.keep_versions()
    s3.put(KEY, b"1")
    found()
    newer = s3.put(KEY, b"2")
    s3.delete(KEY)
    assert found_versions() == [newer]


def test_a_seen_object_is_not_due_again_when_versioning_is_switched_on(s3):
    s3.put(KEY, b"1")
    found()
    s3.keep_versions()
    assert found() == []
    newer = s3.put(KEY, b"2")
    assert found_versions() == [newer]


def test_a_new_version_is_due_when_it_bears_the_name_of_an_older_one(s3):
    """While versioning is suspended, S3 calls every version `null`; the rest of its identity tells them apart."""
    s3.put(KEY, b"1")
    s3.keep_versions()
    s3.put(KEY, b"2")
    found()
    s3.delete(KEY, "null")
    IngestBatch.objects.update(older_versions=[f"null {'0' * 32} 1.0"])  # as if "1" had been listed an age ago
    s3.keep_versions("Suspended")
    s3.put(KEY, b"3")
    found()
    assert [batch.etag for batch in IngestBatch.objects.order_by("id")] == [
        hashlib.md5(body).hexdigest() for body in (b"2", b"3")
    ]


def test_the_versions_of_a_key_stay_together_when_the_listing_is_paged(s3, faults):
    s3.keep_versions()
    others = [f"{INPUT}{number}/patients.csv" for number in range(8)]
    for key in others:
        s3.put(key)
    versions = [s3.put(KEY, str(number).encode()) for number in range(8)]
    faults.bad = lambda _method, path: Fault(more_query="&max-keys=5") if "prefix=" in path else None
    batches = {batch.object_key: batch for batch in found()}
    assert found() == []
    assert sorted(batches) == sorted([*others, KEY])
    assert batches[KEY].version_id == versions[-1]
    assert sorted(batches[KEY].older_versions) == sorted(versions[:-1])
    assert len(faults.seen) > 6


# --- The order of loading


def test_facilities_come_first_then_patients_then_events_by_version_order(bucket):
    def made(dataset, day, hour, key):
        instant = datetime(2026, 11, 20, hour, tzinfo=UTC)
        return factories.batch(
            dataset=dataset, business_date=date(2026, 11, day), last_modified=instant, object_key=key
        )

    right = [
        made("facilities", 20, 5, "z"),
        made("patients", 19, 9, "z"),
        made("patients", 20, 1, "b"),
        made("patients", 20, 2, "a"),
        made("patients", 20, 2, "b"),
        made("triage_visits", 18, 1, "c"),
        made("medical_records", 19, 1, "a"),
        made("triage_visits", 20, 1, "e"),
        made(None, 1, 1, "d"),
    ]
    assert in_load_order(reversed(right)) == right


def test_found_batches_come_in_load_order(s3):
    for name in ("medical_records.csv", "patients.csv", "facilities_2026-01-02.csv", "facilities_2026-01-01.csv", "x"):
        s3.put(INPUT + name)
    names = [key.removeprefix(INPUT) for key in found_keys()]
    assert names == [
        "facilities_2026-01-01.csv",
        "facilities_2026-01-02.csv",
        "patients.csv",
        "medical_records.csv",
        "x",
    ]
