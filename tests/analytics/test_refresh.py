"""Which marts are refreshed, when, and what is left of it."""

import threading
import time
from contextlib import contextmanager
from datetime import date

import psycopg2
import pytest
from django.core.management import call_command
from django.db import connection

from analytics import marts, tasks
from analytics.history import CheckRun, MartRefresh, MartState
from analytics.relations import MARTS
from clinical.models import Patient
from ingestion.models import IngestBatch
from tests.deliveries import deliver_all, night
from tests.rows import facility, patient, record, stand_at, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
NAMES = [mart.name for mart in MARTS]


def refreshed(**options):
    return {one.mart: (str(one.status), str(one.why)) for one in marts.refresh(**options)}


def query(sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else None


@contextmanager
def another_connection():
    """A session of its own, as another process has it."""
    options = connection.get_connection_params()
    other = psycopg2.connect(
        **{name: options[name] for name in ("dbname", "user", "host", "port") if options.get(name)}
    )
    other.autocommit = True
    try:
        yield other.cursor()
    finally:
        other.close()


@pytest.fixture
def committed(transactional_db):
    """Marts that are fresh, in a database where transactions are real."""
    marts.refresh(is_forced=True)


def test_after_migrate_every_mart_answers_and_says_that_it_is_stale(db):
    assert set(marts.states()) == set(NAMES)
    as_of, is_stale = marts.freshness("dim_patients", "triage_trends")
    assert as_of is not None
    assert is_stale


def test_unchanged_tables_on_the_same_day_are_no_work(committed):
    before = MartRefresh.objects.count()
    assert set(refreshed().values()) == {("fresh", "")}
    assert MartRefresh.objects.count() == before


@pytest.mark.parametrize("change", ["insert", "update", "delete", "truncate"])
def test_any_write_makes_the_marts_of_its_table_stale(committed, change):
    someone = patient()
    visit(someone, DAY)
    marts.refresh()
    if change == "insert":
        record(someone, DAY)
    elif change == "update":
        Patient.objects.filter(pk=someone.pk).update(sex="M")
    elif change == "delete":
        query("DELETE FROM triage_visits")
    else:
        query("TRUNCATE medical_records")
    found = refreshed()
    assert found["dim_patients"] == ("done", "inputs")
    of_visits = ("done", "inputs") if change == "delete" else ("fresh", "")
    assert found["triage_trends"] == of_visits


def test_a_statement_that_writes_nothing_makes_nothing_stale(committed):
    query("UPDATE patients SET sex = 'M' WHERE false")
    query("DELETE FROM triage_visits WHERE false")
    assert not marts.freshness(*NAMES)[1]


def test_a_transaction_that_commits_after_the_refresh_makes_it_stale_again(committed):
    clinic = facility()
    marts.refresh()
    with another_connection() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE facilities SET type = 'Hospital' WHERE id = %s", [clinic.pk])
        facility()
        assert refreshed()["dim_facilities"] == ("done", "inputs")
        assert not marts.freshness("dim_facilities")[1]
        cursor.execute("COMMIT")
        assert marts.freshness("dim_facilities")[1]
        assert refreshed()["dim_facilities"] == ("done", "inputs")
    assert query("SELECT facility_category FROM marts.dim_facilities WHERE facility_id = %s", clinic.pk) == [
        ("Hospital",)
    ]


def test_what_is_written_between_two_marts_comes_into_both_with_the_next_refresh(committed):
    def say(outcome):
        if outcome.mart == "dim_patients":
            patient()

    marts.refresh(is_forced=True, say=say)
    assert marts.freshness("patient_summary")[1]
    marts.refresh()
    assert not marts.freshness("patient_summary")[1]
    assert query("SELECT count(*) FROM marts.patient_summary") == [(1,)]


def test_a_mart_is_as_old_as_what_it_is_made_of(committed):
    for mart, below in (("patient_summary", "dim_patients"), ("facility_performance", "dim_facilities")):
        assert marts.states()[mart].as_of == marts.states()[below].as_of


def test_a_mart_that_is_asked_for_is_refreshed_after_what_it_is_made_of(committed):
    patient()
    found = refreshed(only=["patient_summary"])
    assert found == {"dim_patients": ("done", "inputs"), "patient_summary": ("done", "inputs")}
    assert query("SELECT count(*) FROM marts.patient_summary") == [(1,)]
    assert marts.freshness("dim_facilities")[1]


def test_force_means_the_marts_that_are_named(committed):
    found = refreshed(only=["patient_summary"], is_forced=True)
    assert found == {"dim_patients": ("fresh", ""), "patient_summary": ("done", "forced")}


def test_a_new_day_in_lagos_is_a_reason(committed):
    query("UPDATE mart_states SET lagos_day = lagos_day - 1")
    assert set(refreshed().values()) == {("done", "day")}


def test_a_database_restored_from_another_server_is_refreshed(committed):
    MartState.objects.update(system=1)
    assert set(refreshed().values()) == {("done", "restored")}


def test_changes_that_a_dump_has_brought_from_another_server_do_not_keep_the_marts_stale(committed):
    query("INSERT INTO row_changes (table_name, xid) VALUES ('patients', '9999999999')")
    MartState.objects.update(system=1)
    marts.refresh()
    assert set(refreshed().values()) == {("fresh", "")}


def test_a_refresh_is_recorded_with_its_rows_and_the_instant_of_them(committed):
    facility()
    marts.refresh(only=["dim_facilities"])
    last = MartRefresh.objects.filter(mart="dim_facilities").first()
    assert (last.status, last.why, last.rows) == ("done", "inputs", 1)
    assert last.started_at <= last.as_of <= last.finished_at
    assert marts.states()["dim_facilities"].as_of == last.as_of
    assert marts.freshness("dim_patients")[1]


def test_only_one_process_refreshes(committed):
    with another_connection() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [marts.LOCK])
        with pytest.raises(marts.AlreadyRunning):
            marts.refresh()
        with pytest.raises(SystemExit) as ended:
            call_command("refresh_marts")
        assert ended.value.code == 75
        tasks.refresh_marts()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [marts.LOCK])  # a closed session lets go a little later
    assert refreshed()


def test_what_a_dead_process_has_left_is_closed(committed):
    left = MartRefresh.objects.create(mart="dim_patients", started_at="2026-11-20T01:00Z", why="inputs")
    marts.refresh()
    left.refresh_from_db()
    assert (left.status, left.finished_at is None) == ("failed", False)


@pytest.fixture
def broken(committed):
    """dim_facilities cannot be refreshed: a function that it calls raises."""
    someone = patient()
    definition = query("SELECT pg_get_functiondef('staging.facility_category'::regproc)")[0][0]
    body = "SELECT CASE WHEN 1 / 0 = 1 THEN 'Zainab' END"
    (arguments,) = query("SELECT pg_get_function_arguments('staging.facility_category'::regproc)")[0]
    query(
        f"CREATE OR REPLACE FUNCTION staging.facility_category({arguments}) RETURNS text LANGUAGE sql AS $$ {body} $$"
    )
    yield someone
    query(definition)
    marts.refresh(is_forced=True)


def test_a_mart_that_fails_keeps_its_rows_and_the_others_go_on(broken):
    found = refreshed()
    assert found["dim_facilities"] == ("failed", "inputs")
    assert found["facility_performance"] == ("failed", "inputs")
    assert found["dim_patients"] == ("done", "inputs")
    assert query("SELECT count(*) FROM marts.dim_facilities") == [(0,)]
    last = MartRefresh.objects.filter(mart="dim_facilities").first()
    assert last.error == "DivisionByZero; it keeps its rows; the next refresh tries again."
    assert marts.states()["dim_facilities"].has_failed
    assert marts.freshness("dim_facilities")[1]


def test_a_mart_that_is_asked_for_keeps_its_rows_where_what_it_is_made_of_cannot_be_refreshed(broken):
    marts.refresh()
    assert refreshed(only=["facility_performance"]) == {
        "dim_facilities": ("failed", "failed"),
        "facility_performance": ("failed", "failed"),
    }
    last = MartRefresh.objects.filter(mart="facility_performance").first()
    assert last.error == "It is made of dim_facilities, which failed."


def test_a_mart_that_failed_is_tried_again(committed):
    query("UPDATE mart_states SET has_failed = true WHERE mart = 'triage_trends'")
    assert refreshed()["triage_trends"] == ("done", "failed")


def test_changes_are_forgotten_once_every_mart_has_seen_them(committed):
    facility()
    query("UPDATE row_changes SET at = at - interval '2 hours'")
    marts.refresh(only=["dim_facilities"])
    assert query("SELECT count(*) FROM row_changes")[0][0] > 0
    marts.refresh()
    query("UPDATE row_changes SET at = at - interval '2 hours'")
    marts.refresh()
    assert query("SELECT count(*) FROM row_changes") == [(0,)]


def test_readers_never_wait_for_a_refresh(committed):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO facilities (name, state, lga, lga_name) SELECT 'C' || n, 'KANO', 'Dala', 'Dala'"
            " FROM generate_series(1, 20000) n"
        )
    slowest, errors, is_over = [0.0], [], threading.Event()

    def read():
        with another_connection() as reader:
            while not is_over.is_set():
                started = time.monotonic()
                try:
                    reader.execute("SELECT count(*), max(facility_name) FROM marts.dim_facilities")
                except psycopg2.Error as error:
                    errors.append(error)
                slowest[0] = max(slowest[0], time.monotonic() - started)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(3):
            assert marts.refresh(is_forced=True)
    finally:
        is_over.set()
        thread.join()
        query("TRUNCATE facilities CASCADE")
        marts.refresh()
    assert not errors
    assert slowest[0] < 1


def test_the_task_refreshes_and_checks_and_leaves_early_the_second_time(committed):
    facility()
    tasks.refresh_marts()
    assert CheckRun.objects.count() == 1
    tasks.refresh_marts()
    assert CheckRun.objects.count() == 1


def test_tables_that_postgresql_has_never_looked_at_are_analyzed_first(committed):
    visit(patient(), DAY)
    query("DELETE FROM pg_statistic WHERE starelid IN ('triage_visits'::regclass, 'patients'::regclass)")
    marts.refresh(is_forced=True)
    known = query("SELECT DISTINCT tablename FROM pg_stats WHERE tablename IN ('triage_visits', 'patients')")
    assert len(known) == 2


def test_the_marts_of_one_transaction_can_be_refreshed_inside_it():
    stand_at(DAY)
    facility()
    marts.refresh()
    assert query("SELECT count(*) FROM marts.dim_facilities") == [(1,)]


def test_the_command_ends_with_1_where_a_mart_failed(broken, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("refresh_marts")
    assert int(ended.value.code) == 1
    assert "DivisionByZero" in capsys.readouterr().out


def test_a_mart_that_nobody_knows_is_named(capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("refresh_marts", "dim_patient")
    assert ended.value.code == 2
    assert "dim_patients" in capsys.readouterr().err


def test_the_command_tells_json_lines(committed, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("refresh_marts", "--json", "--force")
    assert not ended.value.code
    assert [line.split('"')[3] for line in capsys.readouterr().out.splitlines()] == NAMES


def test_a_load_in_the_same_session_goes_on_after_a_refresh(committed, bucket):
    connection.close()
    facility()
    marts.refresh()
    query("CREATE TEMP TABLE somebody_elses (n int)")
    query("INSERT INTO somebody_elses VALUES (1)")
    deliver_all()
    night()
    query("DROP TABLE somebody_elses")
    assert {batch.status for batch in IngestBatch.objects.all()} == {"archived"}
