"""A worker's host that drops out of the network in the middle of a load: another one loads what it had."""

import pytest

from tests.lab import hosts, invariants
from tests.lab.cluster import Cluster, eventually
from tests.lab.crowds import many_files

HAS_A_LOAD = """
SELECT 1 FROM ingest_batches b JOIN pg_stat_activity a ON a.pid = b.holder_pid AND a.backend_start = b.holder_started_at
WHERE b.status = 'loading' AND a.client_addr = %s
"""


@pytest.fixture
def bridged():
    """A cluster of its own, since its servers move."""
    if reason := hosts.why_not():
        pytest.skip(reason)
    cluster = Cluster()
    try:
        with hosts.on_a_bridge(cluster, 3) as found:
            yield cluster, found
    finally:
        cluster.close()


def start_workers(cluster, found):
    for host in found:
        name = f"worker{host.number}"
        cluster.worker(name, concurrency=1, prefix=host.prefix, **hosts.environment(cluster))
    for host in found:
        cluster.await_log(f"worker{host.number}", "ready.")


def is_over(cluster):
    """Whoever led the run may be the one that is lost: beat would ask, too."""
    cluster.queue("ingestion.tasks.sweep")
    return cluster.is_settled()


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_a_host_that_is_cut_off_in_the_middle_of_a_load_is_replaced(bridged):
    cluster, found = bridged
    delivered = many_files(1, folders=6, people=1500)
    cluster.fresh()
    cluster.deliver(delivered)
    assert cluster.ingest(**hosts.environment(cluster)) in (0, 3)
    clean = invariants.digest(cluster)
    cluster.fresh()
    cluster.deliver(delivered)
    start_workers(cluster, found)
    cluster.queue("ingestion.tasks.nightly")
    lost = eventually(lambda: next((h for h in found if cluster.sql(HAS_A_LOAD, h.address)), None), every=0.01)
    lost.cut_off()
    eventually(lambda: is_over(cluster), patience=240, every=5)
    assert invariants.digest(cluster) == clean
    lost.reconnect()
    eventually(lambda: invariants.nothing_is_left_behind(cluster) == [], patience=240, every=0.5)
    assert invariants.digest(cluster) == clean
    assert invariants.violations(cluster, delivered) == []
