"""The doctor beside real processes: what is well, and what is named once one of them is broken."""

import base64
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.lab.cluster import PROJECT, eventually
from tests.lab.nights import one_night
from tests.lab.wire import Mode

pytestmark = pytest.mark.drill
CANARY = "zzqxcanary"
KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def house(cluster):
    """Worker and beat at work, and one night loaded."""
    cluster.worker()
    cluster.start("beat", *cluster.beat())
    cluster.deliver({name: file.replace(b"Cough", b"Zzqxcanary") for name, file in one_night().items()})
    cluster.ingest()
    eventually(lambda: cluster.sql("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'medilink beat%%'"))
    return cluster


def look(cluster, *words, prefix=(), **environment):
    """The exit code, and the codes that are errors."""
    ended = subprocess.run(
        [*prefix, sys.executable, "manage.py", "doctor", "--json", *words],
        cwd=PROJECT,
        env=cluster.environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert CANARY not in ended.stdout.lower() + ended.stderr.lower()
    assert cluster._password not in ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert told["seconds"] < 10
    return ended.returncode, sorted({one["code"] for one in told["findings"] if one["gravity"] == "error"})


def test_a_house_at_work_has_no_error_and_each_broken_part_is_named_alone(house):
    assert look(house, "--probe-writes") == (0, [])

    house.signal("worker", signal.SIGSTOP)
    assert look(house) == (1, ["no-worker"])
    house.signal("worker", signal.SIGCONT)

    house.start("beat2", *house.beat())
    eventually(lambda: "beat-twice" in warnings(house))
    house.kill("beat2")

    break_wire(house.broker, Mode.REFUSE)
    assert look(house) == (1, ["broker-away"])
    house.broker.heal()
    eventually(lambda: look(house) == (0, []))

    break_wire(house.database, Mode.REFUSE)
    assert look(house) == (1, ["database-away"])
    house.database.heal()

    eventually(lambda: look(house) == (0, []))


def break_wire(wire, mode):
    wire.mode = mode
    wire.cut()


def warnings(cluster):
    ended = cluster.run("doctor", "--json", "--only", "schedule")
    return [one["code"] for one in json.loads(ended.stdout)["findings"]]


@pytest.mark.parametrize("server", ["database", "broker"])
def test_a_server_that_swallows_everything_hangs_nobody(house, server):
    wire = getattr(house, server)
    break_wire(wire, Mode.SWALLOW)
    code, errors = look(house)
    wire.heal()
    assert (code, errors) == (1, [f"{server}-away"])


def test_a_dead_beat_is_named_once_it_has_started_nothing_for_long(house):
    house.kill("beat")
    house.sql("UPDATE django_celery_beat_periodictask SET last_run_at = now() - interval '1 hour'")
    assert look(house) == (1, ["beat-missing"])


def test_a_key_that_was_taken_out_is_named(house):
    assert house.sql("SELECT 1 FROM rejected_rows WHERE raw_sealed IS NOT NULL")
    code, errors = look(house, DATA_KEYS=f"another:{KEY}")
    assert (code, errors) == (1, ["sealed-key-missing"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_a_disk_that_is_really_full_is_named(house, tmp_path):
    fill = f'mount -t tmpfs -o size=16m tmpfs {tmp_path} && head -c 16000000 /dev/zero > {tmp_path}/full; exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", fill, "sh")
    code, errors = look(house, "--only", "machine", prefix=prefix, TMPDIR=str(tmp_path))
    assert code == 1
    assert "disk-full" in errors
