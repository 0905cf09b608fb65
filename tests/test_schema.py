"""The API keeps what its description says: schemathesis tries every operation with every check."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import pytest
from django.db import connection

from analytics import marts
from clinical import logins
from clinical.access import Role
from clinical.models import Membership, User
from tests.clinical.test_lists import DAY
from tests.rows import facility, patient, record, visit

ROOT = Path(__file__).resolve().parent.parent


# Besides every role with the nation for its scope, and whom the suite asks as: who may do all that can be described.
CALLERS = ("anybody", *Role, "clinician of KANO", "superuser", "nobody", "anonymous")


class Site(NamedTuple):
    address: str
    schema: bytes


@pytest.fixture
def site(transactional_db, bucket):
    """The site with a few rows in two states, and its callers."""
    for at in (facility(), facility(), facility(state="LAGOS", lga="Ikeja")):
        someone = patient(at)
        record(someone, DAY)
        visit(someone, DAY)
    marts.refresh()
    for name in CALLERS:
        role, _, state = name.partition(" of ")
        known = role if role in list(Role) else ""
        logins.create_user(name, known, state=state, is_superuser=role == "superuser")
    for role in (Role.STEWARD, Role.AUDITOR):
        Membership.objects.create(user=User.objects.get(username="anybody"), role=role)
    with served(bucket) as address:
        asked = Request(f"{address}/api/schema", headers=credentials("anybody"))
        with urlopen(asked, timeout=30) as answer:
            yield Site(address, answer.read())


def credentials(name):
    return {} if name == "anonymous" else {"Authorization": f"Bearer {logins.issue_token(name, 1)}"}


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


def run(site, name, folder, *options):
    """In a folder of its own, because it keeps what it has found."""
    (folder / "schema").write_bytes(site.schema)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(ROOT / "tests/schemathesis.toml"),
    ]
    headers = [word for header in credentials(name).items() for word in ("--header", ": ".join(header))]
    options = ["--seed", "1", "--generation-database", "none", "--suppress-health-check", "all", *options]
    ended = subprocess.run(
        [*command, "run", "schema", "--url", site.address, *headers, "--exclude-path-regex", "/auth/", *options],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
        cwd=folder,
        check=False,
    )
    print(f"as {name}:", *ended.stdout.splitlines()[-12:], sep="\n")  # the figures, with -s
    assert ended.returncode == 0, ended.stdout[-6000:]


def test_no_operation_breaks_its_description(site, tmp_path):
    run(site, "anybody", tmp_path, "--max-examples", "2", "--phases", "examples,coverage")


@pytest.mark.drill
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CALLERS)
def test_no_operation_breaks_its_description_whoever_tries_it_however_often(site, tmp_path, name):
    run(site, name, tmp_path, "--max-examples", "60")
