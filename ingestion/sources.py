"""The bucket: what lies in the input, its pinned bytes, and their way to the archive. The only file that knows S3.

It never overwrites an object, never deletes one whose bytes were not verified elsewhere, and never decides what is due.
Error texts name no key: a key may hold a person's name, and the batch that asked is named beside the error.
"""

import base64
import functools
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

import boto3.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from django.conf import settings

from ingestion import failpoints, objects
from ingestion.refusals import FileRefused

MD5 = re.compile(r"[0-9a-f]{32}")
COPY_LIMIT = 5 * 1024**3  # S3 copies up to here in one request, which alone can be told not to overwrite
RESUMES = 4
DENIED_CODES = {"AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken"}
GONE_CODES = {"404", "NoSuchKey", "NoSuchVersion"}


class StorageError(Exception):
    """Anything that S3 answers other than what was asked for."""


class ObjectChanged(StorageError):
    """The key holds other bytes than those that were listed."""


class ObjectGone(StorageError):
    """The key or the version is no longer there."""


class DestinationTaken(StorageError):
    """The destination holds other bytes; they are never overwritten."""


class StorageUnavailable(StorageError):
    """S3 cannot serve now; the batch stays due and is tried again."""


class StorageDenied(StorageUnavailable):
    """S3 knows us not, or forbids it; somebody has to change credentials or the bucket's policy."""


@dataclass(frozen=True)
class S3Object:
    """One version of one object, pinned: reading, copying and deleting act on these bytes or not at all."""

    key: str
    etag: str
    version_id: str | None
    last_modified: datetime
    size: int
    is_current: bool = True


@dataclass(frozen=True)
class Head:
    """An object with what is written on it. `md5` is None where the ETag is none (multipart, KMS)."""

    object: S3Object
    metadata: dict[str, str]
    md5: str | None


@dataclass(frozen=True)
class Headers:
    """What came with the bytes, as far as they can be checked against it."""

    size: int | None
    md5: str | None


@dataclass(frozen=True)
class Custody:
    """Where an archived or held object came from; the inverse of `custody`."""

    original_key: str
    last_modified: datetime
    business_date: date
    etag: str | None = None
    version: str | None = None
    sha256: str | None = None
    batch_id: str | None = None


# --- The input


def due_candidates(prefix: str) -> Iterator[S3Object]:
    """Everything under the prefix but folder markers; where the bucket keeps versions, every version of it."""
    client, bucket = s3_client(), settings.S3_BUCKET_NAME
    with _translated():
        is_versioned = "Status" in client.get_bucket_versioning(Bucket=bucket)
        operation, field = ("list_object_versions", "Versions") if is_versioned else ("list_objects_v2", "Contents")
        for page in client.get_paginator(operation).paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get(field, ()):
                if not entry["Key"].endswith("/"):
                    yield _listed(entry)


def open_object(obj: S3Object) -> "tuple[Body, Headers]":
    """The bytes of exactly this version. The body is a context manager; close it where it is not read to the end."""
    body = Body(obj)
    return body, Headers(body.size, body.md5)


class Body:
    """A pinned object's bytes; a connection that breaks half-way is taken up where it broke."""

    def __init__(self, obj: S3Object) -> None:
        self._object, self._position, self._resumes = obj, 0, 0
        with _translated():
            answer = s3_client().get_object(**_pinned(obj))
        self._stream = answer["Body"]
        self.size: int | None = answer.get("ContentLength")
        self.md5 = _md5(answer)

    def read(self, size: int) -> bytes:
        while True:
            try:
                piece: bytes = self._stream.read(size)
            except FlexibleChecksumError as error:
                raise FileRefused("CHECKSUM_MISMATCH") from error
            except (IncompleteReadError, HTTPClientError) as error:
                self._resume(error)
            else:
                self._position += len(piece)
                failpoints.at("mid_download")
                return piece

    def _resume(self, error: BotoCoreError) -> None:
        """The rest by Range, still pinned: botocore retries requests, but never a body that broke off."""
        self.close()
        if self._resumes == RESUMES:
            if isinstance(error, IncompleteReadError):
                raise FileRefused("CHECKSUM_MISMATCH") from error
            raise StorageUnavailable("S3 broke off the download again and again; it will be tried again.") from error
        time.sleep(0.1 * 2**self._resumes)
        self._resumes += 1
        with _translated():
            answer = s3_client().get_object(**_pinned(self._object), Range=f"bytes={self._position}-")
        self._stream = answer["Body"]
        if answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
            self.close()
            raise StorageUnavailable("S3 broke off the download and cannot continue it; it will be tried again.")

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_anything_under(prefix: str) -> bool:
    with _translated():
        found = s3_client().list_objects_v2(Bucket=settings.S3_BUCKET_NAME, Prefix=prefix, MaxKeys=1)
    return bool(found.get("Contents"))


def head(key: str, version_id: str | None = None) -> Head | None:
    version = {"VersionId": version_id} if version_id else {}
    try:
        with _translated():
            answer = s3_client().head_object(Bucket=settings.S3_BUCKET_NAME, Key=key, **version)
    except ObjectGone:
        return None
    metadata = {name: _plain(value) for name, value in answer["Metadata"].items()}
    entry = {"Key": key, "Size": answer["ContentLength"]} | answer
    return Head(_listed(entry), metadata, _md5(answer))


# --- Putting safe: copy, verify, and only then delete


def safe_key(candidates: Iterable[str], metadata: Mapping[str, str]) -> tuple[str, bool]:
    """The first key that is free or holds these bytes already, and whether it is free."""
    for key in candidates:
        found = head(key)
        if found is None or _is_ours(found, metadata):
            return key, found is None
    raise DestinationTaken("Every key for the safe copy holds other bytes; move them away and run again.")


def put_safe(
    obj: S3Object, destination_key: str, metadata: dict[str, str], local: BinaryIO | None, *, is_free: bool = False
) -> None:
    """Copies the object inside S3 and verifies the copy; from `local` where the input holds these bytes no longer.

    Doing it again is harmless. `is_free`: the key was a moment ago, which saves a look.
    `local` are the bytes as delivered; without them ObjectChanged or ObjectGone is raised.
    """
    if not (is_free and obj.size <= COPY_LIMIT) and _is_settled(obj, head(destination_key), metadata):
        return
    try:
        copy = _copy(obj, destination_key, metadata)
    except (ObjectChanged, ObjectGone):
        # A refused precondition also means that another worker has just filled the destination.
        if _is_settled(obj, head(destination_key), metadata):
            return
        if local is None:
            raise
        _upload_local(obj, local, destination_key, metadata)
        copy = head(destination_key)
    if not _is_settled(obj, copy, metadata):
        raise StorageUnavailable("The copy in S3 is not to be seen; it will be copied again.")


def put_new(key: str, body: bytes, metadata: dict[str, str]) -> S3Object:
    """Bytes that came another way than the input, under a key that was never used; verified."""
    with _translated():
        written = {"IfNoneMatch": "*", "Metadata": _ascii(metadata)}
        s3_client().put_object(Bucket=settings.S3_BUCKET_NAME, Key=key, Body=body, **written)
    found = head(key)
    if found is None or found.object.size != len(body) or found.md5 not in (None, metadata["etag"]):
        raise StorageUnavailable("What was written to S3 is not to be seen; it will be written again.")
    return found.object


def delete(obj: S3Object) -> bool:
    """True where this call deleted it, False where it was gone or overwritten already. Never touches other bytes."""
    found = head(obj.key, obj.version_id)
    if found is None or not _is_same(found.object, obj):
        return False
    condition = {"VersionId": obj.version_id} if obj.version_id else {"IfMatch": f'"{obj.etag}"'}
    try:
        with _translated():
            _delete(obj.key, condition)
    except (ObjectChanged, ObjectGone):
        return False
    return True


def _delete(key: str, condition: dict[str, str]) -> None:
    try:
        s3_client().delete_object(Bucket=settings.S3_BUCKET_NAME, Key=key, **condition)
    except ClientError as error:
        # Some stand-ins know no conditional delete; the caller has compared a moment ago, which is the best they allow.
        if _code(error) != "NotImplemented":
            raise
        s3_client().delete_object(Bucket=settings.S3_BUCKET_NAME, Key=key)


def _is_same(found: S3Object, listed: S3Object) -> bool:
    """The same bytes delivered anew are another delivery. A HEAD knows whole seconds only."""
    seconds = [int(one.last_modified.timestamp()) for one in (found, listed)]
    return found.etag == listed.etag and seconds[0] == seconds[1]


def _is_ours(found: Head, metadata: Mapping[str, str]) -> bool:
    sha256 = metadata.get("sha256")
    return _is_own_copy(found, metadata) or (sha256 is not None and found.metadata.get("sha256") == sha256)


def _is_own_copy(found: Head, metadata: Mapping[str, str]) -> bool:
    """Written for the same batch. Only the hash may be missing on one: an earlier attempt may not have got so far."""
    return found.metadata | {"sha256": ""} == {**metadata, "sha256": ""}


def _is_settled(obj: S3Object, found: Head | None, metadata: dict[str, str]) -> bool:
    """True where the bytes lie at the destination. Whatever else lies there stays: it may be all there is."""
    if found is None:
        return False
    is_whole = found.object.size == obj.size or not _is_own_copy(found, metadata)
    if is_whole and _is_ours(found, metadata):
        return True
    raise DestinationTaken("The key for the safe copy holds other bytes; the next run chooses another one.")


def _copy(obj: S3Object, destination_key: str, metadata: dict[str, str]) -> Head | None:
    bucket = settings.S3_BUCKET_NAME
    found = head(obj.key, obj.version_id)
    if found is None:
        raise ObjectGone("The object is no longer in the input.")
    if found.object.etag != obj.etag:
        raise ObjectChanged("The object was overwritten in the input.")
    source = {"Bucket": bucket, "Key": obj.key} | ({"VersionId": obj.version_id} if obj.version_id else {})
    written = {
        "CopySourceIfMatch": f'"{obj.etag}"',
        "MetadataDirective": "REPLACE",
        "Metadata": _ascii(metadata),
    }
    with _translated():
        if obj.size > COPY_LIMIT:
            s3_client().copy(source, bucket, destination_key, ExtraArgs=written)
        else:
            s3_client().copy_object(Bucket=bucket, Key=destination_key, CopySource=source, IfNoneMatch="*", **written)
    return _verified_copy(found, destination_key)


def _verified_copy(source: Head, destination_key: str) -> Head | None:
    """A stand-in that knows no conditional copy may have taken newer bytes: such a copy of our own is undone."""
    copy = head(destination_key)
    if copy is not None and copy.md5 and source.md5 and copy.md5 != source.md5:
        with _translated():
            _delete(destination_key, {"IfMatch": f'"{copy.object.etag}"'})
        raise ObjectChanged("The object was overwritten in the input while it was copied.")
    return copy


def _upload_local(obj: S3Object, local: BinaryIO, destination_key: str, metadata: dict[str, str]) -> None:
    if local.seek(0, os.SEEK_END) != obj.size:
        raise ObjectChanged("The object was overwritten in the input, and what was read of it is incomplete.")
    local.seek(0)
    with _translated():
        s3_client().put_object(
            Bucket=settings.S3_BUCKET_NAME,
            Key=destination_key,
            Body=local,
            IfNoneMatch="*",
            Metadata=_ascii(metadata),
        )


# --- Custody: the metadata on archived and held objects


def custody(obj: S3Object, business_date: date, sha256: str | None, batch_id: object) -> dict[str, str]:
    """`obj` as it lay in the input. What is not known is left out: S3 keeps no empty values."""
    named = {
        "original-key": obj.key,
        "etag": obj.etag,
        "version": obj.version_id,
        "last-modified": obj.last_modified.astimezone(UTC).isoformat(timespec="microseconds"),
        "business-date": business_date.isoformat(),
        "sha256": sha256,
        "batch-id": str(batch_id),
    }
    return {name: value for name, value in named.items() if value}


def from_custody(found: Head) -> Custody | None:
    """None for an object that we have not written, or whose metadata somebody has damaged."""
    metadata = found.metadata
    try:
        return Custody(
            original_key=metadata["original-key"],
            last_modified=datetime.fromisoformat(metadata["last-modified"]),
            business_date=date.fromisoformat(metadata["business-date"]),
            etag=metadata.get("etag"),
            version=metadata.get("version"),
            sha256=metadata.get("sha256"),
            batch_id=metadata.get("batch-id"),
        )
    except (KeyError, ValueError):
        return None


def list_archive(prefix: str) -> Iterator[tuple[S3Object, Custody]]:
    """Archived objects with their origin; the predecessor wrote none, so its folder's date and its key stand in."""
    for listed in due_candidates(prefix):
        found = head(listed.key) if listed.is_current else None
        if found is not None:
            yield found.object, from_custody(found) or _predecessor(found.object, prefix)


def _predecessor(obj: S3Object, prefix: str) -> Custody:
    day = objects.folder_date(obj.key, prefix, obj.last_modified)
    day = day or objects.business_date(obj.key, prefix, obj.last_modified)
    return Custody(original_key=obj.key, last_modified=obj.last_modified, business_date=day)


def _ascii(metadata: dict[str, str]) -> dict[str, str]:
    """Header-safe values. A long key in another script would break S3's limit of 2 KB when percent-encoded."""
    encoded = {name: quote(value, safe="/-_.~:+") for name, value in metadata.items()}
    for name, value in encoded.items():
        if len(value) > 1400:
            encoded[name] = "b64=" + base64.urlsafe_b64encode(metadata[name].encode()).decode()
    return encoded


def _plain(value: str) -> str:
    if value.startswith("b64="):  # `quote` writes no "=", so nothing else of ours begins so
        with suppress(ValueError):
            return base64.urlsafe_b64decode(value[4:]).decode()
    return unquote(value)


# --- For the demo, which plays the web app


def create_bucket_if_missing() -> None:
    client, bucket = s3_client(), settings.S3_BUCKET_NAME
    region = client.meta.region_name
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with _translated():
        if bucket not in {known["Name"] for known in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=bucket, **place)


def upload(key: str, body: bytes | BinaryIO) -> None:
    with _translated():
        s3_client().put_object(Bucket=settings.S3_BUCKET_NAME, Key=key, Body=body)


# --- The client and its answers


def s3_client() -> BaseClient:
    """One per process: a client that crosses a fork shares its sockets with the parent."""
    return _client_of(os.getpid(), settings.S3_ENDPOINT_URL, settings.AWS_REGION)


@functools.lru_cache(maxsize=2)
def _client_of(_pid: int, endpoint_url: str | None, region: str | None) -> BaseClient:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint_url,
        # Stand-ins sign with any region; against AWS a made-up one would only hide that none is configured.
        region_name=region or ("us-east-1" if endpoint_url else None),
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 5},  # the only layer that retries a request
            s3={"addressing_style": "path" if endpoint_url else "auto"},
        ),
    )


def _pinned(obj: S3Object) -> dict[str, str]:
    pin = {"Bucket": settings.S3_BUCKET_NAME, "Key": obj.key, "IfMatch": f'"{obj.etag}"'}
    return pin | ({"VersionId": obj.version_id} if obj.version_id else {})


def _listed(entry: Mapping[str, Any]) -> S3Object:
    return S3Object(
        key=entry["Key"],
        etag=entry["ETag"].strip('"'),
        version_id=entry.get("VersionId"),
        last_modified=entry["LastModified"].astimezone(UTC),
        size=entry["Size"],
        is_current=entry.get("IsLatest", True),
    )


def _md5(answer: Mapping[str, Any]) -> str | None:
    """The ETag where it is the MD5 of the bytes: not for multipart uploads, nor under a key of KMS or the customer."""
    etag: str = answer["ETag"].strip('"')
    is_sealed = answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer
    return etag if MD5.fullmatch(etag) and not is_sealed else None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _translated() -> Iterator[None]:
    """botocore's errors as the few that callers act on."""
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise StorageDenied("No usable S3 credentials; set the AWS_* variables or give the instance a role.") from error
    except ClientError as error:
        raise _named(error) from error
    except BotoCoreError as error:
        raise StorageUnavailable(f"S3 does not answer ({type(error).__name__}); check its address.") from error


def _named(error: ClientError) -> StorageError:
    code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status == 412:
        return ObjectChanged("The object was overwritten after it was listed; the next listing finds the new one.")
    if code in GONE_CODES:
        return ObjectGone("The object is no longer in the bucket.")
    if status in (401, 403) or code in DENIED_CODES:
        return StorageDenied(
            f"S3 refuses {error.operation_name} ({code}); check the credentials and the bucket policy."
        )
    return StorageUnavailable(f"S3 failed at {error.operation_name} ({code}, status {status}).")
