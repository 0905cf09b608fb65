"""The API against its peers, on one machine in one run: python tests/bench_api.py --help

Needs `wrk`, and a Python with fastapi, uvicorn and asyncpg for the fast peer (--peer-python); the peers' own files
lie in ../shared/bench. What is missing is left out and said so. It makes databases of its own in a throw-away server.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT.parent / "shared" / "bench"
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "medilink.settings"
os.environ["SECRET_KEY"] = "of-a-benchmark-only-" * 4
os.environ["THROTTLE_USER"] = os.environ["THROTTLE_PATIENTS"] = "off"  # the peers have none
PORTS = {"medilink": 18101, "fastapi": 18102, "plain DRF": 18103}

ROWS = """
INSERT INTO facilities (name, state, lga, lga_name, type)
SELECT 'Facility ' || n, (ARRAY['LAGOS','KANO','KADUNA','RIVERS','OYO','ENUGU','ABIA','BORNO'])[1 + n %% 8],
       'LGA ' || n %% 774, 'LGA ' || n %% 774, 'Hospital' FROM generate_series(1, %(facilities)s) n;
INSERT INTO patients (facility_id, first_name, last_name, sex, dob, phone, batch_id, line)
SELECT 1 + floor(random() * %(facilities)s)::int, (ARRAY['John','Amina','Ngozi','Ibrahim','Fatima'])[1 + n %% 5],
       'Okafor-' || n, (ARRAY['M','F'])[1 + n %% 2], date '1935-01-01' + (random() * 33000)::int,
       '+23480' || lpad((random() * 99999999)::int::text, 8, '0'), 1, n FROM generate_series(1, %(patients)s) n;
INSERT INTO triage_visits (patient_id, facility_id, triage_level, conditions, recommendations, visited_at, fingerprint)
SELECT id, facility_id, 1 + id %% 5, ARRAY['Malaria'], '{}', now() - id %% 300 * interval '1 day', gen_random_uuid()
FROM patients WHERE id <= 100000;
"""
PEER_TABLE = """
CREATE TABLE patients (id int PRIMARY KEY, facility_id int NOT NULL, first_name varchar(100) NOT NULL,
    last_name varchar(100) NOT NULL, sex varchar(10) NOT NULL, dob date NOT NULL, phone varchar(20),
    created_at timestamptz NOT NULL);
CREATE INDEX ON patients (facility_id)
"""
# What a FastAPI developer would add for the statistics: the same mart, read by asyncpg.
PEER_STATS = """
import sys
sys.path.insert(0, {folder!r})
from peer_fastapi import app
from pydantic import BaseModel


class Facility(BaseModel):
    facility_id: int
    facility_name: str
    state: str
    patient_count: int
    record_count: int
    triage_count: int
    avg_triage_level: float | None


class Stats(BaseModel):
    total_facilities: int
    total_patients: int
    total_records: int
    total_triage_visits: int
    facilities: list[Facility]


@app.get("/api/analytics/facility-stats")
async def stats() -> Stats:
    async with app.pool.acquire() as c:
        rows = await c.fetch(
            "select facility_id, facility_name, state, total_patients patient_count,"
            " total_medical_records record_count, total_triage_visits triage_count, avg_triage_level"
            " from stats order by facility_id")
    found = [Facility(**dict(r)) for r in rows]
    return Stats(total_facilities=len(found), total_patients=sum(f.patient_count for f in found),
        total_records=sum(f.record_count for f in found), total_triage_visits=sum(f.triage_count for f in found),
        facilities=found)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=100_000, help="rows in the list (default 100,000)")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="of all in turn; the median counts (default 3)")
    parser.add_argument("--peer-python", help="a Python with fastapi, uvicorn and asyncpg")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    with _servers(options) as headers:
        _measure(options, headers)


@contextmanager
def _servers(options: argparse.Namespace) -> Iterator[dict[str, list[str]]]:
    """Each server that can be had, and the headers that it wants."""
    from medilink import embedded

    folder = Path(tempfile.mkdtemp(prefix="ml-bench-"))
    embedded.provide(folder, is_throwaway=True)
    token = _fill(options.patients)
    headers = {"medilink": ["-H", f"Authorization: Bearer {token}"]}
    granian = ["--interface", "wsgi", "--workers", "2", "--blocking-threads", "2", "--no-ws", "--log-level", "warning"]
    port = ["--host", "127.0.0.1", "--port"]
    started = [
        _start([sys.executable, "-m", "granian", *granian, *port, f"{PORTS['medilink']}", "medilink.wsgi:application"])
    ]
    if options.peer_python and PEERS.is_dir():
        (folder / "peer_stats.py").write_text(PEER_STATS.format(folder=str(PEERS)))
        uvicorn = ["-m", "uvicorn", "peer_stats:app", "--workers", "2", "--no-access-log", "--log-level", "warning"]
        dsn = f"postgres://medilink@/seedpeer?host={_socket()}"
        command = [options.peer_python, *uvicorn, "--port", f"{PORTS['fastapi']}"]
        started.append(_start(command, folder, PEER_DSN=dsn))
        headers["fastapi"] = []
    else:
        print("No FastAPI peer: --peer-python or ../shared/bench is missing.")
    if PEERS.is_dir():
        command = [sys.executable, "-m", "granian", *granian, *port, f"{PORTS['plain DRF']}", "peer_drf:application"]
        started.append(_start(command, PEERS, PEER_HOST=_socket(), DJANGO_SETTINGS_MODULE=""))
        headers["plain DRF"] = []
    try:
        for name in headers:
            _await(name, token)
        yield headers
    finally:
        for process in started:
            process.terminate()
            process.wait()


def _socket() -> str:
    return os.environ["DATABASE_URL"].partition("host=")[2]


def _start(command: list[str], folder: Path = ROOT, **environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, cwd=folder, env=os.environ | environment)


def _await(name: str, token: str) -> None:
    request = urllib.request.Request(  # our own address
        f"http://127.0.0.1:{PORTS[name]}/api/patients/1", headers={"Authorization": f"Bearer {token}"}
    )
    for _ in range(120):
        with suppress(OSError):
            try:
                urllib.request.urlopen(request).close()
                return
            except urllib.error.HTTPError as error:
                sys.exit(f"{name} answers {error.code}")
        time.sleep(0.5)
    sys.exit(f"{name} does not start")


def _fill(patients: int) -> str:
    """Rows for everybody; the token of a user whose scope is the nation."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from analytics import marts
    from clinical import sessions
    from clinical.models import Login, Membership, User
    from medilink.api import signing

    print(f"Filling in {patients:,} patients")
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(ROWS, {"facilities": max(20, patients // 250), "patients": patients})
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CREATE DATABASE seedpeer")
        cursor.execute("CREATE ROLE postgres SUPERUSER LOGIN")  # names that peer_drf.py has fixed
    marts.refresh(is_forced=True)
    _copy_for_peers()
    user = User.objects.create_user("bench")
    Membership.objects.create(user=user, role="steward")
    login = sessions.begin(user, Login.Kind.APP, is_verified=False, key=sessions.new_key())
    connection.close()
    return signing.signed(signing.ACCESS, login.pk)


def _copy_for_peers() -> None:
    import io

    import psycopg2
    from django.db import connection

    peer = psycopg2.connect(dbname="seedpeer", user="medilink", host=_socket())
    peer.autocommit = True
    with peer.cursor() as into, connection.cursor() as source:
        into.execute(PEER_TABLE)
        columns = "id, facility_id, first_name, last_name, sex, dob, phone, created_at"
        stats = (
            "facility_id, facility_name, state, total_patients, total_medical_records, total_triage_visits,"
            " avg_triage_level"
        )
        into.execute(
            "CREATE TABLE stats (facility_id int PRIMARY KEY, facility_name text, state text, total_patients int,"
            " total_medical_records int, total_triage_visits int, avg_triage_level float)"
        )
        for table, query in (
            ("patients", f"SELECT {columns} FROM patients"),
            ("stats", f"SELECT {stats} FROM marts.dim_facilities"),
        ):
            rows = io.StringIO()
            source.copy_expert(f"COPY ({query}) TO STDOUT", rows)
            rows.seek(0)
            into.copy_expert(f"COPY {table} FROM STDIN", rows)
        into.execute("VACUUM ANALYZE")
    peer.close()


def _measure(options: argparse.Namespace, headers: dict[str, list[str]]) -> None:
    deep = options.patients // 2
    paths = {
        "list of 50, unfiltered": "/api/patients",
        "list of 50 by facility": "/api/patients?facility_id=17",
        "one patient": "/api/patients/777",
        "facility-stats": "/api/analytics/facility-stats",
        f"cursor at {deep:,}": f"/api/patients?cursor={_cursor(deep)}",
    }
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for what, path in paths.items():
            for name in headers:
                has_it = name == "medilink" or "cursor" not in path
                if has_it and not (name == "plain DRF" and path.endswith("stats")):
                    rates.setdefault((what, name), []).append(_rate(name, path, headers[name], options.seconds))
    print(f"\nRequests per second, two workers each, wrk -c4, median of {options.rounds}; {os.cpu_count()} cores")
    print(f"| | {' | '.join(headers)} | medilink / fastapi |\n|---|{'---|' * (len(headers) + 1)}")
    for what in paths:
        found = {name: statistics.median(rates[what, name]) for name in headers if (what, name) in rates}
        ratio = f"{found['medilink'] / found['fastapi']:.2f}" if "fastapi" in found else ""
        cells = [f"{found[name]:,.0f}" if name in found else "" for name in headers]
        print(f"| {what} | {' | '.join(cells)} | {ratio} |")


def _cursor(last: int) -> str:
    from clinical.api.lists import Order, cursor_of

    return cursor_of(Order("id"), {"id": last})


def _rate(name: str, path: str, headers: list[str], seconds: int) -> float:
    command = ["wrk", "-c4", "-t1", f"-d{seconds}s", *headers, f"http://127.0.0.1:{PORTS[name]}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        sys.exit(f"{name} refuses {path}")
    return float(re.findall(r"Requests/sec:\s+([0-9.]+)", said)[0])


if __name__ == "__main__":
    main()
