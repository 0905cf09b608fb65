"""The API keeps what its description says: schemathesis tries every operation with every check."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from django.db import connection

from analytics import marts
from clinical import logins
from clinical.models import Membership, User
from tests.clinical.test_lists import DAY
from tests.rows import facility, patient, record, visit

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def site(transactional_db, bucket):
    """The site with a few rows, and the token of somebody who may do everything that can be described."""
    for _ in range(3):
        someone = patient(facility())
        record(someone, DAY)
        visit(someone, DAY)
    marts.refresh()
    logins.create_user("anybody", "steward")
    Membership.objects.create(user=User.objects.get(), role="auditor")
    with served(bucket) as address:
        yield address, logins.issue_token("anybody", 1)


@contextmanager
def served(bucket):
    """The real web server over this test's database: Django's own takes one request at a time."""
    database = connection.get_connection_params()
    url = f"postgres://{database['user']}@/{database['dbname']}?host={database['host']}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", f"{port}", "--no-ws", "--blocking-threads", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "granian", *options, "--log-level", "error", "medilink.wsgi:application"],
        env=os.environ | {"DATABASE_URL": url, "S3_BUCKET_NAME": bucket, "THROTTLE_USER": "off", "LOG_LEVEL": "ERROR"},
        cwd=ROOT,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _await(address)
        yield address
    finally:
        process.terminate()
        process.wait()


def _await(address):
    for _ in range(300):
        try:
            urlopen(f"{address}/readyz", timeout=5).close()
            return
        except OSError:  # not there yet, or too busy to answer
            time.sleep(0.1)
    pytest.fail("The web server does not start.")


def run(site, folder, *options):
    """In a folder of its own, because it keeps what it has found."""
    address, token = site
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(ROOT / "tests/schemathesis.toml"),
    ]
    headers = ["--header", f"Authorization: Bearer {token}"]
    options = ["--seed", "1", "--generation-database", "none", "--suppress-health-check", "all", *options]
    return subprocess.run(
        [*command, "run", f"{address}/api/schema", *headers, *options],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
        cwd=folder,
        check=False,
    )


def test_no_operation_breaks_its_description(site, tmp_path):
    ended = run(
        site, tmp_path, "--max-examples", "2", "--phases", "examples,coverage", "--exclude-path-regex", "/auth/"
    )
    assert ended.returncode == 0, ended.stdout[-6000:]


@pytest.mark.drill
@pytest.mark.timeout(1800)
def test_no_operation_breaks_its_description_however_often_it_is_tried(site, tmp_path):
    ended = run(site, tmp_path, "--max-examples", "60", "--exclude-path-regex", "/auth/")
    assert ended.returncode == 0, ended.stdout[-6000:]
