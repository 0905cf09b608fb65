"""A steady load of reads and writes through the proxy: `python -m tests.stack.load` takes its orders as JSON on stdin.

A process of its own, so that whoever restarts things does not slow it down. When its standard input ends it stops, and
writes what it has seen.
"""

import itertools
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from tests.stack.client import Site

READS = ("/api/facilities?state=KANO", "/api/patients?per_page=20", "/api/batches", "/api/analytics/triage-trends")


class Load:
    def __init__(self, orders):
        self.orders, self.is_over = orders, threading.Event()
        self.statuses, self.errors = Counter(), Counter()
        self.times: list[tuple[float, float]] = []  # when it began, and how long it took
        self.made: set[str] = set()
        self._numbers, self._lock = itertools.count(1), threading.Lock()

    def run(self):
        """One caller: as often as it is told, a read or a write; late ones are not made up for."""
        site = Site(self.orders["host"], self.orders["port"], Path(self.orders["authority"]), timeout=30)
        while not self.is_over.is_set():
            began = time.time()
            number = next(self._numbers)
            self._ask(site, number)
            self.is_over.wait(max(0, self.orders["pause"] - (time.time() - began)))
        site.close()

    def _ask(self, site, number):
        began, is_write = time.time(), number % 4 == 0
        named = {"Authorization": f"Bearer {self.orders['token']}"}
        try:
            if is_write:
                told = {
                    "name": f"Load {self.orders['run']}-{number}",
                    "state": "KANO",
                    "lga": "Dala",
                    "type": "Clinic",
                    "lat": None,
                    "lon": None,
                }
                answer = site.post("/api/facilities", told, Idempotency_Key=told["name"].replace(" ", "-"), **named)
            else:
                answer = site.get(READS[number % len(READS)], **named)
        except Exception as error:
            with self._lock:
                self.errors[f"{type(error).__name__}"] += 1
            return
        with self._lock:
            self.statuses[f"{'POST' if is_write else 'GET'} {answer.status}"] += 1
            self.times.append((began, time.time() - began))
            if is_write and answer.status == 201:
                self.made.add(told["name"])
            if answer.status >= 400:
                self.errors[answer.text[:200]] += 1


def main():
    orders = json.loads(sys.stdin.readline())
    load = Load(orders)
    callers = [threading.Thread(target=load.run) for _ in range(orders["callers"])]
    for caller in callers:
        caller.start()
    sys.stdin.read()
    load.is_over.set()
    for caller in callers:
        caller.join()
    told = {"statuses": load.statuses, "errors": load.errors, "times": load.times, "made": sorted(load.made)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
