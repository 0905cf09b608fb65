"""The bucket of a test from outside, and the store with faults."""

import pytest

from tests import scenes
from tests.deliveries import deliver_all, night
from tests.ingestion import factories
from tests.lab import store


@pytest.fixture
def s3(bucket):
    return factories.Bucket(bucket)


@pytest.fixture(scope="session")
def proxy():
    """One for all tests: our own client is made anew for every address."""
    with store.proxy() as proxy:
        yield proxy


@pytest.fixture
def faults(s3, settings, proxy):
    """S3 as our code sees it, through the proxy; `s3` itself, made before, goes past it."""
    proxy.begin(settings.S3_ENDPOINT_URL)
    settings.S3_ENDPOINT_URL = proxy.url
    return proxy


@pytest.fixture(scope="module")
def _night(django_db_setup, django_db_blocker):
    def make():
        deliver_all()
        night()

    with scenes.delivered(django_db_blocker, make) as bucket:
        yield bucket


@pytest.fixture
def a_night(_night, bucket):
    """A clean night has been. Its rows are there for every test of a module, so all of them have to ask for it."""
    scenes.copied(_night, bucket)
