"""The broker's server, as the counts find it."""

import pytest

from medilink import broker
from medilink.monitoring import counts


@pytest.fixture
def kept():
    """As if nothing had been counted yet."""
    with broker.counters() as kept:
        kept.delete(counts.COUNTS, counts.IN_FLIGHT, counts.WORKERS, "celery")
        counts.counts.__init__()
        yield kept
