"""Figures from a real streaming replica: they arrive there, rights do not, and without it answers still come."""

import json
import time

import pytest

from medilink.monitoring import parts
from tests.lab import served
from tests.lab.cluster import eventually
from tests.lab.standby import Standby

pytestmark = pytest.mark.drill
FIGURES = ("/api/analytics/facility-stats", "/api/analytics/facilities", "/api/analytics/triage-trends", "/dashboard")
LAG = 20
NOTED = """
SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_all_tables
WHERE relid = 'marts.dim_facilities'::regclass
"""
PERSON = {"facility_id": 1, "first_name": "Ngozi", "last_name": "Eze", "sex": "F", "dob": "1990-02-03"}


@pytest.fixture
def site(cluster):
    tokens = served.filled(cluster)
    standby = Standby(cluster)
    env = {"DATABASE_REPLICA_URL": standby.url("medilink_web"), "DATABASE_REPLICA_LAG": str(LAG)}
    try:
        with served.site(cluster, tokens, **env) as found:
            found.standby = standby
            standby.catch_up()
            eventually(lambda: found.get("KANO", FIGURES[0]).ok and "read from the replica" in cluster.log("site"))
            yield found
    finally:
        standby.close()


def looks(site):
    """How often the mart has been read, at the primary and at the replica."""
    time.sleep(1.5)  # a session tells its counts once a second
    return site.cluster.sql(NOTED)[0][0], site.standby.sql(NOTED)[0][0]


def doctor(site):
    """What it finds of the replica."""
    address = {"DATABASE_REPLICA_URL": site.standby.url("medilink_web"), "DATABASE_REPLICA_LAG": str(LAG)}
    told = site.cluster.run("doctor", "--only", "replica", "--json", **address)
    return [one["code"] for one in json.loads(told.stdout)["findings"]]


def test_figures_are_read_from_the_replica_and_the_primary_is_not_asked_for_them(site):
    first = looks(site)
    for _ in range(20):
        for path in FIGURES:
            assert site.get("KANO", path).status_code == 200, path
    then = looks(site)
    assert then[0] == first[0]
    assert then[1] >= first[1] + 40
    assert [row["facility_id"] for row in site.get("LAGOS", FIGURES[0]).json()["facilities"]] == [2]


def test_answers_still_come_when_the_replica_stops_and_return_to_it(site):
    site.standby.stop()
    for _ in range(5):
        for path in FIGURES:
            began = time.monotonic()
            assert site.get("KANO", path).status_code == 200, path
            assert time.monotonic() - began < 5
    before = site.cluster.sql(NOTED)[0][0]
    assert before > 0
    site.standby.start()
    eventually(lambda: site.get("KANO", FIGURES[0]).ok and looks(site)[1] > 0, patience=40, every=1)


def test_a_right_that_is_taken_away_is_gone_while_the_replica_still_has_it(site):
    with site.standby.held_back():
        site.cluster.sql("DELETE FROM memberships WHERE state = 'KANO'")
        assert site.get("KANO", FIGURES[0]).status_code == 403
        assert site.get("LAGOS", FIGURES[0]).status_code == 200


def test_what_was_just_written_is_listed_although_the_replica_is_behind(site):
    with site.standby.held_back():
        made = site.call("KANO", "POST", "/api/patients", PERSON).json()
        listed = site.get("KANO", "/api/patients?ordering=-id&per_page=1").json()
    assert listed["count"] == served.PEOPLE + 1
    assert listed["results"][0]["id"] == made["id"]


def test_a_replica_that_falls_behind_is_not_read(site):
    old = site.get("KANO", FIGURES[0]).json()["as_of"]
    with site.standby.held_back():
        site.call("KANO", "POST", "/api/patients", PERSON)
        site.cluster.run("refresh_marts", "--force", check=True)
        eventually(lambda: site.get("KANO", FIGURES[0]).json()["as_of"] > old, patience=LAG + 20, every=1)
        assert doctor(site) == ["replica-behind"]
    site.standby.catch_up()
    assert doctor(site) == []
    assert site.standby.sql("SELECT count(*) FROM patients") == [(2 * served.PEOPLE + 1,)]


def test_a_standbys_snapshot_leaves_out_who_is_writing(site):
    """Why no count is remembered of it: it would look whole, and be too old."""
    with site.cluster.session() as writing, site.cluster.session() as other:
        writing.execute("BEGIN; INSERT INTO row_changes (table_name, xid) VALUES ('x', pg_current_xact_id())")
        writing.execute("SELECT pg_current_xact_id()::text")
        (xid,) = writing.fetchone()
        other.execute("SELECT pg_current_xact_id()")
        site.standby.catch_up()
        sees = f"SELECT pg_visible_in_snapshot('{xid}', pg_current_snapshot())"
        other.execute(sees)
        assert other.fetchone() == (False,)
        assert site.standby.sql(sees) == [(True,)]
        writing.execute("ROLLBACK")


def test_one_that_its_primary_no_longer_reaches_is_behind_although_it_has_done_all_it_heard_of(cluster):
    def behind():
        ((place,),) = cluster.sql(parts.PLACE)
        return float(standby.sql(parts.BEHIND.replace("%s", f"'{place}'"))[0][0])

    standby = Standby(cluster)
    try:
        standby.catch_up()
        eventually(lambda: behind() == 0)
        with (standby.folder / "postgresql.auto.conf").open("a") as settings:
            settings.write("primary_conninfo = ''\n")
        standby.sql("SELECT pg_reload_conf()")
        eventually(lambda: standby.sql("SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)])
        cluster.sql("CREATE TABLE written_meanwhile ()")
        eventually(lambda: behind() > 1)
    finally:
        standby.close()
        cluster.sql("DROP TABLE IF EXISTS written_meanwhile")
