"""The command: what it prints, when it fails, and that nothing hangs it or comes out of it that must not."""

import base64
import json
import logging
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from medilink import alerts, embedded
from medilink.doctor import examination, findings, opening
from tests.ingestion import factories
from tests.medilink.doctor.looking import found, ran

PROJECT = Path(__file__).resolve().parents[3]
SECRET = "hunter2222"


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
    "DATABASE_URL": f"postgres://medilink:{SECRET}@127.0.0.1:1/medilink",
    "REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1/0",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": SECRET,
}


GIVEN = AWAY | {
    "SECRET_KEY": "kZ8nQ2vX5rT7wY1bC4dF6gH9jL0mP3sA-uEiOxWqVtRyNzKhGfDcBa",  # pragma: allowlist secret
    "DATA_KEYS": "first:" + base64.b64encode(bytes(range(32))).decode(),
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


def test_a_variable_that_cannot_be_read_is_named_and_nothing_else_is_blamed():
    ended = doctor("--json", NUM_PROXIES="hunter-one", **GIVEN)
    told = [one["seen"] for one in json.loads(ended.stdout)["findings"] if one["code"] == "settings-refused"]
    assert told == ["NUM_PROXIES cannot be read (ValueError): a number, an address or a list is not one."]
    assert "hunter" not in ended.stdout + ended.stderr


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


def test_nothing_configured_where_nothing_can_be_embedded_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(opening.state, "unconfigured", (*embedded.CONFIGURED,))
    assert found("settings") == ["nothing-configured"]
    monkeypatch.setitem(embedded.PACKAGES, "postgres", "not_installed")
    with pytest.raises(SystemExit, match="1"):
        call_command("doctor")
    told = capsys.readouterr().out
    assert "DATABASE_URL" in told
    assert "servers-unset" in told
    assert "make demo" not in told


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
