"""One private cluster per test process, made when the first test of the lab asks for it."""

import pytest
from django.db import connection

from tests.lab import invariants
from tests.lab.cluster import Cluster
from tests.lab.nights import one_night


@pytest.fixture(scope="session")
def _cluster(django_db_setup):
    server = connection.get_connection_params()
    cluster = Cluster(like=f"postgresql://{server['user']}@/migrated?host={server['host']}")
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(_cluster):
    """Everything healthy, and empty."""
    _cluster.fresh()
    yield _cluster
    _cluster.stop_all()


@pytest.fixture(scope="session")
def clean(_cluster):
    """The digest of a night without faults."""
    _cluster.fresh()
    _cluster.deliver(one_night())
    assert _cluster.ingest() == 3
    return invariants.digest(_cluster)


@pytest.fixture
def delivered(cluster):
    """That night's files, put into the bucket."""
    files = one_night()
    cluster.deliver(files)
    return files
