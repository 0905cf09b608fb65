"""A new release beside the one before: it migrates while people work, and both are right on its schema. F59.

python -m pytest -m drill tests/lab/test_upgrade.py -s         MEDILINK_PREVIOUS=COMMIT, MEDILINK_DRILL_PATIENTS=100000
"""

import os
import shutil
import signal
import time

import pytest
import requests

from medilink import embedded, supervisor
from tests import bench_load
from tests.deliveries import DIGESTS
from tests.lab import invariants, load, releases
from tests.lab.cluster import eventually
from tests.lab.crowds import many_files

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1800)]
DAY = "2026-11-20"
LONG = 300.0
PATIENTS = int(os.environ.get("MEDILINK_DRILL_PATIENTS", "100000"))  # each with two visits and three records
MAKE_USER = """
from clinical import logins
logins.create_user("boss", is_superuser=True, password="rolling-Along-2026")
print(logins.issue_token("boss", 1))
"""
LISTS = (
    *("facilities", "patients", "medical-records", "triage-visits", "batches", "rejected-rows"),
    *("analytics/triage-trends", "analytics/facility-stats"),
)


@pytest.fixture
def old(cluster, tmp_path):
    """The cluster as the release before runs it, which has migrated its database."""
    return _migrated(cluster, tmp_path / "old", changes=1)


def _migrated(cluster, folder, *, changes):
    releases.check_out(releases.before(changes), folder)
    cluster.empty()
    old = cluster.running(folder)
    old.run("migrate", "-v0", check=True)
    return old


def digest(cluster):
    """As invariants.digest, reckoned by the database."""
    return [cluster.sql(f"SELECT count(*), md5(string_agg(t::text, chr(10))) FROM ({query}) t") for query in DIGESTS]


def test_nobody_waits_for_a_second_while_it_migrates_and_loads_go_on(cluster, tmp_path):
    """The last ten changes of the schema at once, on tables with rows, in the midst of a load and of readers."""
    old = _migrated(cluster, tmp_path / "old", changes=10)
    missing = releases.migrations(cluster.project) - releases.migrations(old.project)
    delivered = big_files(tmp_path / "first")
    cluster.deliver(delivered)
    assert old.ingest() in load.ACCEPTED
    old.run("refresh_marts", check=True)
    with load.at_work(old) as seen:
        eventually(lambda: seen.loads, LONG)
        begun = time.monotonic()
        migrated = cluster.run("migrate")
        seconds, done = time.monotonic() - begun, len(seen.loads)
        eventually(lambda: len(seen.loads) > done + 1, LONG)
    print(
        f"\n{len(missing)} migrations in {seconds:.1f} s beside {seen.asked:,} questions and {len(seen.loads)} loads; "
        f"held up {migrated.stderr.count('Once more')} times. The longest wait for a lock {seen.waited:.2f} s "
        f"({seen.for_what!r}), the slowest answer {seen.slowest:.2f} s"
    )
    assert migrated.returncode == 0, migrated.stderr
    assert {*seen.loads} <= {*load.ACCEPTED}
    assert seen.errors == []
    assert seen.waited < 1
    assert invariants.violations_at_rest(cluster, delivered | seen.files) == []
    found = digest(cluster)
    cluster.lose_database()
    assert cluster.run("backfill", "--archive").returncode in load.ACCEPTED
    assert digest(cluster) == found


def big_files(folder):
    bench_load.generate(folder, bench_load.Shape.of(PATIENTS))
    return {f"{path.stem}-{DAY}.csv": path.read_bytes() for path in folder.glob("*.csv")}


def test_old_and_new_are_both_right_on_the_new_schema(cluster, old):
    """Both sites answer and take rows, both workers load one night, both make the marts; the numbers are as of one."""
    sites = {name: _site(runs, name) for name, runs in (("old", old), ("new", cluster))}
    eventually(lambda: invariants.status_of(f"{sites['old']}/readyz") == 200)
    eventually(lambda: invariants.status_of(f"{sites['new']}/readyz") == 503)  # it lacks its migrations
    cluster.run("migrate", check=True)
    eventually(lambda: invariants.status_of(f"{sites['new']}/readyz") == 200)
    assert invariants.status_of(f"{sites['old']}/readyz") == 200  # it has all of its own
    files = many_files(5, folders=13)
    cluster.deliver(files)
    for name, runs in (("old-worker", old), ("new-worker", cluster)):
        runs.worker(name, concurrency=1)
        runs.await_log(name, "ready.")
    cluster.queue("medilink.tasks.nightly")
    invariants.await_rest(cluster)
    eventually(lambda: invariants.violations_at_rest(cluster, files) == [])
    assert all(" succeeded in " in cluster.log(name) for name in ("old-worker", "new-worker"))
    for runs in (old, cluster):
        assert runs.run("refresh_marts", "--force").returncode == 0
    assert invariants.marts_are_honest(cluster) == []
    token = cluster.run("shell", "-v0", "-c", MAKE_USER, check=True).stdout.split()[-1]
    answers = {name: [_get(site, page, token).json() for page in LISTS] for name, site in sites.items()}
    assert [_count(page) for page in answers["old"]] == [_count(page) for page in answers["new"]]
    for writes, reads in (("old", "new"), ("new", "old")):
        made = _post(sites[writes], token, f"Clinic of the {writes}")
        assert _get(sites[reads], f"facilities/{made['id']}", token).json()["name"] == made["name"]
    as_of_two = digest(cluster)
    assert "Traceback" not in "".join(cluster.log(name) for name in ("old", "new", "old-worker", "new-worker"))
    cluster.fresh()
    cluster.deliver(files)
    assert cluster.ingest() in load.ACCEPTED
    [(facilities, _)], *rest = digest(cluster)
    assert (rest, facilities + 2) == (as_of_two[1:], as_of_two[0][0][0])


def _site(runs, name):
    port = runs.free_port()
    runs.start(name, *runs.site(port))
    return f"http://127.0.0.1:{port}"


def _count(page):
    """Not all lists are told their whole length."""
    return len(page.get("results", page)) if isinstance(page, dict) else len(page)


def _get(site, page, token):
    answer = requests.get(f"{site}/api/{page}", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert answer.status_code == 200, (page, answer.text)
    return answer


def _post(site, token, name):
    body = {"name": name, "state": "KANO", "lga": "Dala", "type": "Clinic"}
    answer = requests.post(
        f"{site}/api/facilities", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_two_hosts_that_migrate_at_once_are_both_done(cluster):
    cluster.empty()
    for name in ("one", "two"):
        cluster.start(name, "manage.py", "migrate", "-v0")
    assert [cluster.wait("one", 300), cluster.wait("two", 300)] == [0, 0]
    assert "Another process migrates this database" in cluster.log("one") + cluster.log("two")
    assert cluster.run("migrate", "--check").returncode == 0


@pytest.fixture
def pooler(cluster, tmp_path):
    """The port of a real pgbouncer in front of the cluster's database, in transaction mode."""
    if not (program := shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")):
        pytest.skip("NOT SHOWN: pgbouncer is not installed.")
    port, config = cluster.free_port(), tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={cluster.database.port} user=medilink\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\nunix_socket_dir =\n"
    )
    as_whom = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = supervisor.spawn([program, *as_whom, config], output=tmp_path / "pgbouncer.log")
    eventually(lambda: embedded._listens(port))
    yield port
    supervisor.stop(process, signal.SIGTERM, patience=10)


def test_through_a_pooler_nobody_migrates(cluster, pooler):
    refused = cluster.run("migrate", DATABASE_URL=f"postgres://medilink@127.0.0.1:{pooler}/{cluster.database_name}")
    assert (refused.returncode, "leads through a pooler" in refused.stderr) == (1, True), refused.stderr
    assert cluster.run("migrate", "-v0").returncode == 0
