"""I1 to I13 of a cluster, as functions that say what is wrong: an empty list is what each test asks for.

They see what anybody sees: tables, the bucket, processes. I3, I10 and I12 need somebody who watches while it happens;
I13 is that `Cluster.is_settled` within a minute.
"""

import csv
import gzip
import hashlib
import io
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deliveries import DIGESTS
from tests.lab.cluster import ARCHIVE, INPUT, Cluster, eventually

LOADED = ("loaded", "archived")
CANARY = "ZZQXCANARY"


def digest(cluster: Cluster) -> list[list[tuple[object, ...]]]:
    """I2: all that the clinical tables say, without surrogate ids and instants of loading."""
    return [cluster.sql(query) for query in DIGESTS]


def violations(cluster: Cluster, delivered: dict[str, bytes]) -> list[str]:
    """I1, I4, I5, I6 and I8 at once. `delivered`: name and bytes of every object that was ever put."""
    return [
        *rows_are_accounted_for(cluster, delivered),
        *archived_means_loaded(cluster),
        *nothing_is_lost(cluster, delivered),
        *each_is_loaded_once(cluster),
        *every_batch_is_written_down(cluster),
    ]


def violations_at_rest(cluster: Cluster, delivered: dict[str, bytes]) -> list[str]:
    """The same where nobody works any more, and that nothing is left of the dead."""
    return [*violations(cluster, delivered), *nothing_is_left_behind(cluster)]


def unlike_a_clean_night(
    cluster: Cluster, clean: list[list[tuple[object, ...]]], delivered: dict[str, bytes]
) -> list[str]:
    """I2 and all the others: what is not as after a night without faults, whose digest is `clean`."""
    eventually(lambda: nothing_is_left_behind(cluster) == [])
    not_archived = [f"{name} is {status}" for name, status in cluster.statuses().items() if status != "archived"]
    other = [] if digest(cluster) == clean else ["I2 the tables differ"]
    return [*other, *not_archived, *violations(cluster, delivered)]


def await_rest(cluster: Cluster) -> None:
    """Until the workers have nothing left to do, the night's marts and checks included. I13: within a minute."""
    eventually(cluster.is_settled)
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_runs WHERE status IN ('some_rows_refused', 'done')"))
    eventually(lambda: cluster.waiting_messages() == 0)
    eventually(lambda: nothing_is_left_behind(cluster) == [])


def rows_are_accounted_for(cluster: Cluster, delivered: dict[str, bytes]) -> list[str]:
    """I1: what was read is what the file holds, counted by another reader, and each row went one way."""
    found = cluster.sql(
        "SELECT object_key, rows_read, inserted + updated + unchanged + collapsed + rejected, rejected,"
        " (SELECT count(*) FROM rejected_rows r WHERE r.batch_id = b.id)"
        " FROM ingest_batches b WHERE status = ANY(%s) AND parent_id IS NULL",
        [*LOADED],
    )
    wrong = []
    for key, read, ways, refused, kept in found:
        held = _count_rows(delivered[key.removeprefix(INPUT)])
        if not read == ways == held:
            wrong.append(f"I1 {key}: read {read}, went {ways}, holds {held}")
        if refused < kept:
            wrong.append(f"I1 {key}: {refused} refused, {kept} kept")
    return wrong


def _count_rows(body: bytes) -> int:
    text = (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode("utf-8-sig")
    return sum(1 for row in csv.reader(io.StringIO(text, newline="")) if row) - 1


def archived_means_loaded(cluster: Cluster) -> list[str]:
    """I4: no archived bytes without a batch that loaded them, no loaded batch without its bytes anywhere."""
    loaded = dict(
        cluster.sql(
            "SELECT sha256, object_key FROM ingest_batches WHERE status = ANY(%s) AND parent_id IS NULL",
            [*LOADED, "duplicate"],
        )
    )
    archive, rest = _hashes(cluster, ARCHIVE), _hashes(cluster, INPUT)
    return [
        *(f"I4 archived and not loaded: {key}" for sha, key in archive.items() if sha not in loaded),
        *(f"I4 loaded and in no place: {key}" for sha, key in loaded.items() if sha not in archive | rest),
    ]


def _hashes(cluster: Cluster, prefix: str) -> dict[str, str]:
    return {hashlib.sha256(_plain(body)).hexdigest(): key for key, body in cluster.objects(prefix).items()}


def _plain(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def nothing_is_lost(cluster: Cluster, delivered: dict[str, bytes]) -> list[str]:
    """I5: every object that was ever put has a batch that ended, and its bytes are still there."""
    ended = {
        key.removeprefix(INPUT)
        for (key,) in cluster.sql(
            "SELECT object_key FROM ingest_batches"
            " WHERE status IN ('archived', 'duplicate', 'rejected', 'held', 'failed', 'discarded')"
        )
    }
    kept = {hashlib.sha256(body).digest() for body in cluster.objects().values()}
    return [
        *(f"I5 never ended: {name}" for name in delivered if name not in ended),
        *(f"I5 gone: {name}" for name, body in delivered.items() if hashlib.sha256(body).digest() not in kept),
    ]


def each_is_loaded_once(cluster: Cluster) -> list[str]:
    """I6: one batch per object version, and no content loaded twice."""
    again = cluster.sql(
        "SELECT dataset, business_date, count(*) FROM ingest_batches WHERE status = ANY(%s) AND parent_id IS NULL"
        " AND rows_read > 0 GROUP BY dataset, business_date, sha256 HAVING count(*) > 1",
        [*LOADED],
    )
    return [f"I6 loaded {times} times: {dataset} of {day}" for dataset, day, times in again]


def every_batch_is_written_down(cluster: Cluster) -> list[str]:
    """I8: the audit log has one row per batch, and every clinical row names a batch that is loaded."""
    wrong = []
    missing = cluster.sql(
        "SELECT b.id FROM ingest_batches b LEFT JOIN etl_audit_log l ON l.batch_id = b.id WHERE l.batch_id IS NULL"
    )
    wrong += [f"I8 batch {batch} is in no audit log" for (batch,) in missing]
    for table in ("facilities", "patients", "medical_records", "triage_visits"):
        orphans = cluster.sql(
            f"SELECT count(*) FROM {table} t WHERE batch_id IS NOT NULL AND NOT EXISTS (SELECT FROM ingest_batches b"
            " WHERE b.id = t.batch_id AND b.status IN ('loaded', 'archived'))"
        )
        wrong += [f"I8 {table}: {count} rows of no loaded batch" for (count,) in orphans if count]
    return wrong


def nothing_is_left_behind(cluster: Cluster) -> list[str]:
    """No staging tables, no sessions in a transaction, no locks of the dead."""
    (tables,) = cluster.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'staged_%' AND relpersistence = 't'")
    (idle,) = cluster.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    (locks,) = cluster.sql(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    found = {"staging tables": tables[0], "open transactions": idle[0], "advisory locks": locks[0]}
    return [f"{count} {what} are left behind" for what, count in found.items() if count]


def names_nobody(text: str) -> list[str]:
    """I11: no patient's data where it does not belong."""
    return ["I11 the canary is in it"] if CANARY in text else []


@contextmanager
def all_or_nothing(cluster: Cluster, table: str, sizes: set[int]) -> Iterator[list[str]]:
    """I3: whoever looks, again and again, sees the table with one of these numbers of rows and no other."""
    wrong: list[str] = []
    is_over = threading.Event()

    def look() -> None:
        with cluster.session() as cursor:
            while not is_over.wait(0.005):
                cursor.execute(f"SELECT count(*) FROM {table}")
                (seen,) = cursor.fetchone()
                if seen not in sizes:
                    wrong.append(f"I3 {table} was seen with {seen} rows")

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield wrong
    finally:
        is_over.set()
        watcher.join()


def peak_memory(pid: int) -> int:
    """I12: the most that the process ever had in memory, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def newest_wins(cluster: Cluster, phones: dict[str, str]) -> list[str]:
    """I7: by first name, the phone that the newest version of a file gave; no older one came over it."""
    stored = dict(cluster.sql("SELECT first_name, phone FROM patients"))
    return [f"I7 {name} has {stored.get(name)}" for name, phone in phones.items() if stored.get(name) != phone]


def marts_are_honest(cluster: Cluster) -> list[str]:
    """I9: once refreshed, the dimensions count what the tables hold."""
    cluster.run("refresh_marts", check=True)
    wrong = []
    for mart, table in (("marts.dim_facilities", "facilities"), ("marts.dim_patients", "patients")):
        [(told, held)] = cluster.sql(f"SELECT (SELECT count(*) FROM {mart}), (SELECT count(*) FROM {table})")
        if told != held:
            wrong.append(f"I9 {mart} counts {told}, there are {held}")
    return wrong


class Availability:
    """I10: asks again and again while something is broken, and remembers every answer's status."""

    def __init__(self, url: str) -> None:
        self.url, self.statuses = url, list[int]()
        self._is_over = threading.Event()
        self._asking = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._is_over.wait(0.05):
            self.statuses.append(status_of(self.url))

    def __enter__(self) -> "Availability":
        self._asking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._asking.join()


def status_of(url: str) -> int:
    """0 where there is no answer at all."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
