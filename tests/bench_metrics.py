"""What being watched costs: python tests/bench_metrics.py --help

A scrape and a probe at a nation's size, and requests per second with and without the middleware that counts them.
Needs `wrk` for the last. In a throw-away server of its own.
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
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "medilink.settings"
os.environ["SECRET_KEY"] = "of-a-benchmark-only-" * 4
os.environ["THROTTLE_USER"] = os.environ["THROTTLE_PATIENTS"] = "off"
UNWATCHED = """
import os, django
from django.conf import settings
settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if "monitoring" not in one]
from medilink.wsgi import application
"""
ROWS = """
SET session_replication_role = replica;
INSERT INTO facilities (name, state, lga, lga_name, type)
SELECT 'Facility ' || n, 'KANO', 'LGA ' || n, 'LGA ' || n, 'Hospital' FROM generate_series(1, 2000) n;
INSERT INTO patients (facility_id, first_name, last_name, sex, dob, batch_id, line)
SELECT 1 + n %% 2000, 'John', 'Okafor-' || n, 'M', date '1970-01-01' + n %% 9000, 1, n
FROM generate_series(1, 100000) n;
INSERT INTO triage_visits (patient_id, facility_id, triage_level, conditions, recommendations, visited_at, fingerprint)
SELECT 1 + n %% 100000, 1 + n %% 2000, 1 + n %% 5, '{{}}', '{{}}', now() - n %% 300 * interval '1 day',
    gen_random_uuid()
FROM generate_series(1, %(visits)s) n;
INSERT INTO ingest_runs (kind, night_on, status, started_at, finished_at, keys, prefix, is_dry, report, error)
SELECT 'nightly', current_date - n, 'done', now() - n * interval '1 day', now() - n * interval '1 day', '[]', '', false,
    '[]', '' FROM generate_series(0, 700) n;
INSERT INTO ingest_batches (kind, run_id, bucket, object_key, etag, last_modified, size, older_versions, folder, source,
    dataset, business_date, status, reasons, warnings, evidence, rows_read, inserted, updated, unchanged, collapsed,
    rejected, blank, attempts, started_at, finished_at, archived_at, archive_key, sha256, settled_why)
SELECT 'nightly', 1 + n %% 700, 'b', 'medical_records/input/state-' || n || '/patients.csv', 'e', now(), 1, '{{}}',
    'state-' || n %% 37, 'patients', (ARRAY['facilities','patients','medical_records','triage_visits'])[1 + n %% 4],
    current_date - n %% 700, 'archived', '{{}}', '{{}}', '{{}}', 100, 90, 0, 9, 0, 1, 0, 1,
    now() - interval '10 s', now(), now(), 'medical_records/archive/x/' || n, repeat('a', 64), ''
FROM generate_series(1, %(batches)s) n;
INSERT INTO rejected_rows (batch_id, line, reasons, raw_sealed, cell_keys, dataset, source, ordinal, raw_hash, state,
    settled_why, times_seen)
SELECT 1 + n %% %(batches)s, n,
    (ARRAY['{{ENUM:sex}}','{{DATE:dob}}','{{UNKNOWN_FACILITY,PHONE:phone}}','{{REF_PATIENT}}'])[1 + n %% 4]::text[],
    repeat('x', 400)::bytea, '{{}}', 'triage_visits', 'patients', 1, gen_random_uuid(), 'open', '', 1
FROM generate_series(1, %(refused)s) n;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=5_000_000)
    parser.add_argument("--batches", type=int, default=100_000, help="two years of a nation's")
    parser.add_argument("--refused", type=int, default=200_000, help="refused rows that are open")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="with and without in turn; the median counts")
    options = parser.parse_args()
    from medilink import embedded

    folder = Path(tempfile.mkdtemp(prefix="ml-bench-"))
    embedded.provide(folder, is_throwaway=True)
    token = _fill(options)
    (folder / "unwatched.py").write_text(UNWATCHED)
    sites = {
        name: _start(port, module, folder)
        for port, name, module in (
            (18121, "watched", "medilink.wsgi:application"),
            (18122, "unwatched", "unwatched:application"),
        )
    }
    try:
        for port in (18121, 18122):
            _await(port)
        _scrapes(token)
        _alone()
        _requests(options, token)
    finally:
        for site in sites.values():
            site.terminate()
            site.wait()


def _fill(options: argparse.Namespace) -> str:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from analytics import marts
    from clinical import sessions
    from clinical.models import Login, Membership, User
    from medilink.api import signing

    call_command("migrate", verbosity=0)
    sizes = {"visits": options.visits, "batches": options.batches, "refused": options.refused}
    print("Filling in " + ", ".join(f"{number:,} {name}" for name, number in sizes.items()), flush=True)
    with connection.cursor() as cursor:
        cursor.execute(ROWS.replace("{{", "{").replace("}}", "}"), sizes)
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("VACUUM ANALYZE")
    marts.refresh(only=["dim_facilities"], is_forced=True)
    user = User.objects.create_user("bench")
    Membership.objects.create(user=user, role="steward")
    login = sessions.begin(user, Login.Kind.APP, is_verified=False, key=sessions.new_key())
    connection.close()
    return signing.signed(signing.ACCESS, login.pk)


def _start(port: int, module: str, folder: Path) -> "subprocess.Popen[bytes]":
    granian = ["--interface", "wsgi", "--workers", "2", "--blocking-threads", "2", "--no-ws", "--log-level", "warning"]
    command = [sys.executable, "-m", "granian", *granian, "--host", "127.0.0.1", "--port", str(port), module]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(folder)})


def _ask(port: int, path: str, token: str = "") -> tuple[float, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    begun = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        return time.perf_counter() - begun, answer.read().decode()


def _await(port: int) -> None:
    for _ in range(120):
        try:
            _ask(port, "/readyz")
            return
        except OSError:
            time.sleep(0.5)
    sys.exit("The site did not start")


def _scrapes(token: str) -> None:
    took = [_ask(18121, "/metrics", token) for _ in range(30)]
    seconds = [one for one, _ in took]
    print(
        f"/metrics: first {seconds[0] * 1000:.0f} ms, median {statistics.median(seconds) * 1000:.0f} ms, "
        f"slowest after the first {max(seconds[1:]) * 1000:.0f} ms, {len(took[0][1].splitlines())} lines"
    )
    first, *later = [dict(re.findall(r'medilink_scrape_seconds\{part="(\w+)"\} (\S+)', text)) for _, text in took]
    for part in first:
        then = statistics.median(float(one[part]) for one in later)
        print(f"  {part:10} {float(first[part]) * 1000:6.1f} ms at first, then {then * 1000:6.1f} ms")
    for path in ("/livez", "/readyz", "/health"):
        print(f"{path}: median {statistics.median(_ask(18121, path)[0] for _ in range(50)) * 1000:.1f} ms")


def _alone() -> None:
    """Around nothing, in this process: what no noise of the machine's other work can hide."""
    from django.http import HttpResponse
    from django.test import RequestFactory
    from django.urls import resolve

    from medilink.monitoring.web import watched

    request, response = RequestFactory().get("/api/patients/1"), HttpResponse()
    request.resolver_match = resolve("/api/patients/1")
    answer = watched(lambda _request: response)
    begun = time.perf_counter()
    for _ in range(20_000):
        answer(request)
    print(f"the middleware alone: {(time.perf_counter() - begun) / 20_000 * 1e6:.1f} us per request")


def _requests(options: argparse.Namespace, token: str) -> None:
    if not shutil.which("wrk"):
        print("wrk is not installed; requests per second are not measured")
        return
    for path in ("/api/patients/1", "/api/patients?per_page=50"):
        found: dict[int, list[float]] = {18121: [], 18122: []}
        for _ in range(options.rounds):
            for port, rates in found.items():
                command = ["wrk", "-t2", "-c8", f"-d{options.seconds}s", "-H", f"Authorization: Bearer {token}"]
                told = subprocess.run(
                    [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
                ).stdout
                assert "Non-2xx" not in told, told
                rates.append(float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]))
        watched, unwatched = (statistics.median(found[port]) for port in (18121, 18122))
        print(f"{path}: {watched:.0f} requests/s watched, {unwatched:.0f} unwatched: {watched / unwatched - 1:+.1%}")


if __name__ == "__main__":
    main()
