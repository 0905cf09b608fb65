"""What processes count: together, while the broker is away, and when they end."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
import redis

from medilink.monitoring import counts
from tests.lab.cluster import eventually


def test_what_two_processes_count_is_added(kept):
    one, other = counts.Counts(), counts.Counts()
    for seconds in (0.005, 0.3, 9):
        one.observe("medilink_http_request_seconds", (("route", "r"),), seconds)
        other.observe("medilink_http_request_seconds", (("route", "r"),), seconds)
    one.flush()
    other.flush()
    found = counts.counted(kept)
    assert found['medilink_http_request_seconds_bucket{le="0.01",route="r"}'] == 2
    assert found['medilink_http_request_seconds_bucket{le="0.5",route="r"}'] == 4
    assert found['medilink_http_request_seconds_bucket{le="+Inf",route="r"}'] == 6
    assert found['medilink_http_request_seconds_count{route="r"}'] == 6
    assert found['medilink_http_request_seconds_sum{route="r"}'] == pytest.approx(18.61)


def test_many_threads_lose_no_count(kept):
    own = counts.Counts()

    def work_on():
        for number in range(500):
            own.add("medilink_tasks_total", (("outcome", "done"), ("task", "t")))
            if number % 100 == 0:
                own.flush()

    threads = [threading.Thread(target=work_on) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own.flush()
    assert counts.counted(kept)['medilink_tasks_total{outcome="done",task="t"}'] == 4000


def test_what_was_counted_while_the_broker_was_away_is_told_later(kept, settings):
    own, there = counts.Counts(), settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    own.add("medilink_tasks_total", (("outcome", "done"), ("task", "t")))
    own.flush()
    own.add("medilink_tasks_total", (("outcome", "done"), ("task", "t")))
    settings.REDIS_URL = there
    own.flush()
    assert counts.counted(kept)['medilink_tasks_total{outcome="done",task="t"}'] == 2


def test_what_may_have_been_added_is_not_added_again(kept, monkeypatch):
    own, execute = counts.Counts(), redis.client.Pipeline.execute

    def lose_the_answer(self):
        execute(self)
        raise redis.TimeoutError

    own.add("medilink_tasks_total", (("task", "t"),))
    with monkeypatch.context() as lost:
        lost.setattr(redis.client.Pipeline, "execute", lose_the_answer)
        own.flush()
    own.add("medilink_tasks_total", (("task", "t"),))
    own.flush()
    assert counts.counted(kept)['medilink_tasks_total{task="t"}'] == 2


COUNTING = """
import os
from django.conf import settings
settings.configure(REDIS_URL=os.environ["REDIS_URL"])
from medilink.monitoring.counts import counts

def application(environ, start):
    counts.enter()
    counts.add("medilink_tasks_total", (("task", "t"),))
    counts.leave()
    start("200 OK", [])
    return [b""]
"""


def test_a_worker_of_granian_tells_when_it_is_stopped_what_it_has_counted(kept, settings, tmp_path):
    (tmp_path / "counting.py").write_text(COUNTING)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws", "counting:application"]
    places = {"REDIS_URL": settings.REDIS_URL, "PYTHONPATH": f"{Path.cwd()}:{tmp_path}"}
    with subprocess.Popen([sys.executable, "-m", "granian", *words], env=os.environ | places) as site:
        try:
            eventually(lambda: answers(port))
        finally:
            site.terminate()
    assert counts.counted(kept)['medilink_tasks_total{task="t"}'] == 1


def answers(port):
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/") as answer:
        return answer.status == 200
    return False


def test_a_process_that_died_is_in_no_request_any_more(kept):
    kept.hset(counts.IN_FLIGHT, mapping={"here:1": f"3 {time.time():.0f}", "here:2": f"4 {time.time() - 60:.0f}"})
    kept.zadd(counts.WORKERS, {"a@here": time.time(), "b@here": time.time() - 60})
    assert counts.in_flight(kept) == 3
    assert kept.hlen(counts.IN_FLIGHT) == 1
    assert counts.workers_alive(kept) == 1
