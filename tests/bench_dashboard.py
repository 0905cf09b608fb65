"""How long the dashboard takes over many visits, while rows are loaded and the marts refreshed. A command, not a test.

Invents its rows in a private database that is gone afterwards: python -m tests.bench_dashboard --help
"""

import argparse
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path

from tests import own_database

ROOT = Path(__file__).resolve().parent.parent
FACILITIES = """
SET LOCAL session_replication_role = replica;
SELECT setseed(0.42);
INSERT INTO facilities (name, state, lga, lga_name, type, lat, lon)
SELECT (ARRAY['Dala', 'Unity', 'Hope', 'Mercy', 'Alheri', 'Central', 'Ndidi'])[1 + n %% 7] || ' '
           || (ARRAY['Hospital', 'Clinic', 'PHC', 'Pharmacy', 'Maternity'])[1 + n %% 5] || ' ' || n,
       place.state, place.lga, place.lga, (ARRAY['Hospital', 'Clinic', 'PHC', 'Pharmacy', NULL])[1 + n %% 5],
       CASE WHEN n %% 9 > 0 THEN place.north + 0.06 * (random() - 0.5) END,
       CASE WHEN n %% 9 > 0 THEN place.east + 0.06 * (random() - 0.5) END
FROM generate_series(1, %(facilities)s) AS n
JOIN places AS place ON place.number = 1 + (hashint4(n) & 1023) * %(places)s / 1024;
"""
PATIENTS = """
SET LOCAL session_replication_role = replica;
INSERT INTO patients (facility_id, first_name, last_name, sex, dob, phone)
SELECT f.id, 'Ngozi', 'Okafor ' || n, (ARRAY['M', 'F', 'F', 'M', 'F', 'M', 'Unknown', 'Other'])[1 + n %% 8],
       current_date - (power(random(), 1.6) * 31000)::integer,
       CASE WHEN n %% 3 > 0 THEN '+234803' || lpad(n::text, 7, '0') END
FROM generate_series(1, %(patients)s) AS n
JOIN facilities f ON f.id = 1 + floor(power(hashint4(n) %% 1000 / 2000.0 + 0.5, 2) * %(facilities)s)::integer;
"""
EVENTS = """
INSERT INTO triage_visits (patient_id, facility_id, triage_level, conditions, recommendations, visited_at, fingerprint)
SELECT p.id, p.facility_id, (ARRAY[1, 2, 2, 3, 3, 3, 4, 4, 5, 3])[1 + n %% 10],
       ARRAY(SELECT (ARRAY['Malaria', 'Typhoid', 'Upper respiratory infection', 'Hypertension', 'Pneumonia',
             'Diarrhoea', 'Anaemia', 'Asthma', 'Sickle cell crisis', 'Measles', 'Peptic ulcer', 'Diabetes',
             'Skin infection', 'Urinary tract infection', 'Sepsis', 'Trauma', 'Eclampsia', 'Meningitis', 'Cholera',
             'Lassa fever', 'Tuberculosis', 'Otitis media'])[1 + floor(22 * power((n * 7 + k * 13) %% 101 / 101.0, 2))]
             FROM generate_series(1, n %% 3) AS k),
       ARRAY['Rest'], now() - power(random(), 1.15) * interval '%(months)s months' AS visited_at, gen_random_uuid()
FROM (SELECT n, 1 + floor(random() * %(patients)s)::bigint AS id FROM generate_series(1, %(count)s) AS n) AS chosen
JOIN patients p USING (id) ORDER BY visited_at;
"""
RECORDS = """
INSERT INTO medical_records (patient_id, facility_id, record_type, data, recorded_at, fingerprint)
SELECT p.id, p.facility_id, 'Consultation',
       jsonb_build_object('diagnosis', CASE WHEN n %% 8 > 0 THEN 'Diagnosis ' || n %% 200 END, 'treatment', 'rest',
                          'medications', 'Artemether', 'notes', 'seen'),
       now() - random() * interval '%(months)s months', gen_random_uuid()
FROM (SELECT n, 1 + floor(random() * %(patients)s)::bigint AS id FROM generate_series(1, %(count)s) AS n) AS chosen
JOIN patients p USING (id);
"""
WARMING = 4  # requests that count for nothing: each of two processes opens its connection and reads its templates
PAGES = {
    "the nation": "/dashboard",
    "a state": "/dashboard?state=KANO",
    "a facility": "/dashboard?facility_id=17",
    "a condition": "/dashboard?condition=Malaria",
    "a year": "/dashboard?date_from={year}&date_to={today}",
    "CSV of all facilities": "/dashboard/facilities.csv",
}


def main() -> None:
    options = parse()
    own_database.provide(THROTTLE_USER="off")
    cookies = fill(options)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = ["--interface", "wsgi", "--workers", "2", "--blocking-threads", "2", "--no-ws", "--log-level", "warning"]
    process = subprocess.Popen(
        [sys.executable, "-m", "granian", *server, "--port", f"{port}", "medilink.wsgi:application"], cwd=ROOT
    )
    try:
        measure(options, port, cookies["steward"])
        if options.stay:
            print(f"http://127.0.0.1:{port}/dashboard", *(f"{role}={key}" for role, key in cookies.items()), flush=True)
            process.wait()
    finally:
        process.terminate()
        process.wait()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--facilities", type=int, default=5_000, help="how many there are")
    parser.add_argument("--patients", type=int, default=300_000, help="how many there are")
    parser.add_argument("--visits", type=int, default=1_000_000, help="how many there are, and as many records")
    parser.add_argument("--months", type=int, default=24, help="over which they are spread")
    parser.add_argument("--requests", type=int, default=40, help="for each page and way")
    parser.add_argument("--loaded", type=int, default=5_000, help="visits and records of one turn of the load")
    parser.add_argument("--stay", action="store_true", help="go on serving afterwards, and say where")
    return parser.parse_args()


def fill(options: argparse.Namespace) -> dict[str, str]:
    """The session keys of a national steward and analyst, and of a clerk of one LGA."""
    from django.db import connection, transaction
    from django.test import Client

    from analytics import marts
    from clinical import geography
    from clinical.models import Facility, Membership, User

    places = [(state, lga, *geography.CENTRES[state]) for state in geography.STATES for lga in _lgas(state)]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE places (number serial, state text, lga text, north float, east float)")
        for n, (state, lga, north, east) in enumerate(places):
            at = (state, lga, north + 0.4 * ((n * 7 % 11) / 11 - 0.5), east + 0.4 * ((n * 5 % 13) / 13 - 0.5))
            cursor.execute("INSERT INTO places (state, lga, north, east) VALUES (%s, %s, %s, %s)", at)
        known = vars(options) | {"places": len(places)}
        cursor.execute(FACILITIES, known)
        cursor.execute(PATIENTS, known)
        for sql in (EVENTS, RECORDS):
            cursor.execute("SET LOCAL session_replication_role = replica;" + sql, known | {"count": options.visits})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    started = time.perf_counter()
    marts.refresh(is_forced=True)
    print(f"marts refreshed in {time.perf_counter() - started:.0f} s", flush=True)
    one = Facility.objects.order_by("id").first()
    keys = {}
    for role, where in (("steward", {}), ("analyst", {}), ("clerk", {"state": one.state, "lga": one.lga})):
        user = User.objects.create_user(role, is_staff=role == "steward")
        Membership.objects.create(user=user, role=role, **where)
        client = Client()
        client.force_login(user)
        keys[role] = client.cookies["sessionid"].value
    connection.close()
    return keys


def _lgas(state: str) -> list[str]:
    from clinical import geography

    return sorted(geography.LGAS[state])


def measure(options: argparse.Namespace, port: int, cookie: str) -> None:
    from django.utils import timezone

    today = timezone.localdate()
    pages = {name: path.format(today=today, year=today - timedelta(days=364)) for name, path in PAGES.items()}
    _await(port)
    print(f"{'page':<24}{'':<16}{'p50, ms':>9}{'p95, ms':>9}{'kB':>7}")
    for way in ("alone", "during a load"):
        over = threading.Event()
        loading = threading.Thread(target=_load, args=(options, over)) if way != "alone" else None
        if loading:
            loading.start()
        for name, path in pages.items():
            times, size = [], 0
            for _ in range(WARMING + options.requests):
                begun = time.perf_counter()
                size = _ask(port, path, cookie)
                times.append(1000 * (time.perf_counter() - begun))
            times = times[WARMING:]
            cuts = statistics.quantiles(times, n=20)
            print(f"{name:<24}{way:<16}{cuts[9]:>9.0f}{cuts[18]:>9.0f}{size / 1000:>7.0f}", flush=True)
        over.set()
        if loading:
            loading.join()


def _load(options: argparse.Namespace, over: threading.Event) -> None:
    """Events with all their triggers, and the marts after them, again and again."""
    from django.db import connection, transaction

    from analytics import marts

    turns = 0
    while not over.is_set():
        for sql in (EVENTS, RECORDS):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(sql, vars(options) | {"count": options.loaded})
        marts.refresh()
        turns += 1
    print(f"meanwhile {turns} loads of {2 * options.loaded:,} events, and refreshes", flush=True)
    connection.close()


def _ask(port: int, path: str, cookie: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Cookie": f"sessionid={cookie}", "Accept": "text/html"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status}")
    return len(body)


def _await(port: int) -> None:
    for _ in range(240):
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.25)
    sys.exit("The server does not start")


if __name__ == "__main__":
    main()
