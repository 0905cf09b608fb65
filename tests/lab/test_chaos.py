"""Everything at once, by a seed: workers die, the database and the broker come and go, the store is moody.

When it is over and half a minute of quiet has passed, all is as after one clean night.
"""

import random
import time

import pytest

from tests.lab import invariants, store
from tests.lab.cluster import eventually
from tests.lab.crowds import many_files
from tests.lab.store import Fault
from tests.lab.wire import Mode


class Chaos:
    """The faults, each a method that does harm and undoes it."""

    def __init__(self, cluster, faults, seed):
        self.cluster, self.faults, self.chance = cluster, faults, random.Random(seed)
        self.workers = 0

    def begin(self):
        self._start_worker()
        self.cluster.queue("medilink.tasks.nightly")

    def one(self):
        fault = self.chance.choice(
            [
                self.kill_worker,
                self.end_sessions,
                self.cut_database,
                self.restart_database,
                self.forget,
                self.restart_broker,
                self.moody_store,
                self.sweep_twice,
            ]
        )
        fault()
        return fault.__name__

    def kill_worker(self):
        self.cluster.kill(f"worker{self.workers}")
        self._start_worker()

    def _start_worker(self):
        self.workers += 1
        self.cluster.worker(f"worker{self.workers}", AWS_ENDPOINT_URL_S3=self.faults.url)

    def end_sessions(self):
        self.cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def cut_database(self):
        self.cluster.database.mode = Mode.REFUSE
        self.cluster.database.cut()
        self._a_moment()
        self.cluster.database.heal()

    def restart_database(self):
        self.cluster.stop_postgres()
        self._a_moment()
        self.cluster.start_postgres()

    def forget(self):
        self.cluster.valkey().flushall()

    def restart_broker(self):
        self.cluster.stop_broker()
        self._a_moment()
        self.cluster.start_broker()

    def moody_store(self):
        answers = [
            None,
            None,
            Fault(status=503, code="SlowDown"),
            Fault(cut_at=30),
            Fault(status=500, code="InternalError"),
        ]
        self.faults.bad = lambda method, path: (
            self.chance.choice(answers) if method != "GET" or "list" not in path else None
        )
        self._a_moment()
        self.faults.stop()

    def sweep_twice(self):
        for _ in range(2):
            self.cluster.queue("ingestion.tasks.sweep")

    def _a_moment(self):
        time.sleep(self.chance.random())  # how long a fault lasts is part of the plan


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.drill) for seed in (2, 3, 4, 5))])
def test_after_any_chaos_all_is_as_after_one_clean_night(cluster, request, seed):
    is_long = request.node.get_closest_marker("drill") is not None
    delivered = many_files(seed, folders=12 if is_long else 4)
    cluster.deliver(delivered)
    assert cluster.ingest() in (0, 3)
    clean = invariants.digest(cluster)
    cluster.fresh()
    cluster.deliver(delivered)
    with store.proxy() as faults:
        faults.begin(cluster.store_url)
        chaos = Chaos(cluster, faults, seed)
        chaos.begin()
        plan = []
        for _ in range(30 if is_long else 6):
            plan.append(chaos.one())
            time.sleep(chaos.chance.random())
        faults.stop()
        cluster.stop_all()
    # What beat would do every few minutes, and then what a person does with what was set aside.
    cluster.worker("after")
    cluster.sql("UPDATE ingest_runs SET created_at = created_at - interval '4 minutes' WHERE status = 'queued'")
    for _ in range(2):
        cluster.queue("ingestion.tasks.sweep")
    eventually(cluster.is_settled)
    eventually(lambda: cluster.waiting_messages() == 0)
    eventually(lambda: invariants.nothing_is_left_behind(cluster) == [])
    retry_stopped(cluster)
    swept_until(cluster, lambda: cluster.is_settled() and invariants.archived_means_loaded(cluster) == [])
    assert invariants.digest(cluster) == clean, plan
    assert invariants.violations(cluster, delivered) == [], plan
    assert invariants.marts_are_honest(cluster) == []


def retry_stopped(cluster):
    """A file whose attempts were used up, or whose bytes came damaged five times, waits for a person."""
    for (batch,) in cluster.sql("SELECT id FROM ingest_batches WHERE status IN ('failed', 'rejected') ORDER BY id"):
        assert cluster.run("batch", "retry", batch).returncode in (0, 1, 3, 75)  # 75: a sweep is at work; it is due now
    cluster.ingest()


def swept_until(cluster, is_true):
    """As beat would: the worker's last sweep may have locked what a retry had to move, and leaves that to the next."""

    def look():
        if not (found := is_true()) and cluster.waiting_messages() == 0:
            cluster.queue("ingestion.tasks.sweep")
        return found

    eventually(look, every=2)
