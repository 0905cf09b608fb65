"""A database that is lost, or that somebody has spoilt: on a server that knows nothing of ours. S50, S51.

python -m pytest -m drill tests/lab/test_recovery.py -s
"""

import json

import pytest
import requests

from tests.deliveries import DIGESTS
from tests.lab import invariants, load
from tests.lab.cluster import eventually
from tests.lab.crowds import many_files
from tests.lab.plain_postgres import PlainServer

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1800)]
PASSWORD = "rolling-Along-2026"
MAKE_PEOPLE = f"""
from clinical import logins
logins.create_user("boss", is_superuser=True, password="{PASSWORD}")
"""


@pytest.fixture
def server(cluster):
    folder = cluster.folder / f"plain{cluster._number}"
    folder.mkdir(mode=0o700)
    server = PlainServer(folder, cluster._servers)
    yield server
    server.stop()


def digest(server):
    return [server.sql(f"SELECT md5(string_agg(t::text, chr(10))) FROM ({query}) t") for query in DIGESTS]


def test_a_patient_deleted_by_mistake_is_there_again_as_of_the_moment_before(cluster, server):
    """Point in time: a base backup of the night before, and what was archived since."""
    server.start()
    server.sql("CREATE DATABASE medilink", "postgres")
    cluster.run("migrate", "-v0", check=True, DATABASE_URL=server.url())
    cluster.deliver(many_files(1, folders=3))
    assert cluster.ingest(DATABASE_URL=server.url()) in load.ACCEPTED
    base = server.base_backup("base")
    cluster.deliver({f"later/{name}": body for name, body in many_files(2, folders=5).items()})
    assert cluster.ingest(DATABASE_URL=server.url()) in load.ACCEPTED
    noted, [(moment,)] = digest(server), server.sql("SELECT now()::text")
    server.sql("DELETE FROM triage_visits; DELETE FROM medical_records; DELETE FROM patients")
    assert digest(server) != noted
    [(last,)] = server.sql("SELECT pg_walfile_name(pg_switch_wal())")
    eventually(lambda: (server.archive / last).is_file())
    server.stop()
    server.recover(base, until=moment)
    assert digest(server) == noted
    assert cluster.run("migrate", "--check", DATABASE_URL=server.url()).returncode == 0


def test_a_restore_on_an_empty_server_can_be_worked_with(cluster, server):
    """Roles, sequences, rights and log-ins, not the rows alone: people log in, write, and an analyst reads."""
    cluster.deliver(many_files(1, folders=3))
    assert cluster.ingest() in load.ACCEPTED
    cluster.run("shell", "-v0", "-c", MAKE_PEOPLE, check=True)
    cluster.run("create_bi_role", check=True)
    place = f"s3://{cluster.bucket}/night.backup"
    cluster.run("backup", place, check=True)
    clean = invariants.digest(cluster)
    server.start()
    server.sql("CREATE DATABASE medilink", "postgres")
    restored = cluster.run("restore", place, "--into", server.url(), "--json")
    assert restored.returncode == 0, restored.stderr
    told = json.loads(restored.stdout)
    assert (told["different"], told["roles_without_password"]) == ([], ["medilink_bi", "medilink_web"])
    assert [server.sql(query) for query in DIGESTS] == clean
    port = cluster.free_port()
    cluster.start("site", *cluster.site(port), DATABASE_URL=server.url())
    site = f"http://127.0.0.1:{port}"
    eventually(lambda: invariants.status_of(f"{site}/readyz") == 200)
    logged_in = requests.post(f"{site}/api/auth/token", json={"username": "boss", "password": PASSWORD}, timeout=30)
    assert logged_in.status_code == 200, logged_in.text
    named = {"Authorization": f"Bearer {logged_in.json()['access']}"}
    body = {"name": "Clinic of the day after", "state": "KANO", "lga": "Dala", "type": "Clinic"}
    made = requests.post(f"{site}/api/facilities", json=body, headers=named, timeout=30)
    assert made.status_code == 201, made.text  # its number is the next one
    assert cluster.ingest(DATABASE_URL=server.url()) in (0, *load.ACCEPTED)
    assert server.sql("SET ROLE medilink_bi; SELECT count(*) > 0 FROM bi.dim_facilities") == [(True,)]
    assert server.sql("SELECT bool_and(rolcanlogin AND NOT rolsuper) FROM pg_roles WHERE rolname ~ '^medilink_'") == [
        (True,)
    ]
