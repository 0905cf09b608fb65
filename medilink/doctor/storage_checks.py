"""The bucket: whether it is there, and whether we may do in it what loading needs. It reads no object.

Whether we may write is tried without leaving anything (`--probe-writes`): an upload that is begun and taken back, and
the deletion of an object that never was.
"""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.utils import timezone

from ingestion import sources
from medilink.doctor import opening
from medilink.doctor.checks import check, is_one_machine
from medilink.doctor.database_checks import CLOCK, SKEW
from medilink.doctor.findings import Finding, Gravity, Kind

WAITING = timedelta(hours=26)
LOOKED_AT = 1_000
DENIED = ("AccessDenied", "AllAccessDisabled", "403", "Forbidden")

AWAY = Kind(
    "storage-away",
    Gravity.ERROR,
    "S3 does not answer",
    "No file is found, loaded or archived. What lies in the bucket stays there and is taken up once it is back.",
    "See the network (a private subnet needs a gateway endpoint for S3) and AWS_ENDPOINT_URL_S3, if it is set.",
    ends=True,
)
MISSING = Kind(
    "bucket-missing",
    Gravity.ERROR,
    "The bucket is not there",
    "No file is found. Medilink makes no bucket: it is the web app's.",
    "Check S3_BUCKET_NAME and AWS_REGION.",
    ends=True,
)
CREDENTIALS = Kind(
    "storage-credentials",
    Gravity.ERROR,
    "S3 does not know us",
    "No file is found, loaded or archived.",
    "On EC2 see that the instance has its profile; elsewhere renew AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    ends=True,
)
REFUSED = Kind(
    "storage-denied",
    Gravity.ERROR,
    "S3 forbids what loading needs",
    "Files are not found, not loaded, or loaded and never archived.",
    "Give the role or the key the permission that is named; Terraform's storage.tf has the whole policy.",
)
WAITS = Kind(
    "input-waiting",
    Gravity.WARNING,
    "Objects have been lying in the input for more than a day",
    "They were not loaded, or they were and could not be archived.",
    "See what became of them under Batches at the desk, and whether the night ran.",
    "manage.py ingest --dry-run",
)
UNVERSIONED = Kind(
    "bucket-unversioned",
    Gravity.NOTE,
    "The bucket keeps no versions",
    "A file that the app overwrites before it is loaded is gone, and so is what somebody deletes by mistake.",
    "Switch versioning on, with a rule that lets old versions of the input expire.",
)


@check("storage", AWAY, MISSING, CREDENTIALS, REFUSED, is_first=True)
def bucket_answers() -> Iterator[Finding]:
    try:
        sources.is_anything_under(settings.S3_INPUT_PREFIX)
    except sources.StorageDenied as error:
        kind = REFUSED if _code(error) in DENIED else CREDENTIALS
        yield kind.seen(f"Listing s3://{settings.S3_BUCKET_NAME}/{settings.S3_INPUT_PREFIX}: {_code(error)}.")
    except sources.StorageError as error:
        where = settings.S3_ENDPOINT_URL or f"S3 in {settings.AWS_REGION or 'no region'}"
        if _code(error) in ("NoSuchBucket", "404"):
            yield MISSING.seen(f"{where} has no bucket {settings.S3_BUCKET_NAME}.")
        else:
            yield AWAY.seen(f"{where}: {_code(error)}.")


def _code(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, ClientError):
        return str(cause.response.get("Error", {}).get("Code", "?"))
    return type(cause or error).__name__


@check("storage", REFUSED)
def objects_can_be_read() -> Iterator[Finding]:
    """By asking for an object that is not there: who may read is told so, and who may not is refused."""
    for prefix in (settings.S3_INPUT_PREFIX, settings.S3_ARCHIVE_PREFIX, settings.S3_HELD_PREFIX):
        try:
            sources.head(_probe(prefix))
        except sources.StorageDenied as error:
            yield REFUSED.seen(f"Reading below {prefix}: {_code(error)}.")


def _probe(prefix: str) -> str:
    return f"{prefix}doctor-probe-{uuid.uuid4()}"


@check("storage", REFUSED)
def objects_can_be_written() -> Iterator[Finding]:
    if not opening.state.is_probing:
        return
    client, bucket = sources.s3_client(), settings.S3_BUCKET_NAME
    written = (settings.S3_ARCHIVE_PREFIX, settings.S3_HELD_PREFIX, settings.S3_CORRECTIONS_PREFIX)
    for prefix in (*written, settings.S3_SEALS_PREFIX):
        where = {"Bucket": bucket, "Key": _probe(prefix)}
        try:
            begun = client.create_multipart_upload(**where)
            client.abort_multipart_upload(**where, UploadId=begun["UploadId"])
        except ClientError as error:
            if _is_denied(error):
                yield REFUSED.seen(f"Writing below {prefix}: {error.operation_name} is denied.")
    try:
        client.delete_object(Bucket=bucket, Key=_probe(settings.S3_INPUT_PREFIX), IfMatch='"0"')
    except ClientError as error:  # that there is no such object is what the condition is for
        if _is_denied(error):
            yield REFUSED.seen(f"Deleting below {settings.S3_INPUT_PREFIX}: {error.operation_name} is denied.")


def _is_denied(error: ClientError) -> bool:
    return error.response.get("Error", {}).get("Code") in DENIED


@check("storage", WAITS, REFUSED)
def input_is_taken() -> Iterator[Finding]:
    oldest = timezone.now() - WAITING
    listed = islice(sources.due_candidates(settings.S3_INPUT_PREFIX), LOOKED_AT)
    try:
        waiting = [one for one in listed if one.is_current and one.last_modified < oldest]
    except sources.StorageDenied as error:
        yield REFUSED.seen(f"Listing below {settings.S3_INPUT_PREFIX}: {_code(error)}.")
        return
    if waiting:
        since = min(one.last_modified for one in waiting)
        count = f"{len(waiting)}{' or more' if len(waiting) == LOOKED_AT else ''}"
        yield WAITS.seen(f"{count}; the oldest since {timezone.localtime(since):%d %B %Y, %H:%M}.")


@check("storage", UNVERSIONED)
def versions_are_kept() -> Iterator[Finding]:
    if not is_one_machine() and _asked("get_bucket_versioning").get("Status") != "Enabled":
        yield UNVERSIONED.seen(f"Versioning of {settings.S3_BUCKET_NAME} is off.")


@check("storage", CLOCK)
def clocks_agree() -> Iterator[Finding]:
    told = _asked("get_bucket_location")["ResponseMetadata"]["HTTPHeaders"].get("date")
    apart = parsedate_to_datetime(told) - timezone.now() if told else timedelta()
    if abs(apart) > SKEW:
        side = "ahead of" if apart > timedelta() else "behind"
        yield CLOCK.seen(f"The clock of S3 is {abs(apart).total_seconds():.0f} s {side} this machine's.")


def _asked(operation: str) -> Any:
    """Nothing where it is forbidden: our role need not be allowed it."""
    try:
        return getattr(sources.s3_client(), operation)(Bucket=settings.S3_BUCKET_NAME)
    except (ClientError, BotoCoreError):
        return {"ResponseMetadata": {"HTTPHeaders": {}}}
