"""S3 as it really is, seen by a whole run: busy, denied, cut short, changing under our eyes. F31 to F48, F70, F71.

Each answer by itself is tested in tests/ingestion/test_sources.py; here it is what becomes of the night.
"""

import subprocess
import sys
from itertools import count

import pytest

from tests.lab import invariants, store
from tests.lab.cluster import ARCHIVE, INPUT, PROJECT, lines
from tests.lab.crowds import many_files
from tests.lab.store import Fault


@pytest.fixture
def faults(cluster):
    with store.proxy() as proxy:
        proxy.begin(cluster.store_url)
        yield proxy


def first(times, method, fault):
    """The first so many requests of the method go wrong."""
    numbers = count(1)
    return lambda asked, _path: fault if asked == method and next(numbers) <= times else None


@pytest.mark.parametrize(
    "method", ["PUT", *(pytest.param(method, marks=pytest.mark.drill) for method in ("GET", "HEAD", "DELETE"))]
)
def test_a_store_that_is_busy_is_asked_again_by_one_layer(cluster, clean, delivered, faults, method):
    """F31: three times 503 SlowDown; the fourth succeeds, and no request is tried more than five times."""
    faults.bad = first(3, method, Fault(status=503, code="SlowDown"))
    assert cluster.ingest(AWS_ENDPOINT_URL_S3=faults.url) == 3
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.drill
def test_a_store_that_stays_busy_leaves_everything_due(cluster, clean, delivered, faults):
    """F32: 69, no attempt used up; when it is back, the next run loads."""
    faults.bad = lambda method, path: Fault(status=503, code="SlowDown") if "facilities" in path else None
    ended = cluster.run("ingest", "--json", AWS_ENDPOINT_URL_S3=faults.url)
    assert ended.returncode == 69
    assert cluster.sql("SELECT max(attempts) FROM ingest_batches") == [(0,)]
    assert cluster.ingest() == 3
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


def test_what_is_denied_only_when_deleting_is_loaded_once_and_archived_later(cluster, clean, delivered, faults):
    """F42."""
    faults.bad = lambda method, _path: Fault(status=403, code="AccessDenied") if method == "DELETE" else None
    assert cluster.ingest(AWS_ENDPOINT_URL_S3=faults.url) == 3
    assert {*cluster.statuses().values()} == {"loaded"}
    assert len(cluster.objects(ARCHIVE)) == len(cluster.objects(INPUT)) == 4
    assert lines(cluster.run("ingest", "--json", AWS_ENDPOINT_URL_S3=faults.url))[-1]["batches"] == 0
    cluster.ingest()
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.parametrize("cut_at", [pytest.param(0, marks=pytest.mark.drill), 40])
def test_a_body_that_is_cut_again_and_again_loads_no_part_of_itself(cluster, clean, delivered, faults, cut_at):
    """F34, F35: rejected as damaged, its bytes put safe; a person's retry loads it whole."""
    faults.bad = lambda method, path: (
        Fault(cut_at=cut_at) if method == "GET" and "medical_records-" in path and "list-type" not in path else None
    )
    assert cluster.ingest(AWS_ENDPOINT_URL_S3=faults.url) == 1
    assert cluster.sql("SELECT count(*) FROM medical_records") == [(0,)]
    [(batch, reasons)] = cluster.sql("SELECT id, reasons FROM ingest_batches WHERE status = 'rejected'")
    assert reasons == ["CHECKSUM_MISMATCH"]
    assert cluster.run("batch", "retry", batch).returncode == 0
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


def test_an_object_that_is_overwritten_between_load_and_archive_loses_neither_version(cluster, faults):
    """F37: the old bytes are archived as what was loaded, the new ones load in the same run or the next."""
    old = b"name,state,lga,lat,lon,type\nOld Clinic,KANO,Dala,,,Clinic\n"
    new = b"name,state,lga,lat,lon,type\nNew Clinic,KANO,Dala,,,Clinic\n"
    cluster.deliver({"facilities.csv": old})
    overwriting = Fault(first=lambda: cluster.deliver({"facilities.csv": new}))
    faults.bad = first(1, "PUT", overwriting)  # the copy to the archive
    assert cluster.ingest(AWS_ENDPOINT_URL_S3=faults.url) == 0
    assert cluster.ingest() == 0
    assert {*cluster.objects().values()} == {old, new}
    assert {key.split("/")[1] for key in cluster.objects()} == {"archive"}
    assert cluster.sql("SELECT name FROM facilities ORDER BY 1") == [("New Clinic",), ("Old Clinic",)]


def test_one_bad_file_of_forty_stops_no_other(cluster):
    """F45."""
    delivered = many_files(7, folders=4)
    delivered["f2/patients-2026-11-20.csv"] = b"%PDF-1.7 no table"
    cluster.deliver(delivered)
    assert cluster.ingest() == 1
    stopped = {name: status for name, status in cluster.statuses().items() if status != "archived"}
    assert stopped == {
        "f2/patients-2026-11-20.csv": "rejected",
        # Their patients are in the file that was refused.
        "f2/medical_records-2026-11-20.csv": "discovered",
        "f2/triage_visits-2026-11-20.csv": "discovered",
    }


@pytest.mark.drill
def test_a_thousand_small_files_are_all_seen_once(cluster):
    """F41, F48: more than a page of a listing; the statements per file do not grow with the number of files."""
    files = {
        f"f{n}/facilities-2026-11-20.csv": f"name,state,lga,lat,lon,type\nC {n},KANO,Dala,,,\n".encode()
        for n in range(1050)
    }
    cluster.deliver(files)
    assert cluster.ingest() == 0
    assert cluster.sql("SELECT count(*) FROM facilities") == [(1050,)]
    assert invariants.violations_at_rest(cluster, files) == []


def limited_to(cluster, limit):
    """`ingest` under a limit of the system."""
    return subprocess.run(
        ["prlimit", limit, sys.executable, "manage.py", "ingest", "--json"],
        cwd=PROJECT,
        env=cluster.environment(PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_process_without_room_says_so_and_the_next_one_loads(cluster, clean, delivered):
    """F70: its files may not grow."""
    assert limited_to(cluster, "--fsize=20").returncode == 69
    assert cluster.ingest() == 3
    assert cluster.sql("SELECT max(attempts) FROM ingest_batches") == [(1,)]
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.drill
def test_forty_files_need_no_more_than_two_dozen_file_descriptors(cluster):
    """F71: none leaks."""
    delivered = many_files(3, folders=13)
    cluster.deliver(delivered)
    assert limited_to(cluster, "--nofile=24").returncode in (0, 3)
    assert invariants.violations_at_rest(cluster, delivered) == []
