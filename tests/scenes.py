"""What all tests of a module begin with, made once: its rows in a transaction around them, its objects to be copied.

A test changes its own: the rows are taken back after it, and the objects lie in a bucket of its own.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from django.conf import settings
from django.db import transaction
from django.test import override_settings


@contextmanager
def kept(blocker: Any, make: Callable[[], Any]) -> Iterator[Any]:
    """What `make` gives, and its rows, until all is taken back."""
    with blocker.unblock(), transaction.atomic():
        yield make()
        transaction.set_rollback(True)


@contextmanager
def delivered(blocker: Any, make: Callable[[], Any]) -> Iterator[str]:
    """The same with a bucket, whose name it gives; see `copied`."""
    bucket = f"test-{uuid.uuid4()}"
    with override_settings(S3_BUCKET_NAME=bucket):
        store(settings.S3_ENDPOINT_URL).create_bucket(Bucket=bucket)
        with kept(blocker, make):
            yield bucket


def copied(source: str, target: str) -> None:
    client = store(settings.S3_ENDPOINT_URL)
    for found in client.list_objects_v2(Bucket=source).get("Contents", ()):
        client.copy_object(Bucket=target, Key=found["Key"], CopySource={"Bucket": source, "Key": found["Key"]})


@cache
def store(endpoint_url: str) -> Any:
    """A client of S3 as anybody has it; making one takes longer than most tests."""
    return boto3.client("s3", endpoint_url=endpoint_url, region_name="us-east-1")
