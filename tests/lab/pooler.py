"""A real pgbouncer in transaction mode before a server of ours, with as few server connections as one likes."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psycopg2
import pytest

from medilink import embedded, supervisor

CONFIG = """
[databases]
* = host={server} port=5432
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/pooler.users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
"""
USERS = '"medilink" ""\n"medilink_web" ""\n'
PATHS = f"{os.environ.get('PATH', '')}:/usr/sbin"


def binary() -> str:
    found = shutil.which("pgbouncer", path=PATHS)
    if not found:
        pytest.skip("PGBOUNCER IS MISSING: nothing is known of how the web fares behind a pooler (apt: pgbouncer)")
    return found


class Pooler:
    def __init__(self, folder: Path, server: Path, size: int = 2) -> None:
        """`server`: the folder of its socket."""
        program, self.port = binary(), embedded._free_port()
        (folder / "pooler.users").write_text(USERS)
        config = folder / "pooler.ini"
        config.write_text(CONFIG.format(folder=folder, server=server, port=self.port, size=size))
        prefix, options = _nobody([folder, folder / "pooler.users", config])
        self.log = folder / "pooler.log"
        self._process = supervisor.spawn([*prefix, program, config], output=self.log, **options)
        while not embedded._listens(self.port):
            assert self._process.poll() is None, self.log.read_text()

    def url(self, user: str, database: str) -> str:
        return f"postgres://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, user: str, database: str) -> "psycopg2.extensions.connection":
        found = psycopg2.connect(self.url(user, database))
        found.autocommit = True
        return found

    def close(self) -> None:
        supervisor.stop(self._process, signal.SIGINT, patience=10)


def _nobody(paths: list[Path]) -> tuple[list[str], dict[str, object]]:
    """How pgbouncer is started: it refuses to be root."""
    if os.geteuid() != 0:
        return [], {}
    mapped = ["unshare", "--user", f"--map-user={embedded.NOBODY}", f"--map-group={embedded.NOBODY}"]
    with suppress(OSError):
        if subprocess.run([*mapped, "true"], capture_output=True, check=False).returncode == 0:
            return mapped, {}
    for path in paths:
        os.chown(path, embedded.NOBODY, embedded.NOBODY)
    return [], {"user": embedded.NOBODY, "group": embedded.NOBODY, "extra_groups": []}
