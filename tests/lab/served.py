"""The site over a cluster, and two stewards of two states who ask it: whatever stands between it and the database."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import requests

from tests.lab.cluster import Cluster, eventually

PEOPLE = 200  # of each state
ROWS = f"""
INSERT INTO facilities (id, name, state, lga, lga_name, type)
VALUES (1, 'Kano Clinic', 'KANO', 'Dala', 'Dala', 'Clinic'), (2, 'Lagos Clinic', 'LAGOS', 'Ikeja', 'Ikeja', 'Clinic');
SELECT setval(pg_get_serial_sequence('facilities', 'id'), 2);
INSERT INTO patients (facility_id, first_name, last_name, sex, dob, phone, batch_id, line)
SELECT 1 + n % 2, 'Amina', 'Bello-' || n, 'F', date '1980-01-01' + n, NULL, 1, n
FROM generate_series(1, {2 * PEOPLE}) n;
INSERT INTO triage_visits (patient_id, facility_id, triage_level, conditions, recommendations, visited_at, fingerprint)
SELECT id, facility_id, 1 + id % 5, ARRAY['Malaria'], '{{}}', now() - id % 300 * interval '1 day', gen_random_uuid()
FROM patients;
"""  # our own number
MAKE_USERS = """
import json
from clinical import sessions
from clinical.models import Login, Membership, User
from medilink.api import signing
tokens = {}
for state in ("KANO", "LAGOS"):
    user = User.objects.create_user(state.lower())
    Membership.objects.create(user=user, role="steward", state=state)
    login = sessions.begin(user, Login.Kind.APP, is_verified=False, key=sessions.new_key())
    tokens[state] = signing.signed(signing.ACCESS, login.pk)
print(json.dumps(tokens))
"""
FACILITY = {"KANO": 1, "LAGOS": 2}


@dataclass
class Site:
    cluster: Cluster
    address: str
    tokens: dict[str, str]

    def call(self, state: str, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        known = {"Authorization": f"Bearer {self.tokens[state]}"} | headers
        return requests.request(method, self.address + path, json=body, headers=known, timeout=60)

    def get(self, state: str, path: str) -> requests.Response:
        return self.call(state, "GET", path)


def filled(cluster: Cluster) -> dict[str, str]:
    """Rows of two states, their marts, and the token of each one's steward."""
    cluster.sql(ROWS)
    cluster.run("refresh_marts", "--force", check=True)
    tokens: dict[str, str] = json.loads(cluster.run("shell", "-v0", "-c", MAKE_USERS, check=True).stdout)
    return tokens


@contextmanager
def site(cluster: Cluster, tokens: dict[str, str], name: str = "site", threads: int = 8, **env: str) -> Iterator[Site]:
    port = cluster.free_port()
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", port, "--no-ws", "--blocking-threads", threads]
    freely = {"THROTTLE_USER": "off", "THROTTLE_PATIENTS": "off", "ENUMERATION_ALARM": "1000000000"}
    cluster.start(name, "-m", "granian", *options, "medilink.wsgi:application", **freely, **env)
    found = Site(cluster, f"http://127.0.0.1:{port}", tokens)
    try:
        eventually(lambda: _is_ready(found.address))
        yield found
    finally:
        cluster.kill(name)


def _is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/readyz", timeout=5).ok
    except requests.ConnectionError:
        return False


def at_once(deeds: Iterable[Callable[[], list[str]]], threads: int, number: int) -> list[str]:
    """What is wrong with the first `number` of these, done by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        return [wrong for found in pool.map(lambda deed: deed(), islice(deeds, number)) for wrong in found]
