"""The suite's own PostgreSQL, Valkey and S3: started here, before Django reads its settings, and dropped afterwards.

Nothing of the machine's environment or of a .env file is used: a test must never reach a real server.
"""

import os
import uuid

import boto3
import django
import environ
import pytest
from django.contrib.auth import get_user_model
from django.db.backends.postgresql.operations import DatabaseOperations

from medilink import embedded

OURS = ("DATABASE_URL", "POSTGRES_HOST", "REDIS_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "HTTPS_ONLY")


def _start_servers() -> embedded.Servers | None:
    """Once per run: the processes of pytest-xdist inherit the addresses, and get databases of their own."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "medilink.settings"
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        os.environ["REDIS_URL"] = os.environ["REDIS_URL"].rpartition("/")[0] + f"/{1 + int(worker[2:]) % 15}"
        return None
    for name in list(os.environ):
        if name in OURS or name.startswith(("AWS_", "S3_", "INGEST_", "MEDILINK_")):
            del os.environ[name]
    environ.Env.read_env = staticmethod(lambda *_args, **_options: None)
    folder, _ = embedded.short_folder()
    return embedded.provide(folder, is_throwaway=True, meanwhile=django.setup)


SERVERS = _start_servers()
django.setup()


def _flush(operations, statements, _execute=DatabaseOperations.execute_sql_flush):
    """The audit refuses to be emptied, by its owner too; between two tests it has to be."""
    freely = "SET session_replication_role = {}"
    return _execute(operations, [freely.format("replica"), *statements, freely.format("origin")])


DatabaseOperations.execute_sql_flush = _flush


@pytest.fixture
def bucket(settings):
    """An empty bucket of this test's own."""
    settings.S3_BUCKET_NAME = f"test-{uuid.uuid4()}"
    boto3.client("s3", endpoint_url=settings.S3_ENDPOINT_URL, region_name="us-east-1").create_bucket(
        Bucket=settings.S3_BUCKET_NAME
    )
    return settings.S3_BUCKET_NAME


@pytest.fixture
def alice(db):
    """A steward who may do everything."""
    return get_user_model().objects.create_superuser("alice", password="not-a-secret-of-anybody")


@pytest.fixture
def desk(client, alice):
    """The admin, with alice at it."""
    client.force_login(alice)
    return client
