"""One private cluster per test process, made when the first test of the lab asks for it."""

import pytest

from tests.lab.cluster import Cluster


@pytest.fixture(scope="session")
def _cluster():
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(_cluster):
    """Everything healthy, and empty."""
    _cluster.fresh()
    yield _cluster
    _cluster.stop_all()
