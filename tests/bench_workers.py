"""How a night of many files scales with workers: python -m tests.bench_workers --help

One PostgreSQL (durable), one Valkey and one S3 stand-in, all of this machine and private; the nightly task is queued,
and the time runs until its run is done. Each worker is a Celery process that loads one file at a time. With
--namespaces (root) each worker lives in a network namespace of its own and reaches the servers over a veth pair, as
another machine would; there every byte passes a proxy written in Python, which takes its share of the cores. `busy` is
the share of all cores that was in use, by whomever.
"""

import argparse
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.cluster import Cluster, eventually
from tests.lab.crowds import many_files

FILES_PER_FOLDER = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200, help="about so many (200)")
    parser.add_argument("--people", type=int, default=300, help="per folder, with a record and a visit each (300)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="numbers to try (1 2 4)")
    parser.add_argument("--namespaces", action="store_true", help="each worker in a network namespace of its own")
    options = parser.parse_args()
    delivered = many_files(1, folders=options.files // FILES_PER_FOLDER, people=options.people)
    cluster = Cluster()
    try:
        print(f"{len(delivered)} files, {sum(len(body.splitlines()) - 1 for body in delivered.values()):,} rows")
        print(f"{'workers':>8} {'seconds':>8} {'files/s':>8} {'rows/s':>8} {'of one':>7} {'busy':>5}")
        first = None
        for number in options.workers:
            seconds, busy, rows = night(cluster, delivered, number, options.namespaces)
            first = first or seconds
            speeds = f"{len(delivered) / seconds:>8.1f} {rows / seconds:>8,.0f} {first / seconds:>6.2f}x"
            print(f"{number:>8} {seconds:>8.1f} {speeds} {busy:>5.0%}", flush=True)
    finally:
        cluster.close()


def night(cluster: Cluster, delivered: dict[str, bytes], workers: int, in_namespaces: bool) -> tuple[float, float, int]:
    """Seconds, share of the cores that was busy, and rows read."""
    cluster.fresh()
    cluster.deliver(delivered)
    names = [f"worker{n}" for n in range(workers)]
    with namespaces(cluster, workers if in_namespaces else 0) as places:
        for name, (prefix, environment) in zip(
            names, places or [((), cluster.past_the_wires())] * workers, strict=True
        ):
            cluster.worker(name, concurrency=1, prefix=prefix, **environment)
        for name in names:
            cluster.await_log(name, "ready.")
        started, used = time.monotonic(), ticks()
        cluster.queue("ingestion.tasks.nightly")
        ended = "SELECT 1 FROM ingest_runs WHERE finished_at IS NOT NULL"
        eventually(lambda: cluster.sql(ended), patience=3600, every=0.3)
        seconds, after = time.monotonic() - started, ticks()
        cluster.stop_all()
    [(files, rows)] = cluster.sql(
        "SELECT count(*), sum(rows_read) FROM ingest_batches WHERE status IN ('loaded', 'archived')"
    )
    assert files >= len(delivered), "not everything was loaded"
    idle, total = (after[n] - used[n] for n in (0, 1))
    return seconds, 1 - idle / total, int(rows)


def ticks() -> tuple[int, int]:
    """Idle ones and all, of all cores."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return numbers[3] + numbers[4], sum(numbers)


@contextmanager
def namespaces(cluster: Cluster, count: int) -> Iterator[list[tuple[tuple[str, ...], dict[str, str]]]]:
    """Per namespace how a process is started in it, and the servers' addresses as seen from there."""
    places, wires = [], []
    try:
        for n in range(count):
            name, ours, theirs = f"mlbench{n}", f"mlb{n}a", f"mlb{n}b"
            host = f"10.77.{n}.1"
            for words in (
                f"netns add {name}",
                f"link add {ours} type veth peer name {theirs} netns {name}",
                f"addr add {host}/24 dev {ours}",
                f"link set {ours} up",
                f"-n {name} addr add 10.77.{n}.2/24 dev {theirs}",
                f"-n {name} link set {theirs} up",
                f"-n {name} link set lo up",
            ):
                subprocess.run(["ip", *words.split()], check=True)
            lines = [cluster.wire_to_database(host=host), cluster.wire_to_broker(host=host)]
            lines.append(cluster.wire_to_store(host=host))
            wires += lines
            environment = cluster.environment()
            addresses = {
                "DATABASE_URL": environment["DATABASE_URL"],
                "REDIS_URL": environment["REDIS_URL"],
                "AWS_ENDPOINT_URL_S3": environment["AWS_ENDPOINT_URL_S3"],
            }
            ports = (cluster.database.port, cluster.broker.port, int(cluster.store_url.rpartition(":")[2]))
            for (variable, address), port, wire in zip(addresses.items(), ports, lines, strict=True):
                addresses[variable] = address.replace(f"127.0.0.1:{port}", f"{host}:{wire.port}")
            places.append((("ip", "netns", "exec", name), addresses | {"NO_PROXY": host}))
        yield places
    finally:
        for wire in wires:
            wire.close()
        for n in range(count):
            subprocess.run(["ip", "netns", "del", f"mlbench{n}"], check=False)


if __name__ == "__main__":
    main()
