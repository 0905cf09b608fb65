"""What more than one of the tests beside this needs."""

import logging

import pytest

from medilink import broker
from medilink.logs import Line
from medilink.monitoring import counts


@pytest.fixture
def lines():
    """What the process logs from now on, as a log of production would hold it."""
    written = []

    class Kept(logging.Handler):
        def emit(self, record):
            written.append(self.format(record))

    handler = Kept()
    handler.setFormatter(Line())
    root, ours = logging.getLogger(), logging.getLogger("medilink")
    level, handlers = root.level, [*root.handlers]  # a worker of tests takes these away and sets up its own
    root.addHandler(handler)
    ours.addHandler(handler)
    yield written
    ours.removeHandler(handler)
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def kept():
    """As if nothing had been counted yet."""
    with broker.counters() as kept:
        kept.delete(counts.COUNTS, counts.IN_FLIGHT, counts.WORKERS, "celery")
        counts.counts.__init__()
        yield kept
