"""What the README promises to do here for who comes from the predecessor does so."""

import re
import shlex
import subprocess
from pathlib import Path

import pandas
import pytest
import yaml
from django.core.management import call_command
from django.db import connection

from analytics import marts
from clinical import logins
from tests.deliveries import deliver_all

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
TABLE = README.partition("### Coming from the predecessor")[2].partition("\n## ")[0]
LINES = re.findall(r"^\| .+ \| `(.+)` \|$", TABLE, re.MULTILINE)

pytestmark = pytest.mark.django_db


def ended(*words):
    try:
        call_command(*words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_there_is_a_line_for_each_thing():
    assert len(LINES) >= 18


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("manage.py")])
def test_a_command_does_its_work(transactional_db, bucket, line):
    deliver_all()
    assert ended(*shlex.split(line)[1:]) == 0


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("select")])
def test_a_query_answers(line):
    with connection.cursor() as cursor:
        cursor.execute(line)
        assert cursor.description


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("curl")])
def test_a_request_is_answered(live_server, bucket, tmp_path, line):
    marts.refresh()
    logins.create_user("app", "service")
    environment = {"SITE": live_server.url, "TOKEN": logins.issue_token("app", 1), "PATH": "/usr/bin:/bin"}
    answer = subprocess.run(
        ["sh", "-c", line.replace("curl", "curl --silent --show-error --fail", 1)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout or (tmp_path / "facilities.csv").read_text()


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("docker compose")])
def test_the_services_that_are_named_exist(line):
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    named = [word for word in line.split()[3:] if not word.startswith("-")]
    assert named
    assert set(named) <= services.keys()


def test_the_pandas_snippet_reads_a_mart():
    query = re.search(r'^query = "(.+)"$', README, re.MULTILINE)[1]
    frame = pandas.DataFrame(_rows(query), columns=["day", "total_visits", "ma_7_day_visits"])
    assert len(frame) == 0


def _rows(query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
