import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from medilink import embedded

PROJECT = Path(__file__).resolve().parents[2]
# Provides, says what it found, and lives until its standard input ends.
STARTER = """
import json, os, sys
import environ
from pathlib import Path
environ.Env.read_env = staticmethod(lambda *_args, **_options: None)
from medilink import embedded
servers = embedded.provide(Path(sys.argv[1]))
print(json.dumps({"is_owner": servers is not None, "environment": dict(os.environ)}), flush=True)
sys.stdin.read()
"""
REAL = {"DATABASE_URL": "postgres://real/", "REDIS_URL": "redis://real/0", "AWS_ENDPOINT_URL_S3": "http://real/"}
ONLY_POSTGRES = {name: value for name, value in REAL.items() if name != "DATABASE_URL"}


@contextmanager
def starter(folder, environment, *, prefix=(), path=os.environ["PATH"]):
    """A process that provides; (process, what it says)."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", STARTER, str(folder)],
        cwd=PROJECT,
        env={"PATH": path, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            if not process.stdin.closed:
                process.stdin.close()
            process.wait()


def connect(found):
    return psycopg2.connect(found["environment"]["DATABASE_URL"])


def await_death_of_all(folder):
    """Every server holds this lock, so that it can be had when the last one is gone."""
    with (folder / "servers.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def listens(url):
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname, address.port), timeout=5):
            return True
    except OSError:
        return False


def test_nothing_is_left_behind_when_the_starter_is_killed(tmp_path):
    with starter(tmp_path, {}) as (process, found):
        urls = found["environment"]["REDIS_URL"], found["environment"]["AWS_ENDPOINT_URL_S3"]
        assert all(map(listens, urls))
        connect(found).close()
        process.kill()
    await_death_of_all(tmp_path)
    assert not any(map(listens, urls))
    with pytest.raises(psycopg2.OperationalError):
        connect(found)


def test_rows_survive_a_killed_starter_in_a_folder_with_spaces_and_a_long_path(tmp_path):
    folder = tmp_path / "a folder's name" / ("long " * 30)
    folder.parent.mkdir()
    with starter(folder, ONLY_POSTGRES) as (process, found):
        with connect(found) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 7 AS number")
        connection.close()
        process.kill()
    with starter(folder, ONLY_POSTGRES) as (process, found):
        with connect(found) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT number FROM kept")
            assert cursor.fetchone() == (7,)
        connection.close()
    assert process.returncode == 0


def test_a_stale_process_file_that_names_a_living_process_does_not_stop_the_start(tmp_path):
    with starter(tmp_path, ONLY_POSTGRES):
        pass
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path / 'postgres'}\n")
    with starter(tmp_path, ONLY_POSTGRES) as (_, found):
        connect(found).close()
    assert found["is_owner"]


def test_a_second_command_uses_the_servers_of_the_first_which_waits_for_it(tmp_path):
    with starter(tmp_path, ONLY_POSTGRES) as (first, of_first), starter(tmp_path, ONLY_POSTGRES) as (_, of_second):
        assert (of_first["is_owner"], of_second["is_owner"]) == (True, False)
        assert of_first["environment"]["DATABASE_URL"] == of_second["environment"]["DATABASE_URL"]
        assert of_first["environment"]["SECRET_KEY"] == of_second["environment"]["SECRET_KEY"]
        first.stdin.close()
        assert "waiting" in first.stdout.readline()
        connect(of_second).close()
    assert first.returncode == 0
    await_death_of_all(tmp_path)


def test_a_second_command_under_other_variables_is_told_so(tmp_path):
    with starter(tmp_path, ONLY_POSTGRES):
        other = subprocess.run(
            [sys.executable, "-c", STARTER, str(tmp_path)],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"]},
            input="",
            capture_output=True,
            text=True,
            check=False,
        )
    assert other.returncode == 1
    assert "started under other variables" in other.stderr


@pytest.mark.parametrize("missing", sorted(REAL))
def test_a_real_server_is_left_alone_when_another_one_is_missing(tmp_path, missing):
    given = {name: value for name, value in REAL.items() if name != missing}
    with starter(tmp_path, given) as (_, found):
        for name, value in given.items():
            assert found["environment"][name] == value
        assert found["environment"][missing] != REAL[missing]
        assert found["environment"]["MEDILINK_EMBEDDED"] == "true"


def test_nothing_is_started_when_all_is_configured(tmp_path):
    with starter(tmp_path / "run", REAL) as (_, found):
        assert not found["is_owner"]
        assert "MEDILINK_EMBEDDED" not in found["environment"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "is_missing"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://s3.example"}, False),
        ({"AWS_ACCESS_KEY_ID": "somebody"}, False),
        ({"S3_BUCKET_NAME": "of-the-app", "AWS_REGION": "af-south-1"}, False),
        ({"S3_BUCKET_NAME": "of-the-app"}, True),
        ({"AWS_REGION": "af-south-1"}, True),
        ({"AWS_ENDPOINT_URL_S3": ""}, True),
    ],
)
def test_the_bucket_counts_as_configured_by_its_server_its_keys_or_its_region(monkeypatch, given, is_missing):
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_REGION", "S3_BUCKET_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert ("s3" in embedded._missing()) is is_missing


def test_an_ordinary_user_can_start_them(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("every other test of this file shows it already: this user is not root")
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    look = [*as_nobody, sys.executable, "-c", "import medilink"]
    if (
        not shutil.which("setpriv")
        or subprocess.run(look, check=False, cwd=PROJECT, stderr=subprocess.DEVNULL).returncode
    ):
        pytest.skip("needs setpriv, and a Python and a checkout that all users can read")
    folder, _ = embedded.short_folder()
    os.chown(folder, 65534, 65534)
    os.chmod(folder, 0o755)
    with starter(folder / "run", ONLY_POSTGRES, prefix=as_nobody) as (_, found):
        assert found["is_owner"]
        assert (folder / "run" / "postgres").stat().st_uid == 65534


def test_root_can_start_them_where_user_namespaces_are_refused(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root has to become somebody else")
    refusing = tmp_path / "bin" / "unshare"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\nexit 1\n")
    refusing.chmod(0o755)
    path = f"{refusing.parent}:{os.environ['PATH']}"
    with starter(tmp_path / "run", ONLY_POSTGRES, path=path) as (process, found):
        connection = connect(found)
        connection.close()
        process.kill()
    await_death_of_all(tmp_path / "run")
    with pytest.raises(psycopg2.OperationalError):
        connect(found)


def test_a_missing_package_is_told_with_what_to_do_instead():
    with pytest.raises(embedded.EmbeddedError, match=r"not installed: set DATABASE_URL"):
        embedded._package("no_such_package")


def test_a_missing_package_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "_missing", lambda: ["s3"])
    monkeypatch.setitem(embedded.PACKAGES, "s3", "no_such_package")
    with pytest.raises(embedded.EmbeddedError, match=r"not installed: set DATABASE_URL"):
        embedded.provide(tmp_path / "run", is_throwaway=True)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(embedded.EmbeddedError, match="cannot be written"):
        embedded._run_folder(tmp_path / "file" / "run")


def test_looking_at_the_code_starts_nothing():
    alarmed = (
        "import sys, manage; from medilink import embedded;"
        " embedded.provide = lambda **_: sys.exit('servers would be started'); manage.main(['manage.py', 'check'])"
    )
    checked = subprocess.run(
        [sys.executable, "-c", alarmed],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
