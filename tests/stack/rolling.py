"""Every web process and every worker is restarted, one after another, while people ask and a night is loaded.

The order is the procedure for people: a web is stopped (it answers what it has begun; the proxy gives what comes to the
others), started, and ready, before the next one's turn; a worker likewise, and it gives its tasks back; last beat.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.lab import invariants
from tests.lab.cluster import eventually
from tests.lab.crowds import many_files
from tests.stack import smoke
from tests.stack.compose import PROJECT
from tests.stack.production import HOST, Stack

WARMING, SETTLED = 8.0, 15.0


@dataclass
class Rolled:
    """What callers saw, before and while things were restarted, and what is wrong with what was loaded."""

    statuses: dict[str, int]
    errors: dict[str, int]
    steady: list[float]
    during: list[float]
    stops: dict[str, list[float]]
    batches: int
    restarts: int
    wrong: list[str] = field(default_factory=list)

    def told(self) -> str:
        lines = [
            f"{self.restarts} restarts under {sum(self.statuses.values())} requests: {self.statuses}",
            f"errors: {self.errors or 'none'}",
            f"p50/p95/max steady {_told(self.steady)}, during the restarts {_told(self.during)}",
            "seconds to stop: " + ", ".join(f"{kind} {max(took):.1f} at most" for kind, took in self.stops.items()),
            f"{self.batches} batches loaded meanwhile; wrong: {self.wrong or 'nothing'}",
        ]
        return "\n".join(lines)


def _told(times: list[float]) -> str:
    ordered = sorted(times) or [0.0]
    at = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.95, 1))
    return "/".join(f"{took * 1000:.0f}" for took in at) + " ms"


@dataclass
class Seen:
    """By the callers of `under_load`, once it is over; times are (when it began, how long it took)."""

    statuses: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    times: list[tuple[float, float]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)


@contextmanager
def under_load(stack: Stack, callers: int = 8) -> Iterator[Seen]:
    """Meanwhile programs read and write through the proxy, each request and its answer counted."""
    seen = Seen()
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.stack.load"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    orders = {"host": HOST, "port": stack.port, "authority": str(stack.authority), "token": stack.token}
    try:
        load.stdin.write(json.dumps(orders | {"callers": callers, "pause": 0.15, "run": stack.next_load()}) + "\n")
        load.stdin.flush()
        yield seen
        out, _ = load.communicate(timeout=120)
        vars(seen).update(json.loads(out))
    finally:
        load.kill()
        load.wait()


def restart_each(
    stack: Stack, *, rounds: int, files: int, callers: int = 8, say: Callable[[str], None] = lambda _: None
) -> Rolled:
    delivered = many_files(9, folders=max(files // 3, 1), people=40)
    before = {row[0] for row in stack.sql("SELECT id FROM ingest_batches")}
    stops: dict[str, list[float]] = {"web": [], "worker": [], "beat": []}
    with under_load(stack, callers) as seen:
        time.sleep(WARMING)
        steady = time.time()
        time.sleep(SETTLED)  # measured without a restart, for comparison
        began = time.time()
        stack.deliver(delivered)
        site = smoke.authorised(stack)
        assert site.post("/api/batches", {}, **site.named).status in (202, 409)  # or it is watched already
        for _ in range(rounds):
            for name in _order(stack):
                _restart(stack, name, stops)
                say(f"{name} restarted, stopped in {stops[name.rstrip('0123456789')][-1]:.1f} s")
        ended = time.time()
    _await_loaded(stack, delivered)
    return Rolled(
        statuses=seen.statuses,
        errors=seen.errors,
        steady=[took for at, took in seen.times if steady <= at < began],
        during=[took for at, took in seen.times if began <= at < ended],
        stops=stops,
        batches=len({row[0] for row in stack.sql("SELECT id FROM ingest_batches")} - before),
        restarts=sum(map(len, stops.values())),
        wrong=wrong(stack, seen.made),
    )


def _order(stack: Stack) -> list[str]:
    webs = [f"web{number + 1}" for number in range(stack.webs)]
    return [*webs, *(f"worker{number + 1}" for number in range(stack.workers)), "beat"]


def _restart(stack: Stack, name: str, stops: dict[str, list[float]]) -> None:
    kind, number = name.rstrip("0123456789"), int(name[-1]) if name[-1].isdigit() else 0
    stops[kind].append(stack.stop(name))
    if kind == "web":
        stack.start_web(number)
        eventually(lambda: stack.is_ready(number), patience=120)
    elif kind == "worker":
        stack.start_worker(number)
        eventually(lambda: stack.is_healthy(name), patience=120)
    else:
        stack.start_beat()


def _await_loaded(stack: Stack, delivered: dict[str, bytes]) -> None:
    eventually(lambda: delivered.keys() <= stack.statuses().keys() and stack.is_settled(), patience=300, every=0.5)
    eventually(lambda: {*stack.statuses().values()} == {"archived"}, patience=120, every=0.5)


def wrong(stack: Stack, made: list[str]) -> list[str]:
    """Of the night: each file once, each row accounted for. Of the writes: what was answered is there, and once."""
    stored = dict(stack.sql("SELECT name, count(*) FROM facilities WHERE name LIKE 'Load %%' GROUP BY name"))
    attempts = stack.sql("SELECT object_key, attempts FROM ingest_batches WHERE attempts > 1")
    return [
        *invariants.violations(stack, stack.earlier),
        *(f"{key} took {count} attempts" for key, count in attempts),
        *(f"{name} was answered and is not there" for name in made if name not in stored),
        *(f"{name} is there {count} times" for name, count in stored.items() if count > 1),
    ]
