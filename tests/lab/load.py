"""Who works while something else happens, and how long they waited: readers, a night's load, and one who watches."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg2

from medilink import migrating
from tests.lab.cluster import Cluster
from tests.lab.crowds import many_files

ACCEPTED = (0, 3)
QUESTIONS = (
    "SELECT * FROM patients ORDER BY id DESC LIMIT 50",
    "SELECT * FROM triage_visits WHERE facility_id = (SELECT min(id) FROM facilities) ORDER BY id LIMIT 50",
    "SELECT e.* FROM medical_records e JOIN patients p ON p.id = e.patient_id WHERE p.id % 997 = 5 LIMIT 50",
    "SELECT count(*) FROM ingest_batches",
    "SELECT * FROM marts.dim_facilities LIMIT 50",
    "SELECT * FROM rejected_rows ORDER BY id DESC LIMIT 50",
)
# Who waits for a lock at this moment and for how long, but for the one who migrates.
WAITING = f"""
SELECT extract(epoch FROM clock_timestamp() - l.waitstart), left(a.query, 80)
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE NOT l.granted AND l.waitstart IS NOT NULL AND l.locktype <> 'advisory' AND a.datname = current_database()
  AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {migrating.LOCK} AND granted)
"""


@dataclass
class Seen:
    asked: int = 0
    slowest: float = 0.0
    waited: float = 0.0
    for_what: str = ""
    errors: list[str] = field(default_factory=list)
    loads: list[int] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def at_work(cluster: Cluster) -> Iterator[Seen]:
    """Readers ask, files come and are loaded by the release that `cluster` runs, until it is over."""
    seen, is_over = Seen(), threading.Event()
    threads = [
        threading.Thread(target=_read, args=(cluster, seen, is_over)),
        threading.Thread(target=_read, args=(cluster, seen, is_over)),
        threading.Thread(target=_watch, args=(cluster, seen, is_over)),
        threading.Thread(target=_load, args=(cluster, seen, is_over)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def _read(cluster: Cluster, seen: Seen, is_over: threading.Event) -> None:
    with cluster.session() as cursor:
        while not is_over.wait(0.02):
            for question in QUESTIONS:
                begun = time.monotonic()
                try:
                    cursor.execute(question)
                    cursor.fetchall()
                except psycopg2.Error as error:
                    seen.errors.append(f"{error.pgcode}: {question}")
                seen.asked += 1
                seen.slowest = max(seen.slowest, time.monotonic() - begun)


def _watch(cluster: Cluster, seen: Seen, is_over: threading.Event) -> None:
    with cluster.session() as cursor:
        while not is_over.wait(0.01):
            cursor.execute(WAITING)
            for seconds, query in cursor.fetchall():
                if float(seconds) > seen.waited:
                    seen.waited, seen.for_what = float(seconds), query


def _load(cluster: Cluster, seen: Seen, is_over: threading.Event) -> None:
    number = 0
    while not is_over.is_set():
        number += 1
        files = {  # clinics and patients of their own, so that it does not matter which are loaded first
            f"n{number}/{name}": body.replace(b"Clinic ", b"Clinic %d-" % number)
            for name, body in many_files(number, folders=3, people=300).items()
        }
        cluster.deliver(files)
        seen.files |= files
        seen.loads.append(cluster.ingest())
