"""What the doctor names of the database when one thing is wrong there, and that it names nothing else."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder

from clinical import row_security
from clinical.audit import partitions
from ingestion.models import RejectedRow
from medilink import wall
from medilink.doctor import catalogue_checks, examination, policy_checks, wall_checks
from medilink.doctor.findings import Gravity
from tests.ingestion import factories
from tests.lab.cluster import eventually
from tests.lab.pooler import Pooler
from tests.medilink.doctor.looking import found, ran, session, sql

SECRET = "hunter2222"


def test_nothing_is_found_where_all_is_well(well):
    assert found() == []


@pytest.fixture
def elsewhere(transactional_db, bucket):
    """Connects anew, under other parameters."""
    with pytest.MonkeyPatch.context() as patch:

        def connect(**options):
            connection.close()
            for name, value in options.items():
                patch.setitem(connection.settings_dict, name, value)

        yield connect
        connection.close()


def test_a_database_that_is_away_is_named_and_nothing_that_follows_from_it(elsewhere):
    elsewhere(HOST="127.0.0.1", PORT="1", OPTIONS={})
    assert found() == ["database-away"]
    assert ran("database-away").seen == "127.0.0.1:1: nobody listens there."


def test_a_host_without_an_address_is_named(elsewhere):
    elsewhere(HOST="no-such-host.invalid", OPTIONS={})
    assert ran("database-away").seen == "no-such-host.invalid:5432: its name is not known."


@pytest.fixture
def locked_out(transactional_db):
    """A role that needs a password, where everybody else needs none."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE doctor_locked_out LOGIN PASSWORD 'the-right-one'")
        cursor.execute("SHOW hba_file")
        rules = Path(cursor.fetchone()[0])
        before = rules.read_text()
        rules.write_text("local all doctor_locked_out scram-sha-256\n" + before)
        cursor.execute("SELECT pg_reload_conf()")
    yield "doctor_locked_out"
    rules.write_text(before)
    sql("SELECT pg_reload_conf()")
    sql("DROP ROLE doctor_locked_out")


def test_a_wrong_password_is_named_and_not_told(locked_out, elsewhere):
    elsewhere(USER=locked_out, PASSWORD="the-wrong-one")
    eventually(lambda: found() == ["database-password"])
    assert "the-wrong-one" not in ran("database-password").seen


def test_a_database_that_is_not_there_is_named(elsewhere):
    elsewhere(NAME="no_such_database")
    assert found() == ["database-missing"]


def test_pending_migrations_are_named_and_what_needs_them_is_not_looked_at(well):
    MigrationRecorder(connection).record_unapplied("sessions", "0001_initial")
    assert found() == ["migrations-pending"]


def test_a_table_without_row_level_security_is_named(well):
    sql("ALTER TABLE patients DISABLE ROW LEVEL SECURITY")
    assert found() == ["row-security-off"]
    assert ran("row-security-off").command == "ALTER TABLE patients ENABLE ROW LEVEL SECURITY;"


def test_tables_and_policies_that_are_looked_for_are_those_that_the_migrations_make(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT polrelid::regclass::text, array_agg(polname::text) FROM pg_policy GROUP BY 1")
        assert {table: {*policies} for table, policies in cursor.fetchall()} == policy_checks.POLICIES


def test_a_table_that_lost_switch_and_policies_is_named(well):
    sql("DROP POLICY scope_stewards ON erasures")
    sql("ALTER TABLE erasures DISABLE ROW LEVEL SECURITY")
    assert found() == ["policy-missing", "row-security-off", "wall-changed"]


def test_a_policy_that_was_dropped_is_named(well):
    sql("DROP POLICY unrestricted ON patients")
    assert found() == ["policy-missing", "wall-changed"]
    assert ran("policy-missing").seen == "patients lacks unrestricted."


def test_a_newer_release_that_has_migrated_is_named_and_its_policies_are_its_own(well):
    MigrationRecorder(connection).record_applied("clinical", "9999_of_tomorrow")
    sql("DROP POLICY unrestricted ON patients")
    wall.accept()  # as its migrate has
    assert found() == ["migrations-ahead"]


@pytest.fixture
def pooler(transactional_db, tmp_path):
    made = Pooler(tmp_path, connection.get_connection_params()["host"])
    yield made
    connection.close()
    made.close()


def test_a_pooler_before_the_workers_is_named(pooler, elsewhere):
    elsewhere(HOST="127.0.0.1", PORT=str(pooler.port), OPTIONS={})
    assert found() == ["database-pooled"]


def test_a_web_behind_a_pooler_needs_a_limit_at_its_role(pooler, settings):
    settings.DATABASE_WEB_URL = pooler.url(row_security.ROLE, connection.settings_dict["NAME"])
    assert found("web-limit-unset") == []
    settings.DB_STATEMENT_TIMEOUT_MS += 1
    assert found("web-limit-unset") == ["web-limit-unset"]


@pytest.fixture
def replica(well, monkeypatch):
    """A connection that leads to the primary itself, under a name that pytest-django has nothing against."""
    place = connections.create_connection("default")
    monkeypatch.setattr(place, "alias", "elsewhere")
    monkeypatch.setattr(place, "settings_dict", place.settings_dict | {"USER": row_security.ROLE})
    monkeypatch.setitem(connections.settings, "replica", place.settings_dict)
    connections["replica"] = connections["elsewhere"] = place
    yield place.settings_dict
    place.close()
    del connections["replica"], connections["elsewhere"]


def test_a_replica_that_follows_nobody_is_named(replica):
    assert found() == ["replica-no-standby"]


def test_a_replica_that_no_policy_guards_is_named(replica):
    replica["USER"] = connection.settings_dict["USER"]
    assert found() == ["replica-no-standby", "replica-role"]


def test_a_replica_that_is_away_is_named(replica):
    replica.update(HOST="127.0.0.1", PORT="1")
    assert found() == ["replica-away"]
    assert ran("replica-away").seen == "127.0.0.1:1: nobody listens there."


def test_a_policy_that_binds_nobody_is_named(well):
    sql("ALTER POLICY scope_read ON patients USING (true)")
    assert found() == ["policy-open", "wall-changed"]
    assert ran("policy-open").seen == "patients.scope_read holds for every row."


def test_a_right_that_the_web_lacks_is_named(well):
    sql("REVOKE SELECT, UPDATE ON patients FROM medilink_web")
    assert found() == ["web-grants-missing"]
    assert ran("web-grants-missing").seen == "medilink_web lacks SELECT, UPDATE on patients."


SUBTLE = {
    "CREATE OR REPLACE FUNCTION scope_is_superuser() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER"
    " AS 'SELECT true'": "function public.scope_is_superuser()",
    "ALTER FUNCTION scope_is_superuser() SECURITY INVOKER": "function public.scope_is_superuser()",
    "ALTER FUNCTION scope_is_superuser() OWNER TO medilink_web": "function public.scope_is_superuser()",
    "ALTER FUNCTION scope_is_superuser() SET search_path = pg_temp": "function public.scope_is_superuser()",
    "ALTER POLICY scope_read ON patients USING (id > 0)": "policy scope_read of patients",
    "ALTER POLICY unrestricted ON patients TO pg_monitor": "policy unrestricted of patients",
    "CREATE POLICY one_more ON patients USING (id > 0)": "policy one_more of patients (new)",
    "DROP POLICY unrestricted ON patients": "policy unrestricted of patients (gone)",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN coalesce(new, old); END'": "function public.refuse_change()",
    "ALTER TABLE patients ENABLE ALWAYS TRIGGER keep_alias": "trigger keep_alias of patients",
    "ALTER VIEW scoped.patient_summary SET (security_barrier = false)": "view scoped.patient_summary",
}


@pytest.mark.parametrize(("statement", "named"), SUBTLE.items())
def test_a_wall_that_was_made_thinner_is_named(well, statement, named):
    assert found("wall-changed") == []
    sql(statement)
    assert ran("wall-changed").seen.startswith(named)


def test_what_was_accepted_is_no_finding(well, capsys):
    sql("ALTER POLICY scope_read ON patients USING (id > 0)")
    call_command("doctor", "--accept-wall")
    assert capsys.readouterr().out == "Accepted: policy scope_read of patients\n"
    assert found("wall-changed") == []


def test_a_wall_of_which_nothing_is_known_any_more_is_named(well):
    sql("DELETE FROM wall")
    assert found() == ["wall-changed"]


def test_a_wall_that_cannot_be_read_for_a_lock_blames_nobody(well, monkeypatch):
    monkeypatch.setattr(wall_checks, "LOCKED_MS", 1)
    with session() as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE patients")
        assert found("wall-changed") == []


@pytest.mark.parametrize("which", ["USER", "ALL"])
def test_a_trigger_that_is_switched_off_is_named(well, which):
    sql(f"ALTER TABLE audit_events DISABLE TRIGGER {which}")
    assert found("trigger-off") == ["trigger-off"]


def test_an_invalid_index_is_named(well):
    sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'alerts_one_open_per_cause'::regclass")
    assert found() == ["index-invalid"]
    assert ran("index-invalid").seen == "alerts_one_open_per_cause of alerts."


def test_a_constraint_that_was_never_checked_is_named(well):
    sql("ALTER TABLE backups ADD CONSTRAINT backups_hold_something CHECK (bytes > 0) NOT VALID")
    assert found() == ["constraint-unchecked"]


@pytest.mark.parametrize("power", ["CREATEDB", "BYPASSRLS"])
def test_a_web_role_with_a_power_is_named(well, power):
    sql(f"ALTER ROLE {row_security.ROLE} {power}")
    assert found() == ["web-role-powerful"]


def test_a_web_role_that_owns_a_table_is_named(well):
    sql(f"ALTER TABLE backups OWNER TO {row_security.ROLE}")
    assert found() == ["web-role-powerful"]


def test_a_user_who_does_not_own_the_tables_is_named(well):
    sql(f"SET LOCAL ROLE {row_security.ROLE}")
    assert found("database-role") == ["database-role"]


def test_a_month_that_the_audit_lacks_is_named(well):
    name, _ = partitions.months()[-2]
    sql(f"DROP TABLE {name}")
    assert found() == ["audit-month-missing"]


def test_a_missing_extension_is_named(well):
    sql("DROP EXTENSION pg_trgm CASCADE")
    assert found("database", gravity=Gravity.ERROR) == ["extension-missing"]


def test_a_sequence_that_is_nearly_used_up_is_named(well):
    sql("SELECT setval('alerts_id_seq', 9000000000000000000)")
    assert found() == ["sequence-near-end"]
    sql("SELECT setval('alerts_id_seq', 1)")  # a transaction does not take it back


def test_a_transaction_that_is_held_open_is_named(well, monkeypatch):
    monkeypatch.setattr(catalogue_checks, "IDLE_MINUTES", 0)
    with session() as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
        named = examination.examine(["transaction-idle"], is_thorough=True).findings
    assert f"SELECT pg_terminate_backend({pid});" in [one.command for one in named]


def test_a_table_that_somebody_keeps_closed_is_named(well, monkeypatch):
    monkeypatch.setattr(catalogue_checks, "LOCK_SECONDS", 0)
    with session() as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE backups")
        (finding,) = examination.examine(["lock-held"], is_thorough=True).findings
        assert finding.seen.endswith("0 wait for it, backups cannot be read.")


def test_scarce_connections_are_named(well, monkeypatch):
    monkeypatch.setattr(catalogue_checks, "CONNECTIONS_PCT", 1)
    assert found() == ["connections-many"]


def test_a_key_that_sealed_values_need_is_named(well, settings):
    batch = factories.batch()
    row = RejectedRow(batch=batch, line=2, reasons=["ENUM:sex"], dataset="patients", event_on=batch.business_date)
    row.raw = {"name": "Zzqxcanary"}
    row.save()
    settings.DATA_KEYS = {"another": bytes(range(32))}
    assert found(gravity=Gravity.ERROR) == ["sealed-key-missing"]
    assert "Zzqxcanary" not in ran("sealed-key-missing").seen


def test_another_secret_key_is_named(well, settings):
    settings.EMBEDDED, settings.SECRET_KEY = False, "k" * 30 + "another-one-0123456789-and-more"
    assert found("secret-key-unknown") == ["secret-key-unknown"]


def test_a_copy_of_production_is_named(well, settings):
    settings.EMBEDDED, settings.ENVIRONMENT = False, "staging"
    assert found("environment-mismatch") == ["environment-mismatch"]


def test_a_web_role_that_cannot_connect_is_named(well, settings):
    settings.DATABASE_WEB_URL = f"postgres://medilink_web:{SECRET}@127.0.0.1:1/medilink"
    assert found() == ["web-cannot-connect"]
    assert SECRET not in ran("web-cannot-connect").seen
