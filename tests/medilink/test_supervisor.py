import signal
import subprocess
import sys
from queue import Queue

import pytest

from medilink.supervisor import Group, spawn

PATIENT = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def lines():
    return Queue()


@pytest.fixture
def group(tmp_path, lines):
    made = Group(tmp_path / "logs", lambda name, line: lines.put((name, line)))
    yield made
    made.stop(patience=0)


def test_each_line_is_shown_with_its_process_and_kept_in_its_log(group, lines):
    group.start("one", [sys.executable, "-c", "import sys; print('hello'); print('oh', file=sys.stderr)"])
    assert sorted([lines.get(timeout=30), lines.get(timeout=30)]) == [("one", "hello"), ("one", "oh")]
    assert sorted(group.log("one").read_text().split()) == ["hello", "oh"]


def test_a_process_that_ends_by_itself_is_named(group, lines):
    group.start("short", [sys.executable, "-c", "print('done')"])
    group.start("long", [sys.executable, "-c", PATIENT])
    while lines.get(timeout=30) != ("short", "done"):
        pass
    group._running["short"][0].wait(30)
    assert group.dead() == ["short"]


def test_a_process_that_does_not_listen_is_ended_all_the_same(group, lines):
    group.start("deaf", [sys.executable, "-c", PATIENT])
    lines.get(timeout=30)
    process, _ = group._running["deaf"]
    group.stop(patience=0.1)
    assert process.returncode == -signal.SIGKILL


def test_the_configuration_is_read_from_standard_input(tmp_path):
    log = tmp_path / "log"
    process = spawn([sys.executable, "-c", "print(input()[::-1])"], output=log, config=b"secret\n")
    assert process.wait(30) == 0
    assert log.read_text() == "terces\n"


def test_a_child_dies_when_its_starter_is_killed(tmp_path):
    starter = (
        "import sys, os, signal; from medilink.supervisor import spawn\n"
        f"spawn([sys.executable, '-c', {PATIENT!r}], output=1)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"up\n"
        process.kill()
        # The child holds the pipe's other end: it ends when the child is gone.
        assert process.stdout.read() == b""
