"""What the doctor names when one thing is wrong, and that it names nothing else."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from redis import Redis

from analytics import marts
from clinical import row_security
from clinical.audit import partitions
from clinical.models import Facility
from ingestion import sources
from ingestion.models import IngestRun, Kind, RejectedRow
from medilink import alerts
from medilink.celery import BEAT
from medilink.doctor import broker_checks, catalogue_checks, checks, examination, findings, opening, work_checks
from medilink.doctor.findings import Gravity
from medilink.models import Alert, Backup
from tests.ingestion import factories
from tests.lab.cluster import eventually
from tests.lab.store import Fault, proxy
from tests.test_runbook import CAUSES

PROJECT = Path(__file__).resolve().parents[2]
ALL_BUT_WORKERS = [subject for subject in checks.LANES if subject != "broker"]


def found(*only, gravity=None):
    """The codes, each once. Without names of subjects: of everything but the broker, whose worker is long in coming."""
    result = examination.examine(only or ALL_BUT_WORKERS, is_thorough=True)
    named = [one.kind.code for one in result.findings if gravity in (None, one.kind.gravity)]
    return sorted(set(named))


def ran(name):
    """As the doctor prints it."""
    return examination.examine([name], is_thorough=True).findings[0]


@pytest.fixture
def well(db, bucket):
    """As it is while beat runs."""
    PeriodicTask.objects.update(last_run_at=timezone.now())


def sql(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)


@contextmanager
def session(**params):
    """Another one, beside ours."""
    with closing(psycopg2.connect(**connection.get_connection_params() | params)) as other:
        yield other


def test_nothing_is_found_where_all_is_well(well):
    assert found() == []


# --- The database


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
    settings.DATABASE_WEB_URL = "postgres://medilink_web:hunter2222@127.0.0.1:1/medilink"
    assert found() == ["web-cannot-connect"]
    assert "hunter2222" not in ran("web-cannot-connect").seen


# --- The schedule


def test_a_missing_beat_is_named(db, bucket):
    assert found() == ["beat-missing"]


def test_a_beat_that_has_just_started_is_enough(db, bucket):
    with session(application_name=f"{BEAT} 1 one"):
        assert found() == []


def test_a_second_beat_is_named(well):
    with session(application_name=f"{BEAT} 1 one"), session(application_name=f"{BEAT} 1 other"):
        assert found() == ["beat-twice"]


def test_an_entry_that_is_switched_off_or_gone_is_named(well):
    PeriodicTask.objects.filter(task="medilink.tasks.tell").update(enabled=False)
    PeriodicTask.objects.filter(task="medilink.tasks.nightly").delete()
    assert found() == ["schedule-disabled", "schedule-missing"]


# --- The work


def test_a_stuck_batch_is_named(well):
    long_ago = timezone.now() - timedelta(hours=2)
    batch = factories.batch(status="loading", lease_until=long_ago, started_at=long_ago)
    assert found() == ["batch-stuck"]
    assert ran("batch-stuck").seen.startswith(f"Batch {batch.pk} is loading since ")


def test_a_batch_that_waits_while_a_run_is_at_work_is_not_stuck(well):
    batch = factories.batch()
    type(batch).objects.update(discovered_at=timezone.now() - timedelta(hours=2))
    soon = timezone.now() + timedelta(minutes=1)
    IngestRun.objects.create(kind=Kind.NIGHTLY, status=IngestRun.State.RUNNING, lease_until=soon)
    assert found() == []


def test_a_day_without_a_good_run_is_named(well):
    run = IngestRun.objects.create(kind=Kind.MANUAL, status=IngestRun.State.BROKEN_OFF)
    IngestRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(hours=27))
    assert found() == ["no-good-run"]


def test_a_run_that_nobody_carries_out_is_named(well):
    run = IngestRun.objects.create(kind=Kind.MANUAL)
    IngestRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(hours=2))
    assert found() == ["run-waiting"]


def test_stopped_files_are_named_once_however_many_they_are(well):
    for _ in range(5):
        factories.batch(status="held", reasons=["ROW_ERROR_RATIO"], finished_at=timezone.now(), held_key="k")
    assert found() == ["batch-held"]
    assert ran("batch-held").seen.endswith(" And 2 more.")


def test_a_mart_that_is_old_and_stale_is_named(well, transactional_db):
    PeriodicTask.objects.update(last_run_at=timezone.now())
    marts.refresh()
    Facility.objects.create(name="Somewhere", state="KANO", lga="Dala")
    sql("UPDATE mart_states SET as_of = as_of - interval '2 days'")
    assert "mart-stale" in found()


def test_alerts_that_nobody_could_be_told_of_are_named(well, settings):
    settings.ALERT_EMAIL = ["stewards@example.org"]
    alert = Alert.objects.create(cause="a:1", what="Something", link="/")
    Alert.objects.filter(pk=alert.pk).update(opened_at=timezone.now() - timedelta(hours=2))
    assert found() == ["alert-untold"]


def test_every_kind_of_cause_has_its_words():
    assert work_checks.CAUSES.keys() == CAUSES


# --- Backups


def a_backup(**columns):
    long_ago = timezone.now() - timedelta(hours=27)
    Backup.objects.create(place="s3://b/k", **{"started_at": long_ago, "finished_at": long_ago} | columns)


def test_a_backup_that_is_too_old_is_named(well, settings):
    settings.BACKUP_URL = "s3://backups/nightly/"
    a_backup()
    assert found() == ["no-backup"]


def test_a_backup_that_went_wrong_is_named(well, settings):
    settings.BACKUP_URL = "s3://backups/nightly/"
    a_backup(started_at=timezone.now(), error="Broken")
    a_backup(started_at=timezone.now(), finished_at=None)  # at work
    assert found(gravity=Gravity.WARNING) == ["backup-failed"]


# --- The broker


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(broker_checks, "QUICK", 0.3)


def test_a_broker_that_is_away_is_named_and_nothing_that_follows_from_it(settings):
    settings.REDIS_URL = "redis://:hunter2222@127.0.0.1:1/0"
    assert found("broker") == ["broker-away"]
    assert ran("broker-away").seen == "127.0.0.1:1: nobody listens there."


def test_a_wrong_password_of_the_broker_is_named(settings):
    place = settings.REDIS_URL.rpartition("@")[2]
    settings.REDIS_URL = f"redis://:hunter2222@{place}"
    assert found("broker") == ["broker-password"]


def test_a_missing_worker_is_named(quick):
    assert found("broker") == ["no-worker"]


def test_a_broker_that_throws_away_is_named(settings, quick):
    broker = Redis.from_url(settings.REDIS_URL)
    broker.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert found("broker-evicts") == ["broker-evicts"]
    finally:
        broker.config_set("maxmemory-policy", "noeviction")


def test_a_long_queue_is_named(settings, monkeypatch):
    monkeypatch.setattr(broker_checks, "QUEUE", "doctor-test")
    broker = Redis.from_url(settings.REDIS_URL)
    broker.rpush("doctor-test", *range(1_001))
    try:
        assert found("queue-long") == ["queue-long"]
    finally:
        broker.delete("doctor-test")


# --- The bucket


def test_a_bucket_that_is_not_there_is_named(well, settings):
    settings.S3_BUCKET_NAME = "no-such-bucket"
    assert found() == ["bucket-missing"]


def test_a_store_that_is_away_is_named(settings):
    settings.S3_ENDPOINT_URL = "http://127.0.0.1:1"
    assert found("storage") == ["storage-away"]


@pytest.fixture
def faults(bucket, settings):
    with proxy() as faults:
        faults.begin(settings.S3_ENDPOINT_URL)
        settings.S3_ENDPOINT_URL = faults.url
        yield faults


@pytest.mark.parametrize(
    ("code", "method", "part", "named"),
    [
        ("AccessDenied", "GET", "list-type", "storage-denied"),
        ("InvalidAccessKeyId", "GET", "", "storage-credentials"),
        ("AccessDenied", "HEAD", "archive", "storage-denied"),
        ("AccessDenied", "POST", "held", "storage-denied"),
        ("AccessDenied", "DELETE", "input", "storage-denied"),
    ],
)
def test_what_the_store_forbids_is_named(faults, monkeypatch, code, method, part, named):
    monkeypatch.setattr(opening.state, "is_probing", True)
    faults.bad = lambda asked, path: Fault(status=403, code=code) if asked == method and part in path else None
    assert found("storage") == [named]


def test_trying_to_write_leaves_nothing(faults, monkeypatch, bucket):
    monkeypatch.setattr(opening.state, "is_probing", True)
    assert found("storage") == []
    listed = sources.s3_client().list_multipart_uploads(Bucket=bucket)
    assert not listed.get("Uploads")
    assert not sources.is_anything_under("")


def test_what_lies_in_the_input_for_days_is_named(bucket, settings, faults):
    factories.Bucket(bucket).put(f"{settings.S3_INPUT_PREFIX}patients.csv")
    faults.edit = None
    old = b"<LastModified>2020-01-01T00:00:00.000Z</LastModified>"

    def edited(body):
        begin, _, rest = body.partition(b"<LastModified>")
        return begin + old + rest.partition(b"</LastModified>")[2] if rest else body

    faults.bad = lambda method, path: Fault(edit=edited) if "list-type" in path else None
    assert found("storage") == ["input-waiting"]


# --- The machine, the settings, the site

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "named"), [(2**20, ["disk-full"]), (2**33, ["disk-nearly-full"]), (2**36, [])])
def test_a_full_disk_is_named(monkeypatch, free, named):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(2**37, 2**37 - free, free))
    assert found("machine") == named


@pytest.fixture
def production(settings):
    """As its settings are where all is set."""
    settings.EMBEDDED, settings.HTTPS_ONLY, settings.NUM_PROXIES = False, True, 1
    settings.SITE_URL, settings.ALLOWED_HOSTS = "https://medilink.example", ["medilink.example"]
    settings.ALERT_WEBHOOK_URL, settings.WHITENOISE_USE_FINDERS = "https://127.0.0.1/hook", True
    return settings


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("NUM_PROXIES", 0, "proxies-unset"),
        ("ALERT_WEBHOOK_URL", "", "nobody-told"),
        ("SITE_URL", "http://127.0.0.1:5000", "site-url"),
        ("SITE_URL", "https://another.example", "site-url"),
        ("WHITENOISE_USE_FINDERS", False, "static-missing"),
    ],
)
def test_a_forgotten_setting_is_named(production, tmp_path, name, value, named):
    production.STATIC_ROOT = tmp_path
    setattr(production, name, value)
    codes = found("settings")
    assert named in codes
    assert set(codes) <= {named, "settings-weak"}


def test_a_site_whose_name_is_not_known_is_named(production):
    production.SITE_URL = "https://medilink.invalid"
    assert found("site") == ["host-unknown"]


# --- As a command


def doctor(*words, **environment):
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", "doctor", *words],
        cwd=PROJECT,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


AWAY = {
    "DATABASE_URL": "postgres://medilink:hunter2222@127.0.0.1:1/medilink",
    "REDIS_URL": "redis://:hunter3333@127.0.0.1:1/0",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": "hunter4444",
}


def test_settings_that_start_nothing_are_told_and_the_rest_is_looked_at_all_the_same():
    ended = doctor("--json", SECRET_KEY="too-short-a-secret", DATA_KEYS="first:c2hvcnQ=", DEBUG="true", **AWAY)
    assert ended.returncode == 1, ended.stderr
    told = json.loads(ended.stdout)
    errors = [one["code"] for one in told["findings"] if one["gravity"] == "error"]
    assert sorted(set(errors)) == ["broker-away", "database-away", "settings-refused", "storage-away"]
    assert told["seconds"] < 10
    assert not [secret for secret in ("hunter", "too-short", "c2hvcnQ") if secret in ended.stdout + ended.stderr]


def test_settings_that_cannot_be_read_are_told_without_what_they_say():
    ended = doctor(DATABASE_URL="postgres://medilink:hunter@2222@host:port/x")
    assert ended.returncode == 1
    assert "settings-refused" in ended.stdout
    assert not [word for word in ("hunter", "Traceback") if word in ended.stdout + ended.stderr]


def test_usage_is_exit_code_2():
    with pytest.raises(CommandError, match="no subject and no code 'nonsense'") as refused:
        call_command("doctor", "--only", "nonsense")
    assert refused.value.returncode == 2


def test_warnings_alone_are_no_failure(well, capsys):
    PeriodicTask.objects.filter(task="medilink.tasks.tell").update(enabled=False)
    call_command("doctor", "--thorough", "--only", "schedule")
    told = capsys.readouterr().out
    assert "! An entry of the schedule is switched off" in told
    assert max(map(len, told.splitlines())) <= 96


def test_errors_are_exit_code_1(db, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--thorough", "--only", "schedule")
    assert ended.value.code == 1


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(well, settings):
    settings.BACKUP_URL = 17
    assert found() == ["check-broke"]
    assert not logging.root.manager.disable


def test_a_server_that_hangs_hangs_nobody(settings, monkeypatch):
    monkeypatch.setattr(examination, "PATIENCE", 0.5)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        settings.S3_ENDPOINT_URL = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = examination.examine(["storage"])
    assert [one.kind.code for one in result.findings] == ["storage-away"]
    assert result.seconds < 3


def test_no_secret_of_the_environment_gets_through():
    environment = {"POSTGRES_PASSWORD": "hunter2222", "REDIS_URL": "redis://:p%40ssword@h/0", "SECRET_KEY": "s" * 50}
    said = f"hunter2222 p%40ssword p@ssword {'s' * 50} and a word"
    assert findings.hide(said, environment) == "••• ••• ••• ••• and a word"


def test_the_causes_of_alerts_are_those_that_people_are_told(well):
    factories.batch(status="failed", reasons=["ATTEMPTS_EXHAUSTED"], finished_at=timezone.now(), held_key="k")
    (cause,) = alerts.causes(timezone.now())
    assert ran("batch-failed").seen == f"{cause.what}."
