"""How a night of many files scales with workers, and what bounds it: python -m tests.bench_workers --help

One PostgreSQL (durable), one Valkey and one S3 stand-in, all of this machine and private; the nightly task is queued,
and the time runs until its run is done. Each worker is a Celery process that loads one file at a time. With
--namespaces (root) each worker lives in a network namespace of its own and reaches the servers over a bridge of the
kernel's, as another machine would. `busy` is the share of all cores that was in use, by whomever; then whose it was,
in cores, and what the loads' sessions waited for: `worker` is PostgreSQL waiting for the worker's next word.
"""

import argparse
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from tests.lab import hosts
from tests.lab.cluster import Cluster, eventually
from tests.lab.crowds import many_files
from tests.lab.hosts import Host

FILES_PER_FOLDER = 3
TICK = 100  # of /proc, per second
WIDTH = 40
ACTIVITY = """
SELECT CASE WHEN state = 'active' AND wait_event_type IS NULL THEN 'running'
            WHEN state <> 'active' THEN 'worker' ELSE lower(wait_event_type) END
FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'
AND datname = current_database()
"""


class Night(NamedTuple):
    seconds: float
    busy: float
    rows: int
    cores: dict[str, float]  # by whose processes
    waits: Counter[str]  # of the loads' sessions, at instants


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200, help="about so many (200)")
    parser.add_argument("--people", type=int, default=300, help="per folder, with a record and a visit each (300)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3, 4], help="numbers to try (1 2 3 4)")
    parser.add_argument("--namespaces", action="store_true", help="each worker in a network namespace of its own")
    options = parser.parse_args()
    if options.namespaces and (reason := hosts.why_not()):
        parser.error(reason)
    delivered = many_files(1, folders=options.files // FILES_PER_FOLDER, people=options.people)
    cluster = Cluster()
    spread = hosts.on_a_bridge(cluster, max(options.workers)) if options.namespaces else nullcontext(list[Host]())
    try:
        with spread as found:
            print(f"{len(delivered)} files, {sum(len(body.splitlines()) - 1 for body in delivered.values()):,} rows")
            nights = {number: night(cluster, delivered, number, found[:number]) for number in options.workers}
        draw(nights)
    finally:
        cluster.close()


def night(cluster: Cluster, delivered: dict[str, bytes], workers: int, found: list[Host]) -> Night:
    cluster.fresh()
    cluster.deliver(delivered)
    names = [f"worker{n}" for n in range(workers)]
    there = [(host.prefix, hosts.environment(cluster)) for host in found]
    started_by = dict(zip(names, there or [((), cluster.past_the_wires())] * workers, strict=True))
    roots = {
        "postgres": [cluster.postgres.process.pid],
        "broker": [cluster._valkey.pid],
        "S3": [cluster._s3.process.pid],
    }
    roots["workers"] = [
        cluster.worker(name, concurrency=1, prefix=prefix, **environment).pid
        for name, (prefix, environment) in started_by.items()
    ]
    for name in names:
        cluster.await_log(name, "ready.")
    with waits_of(cluster) as waits:
        started, used = time.monotonic(), ticks()
        spent = {kind: sum(map(ticks_of, pids)) for kind, pids in roots.items()}
        cluster.queue("ingestion.tasks.nightly")
        ended = "SELECT 1 FROM ingest_runs WHERE finished_at IS NOT NULL"
        eventually(lambda: cluster.sql(ended), patience=3600, every=0.3)
        seconds, after = time.monotonic() - started, ticks()
        cores = {kind: (sum(map(ticks_of, pids)) - spent[kind]) / TICK / seconds for kind, pids in roots.items()}
    cluster.stop_all()
    [(files, rows)] = cluster.sql(
        "SELECT count(*), sum(rows_read) FROM ingest_batches WHERE status IN ('loaded', 'archived')"
    )
    assert files >= len(delivered), "not everything was loaded"
    idle, total = (after[n] - used[n] for n in (0, 1))
    return Night(seconds, 1 - idle / total, int(rows), cores, waits)


def draw(nights: dict[int, Night]) -> None:
    kinds = [*next(iter(nights.values())).cores]
    first, best = next(iter(nights.values())), max(one.rows / one.seconds for one in nights.values())
    print(f"{'workers':>8} {'seconds':>8} {'rows/s':>8} {'of one':>7} {'busy':>5}", *(f"{kind:>9}" for kind in kinds))
    for number, one in nights.items():
        speeds = f"{one.rows / one.seconds:>8,.0f} {first.seconds / one.seconds:>6.2f}x {one.busy:>5.0%}"
        print(f"{number:>8} {one.seconds:>8.1f} {speeds}", *(f"{one.cores[kind]:>9.2f}" for kind in kinds))
    print("\nrows/s, and what the sessions of the loads were at:")
    for number, one in nights.items():
        speed, looks = one.rows / one.seconds, one.waits.total() or 1
        shares = ", ".join(f"{kind} {count / looks:.0%}" for kind, count in one.waits.most_common(5))
        print(f"{number:>3} {'#' * round(WIDTH * speed / best):<{WIDTH}} {speed:>7,.0f}  {shares}")


@contextmanager
def waits_of(cluster: Cluster) -> Iterator[Counter[str]]:
    """What each session in a transaction is at, looked at ten times a second."""
    found: Counter[str] = Counter()
    is_over = threading.Event()

    def look() -> None:
        with cluster.session() as cursor:
            while not is_over.wait(0.1):
                cursor.execute(ACTIVITY)
                found.update(kind for (kind,) in cursor.fetchall())

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield found
    finally:
        is_over.set()
        looking.join()


def ticks() -> tuple[int, int]:
    """Idle ones and all, of all cores."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return numbers[3] + numbers[4], sum(numbers)


def ticks_of(root: int) -> int:
    """Of a process and all below it, those that have ended included."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        pid = int(path.parent.name)
        parents[pid], used[pid] = int(words[1]), sum(map(int, words[11:15]))
    family = {root}
    while below := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= below
    return sum(used.get(pid, 0) for pid in family)


if __name__ == "__main__":
    main()
