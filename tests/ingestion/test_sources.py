"""The bucket, spoken to for real: pinned bytes, copies that overwrite nothing, deletes that touch nothing else."""

import hashlib
import io
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import boto3
import pytest

from ingestion import sources
from ingestion.refusals import FileRefused
from ingestion.sources import (
    DestinationTaken,
    ObjectChanged,
    ObjectGone,
    StorageDenied,
    StorageUnavailable,
)
from tests.lab.store import Fault

KEY = "medical_records/input/patients.csv"
COPY = "medical_records/archive/2026-11-22/patients.csv"
METADATA = {"original-key": KEY, "sha256": "ab" * 32, "batch-id": "7"}
BODY = random.Random(7).randbytes(3 * 2**20)


def listed(key=KEY):
    return next(obj for obj in sources.due_candidates(key) if obj.key == key)


def read(obj, size=2**16):
    body, headers = sources.open_object(obj)
    with body:
        return b"".join(iter(lambda: body.read(size), b"")), headers


def once(method, fault):
    """The fault for the first request of this method."""
    faults = iter([fault])
    return lambda asked, _path: next(faults, None) if asked == method else None


# --- Reading


def test_the_bytes_come_with_their_size_and_md5(s3):
    s3.put(KEY, b"12345")
    content, headers = read(listed())
    assert content == b"12345"
    assert (headers.size, headers.md5) == (5, hashlib.md5(b"12345").hexdigest())


def test_no_md5_is_claimed_when_the_object_was_uploaded_in_parts(s3, bucket):
    begun = s3.client.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    where = {"Bucket": bucket, "Key": KEY, "UploadId": begun}
    part = s3.client.upload_part(**where, PartNumber=1, Body=b"12345")
    s3.client.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]})
    content, headers = read(listed())
    assert (content, headers.size, headers.md5) == (b"12345", 5, None)


def test_no_md5_is_claimed_when_the_object_is_sealed_with_a_key(s3):
    s3.put(KEY, b"12345", ServerSideEncryption="aws:kms")
    assert read(listed())[1].md5 is None


def test_an_object_overwritten_after_it_was_listed_is_not_read(s3):
    s3.put(KEY, b"first")
    first = listed()
    s3.put(KEY, b"second")
    with pytest.raises(ObjectChanged):
        sources.open_object(first)


def test_an_object_deleted_after_it_was_listed_is_gone(s3):
    s3.put(KEY)
    first = listed()
    s3.delete(KEY)
    with pytest.raises(ObjectGone):
        sources.open_object(first)


def test_a_version_is_read_when_it_is_no_longer_the_current_one(s3):
    s3.keep_versions()
    s3.put(KEY, b"first")
    first = listed()
    s3.put(KEY, b"second")
    assert read(first)[0] == b"first"


def test_a_version_is_gone_when_it_was_deleted(s3):
    s3.keep_versions()
    s3.put(KEY, b"first")
    first = listed()
    s3.put(KEY, b"second")
    s3.delete(KEY, first.version_id)
    with pytest.raises(ObjectGone):
        sources.open_object(first)


def test_a_download_goes_on_where_it_broke_off(s3, faults):
    s3.put(KEY, BODY)
    obj = listed()
    faults.bad = once("GET", Fault(cut_at=1_000_000))
    content, _headers = read(obj)
    assert content == BODY
    assert faults.seen == ["GET"] * 4  # two of them listed the bucket


def test_a_download_is_never_mixed_when_the_object_is_overwritten_while_it_breaks_off(s3, faults):
    s3.put(KEY, BODY)
    obj = listed()
    steps = iter([Fault(cut_at=1_000_000), Fault(first=lambda: s3.put(KEY, BODY[::-1]))])
    faults.bad = lambda method, _path: next(steps, None) if method == "GET" else None
    with pytest.raises(ObjectChanged):
        read(obj)


def test_the_file_is_refused_when_the_download_breaks_off_every_time(s3, faults):
    s3.put(KEY, BODY)
    obj = listed()
    faults.bad = lambda method, _path: Fault(cut_at=10) if method == "GET" else None
    with pytest.raises(FileRefused, match="CHECKSUM_MISMATCH"):
        read(obj)


def test_a_read_succeeds_when_the_store_is_busy_for_a_moment(s3, faults):
    s3.put(KEY, b"12345")
    obj = listed()
    faults.bad = once("GET", Fault(status=503, code="SlowDown"))
    assert read(obj)[0] == b"12345"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDenied", StorageDenied),
        (403, "InvalidAccessKeyId", StorageDenied),
        (400, "ExpiredToken", StorageDenied),
        (403, "InvalidObjectState", StorageDenied),
        (400, "InvalidRequest", StorageUnavailable),
        (404, "NoSuchBucket", StorageUnavailable),
    ],
)
def test_errors_name_what_s3_says_and_no_key_when_it_refuses(s3, faults, status, code, error):
    s3.put(KEY)
    obj = listed()
    faults.bad = lambda _method, _path: Fault(status=status, code=code)
    with pytest.raises(error, match=code) as caught:
        sources.open_object(obj)
    assert "patients" not in str(caught.value)


def test_an_error_says_what_to_check_when_nobody_listens(bucket, settings):
    settings.S3_ENDPOINT_URL = "http://127.0.0.1:9"
    with pytest.raises(StorageUnavailable, match="check its address"):
        next(sources.due_candidates(""), None)


# --- Copying


def put_safe(obj, local=None, metadata=METADATA):
    sources.put_safe(obj, COPY, metadata, local)


def test_a_copy_holds_the_bytes_and_their_custody(s3):
    s3.put(KEY, b"12345", Metadata={"other": "x"})
    put_safe(listed())
    assert (s3.get(COPY), s3.metadata(COPY), s3.keys(KEY)) == (b"12345", METADATA, [KEY])


def test_copying_again_is_harmless(s3):
    s3.put(KEY, b"12345")
    obj = listed()
    put_safe(obj)
    put_safe(obj)
    s3.delete(KEY)
    put_safe(obj)
    assert s3.get(COPY) == b"12345"


def test_a_copy_is_recognised_when_an_earlier_attempt_knew_no_hash(s3):
    s3.put(KEY, b"12345")
    obj = listed()
    put_safe(obj, metadata={"original-key": KEY, "batch-id": "7"})
    put_safe(obj)
    assert sources.safe_key([COPY, "other"], METADATA) == (COPY, False)


def test_the_local_bytes_are_kept_when_the_input_was_overwritten(s3):
    s3.put(KEY, b"12345")
    obj = listed()
    s3.put(KEY, b"newer")
    put_safe(obj, io.BytesIO(b"12345"))
    assert (s3.get(COPY), s3.get(KEY), s3.metadata(COPY)) == (b"12345", b"newer", METADATA)


def test_the_local_bytes_are_kept_when_the_input_was_deleted(s3):
    s3.put(KEY, b"12345")
    obj = listed()
    s3.delete(KEY)
    put_safe(obj, io.BytesIO(b"12345"))
    assert s3.get(COPY) == b"12345"


def test_incomplete_local_bytes_are_never_kept(s3):
    s3.put(KEY, b"12345")
    obj = listed()
    s3.delete(KEY)
    with pytest.raises(ObjectChanged):
        put_safe(obj, io.BytesIO(b"123"))
    assert s3.keys() == []


@pytest.mark.parametrize(("overwrite", "error"), [(True, ObjectChanged), (False, ObjectGone)])
def test_nothing_is_copied_when_the_bytes_are_nowhere(s3, overwrite, error):
    s3.put(KEY, b"12345")
    obj = listed()
    s3.put(KEY, b"newer") if overwrite else s3.delete(KEY)
    with pytest.raises(error):
        put_safe(obj)
    assert s3.keys(COPY) == []


def test_newer_bytes_are_not_kept_as_the_old_ones_when_they_come_in_the_middle_of_the_copy(s3, faults):
    """The stand-in knows no conditional copy, so it takes them; S3 itself refuses."""
    s3.put(KEY, b"12345")
    obj = listed()
    faults.bad = once("PUT", Fault(first=lambda: s3.put(KEY, b"newer")))
    put_safe(obj, io.BytesIO(b"12345"))
    assert (s3.get(COPY), s3.get(KEY)) == (b"12345", b"newer")


def test_a_key_is_never_overwritten_when_it_holds_other_bytes(s3):
    s3.put(KEY, b"12345")
    s3.put(COPY, b"other")
    with pytest.raises(DestinationTaken):
        put_safe(listed())
    assert (s3.get(COPY), sources.safe_key([COPY, "free"], METADATA)) == (b"other", ("free", True))


def test_a_key_is_never_overwritten_when_it_is_taken_in_the_middle_of_the_copy(s3, faults):
    s3.put(KEY, b"12345")
    obj = listed()
    faults.bad = lambda method, _path: Fault(status=412, code="PreconditionFailed") if method == "PUT" else None
    with pytest.raises(ObjectChanged):
        put_safe(obj)
    assert s3.keys() == [KEY]


def test_a_failed_copy_is_an_error_when_s3_answers_it_with_success(s3, faults):
    """CopyObject may answer 200 and tell of an error in its body."""
    s3.put(KEY, b"12345")
    obj = listed()
    text = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code></Error>'
    faults.bad = lambda method, _path: Fault(status=200, body=text) if method == "PUT" else None
    with pytest.raises(StorageUnavailable):
        put_safe(obj)
    assert s3.keys() == [KEY]


def test_what_is_too_large_for_one_request_is_copied_in_parts(s3, monkeypatch):
    monkeypatch.setattr(sources, "COPY_LIMIT", 2**20)  # of S3 it is 5 GB
    body = bytes(range(256)) * 4 * 2**13 + b"the end"  # 8 MiB and a little: two parts
    s3.put(KEY, body)
    put_safe(listed())
    assert s3.get(COPY) == body
    assert s3.metadata(COPY)["batch-id"] == METADATA["batch-id"]
    assert s3.client.head_object(Bucket=s3.name, Key=COPY)["ETag"].endswith('-2"')


def test_the_same_content_of_another_batch_is_one_copy(s3):
    s3.put(KEY, b"12345")
    obj = listed()
    put_safe(obj)
    other = METADATA | {"batch-id": "8"}
    assert sources.safe_key([COPY, "other"], other) == (COPY, False)
    put_safe(obj, metadata=other)
    assert s3.metadata(COPY)["batch-id"] == "7"


def test_there_is_no_safe_key_when_every_one_holds_other_bytes(s3):
    s3.put("a", b"1")
    s3.put("b", b"2")
    with pytest.raises(DestinationTaken, match="move them away"):
        sources.safe_key(["a", "b"], METADATA)


# --- Deleting


def test_the_listed_object_is_deleted(s3):
    s3.put(KEY)
    obj = listed()
    assert (sources.delete(obj), s3.keys(), sources.delete(obj)) == (True, [], False)


def test_an_overwritten_object_is_not_deleted(s3):
    s3.put(KEY, b"first")
    obj = listed()
    s3.put(KEY, b"second")
    assert (sources.delete(obj), s3.get(KEY)) == (False, b"second")


def test_an_object_overwritten_in_the_last_moment_is_not_deleted(s3, faults):
    s3.put(KEY, b"first")
    obj = listed()
    faults.bad = once("DELETE", Fault(first=lambda: s3.put(KEY, b"second")))
    assert (sources.delete(obj), s3.get(KEY)) == (False, b"second")


def test_the_same_bytes_delivered_anew_are_not_deleted(s3):
    s3.put(KEY)
    obj = replace(listed(), last_modified=listed().last_modified - timedelta(days=1))
    assert (sources.delete(obj), s3.keys()) == (False, [KEY])


def test_only_the_listed_version_is_deleted(s3):
    s3.keep_versions()
    s3.put(KEY, b"1")
    obj = listed()
    newer = s3.put(KEY, b"2")
    assert (sources.delete(obj), s3.versions(KEY), sources.delete(obj)) == (True, [newer], False)


def test_the_object_is_deleted_when_the_store_knows_no_conditional_delete(s3, faults):
    s3.put(KEY)
    obj = listed()
    faults.bad = once("DELETE", Fault(status=501, code="NotImplemented"))
    assert (sources.delete(obj), s3.keys()) == (True, [])


# --- Custody


def custody_of(obj, sha256="ab" * 32):
    return sources.custody(obj, date(2026, 11, 21), sha256, 7)


@pytest.mark.parametrize(
    "name",
    [
        "patients 100%25.csv",
        "b64=x/patients.csv",
        "\u1eb9\u0300k\u1ecd\u0301/patients.csv",
        "\U0001f468" * 200 + "/patients.csv",
        "\u1ecd" * 330 + ".csv",
    ],
)
def test_custody_survives_the_bucket(s3, name):
    key = f"in/{name}"
    s3.put(key, b"12345")
    obj = replace(
        listed(key), last_modified=datetime(2026, 11, 22, 2, 30, 1, 999_999, tzinfo=timezone(timedelta(hours=1)))
    )
    sources.put_safe(obj, COPY, custody_of(obj), None)
    origin = sources.from_custody(sources.head(COPY))
    assert origin == sources.Custody(
        original_key=key,
        last_modified=datetime(2026, 11, 22, 1, 30, 1, 999_999, tzinfo=UTC),
        business_date=date(2026, 11, 21),
        etag=obj.etag,
        sha256="ab" * 32,
        batch_id="7",
    )


@pytest.mark.parametrize("damage", [{"last-modified": "yesterday"}, {"original-key": None}, {"business-date": "x"}])
def test_damaged_custody_is_none(s3, damage):
    s3.put(KEY)
    metadata = {name: value for name, value in (custody_of(listed()) | damage).items() if value}
    s3.put(COPY, Metadata=metadata)
    assert sources.from_custody(sources.head(COPY)) is None


def test_foreign_metadata_is_taken_as_it_stands(s3):
    s3.put(KEY, Metadata={"a": "b64=/w==", "b": "50%"})
    assert sources.head(KEY).metadata == {"a": "b64=/w==", "b": "50%"}
    assert sources.head("absent") is None


def test_the_archive_is_listed_with_the_origin_of_each_object(s3):
    s3.put(KEY, b"12345")
    obj = listed()
    sources.put_safe(obj, "archive/2026-11-21/patients.csv", custody_of(obj), None)
    s3.put("archive/2024-02-29/patients_2024-01-01.csv", b"predecessor's")
    s3.put("archive/patients.csv", b"of no date")
    origins = {obj.key: origin for obj, origin in sources.list_archive("archive/")}
    assert origins["archive/2026-11-21/patients.csv"].original_key == KEY
    assert origins["archive/2024-02-29/patients_2024-01-01.csv"].business_date == date(2024, 2, 29)
    assert origins["archive/patients.csv"].original_key == "archive/patients.csv"


# --- For the demo


def test_the_demo_makes_its_bucket_once(bucket, settings):
    settings.S3_BUCKET_NAME = f"{bucket}-new"
    sources.create_bucket_if_missing()
    sources.create_bucket_if_missing()
    sources.upload(KEY, io.BytesIO(b"12345"))
    client = boto3.client("s3", endpoint_url=settings.S3_ENDPOINT_URL, region_name="us-east-1")
    assert client.get_object(Bucket=f"{bucket}-new", Key=KEY)["Body"].read() == b"12345"
