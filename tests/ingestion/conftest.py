"""The bucket of a test from outside, and the store with faults."""

import pytest

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
