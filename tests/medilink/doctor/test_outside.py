"""Broker, bucket, machine, settings and site: what the doctor names when one thing is wrong, and nothing else."""

import shutil
from collections import namedtuple

import pytest
from redis import Redis

from ingestion import sources
from medilink.doctor import broker_checks, opening
from tests.ingestion import factories
from tests.lab.store import Fault, proxy
from tests.medilink.doctor.looking import found, ran


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(broker_checks, "QUICK", 0.3)


def test_a_broker_that_is_away_is_named_and_nothing_that_follows_from_it(settings):
    settings.REDIS_URL = "redis://:hunter2222@127.0.0.1:1/0"
    assert found("broker") == ["broker-away"]
    assert ran("broker-away").seen == "127.0.0.1:1: nobody listens there."


def test_a_wrong_password_of_the_broker_is_named(settings):
    place = settings.REDIS_URL.rpartition("@")[2]
    settings.REDIS_URL = f"redis://:hunter2222@{place}"
    assert found("broker") == ["broker-password"]


def test_a_missing_worker_is_named(quick):
    assert found("broker") == ["no-worker"]


def test_a_broker_that_throws_away_is_named(settings, quick):
    broker = Redis.from_url(settings.REDIS_URL)
    broker.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert found("broker-evicts") == ["broker-evicts"]
    finally:
        broker.config_set("maxmemory-policy", "noeviction")


def test_a_long_queue_is_named(settings, monkeypatch):
    monkeypatch.setattr(broker_checks, "QUEUE", "doctor-test")
    broker = Redis.from_url(settings.REDIS_URL)
    broker.rpush("doctor-test", *range(1_001))
    try:
        assert found("queue-long") == ["queue-long"]
    finally:
        broker.delete("doctor-test")


def test_a_bucket_that_is_not_there_is_named(well, settings):
    settings.S3_BUCKET_NAME = "no-such-bucket"
    assert found() == ["bucket-missing"]


def test_a_store_that_is_away_is_named(settings):
    settings.S3_ENDPOINT_URL = "http://127.0.0.1:1"
    assert found("storage") == ["storage-away"]


@pytest.fixture
def faults(bucket, settings):
    with proxy() as faults:
        faults.begin(settings.S3_ENDPOINT_URL)
        settings.S3_ENDPOINT_URL = faults.url
        yield faults


@pytest.mark.parametrize(
    ("code", "method", "part", "named"),
    [
        ("AccessDenied", "GET", "list-type", "storage-denied"),
        ("InvalidAccessKeyId", "GET", "", "storage-credentials"),
        ("AccessDenied", "HEAD", "archive", "storage-denied"),
        ("AccessDenied", "POST", "held", "storage-denied"),
        ("AccessDenied", "DELETE", "input", "storage-denied"),
    ],
)
def test_what_the_store_forbids_is_named(faults, monkeypatch, code, method, part, named):
    monkeypatch.setattr(opening.state, "is_probing", True)
    faults.bad = lambda asked, path: Fault(status=403, code=code) if asked == method and part in path else None
    assert found("storage") == [named]


def test_trying_to_write_leaves_nothing(faults, monkeypatch, bucket):
    monkeypatch.setattr(opening.state, "is_probing", True)
    assert found("storage") == []
    listed = sources.s3_client().list_multipart_uploads(Bucket=bucket)
    assert not listed.get("Uploads")
    assert not sources.is_anything_under("")


def test_what_lies_in_the_input_for_days_is_named(bucket, settings, faults):
    factories.Bucket(bucket).put(f"{settings.S3_INPUT_PREFIX}patients.csv")
    faults.edit = None
    old = b"<LastModified>2020-01-01T00:00:00.000Z</LastModified>"

    def edited(body):
        begin, _, rest = body.partition(b"<LastModified>")
        return begin + old + rest.partition(b"</LastModified>")[2] if rest else body

    faults.bad = lambda method, path: Fault(edit=edited) if "list-type" in path else None
    assert found("storage") == ["input-waiting"]


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "named"), [(2**20, ["disk-full"]), (2**33, ["disk-nearly-full"]), (2**36, [])])
def test_a_full_disk_is_named(monkeypatch, free, named):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(2**37, 2**37 - free, free))
    assert found("machine") == named


@pytest.fixture
def production(settings):
    """As its settings are where all is set."""
    settings.EMBEDDED, settings.HTTPS_ONLY, settings.NUM_PROXIES = False, True, 1
    settings.SITE_URL, settings.ALLOWED_HOSTS = "https://medilink.example", ["medilink.example"]
    settings.ALERT_WEBHOOK_URL, settings.WHITENOISE_USE_FINDERS = "https://127.0.0.1/hook", True
    return settings


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("NUM_PROXIES", 0, "proxies-unset"),
        ("ALERT_WEBHOOK_URL", "", "nobody-told"),
        ("SITE_URL", "http://127.0.0.1:5000", "site-url"),
        ("SITE_URL", "https://another.example", "site-url"),
        ("WHITENOISE_USE_FINDERS", False, "static-missing"),
    ],
)
def test_a_forgotten_setting_is_named(production, tmp_path, name, value, named):
    production.STATIC_ROOT = tmp_path
    setattr(production, name, value)
    codes = found("settings")
    assert named in codes
    assert set(codes) <= {named, "settings-weak"}


def test_a_site_whose_name_is_not_known_is_named(production):
    production.SITE_URL = "https://medilink.invalid"
    assert found("site") == ["host-unknown"]
