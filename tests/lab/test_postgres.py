"""PostgreSQL as it really is: refusals that pass, connections that end, restarts, and no room. F50 to F56."""

import os
import signal
import subprocess

import pytest

from tests.lab import invariants
from tests.lab.cluster import eventually, lines
from tests.lab.nights import one_night

# A sequence counts on when its transaction is rolled back: the first so many inserts are refused, then no more.
REFUSE = """
CREATE SEQUENCE refused;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('refused') <= {times} THEN RAISE EXCEPTION 'as ordered' USING ERRCODE = '{state}'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refuse AFTER INSERT ON medical_records FOR EACH STATEMENT EXECUTE FUNCTION refuse();
"""
HEAL = "DROP TRIGGER refuse ON medical_records"


@pytest.mark.parametrize(
    "state", ["40P01", *(pytest.param(state, marks=pytest.mark.drill) for state in ("40001", "55P03"))]
)
def test_a_refusal_that_passes_is_tried_again_at_once_and_costs_no_attempt(cluster, clean, delivered, state):
    """F53, F54: deadlock, serialization, lock timeout; twice, and then it is over."""
    cluster.sql(REFUSE.format(times=2, state=state))
    assert cluster.ingest() == 3
    assert cluster.sql("SELECT max(attempts) FROM ingest_batches") == [(1,)]
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.parametrize("state", ["57014", pytest.param("53200", marks=pytest.mark.drill)])
def test_a_file_that_is_too_much_for_the_server_is_set_aside_and_the_others_load(cluster, state):
    """F54: a timeout or a limit that a file meets each time; three attempts, as for any other poison."""
    cluster.deliver(one_night())
    cluster.sql(REFUSE.format(times=1000, state=state))
    assert cluster.ingest() == 1
    [(status, attempts, reasons)] = cluster.sql(
        "SELECT status, attempts, reasons FROM ingest_batches WHERE dataset = 'medical_records'"
    )
    assert (status, attempts, reasons) == ("failed", 3, ["INTERNAL_ERROR:OperationalError"])
    assert cluster.statuses()["triage_visits-2026-11-20.csv"] == "archived"


@pytest.mark.parametrize(
    ("state", "told"), [("53100", "disk is full"), pytest.param("40P01", "held what", marks=pytest.mark.drill)]
)
def test_what_does_not_pass_is_told_and_the_file_stays_due(cluster, clean, delivered, state, told):
    """F55: no room. The other files load, the run says why it broke off, no attempt is used up."""
    cluster.sql(REFUSE.format(times=1000, state=state))
    ended = cluster.run("ingest", "--json")
    assert (ended.returncode, told in ended.stderr) == (69, True)
    assert cluster.sql("SELECT status, attempts FROM ingest_batches WHERE dataset = 'medical_records'") == [
        ("discovered", 0)
    ]
    [(status, error)] = cluster.sql("SELECT status, error FROM ingest_runs")
    assert (status, told in error) == ("broken_off", True)
    assert "Amina" not in ended.stderr + error
    cluster.sql(HEAL)
    assert cluster.ingest() in (0, 3)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.parametrize("place", ["mid_upsert", pytest.param("after_claim", marks=pytest.mark.drill)])
def test_a_load_whose_connections_are_terminated_goes_on_by_itself(cluster, clean, delivered, place):
    """F50: every backend of ours, in the middle of a load."""
    cluster.start("ingest", "manage.py", "ingest", "--json", MEDILINK_FAILPOINT=f"{place}:sleep=1@3")
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_batches WHERE status = 'archived' HAVING count(*) >= 2"))
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_batches WHERE status = 'loading'"))
    cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert cluster.wait("ingest") == 3
    assert cluster.sql("SELECT max(attempts) <= 2 FROM ingest_batches") == [(True,)]
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.parametrize("sign", [signal.SIGQUIT, pytest.param(signal.SIGKILL, marks=pytest.mark.drill)])
def test_a_load_goes_on_by_itself_when_the_server_has_crashed_and_recovered(cluster, clean, delivered, sign):
    """F51, F57: what was committed is there, what was not is not."""
    cluster.start("ingest", "manage.py", "ingest", "--json", MEDILINK_FAILPOINT="mid_audit:sleep=1@3")
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_batches WHERE status = 'archived' HAVING count(*) >= 2"))
    cluster.stop_postgres(sign)
    cluster.start_postgres()
    assert cluster.wait("ingest") == 3, cluster.log("ingest")
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


def test_a_load_whose_wire_is_cut_goes_on_by_itself(cluster, clean, delivered):
    """F52: the server does not know yet that its client is gone."""
    cluster.start("ingest", "manage.py", "ingest", "--json", MEDILINK_FAILPOINT="mid_copy:sleep=1@3")
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_batches WHERE status = 'archived' HAVING count(*) >= 2"))
    cluster.database.cut()
    assert cluster.wait("ingest") == 3
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.drill
def test_a_load_gives_up_in_words_when_the_database_stays_away(cluster, clean, delivered):
    cluster.start("ingest", "manage.py", "ingest", "--json", MEDILINK_FAILPOINT="mid_copy:sleep=1@3")
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_batches WHERE status = 'archived' HAVING count(*) >= 2"))
    cluster.database.mode = cluster.database.mode.REFUSE
    cluster.database.cut()
    assert cluster.wait("ingest", patience=120) == 69
    assert "The database was away" in cluster.log("ingest")
    cluster.database.heal()
    assert cluster.ingest() in (0, 3)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


def test_too_many_connections_are_waited_out(cluster, clean, delivered):
    """F56: there is room for the run's own connection and none for its threads."""
    cluster.sql("CREATE ROLE crowded LOGIN CONNECTION LIMIT 1 IN ROLE medilink")
    try:
        url = cluster.environment()["DATABASE_URL"].replace("medilink@", "crowded@")
        assert cluster.ingest(DATABASE_URL=url) == 69
        assert cluster.sql("SELECT DISTINCT status FROM ingest_runs") == [("broken_off",)]
        cluster.sql("ALTER ROLE crowded CONNECTION LIMIT 10")
        assert cluster.ingest(DATABASE_URL=url) == 3
        assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []
    finally:
        cluster.sql("DROP OWNED BY crowded; DROP ROLE crowded")


@pytest.mark.drill
def test_worker_and_web_recover_without_being_restarted_when_the_database_was_restarted(cluster, clean):
    """F51, I10: 503 while it is away, 200 within ten seconds, and the next message is worked at."""
    port = cluster.free_port()
    cluster.start("web", *cluster.site(port))
    cluster.worker()
    url = f"http://127.0.0.1:{port}/health"
    eventually(lambda: invariants.status_of(url) == 200)
    cluster.await_log("worker", "ready.")
    with invariants.Availability(url) as seen:
        cluster.stop_postgres()
        eventually(lambda: 503 in seen.statuses)
        cluster.start_postgres()
        eventually(lambda: seen.statuses[-3:] == [200, 200, 200], patience=10)
    assert {*seen.statuses} == {200, 503}
    delivered = one_night()
    cluster.deliver(delivered)
    cluster.queue("medilink.tasks.nightly")
    invariants.await_rest(cluster)
    assert invariants.unlike_a_clean_night(cluster, clean, delivered) == []


@pytest.mark.drill
def test_two_loads_of_the_same_people_in_opposite_order_lose_nothing(cluster):
    """F24, I7: fifty times, from two processes at once; the later delivery is what stays."""
    people = [f"Clinic 0,Amina {n},Bello,F,1990-01-01," for n in range(60)]
    header = "facility_name,first_name,last_name,sex,dob,phone\n"
    cluster.deliver({"facilities-2026-11-01.csv": "name,state,lga,lat,lon,type\nClinic 0,KANO,Dala,,,Clinic\n"})
    assert cluster.ingest() == 0
    for turn in range(50):
        one = [f"{row}08030{turn:02}{n:04}" for n, row in enumerate(people)]
        two = [f"{row}08040{turn:02}{n:04}" for n, row in enumerate(people)]
        cluster.deliver({f"a/patients-2026-11-02-{turn}.csv": header + "\n".join(one) + "\n"})
        cluster.deliver({f"b/patients-2026-11-02-{turn}.csv": header + "\n".join(reversed(two)) + "\n"})
        for name in "ab":
            cluster.start(name, "manage.py", "ingest", "--json", "--prefix", f"medical_records/input/{name}/")
        assert [cluster.wait(name) for name in "ab"] == [0, 0], cluster.log("a") + cluster.log("b")
        last = {f"Amina {n}": f"+2348040{turn:02}{n:04}" for n in range(60)}
        assert invariants.newest_wins(cluster, last) == []
    assert cluster.sql("SELECT max(attempts) FROM ingest_batches") == [(1,)]
    assert lines(cluster.run("ingest", "--json"))[-1]["batches"] == 0


@pytest.fixture
def small_disk(cluster):
    """A tablespace with room for very little, and how to give it more. Needs root, for the mount."""
    folder = cluster.folder / "small"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("only root may mount a disk")
    (folder / "space").mkdir(mode=0o700)
    try:
        cluster.sql(f"CREATE TABLESPACE small LOCATION '{folder}/space'")
        yield lambda: subprocess.run(["mount", "-o", "remount,size=512m", folder], check=True)
    finally:
        cluster.drop_database()
        cluster.sql_as_admin("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@pytest.mark.drill
def test_a_full_disk_is_told_and_the_load_converges_when_there_is_room(cluster, small_disk):
    """F55, on a real disk: what else is in the database can be read meanwhile."""
    cluster.sql("ALTER TABLE medical_records SET TABLESPACE small")
    delivered = one_night()
    rows = [f"Kuje General Hospital,Amina,Bello,Lab,Diagnosis {n},Rest,,{'seen ' * 40}" for n in range(60_000)]
    header = delivered["medical_records-2026-11-20.csv"].decode().splitlines()[0]
    delivered["medical_records-2026-11-20.csv"] = "\n".join([header, *rows, ""]).encode()
    cluster.deliver(delivered)
    ended = cluster.run("ingest", "--json")
    assert (ended.returncode, "disk is full" in ended.stderr) == (69, True), ended.stderr
    assert cluster.sql("SELECT count(*) FROM patients") == [(3,)]
    assert cluster.sql("SELECT count(*) FROM medical_records") == [(0,)]
    small_disk()
    assert cluster.ingest() in (0, 3)
    assert cluster.sql("SELECT count(*) FROM medical_records") == [(60_000,)]
    assert invariants.violations(cluster, delivered) == []
