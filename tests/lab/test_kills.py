"""A worker that dies at any moment: the next run ends where a clean one would have. F1 to F12, F16 to F18, F44."""

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab import invariants
from tests.lab.cluster import eventually, lines
from tests.lab.crowds import many_files
from tests.lab.nights import one_night

DATASETS = ("facilities", "patients", "medical_records", "triage_visits")
IN_A_RUN = (
    *("after_list", "after_claim", "mid_download", "before_checksum", "mid_copy", "mid_validate", "mid_upsert"),
    *("mid_quarantine", "mid_audit", "after_commit", "after_archive_copy", "after_delete"),
)
SOME = ("mid_copy", "mid_audit", "after_archive_copy")  # of each part of the way one, in every suite


def killed_at(place: str, nth: int):
    marks = () if place in SOME and nth == 1 else pytest.mark.drill
    return pytest.param(place, nth, marks=marks, id=f"{place} {nth}")


@pytest.mark.parametrize(
    ("place", "nth"),
    [
        killed_at(place, nth)
        for place in IN_A_RUN
        for nth in ((1,) if place in ("after_list", "mid_quarantine") else (1, 3))
    ],
)
def test_kill_9_anywhere_and_the_next_run_ends_as_a_clean_one(cluster, clean, place, nth):
    delivered = one_night()
    cluster.deliver(delivered)
    killed = cluster.run("ingest", "--json", MEDILINK_FAILPOINT=f"{place}:kill@{nth}")
    assert killed.returncode == -signal.SIGKILL
    assert [row for row in invariants.archived_means_loaded(cluster) if "archived" in row] == []
    assert cluster.ingest() in (0, 3)
    assert invariants.digest(cluster) == clean
    assert invariants.violations_at_rest(cluster, delivered) == []
    assert {*cluster.statuses().values()} == {"archived"}
    (attempts,) = cluster.sql("SELECT max(attempts) FROM ingest_batches")
    assert attempts[0] <= 2


def test_what_a_worker_has_half_done_is_seen_by_nobody(cluster):
    cluster.deliver({"facilities-2026-11-20.csv": one_night()["facilities-2026-11-20.csv"]})
    with invariants.all_or_nothing(cluster, "facilities", {0, 4}) as wrong:
        assert cluster.ingest(MEDILINK_FAILPOINT="mid_audit:sleep=1") == 0
    assert wrong == []


@pytest.mark.parametrize("deed", ["kill", pytest.param("exit", marks=pytest.mark.drill)])
def test_a_file_that_kills_its_worker_is_set_aside_after_three_attempts_and_the_others_load(cluster, deed):
    delivered = one_night()
    cluster.deliver(delivered)
    for _ in range(3):  # the first batch of each is the facilities file
        assert cluster.run("ingest", MEDILINK_FAILPOINT=f"mid_upsert:{deed}@1").returncode not in (0, 1, 3)
    # A run that a person starts would count anew; the night does not.
    done = cluster.run("shell", "-c", "from ingestion import tasks; tasks.nightly()")
    assert done.returncode == 0, done.stderr
    assert cluster.statuses()["facilities-2026-11-20.csv"] == "failed"
    assert cluster.sql("SELECT reasons FROM ingest_batches WHERE dataset = 'facilities'") == [(["ATTEMPTS_EXHAUSTED"],)]
    assert cluster.statuses()["patients-2026-11-20.csv"] == "archived"  # its rows wait for their facilities
    assert cluster.ingest() == 0  # and a person's run takes the failed one along
    assert invariants.violations_at_rest(cluster, delivered) == []
    assert cluster.sql("SELECT count(*) FROM triage_visits") == [(2,)]


@pytest.mark.parametrize(
    "place", ["mid_upsert", *(pytest.param(p, marks=pytest.mark.drill) for p in ("mid_audit", "after_commit"))]
)
def test_a_worker_that_is_paused_past_its_lease_can_do_nothing_when_it_wakes(cluster, clean, place):
    """F22, F23: SIGSTOP, another one loads, SIGCONT."""
    delivered = one_night()
    cluster.deliver(delivered)
    zombie = cluster.start("zombie", "manage.py", "ingest", "--json", MEDILINK_FAILPOINT=f"{place}:stop@3")
    eventually(lambda: Path(f"/proc/{zombie.pid}/stat").read_text().split()[2] == "T")
    # Its connections live, and hold the run's lock and a load's; only the leases say that it is dead.
    assert cluster.ingest() == 75
    for table in ("ingest_batches", "ingest_runs"):
        cluster.sql(f"UPDATE {table} SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL")
    assert cluster.ingest() == 3
    assert invariants.digest(cluster) == clean
    cluster.signal("zombie", signal.SIGCONT)
    assert cluster.wait("zombie") in (0, 3)
    assert invariants.digest(cluster) == clean
    assert invariants.violations_at_rest(cluster, delivered) == []


@pytest.mark.drill
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kill_9_again_and_again(cluster, seed):
    """F15: the whole process tree, every second or so, forty files."""
    delivered = many_files(seed, folders=13)
    cluster.deliver(delivered)
    assert cluster.ingest() in (0, 3)
    clean = invariants.digest(cluster)
    cluster.fresh()
    cluster.deliver(delivered)
    for turn in range(12):
        process = cluster.start(f"run{turn}", "manage.py", "ingest", "--json")
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0 + (seed * 7 + turn * 3) % 10 / 8)
        cluster.kill(f"run{turn}")
    last = cluster.run("ingest", "--json")
    assert last.returncode in (0, 3), last.stderr
    assert lines(last)
    assert invariants.digest(cluster) == clean
    assert invariants.violations_at_rest(cluster, delivered) == []
