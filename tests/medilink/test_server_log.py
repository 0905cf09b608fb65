"""What PostgreSQL writes into its own log."""

from pathlib import Path

import pytest
import yaml
from django.core.checks import run_checks
from django.db import connection

from medilink import server_log

PROJECT = Path(__file__).resolve().parents[2]


def warned():
    return [one for one in run_checks(databases=["default"]) if one.id == "medilink.W001"]


@pytest.mark.django_db
def test_the_embedded_server_writes_no_statement():
    assert warned() == []


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "loud"), [("log_statement", "all"), ("log_min_messages", "error")])
def test_a_server_that_writes_statements_is_told_of(name, loud):
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {name} = '{loud}'")
    (warning,) = warned()
    assert warning.msg.endswith(f": {name}")
    assert f"{name} = {server_log.QUIET[name]}," in warning.hint


@pytest.mark.django_db
def test_a_server_that_writes_nothing_but_its_end_is_quiet_too():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL log_min_messages = 'panic'")
    assert warned() == []


def test_the_server_of_the_compose_file_is_as_quiet():
    command = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]["postgres"]["command"]
    assert dict(part.split("=") for part in command.split() if "=" in part) == server_log.QUIET
