"""History: the archive rebuilds what was lost, a backfill that dies is taken up, and a terminal sees how far it is."""

import signal

import pytest

from tests.lab import invariants
from tests.lab.cluster import ARCHIVE
from tests.lab.crowds import many_files


@pytest.fixture
def archived(cluster):
    """Two dozen files that were loaded and archived, and then the database is lost."""
    cluster.deliver(many_files(11, folders=8))
    assert cluster.ingest() in (0, 3)
    clean = invariants.digest(cluster)
    cluster.lose_database()
    assert invariants.digest(cluster) != clean
    return clean


def test_a_lost_database_is_rebuilt_from_the_archive_though_the_backfill_dies_on_the_way(cluster, archived):
    before = cluster.objects(ARCHIVE)
    killed = cluster.run("backfill", "--archive", "--json", MEDILINK_FAILPOINT="mid_upsert:kill@15")
    assert killed.returncode == -signal.SIGKILL
    [(loaded,)] = cluster.sql("SELECT count(*) FROM ingest_batches WHERE status = 'archived'")
    assert 5 < loaded < 20
    assert cluster.run("backfill", "--archive", "--json").returncode in (0, 3)
    assert invariants.digest(cluster) == archived
    assert cluster.objects(ARCHIVE) == before
    assert cluster.sql("SELECT DISTINCT status FROM ingest_batches") == [("archived",)]


@pytest.mark.drill
def test_a_dry_backfill_says_what_it_would_do_and_does_nothing(cluster, archived):
    said = cluster.run("backfill", "--archive", "--dry-run")
    assert " batches: read" in said.stdout
    assert cluster.sql("SELECT count(*) FROM ingest_batches") == [(0,)]


def test_a_terminal_shows_how_far_it_is_and_how_fast(cluster):
    cluster.deliver(many_files(11, folders=2))
    shown = cluster.run("ingest", TTY_COMPATIBLE="1", TTY_INTERACTIVE="1")
    assert " files, " in shown.stdout
    assert "rows/s" in shown.stdout
