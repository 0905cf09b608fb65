"""The suite's own PostgreSQL, Valkey and S3: started here, before Django reads its settings, and dropped afterwards.

Nothing of the machine's environment or of a .env file is used: a test must never reach a real server.
"""

import gc
import os
import random
import uuid
from contextlib import closing, contextmanager
from functools import cache
from unittest.mock import patch

import django
import environ
import psycopg2
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management.commands import flush
from django.db import OperationalError, connection
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test.client import ClientHandler

from clinical import row_security
from medilink import embedded
from tests import scenes

OURS = ("DATABASE_URL", "POSTGRES_HOST", "REDIS_URL", "SECRET_KEY", "DATA_KEYS", "DEBUG", "ALLOWED_HOSTS", "HTTPS_ONLY")
MIGRATED = "migrated"  # a database; also tests/lab/conftest.py


def _start_servers() -> embedded.Servers | None:
    """Once per run: the processes of pytest-xdist inherit the addresses, and get databases of their own."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "medilink.settings"
    os.environ.setdefault("TEST_SEED", str(random.randrange(10**6)))
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
# pytest-django has read the settings of a process of pytest-xdist before this file could say which database is its own.
settings.REDIS_URL = settings.CELERY_BROKER_URL = os.environ["REDIS_URL"]


def _flush(operations, statements, _execute=DatabaseOperations.execute_sql_flush):
    """The audit refuses to be emptied, by its owner too; between two tests it has to be.

    To truncate a table makes new files of it and of its indexes: the few rows of a test are sooner deleted.
    """
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute(FILLED)
        filled = cursor.fetchall()
    if all(is_small for _, is_small in filled):
        statements = []
    statements = [*statements, *(f"DELETE FROM {table}" for table, _ in filled if not statements or "." in table)]
    freely = "SET session_replication_role = {}"
    return _execute(operations, [freely.format("replica"), *statements, freely.format("origin")])


# What was never analyzed is small for the planner, too, once it is empty again.
FILLED = """
SELECT oid::regclass::text, pg_relation_size(oid) < 1000000 AND reltuples <= 0 FROM pg_class
WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, 'published'::regnamespace)
AND relname NOT IN ('django_migrations', 'wall') AND relpersistence = 'p' AND pg_relation_size(oid) > 0
"""
DatabaseOperations.execute_sql_flush = _flush


def _fill_again(*args, _emit=flush.emit_post_migrate_signal, **options):
    """What a flush has deleted of what migrations leave. Grants are there still; to give them anew takes longest."""
    with patch("medilink.web_role._shape"):
        _emit(*args, **options)


flush.emit_post_migrate_signal = _fill_again


def pytest_report_header():
    return f"tried of what is too much for every run: TEST_SEED={os.environ['TEST_SEED']}"


def pytest_collection_finish():
    """What is imported and collected stays: a million objects that need not be looked through again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _turn(django_db_modify_db_settings):
    """A cursor of the server's own database, and no other process of the run sets up its databases meanwhile."""
    session = psycopg2.connect(**connection.get_connection_params() | {"dbname": "postgres"})
    session.autocommit = True
    with closing(session), session.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1)")
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [MIGRATED])
        connection.settings_dict["TEST"]["TEMPLATE"] = MIGRATED if cursor.rowcount else None
        yield cursor


@pytest.fixture(scope="session")
def django_db_setup(_turn, django_db_setup):
    """Migrations take ten seconds of a core: the first process runs them, and the others copy what it has then."""
    if connection.settings_dict["TEST"]["TEMPLATE"] is None:
        connection.close()
        _turn.execute(f"CREATE DATABASE {MIGRATED} TEMPLATE {connection.settings_dict['NAME']}")
    _turn.execute("SELECT pg_advisory_unlock(1)")


@pytest.fixture
def bucket(settings):
    """An empty bucket of this test's own."""
    settings.S3_BUCKET_NAME = f"test-{uuid.uuid4()}"
    scenes.store(settings.S3_ENDPOINT_URL).create_bucket(Bucket=settings.S3_BUCKET_NAME)
    return settings.S3_BUCKET_NAME


@pytest.fixture
def alice(db):
    """A steward who may do everything."""
    known = {"is_staff": True, "is_superuser": True, "password": _hashed("not-a-secret-of-anybody")}
    return get_user_model().objects.create(username="alice", **known)


@cache
def _hashed(password):
    """Once for all tests, because it takes a quarter of a second."""
    return make_password(password)


@pytest.fixture
def desk(client, alice):
    """The admin, with alice at it."""
    client.force_login(alice)
    return client


@pytest.fixture(autouse=True)
def _requests_come_from_the_web(monkeypatch):
    """What a test's client asks for is answered as the web answers it: by its own role, behind row-level security."""
    answer = ClientHandler.get_response

    def as_the_web(handler, request):
        try:
            connection.ensure_connection()
        except (RuntimeError, OperationalError):  # a test without a database, or whose database is away
            return answer(handler, request)
        with connection.execute_wrapper(row_security.guard), _role_of_the_web():
            return answer(handler, request)

    monkeypatch.setattr(ClientHandler, "get_response", as_the_web)
    monkeypatch.setattr("medilink.monitoring.parts.LONG", 600)  # no test remembers another one
    monkeypatch.setattr(row_security, "MINUTES", 60 * 24 * 36_500)  # also where a test's clock stands at another day


@contextmanager
def _role_of_the_web():
    with connection.connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {row_security.ROLE}")
    before = row_security.who()
    try:
        yield
    finally:
        row_security.stand_for(before)
        if connection.connection is not None and not connection.connection.closed:
            with connection.connection.cursor() as cursor:
                cursor.execute("RESET ROLE")
