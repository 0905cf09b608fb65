"""What our processes count: requests, tasks, stages. Each adds its own to one hash of the broker's server.

So one scrape of any web process tells of all processes on all hosts, those that have ended included; nothing lies on a
disk. A count costs a request microseconds. Where nobody answers, it is added the next time. Where the answer to the
adding itself is lost, it may have been added and is dropped: for the alerts too few is better than twice. A process
that is killed loses five seconds of counts. Names and labels are ours, from closed lists: never a path, a name, an id.
"""

import atexit
import logging
import os
import socket
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from multiprocessing.util import Finalize

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from medilink.broker import counters

logger = logging.getLogger(__name__)
COUNTS = "medilink:counts"  # series → number
IN_FLIGHT = "medilink:in-flight"  # process → "how many, when it said so"
WORKERS = "medilink:workers"  # worker → when it said that it lives
EVERY = 5.0  # seconds
SILENT = 30.0  # seconds after which a process is taken for dead
FORGOTTEN = 24 * 3600.0
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds

Labels = tuple[tuple[str, str], ...]


def series(name: str, labels: Labels | Mapping[str, str] = ()) -> str:
    """As Prometheus writes it: name{label="value"}."""
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in sorted(pairs))
    return f"{name}{{{told}}}" if told else name


def _escaped(text: str) -> str:
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Counts:
    """Of this process since it was last able to tell them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._flusher: threading.Thread | None = None
        self.in_flight = 0
        self._has_told_flights = False
        self._totals: dict[tuple[str, Labels], float] = defaultdict(float)
        self._observed: dict[tuple[str, Labels], list[float]] = {}

    def add(self, name: str, labels: Labels, amount: float = 1) -> None:
        with self._lock:
            self._totals[name, labels] += amount

    def took(self, name: str, labels: Labels, seconds: float) -> None:
        """A sum and a count of seconds."""
        with self._lock:
            self._totals[f"{name}_sum", labels] += seconds
            self._totals[f"{name}_count", labels] += 1

    def observe(self, name: str, labels: Labels, seconds: float) -> None:
        """A histogram of seconds."""
        with self._lock:
            found = self._observed.get((name, labels))
            if found is None:
                found = self._observed[name, labels] = [0.0] * (len(BUCKETS) + 2)
            found[bisect_left(BUCKETS, seconds)] += 1
            found[-1] += seconds

    def enter(self) -> None:
        with self._lock:
            self.in_flight += 1
        if self._flusher is None:
            self._flush_from_now_on()

    def leave(self) -> None:
        with self._lock:
            self.in_flight -= 1

    def flush(self) -> None:
        """Adds what was counted to what all have counted. A broker that is away is no reason to fail."""
        if not settings.REDIS_URL:
            return
        with self._flushing:
            taken, observed = self._take()
            if not (taken or observed or self._has_told_flights or self.in_flight):
                return
            may_be_added = False
            try:
                with counters() as kept:
                    kept.ping()
                    may_be_added = True
                    self._tell(kept, _as_series(taken, observed))
            except RedisError as error:
                logger.debug("Counts %s: %s", "are dropped" if may_be_added else "wait", type(error).__name__)
                if not may_be_added:
                    self._give_back(taken, observed)

    def _take(self) -> tuple[dict[tuple[str, Labels], float], dict[tuple[str, Labels], list[float]]]:
        with self._lock:
            taken, observed = self._totals, self._observed
            self._totals, self._observed = defaultdict(float), {}
            return taken, observed

    def _give_back(
        self, taken: dict[tuple[str, Labels], float], observed: dict[tuple[str, Labels], list[float]]
    ) -> None:
        with self._lock:
            for key, amount in taken.items():
                self._totals[key] += amount
            for key, cells in observed.items():
                now = self._observed.get(key, [0.0] * len(cells))
                self._observed[key] = [a + b for a, b in zip(now, cells, strict=True)]

    def _tell(self, kept: "Redis", amounts: dict[str, float]) -> None:
        pipeline = kept.pipeline()  # one transaction: a histogram's buckets fit together
        for name, amount in amounts.items():
            pipeline.hincrbyfloat(COUNTS, name, amount)
        me = f"{socket.gethostname()}:{os.getpid()}"
        if self.in_flight:
            pipeline.hset(IN_FLIGHT, me, f"{self.in_flight} {time.time():.0f}")
        else:
            pipeline.hdel(IN_FLIGHT, me)
        self._has_told_flights = bool(self.in_flight)
        pipeline.execute()

    def _flush_from_now_on(self) -> None:
        with self._lock:
            if self._flusher is None:
                self._flusher = threading.Thread(target=self._go_on_flushing, name="counts", daemon=True)
                self._flusher.start()
                # A process that multiprocessing forked, as a worker of granian's, ends without atexit.
                Finalize(None, self.flush, exitpriority=0)

    def _go_on_flushing(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY):
            self.flush()


def _as_series(
    taken: dict[tuple[str, Labels], float], observed: dict[tuple[str, Labels], list[float]]
) -> dict[str, float]:
    amounts = {series(name, labels): amount for (name, labels), amount in taken.items()}
    for (name, labels), cells in observed.items():
        *cells, total = cells
        so_far = 0.0
        for end, cell in zip((*BUCKETS, float("inf")), cells, strict=True):
            so_far += cell
            le = "+Inf" if end == float("inf") else f"{end:g}"
            amounts[series(f"{name}_bucket", (*labels, ("le", le)))] = so_far
        amounts[series(f"{name}_sum", labels)] = total
        amounts[series(f"{name}_count", labels)] = so_far
    return amounts


counts = Counts()
atexit.register(lambda: counts.flush())
os.register_at_fork(after_in_child=lambda: counts.__init__())  # type: ignore[misc]  # what the parent counted it tells itself


def live(worker: str) -> None:
    """A worker says that it lives."""
    try:
        with counters() as kept:
            kept.zadd(WORKERS, {worker: time.time()})
            kept.zremrangebyscore(WORKERS, 0, time.time() - FORGOTTEN)
    except RedisError as error:
        logger.debug("Not told that it lives: %s", type(error).__name__)


def counted(kept: "Redis") -> dict[str, float]:
    """What all have counted: series → number."""
    found: dict[bytes, bytes] = kept.hgetall(COUNTS)  # type: ignore[assignment]  # nothing is decoded
    return {name.decode(): float(amount) for name, amount in found.items()}


def in_flight(kept: "Redis") -> float:
    """Of those that have spoken lately; the dead are taken off."""
    total, now = 0.0, time.time()
    for process, told in kept.hgetall(IN_FLIGHT).items():
        number, at = told.split()
        if now - float(at) < SILENT:
            total += float(number)
        else:
            kept.hdel(IN_FLIGHT, process)
    return total


def workers_alive(kept: "Redis") -> int:
    return int(kept.zcount(WORKERS, time.time() - SILENT, "+inf"))
