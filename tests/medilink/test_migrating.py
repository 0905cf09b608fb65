"""`manage.py migrate`: one at a time, waits for nobody for long, and comes again."""

import os
import subprocess
from contextlib import closing, suppress

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import Error, ProgrammingError, connection, transaction
from django.db.migrations import Migration

from medilink import migrating, wall
from medilink.backups import postgres, restore
from medilink.management.commands.migrate import Command


@pytest.fixture
def another():
    """Another session of this database, in a transaction."""
    with closing(psycopg2.connect(**connection.get_connection_params())) as session, session.cursor() as cursor:
        yield cursor


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(migrating, "EVERY", 0)


def lock_timeout():
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return cursor.fetchone()[0]


def change_causes():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE causes")  # as ALTER TABLE would


def test_a_table_in_use_is_left_to_others_and_asked_for_again(transactional_db, another):
    another.execute("SELECT count(*) FROM causes")
    told = []

    def tell(line):
        told.append(line)
        another.connection.rollback()

    migrating.limit_waits(connection, is_atomic=True)
    migrating.insist(change_causes, connection, tell)
    assert told == ["Once more: a table is in use."]


def test_a_table_that_stays_in_use_is_given_up(transactional_db, another):
    another.execute("SELECT count(*) FROM causes")
    migrating.limit_waits(connection, is_atomic=True)
    with pytest.raises(migrating.HeldUp, match="Given up after 0 s: a table is in use"):
        migrating.insist(change_causes, connection, lambda _: None, patience=0)


def test_another_error_is_not_tried_again(transactional_db):
    def step():
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM nowhere")

    with pytest.raises(ProgrammingError):
        migrating.insist(step, connection, pytest.fail)


def test_who_comes_second_waits_for_the_first(db, another):
    another.execute("SELECT pg_advisory_lock(%s)", [migrating.LOCK])
    told = []

    def tell(line):
        told.append(line)
        another.execute("SELECT pg_advisory_unlock(%s)", [migrating.LOCK])

    with migrating.alone(connection, tell):
        another.execute("SELECT pg_try_advisory_lock(%s)", [migrating.LOCK])
        assert another.fetchone() == (False,)
    another.execute("SELECT pg_try_advisory_lock(%s)", [migrating.LOCK])
    assert another.fetchone() == (True,)
    assert told == ["Another process migrates this database; we wait for it."]


def test_who_waits_for_the_first_for_too_long_ends_with_75(db, another):
    another.execute("SELECT pg_advisory_lock(%s)", [migrating.LOCK])
    with pytest.raises(CommandError, match="Another process migrates") as raised:
        call_command("migrate", patience=0)
    assert raised.value.returncode == 75


@pytest.mark.parametrize(("is_atomic", "limit"), [(True, "700ms"), (False, "0")])
def test_only_a_migration_that_can_be_undone_is_cut_short(db, is_atomic, limit):
    command, migration = Command(), Migration("any", "clinical")
    migration.atomic, command.verbosity, command._connection = is_atomic, 0, connection
    command.migration_progress_callback("apply_start", migration)
    assert lock_timeout() == limit
    command.migration_progress_callback("apply_success", migration)
    assert lock_timeout() == "700ms"


def test_after_it_statements_wait_as_before(db):
    call_command("migrate", verbosity=0)
    assert lock_timeout() == "0"


def test_an_index_that_broke_off_is_out_of_the_way(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE twice (n int); INSERT INTO twice VALUES (1), (1)")
        try:
            with pytest.raises(Error):
                cursor.execute("CREATE UNIQUE INDEX CONCURRENTLY twice_once ON twice (n)")
            migrating.insist(lambda: None, connection, pytest.fail)
            cursor.execute("SELECT to_regclass('twice_once')")
            assert cursor.fetchone() == (None,)
        finally:
            cursor.execute("DROP TABLE twice")


def test_an_index_that_broke_off_waits_until_its_table_is_let_go(transactional_db, another):
    told = []

    def tell(line):
        told.append(line)
        another.connection.rollback()

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE twice (n int); INSERT INTO twice VALUES (1), (1)")
        try:
            with pytest.raises(Error):
                cursor.execute("CREATE UNIQUE INDEX CONCURRENTLY twice_once ON twice (n)")
            another.execute("LOCK TABLE twice IN SHARE UPDATE EXCLUSIVE MODE")  # as a vacuum does
            migrating.limit_waits(connection, is_atomic=True)
            migrating.insist(lambda: None, connection, tell)
            cursor.execute("SELECT to_regclass('twice_once')")
            assert cursor.fetchone() == (None,)
        finally:
            another.connection.rollback()
            cursor.execute("DROP TABLE twice")
    assert told == ["Once more: a table is in use."]


def test_a_database_that_a_newer_release_has_migrated_is_left_alone(db, capsys):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('clinical', '9999_newer', now())")
        cursor.execute("GRANT INSERT ON causes TO medilink_web")  # what the newer one needs
        cursor.execute("REVOKE SELECT ON django_migrations FROM medilink_web")
        call_command("migrate", verbosity=0)
        cursor.execute("SELECT has_table_privilege('medilink_web', 'django_migrations', 'SELECT')")
        assert cursor.fetchone() == (False,)
    assert "A newer release has migrated this database" in capsys.readouterr().err


def test_a_newer_release_s_migrations_do_not_make_this_one_unready(db, client):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('clinical', '9999_newer', now())")
    assert client.get("/readyz").status_code == 200


def test_a_migration_that_is_missing_makes_this_one_unready(db, client):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'medilink' AND name = '0014_fhir_exports'")
    assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("looking", ["--check", "--plan"])
def test_who_only_looks_waits_for_nobody(db, another, looking):
    another.execute("SELECT pg_advisory_lock(%s)", [migrating.LOCK])
    call_command("migrate", looking, patience=0, verbosity=0)


# --- The wall


OTHERS = "ALTER POLICY scope_read ON patients USING (id > 0)"
OURS = "ALTER POLICY scope_read ON triage_visits USING (id > 0); DROP POLICY scope_own ON fhir_exports"


def run(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_migrate_writes_down_what_it_changes_itself_and_tells_what_others_did(db):
    told = []
    run(OTHERS)
    with wall.watched(told.append):
        run(OURS)
    assert "by somebody else: policy scope_read of patients. See" in told[0]
    assert wall.changed(wall.kept(), wall.standing()) == ["policy scope_read of patients"]


def test_a_migrate_that_ends_halfway_has_written_down_what_it_changed(db):
    with suppress(migrating.HeldUp), wall.watched(lambda _: None):
        run(OURS)
        raise migrating.HeldUp
    assert wall.changed(wall.kept(), wall.standing()) == []


def test_a_migrate_that_changes_nothing_blesses_nothing(db, capsys):
    run(OTHERS)
    for _ in range(2):
        call_command("migrate", verbosity=0)
        assert "policy scope_read of patients" in capsys.readouterr().err
    run("DELETE FROM wall")
    call_command("migrate", verbosity=0)
    assert wall.kept() == {}


def test_a_restored_copy_has_the_same_wall(transactional_db):
    params = connection.get_connection_params()
    with restore.throwaway() as url, closing(psycopg2.connect(url)) as copy, copy.cursor() as cursor:
        words = ["--schema-only", "--no-owner", "--no-privileges"]
        environment = os.environ | postgres.environment(params)
        version = copy.info.server_version
        argv = [postgres.program("pg_dump", version), "--format=custom", *words, params["dbname"]]
        made = subprocess.run(argv, env=environment, capture_output=True, check=True).stdout
        argv = [postgres.program("pg_restore", version), *words, "--dbname", copy.info.dbname]
        subprocess.run(argv, env=environment, input=made, capture_output=True, check=True)
        cursor.execute(wall.STANDING)
        assert wall.changed(wall.standing(), dict(cursor.fetchall())) == []
