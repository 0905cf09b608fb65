"""What a web process does when it is stopped: granian, with the options of the image's own line."""

import socket
import sys
import threading
import urllib.request

import pytest

from medilink import embedded, supervisor
from tests.lab.cluster import eventually
from tests.stack import compose

SITE = """
import time
from pathlib import Path

def application(environ, start_response):
    here = Path(__file__).parent
    if environ["PATH_INFO"] == "/slow":
        (here / "begun").touch()
        while not (here / "go").exists():
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"done"]
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site_of_a_test.py").write_text(SITE)
    port = embedded._free_port()
    line = compose.image_command()[2].replace("0.0.0.0", "127.0.0.1").replace('"$PORT"', str(port))
    words = [word for word in line.split()[1:] if word not in ("--log-config", "medilink/server_logs.json")]
    words = [sys.executable, "-m", *words[:-1], "site_of_a_test:application"]
    process = supervisor.spawn(words, output=tmp_path / "log", cwd=tmp_path)
    # One that is told to stop while it starts is not heard by granian, and ended after --workers-kill-timeout.
    eventually(lambda: (tmp_path / "log").read_text().count("Started worker") == 4)
    yield tmp_path, port, process
    process.kill()
    process.wait()


def test_what_it_has_begun_is_answered_and_nothing_else_is_taken(site):
    folder, port, process = site
    answers = []
    caller = threading.Thread(target=lambda: answers.append(ask(port)))
    caller.start()
    eventually((folder / "begun").exists)
    process.terminate()
    eventually(lambda: not embedded._listens(port))
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass
    (folder / "go").touch()
    caller.join(30)
    assert answers == [b"done"]
    assert process.wait(30) == 0


def ask(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/slow", timeout=30) as answer:
        return answer.read()
