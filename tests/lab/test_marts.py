"""The marts when their refresh dies, and a host that loses everything at once. F13, F19, F30."""

import itertools
import signal

import pytest

from tests.lab import invariants
from tests.lab.cluster import eventually
from tests.lab.nights import one_night

ROWS = "SELECT count(*) FROM marts.dim_patients"


@pytest.mark.drill
def test_a_refresh_that_is_killed_leaves_the_old_rows_and_the_next_one_works(cluster):
    cluster.deliver(one_night())
    cluster.ingest()
    cluster.run("refresh_marts", check=True)
    before = cluster.sql(ROWS)
    cluster.sql("UPDATE patients SET phone = NULL")
    killed = cluster.run("refresh_marts", MEDILINK_FAILPOINT="mid_refresh:kill@2")
    assert killed.returncode == -signal.SIGKILL
    assert cluster.sql(ROWS) == before
    assert invariants.marts_are_honest(cluster) == []
    assert cluster.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'pg_temp_%%' AND relkind = 'r'") == [(0,)]


@pytest.mark.drill
@pytest.mark.parametrize("order", [*itertools.permutations(["worker", "broker", "postgres"])])
def test_after_a_reboot_in_any_order_the_night_is_made_up_for(cluster, order):
    """F19: everything is killed at once in the middle of a load and started one after another."""
    delivered = one_night()
    cluster.deliver(delivered)
    assert cluster.ingest() == 3
    clean = invariants.digest(cluster)
    cluster.fresh()
    cluster.deliver(delivered)
    cluster.worker(MEDILINK_FAILPOINT="mid_upsert:sleep=20@2")
    cluster.queue("medilink.tasks.nightly")
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_batches WHERE status = 'loading'"))
    cluster.kill("worker")
    cluster.stop_broker()
    cluster.stop_postgres(signal.SIGKILL)
    start = {"worker": cluster.worker, "broker": cluster.start_broker, "postgres": cluster.start_postgres}
    for service in order:
        start[service]()
    cluster.queue("ingestion.tasks.sweep")  # as beat does every five minutes
    eventually(cluster.is_settled)
    eventually(lambda: invariants.nothing_is_left_behind(cluster) == [])
    assert invariants.digest(cluster) == clean
    assert invariants.violations(cluster, delivered) == []
