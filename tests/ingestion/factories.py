"""What the tests of ingestion stand on: plain stored batches, and the bucket as it is seen from outside."""

import itertools
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

from django.conf import settings

from ingestion.models import IngestBatch
from tests import scenes

NUMBERS = itertools.count(1)


def batch(**kwargs) -> IngestBatch:
    """A stored batch of an object in the input; each call is another object."""
    key = f"{settings.S3_INPUT_PREFIX}{next(NUMBERS)}/patients.csv"
    values = {
        "bucket": settings.S3_BUCKET_NAME,
        "object_key": key,
        "etag": "0" * 32,
        "last_modified": datetime(2026, 11, 22, 1, 30, tzinfo=UTC),
        "business_date": date(2026, 11, 22),
        "source": "*/patients.csv",
        "dataset": "patients",
    }
    return IngestBatch.objects.create(**values | kwargs)


class Bucket:
    """The bucket of this test as the web app, or a curious person, sees it; nothing here is our own code."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.client = scenes.store(settings.S3_ENDPOINT_URL)

    def put(self, key: str, body: bytes = b"name,state\n", **options) -> str | None:
        """The version id, where the bucket has versions."""
        return self.client.put_object(Bucket=self.name, Key=key, Body=body, **options).get("VersionId")

    def put_many(self, keys: Iterable[str]) -> None:
        """Over one connection without boto, which takes most of the time that a small object costs."""
        address = urlsplit(settings.S3_ENDPOINT_URL)
        with closing(HTTPConnection(address.hostname, address.port, timeout=60)) as connection:
            for key in keys:
                connection.request("PUT", f"/{self.name}/{key}", body=b"name,state\n")
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def metadata(self, key: str) -> dict[str, str]:
        return self.client.head_object(Bucket=self.name, Key=key)["Metadata"]

    def delete(self, key: str, version: str | None = None) -> None:
        self.client.delete_object(Bucket=self.name, Key=key, **({"VersionId": version} if version else {}))

    def keys(self, prefix: str = "") -> list[str]:
        return [
            found["Key"] for found in self.client.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", ())
        ]

    def versions(self, key: str) -> list[str]:
        listed = self.client.list_object_versions(Bucket=self.name, Prefix=key)
        return [found["VersionId"] for found in listed.get("Versions", ())]

    def keep_versions(self, status: str = "Enabled") -> None:
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": status})
