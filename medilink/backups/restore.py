"""Puts a backup into an empty database, on this server or another one, and tries out that it would do."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from django.db import connection
from django.utils import timezone
from environ import Env
from psycopg2 import sql

from analytics import bi
from clinical import database_roles
from medilink.backups import dump, places, postgres
from medilink.backups.digests import digests
from medilink.models import Backup

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
RELATIONS = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""


TEN_MILLION = 10_000_000
CHECK = "migrate --check"  # takes as long for a nation as for a village


class NotPossible(Exception):
    """Nothing was restored, and why."""


@dataclass
class Drill:
    """How long each step took, and the tables that are not as they were."""

    seconds: dict[str, float] = field(default_factory=dict)
    bytes: int = 0
    sha256: str = ""
    tables: int = 0
    rows: int = 0
    different: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    without_password: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        return round(sum(self.seconds.values()), 1)

    def minutes_for(self, rows: int) -> float:
        """At the same pace. Of few rows it says too much: starting the steps is most of their time."""
        fixed = self.seconds.get(CHECK, 0)
        return round((fixed + (self.total - fixed) * rows / max(self.rows, 1)) / 60, 1)

    def told(self) -> dict[str, Any]:
        return {
            "bytes": self.bytes,
            "tables": self.tables,
            "rows": self.rows,
            "different": self.different,
            "roles_without_password": self.without_password,
            "seconds": self.seconds | {"total": self.total},
            "minutes_for_ten_million_rows": self.minutes_for(TEN_MILLION),
        }

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)


def into(place: str, url: str, drill: Drill | None = None) -> Drill:
    """Restores into the empty database at `url` and compares. Raises NotPossible, dump.Broken, sealed.NotABackup.

    In one transaction: where anything is wrong with the backup, the database stays empty.
    """
    drill, params = drill or Drill(), _params(url)
    with drill.step("restore"), places.opened(place) as file:
        proving = places.Proving(file)
        told, blocks = dump.read(proving)
        with closing(psycopg2.connect(**params)) as target:
            _refuse_unfit(target, told)
            drill.roles, drill.without_password = told["roles"], _make_roles(target, told["roles"])
        program = postgres.program("pg_restore", _server_of(params))
        argv = [
            program,
            "--exit-on-error",
            "--single-transaction",
            "--no-owner",
            "--no-privileges",
            "--no-password",
            f"--dbname={params['dbname']}",
        ]
        dump.feed(argv, _as_expected(blocks, proving, places.expected_sha256(place)), params)
        drill.bytes, drill.sha256 = proving.size, proving.sha256
    with drill.step("analyze"), closing(psycopg2.connect(**params)) as target:
        target.autocommit = True
        with target.cursor() as cursor:
            cursor.execute("ANALYZE")
    with drill.step("compare"), closing(psycopg2.connect(**params)) as target, target, target.cursor() as cursor:
        found = digests(cursor)
    drill.tables, drill.rows = len(found), sum(rows for rows, _ in found.values())
    drill.different = sorted(
        name for name in found.keys() | told["digests"] if found.get(name) != told["digests"].get(name)
    )
    return drill


def _as_expected(blocks: Iterator[bytes], proving: places.Proving, sha256: str | None) -> Iterator[bytes]:
    """The last block only once all was read and found right: with it pg_restore commits."""
    last = b""
    for block in blocks:
        yield last
        last = block
    if sha256 and sha256 != proving.sha256:
        raise dump.Broken("The file is not what its .sha256 says.")
    yield last


def rehearse(place: str, tell: Callable[[str], object] = lambda _: None) -> Drill:
    """Into a database of its own on this server, which is dropped again: restored, looked at, marts made anew."""
    drill = Drill()
    with throwaway() as url:
        tell("restore")
        into(place, url, drill)
        for name, words in ((CHECK, ("migrate", "--check")), ("marts", ("refresh_marts", "--force"))):
            tell(name)
            with drill.step(name):
                _manage(url, *words)
    if not drill.different:
        Backup.objects.filter(sha256=drill.sha256).update(drilled_at=timezone.now())  # also of a copy elsewhere
    return drill


def settle(url: str, drill: Drill) -> None:
    """After a restore: what migrations give besides tables, the roles' rights, the marts."""
    with drill.step("migrate"):
        _manage(url, "migrate", "--noinput")
        if bi.ROLE in drill.roles:  # also where the server had it: what it may read is the database's
            _manage(url, "create_bi_role")
    with drill.step("marts"):
        _manage(url, "refresh_marts", "--force")


def _manage(url: str, *words: str) -> None:
    done = subprocess.run(  # noqa: S603  our own commands
        [sys.executable, MANAGE, *words],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise dump.Broken(f"`{' '.join(words)}` says no (exit code {done.returncode}) of the restored database.")


@contextmanager
def throwaway() -> Iterator[str]:
    """The address of an empty database on our server, gone afterwards."""
    name = f"medilink_drill_{os.getpid()}"
    params = connection.get_connection_params()
    with closing(psycopg2.connect(**_of(params, params["dbname"]))) as server:
        server.autocommit = True
        with server.cursor() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            try:
                yield _url(_of(params, name))
            finally:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _of(params: dict[str, Any], database: str) -> dict[str, Any]:
    names = ("host", "port", "user", "password", "sslmode", "sslrootcert")
    return {name: params[name] for name in names if params.get(name)} | {"dbname": database}


def _params(url: str) -> dict[str, Any]:
    config = Env.db_url_config(url)
    named = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    told = {name: config[ours] for name, ours in named.items() if config.get(ours)}
    options = config.get("OPTIONS", {})
    return told | {name: options[name] for name in ("sslmode", "sslrootcert", "host") if options.get(name)}


def _url(params: dict[str, Any]) -> str:
    """With the host behind, where a folder may stand as well."""
    who = quote(params.get("user", ""), safe="") + (
        f":{quote(params['password'], safe='')}" if "password" in params else ""
    )
    rest = {name: params[name] for name in ("host", "port", "sslmode", "sslrootcert") if name in params}
    return f"postgres://{who}@/{params['dbname']}?" + "&".join(
        f"{name}={quote(str(v), safe='/')}" for name, v in rest.items()
    )


def _server_of(params: dict[str, Any]) -> int:
    with closing(psycopg2.connect(**params)) as target:
        return int(target.server_version)


def _refuse_unfit(target: Any, told: dict[str, Any]) -> None:
    if target.server_version // 10_000 < told["server_version"] // 10_000:
        raise NotPossible("The server is older than the one that the backup is of.")
    with target.cursor() as cursor:
        cursor.execute(RELATIONS)
        if cursor.fetchone()[0]:
            raise NotPossible("The database is not empty; make a new one for the restore.")
    target.rollback()


def _make_roles(target: Any, roles: list[str]) -> list[str]:
    """Those that are missing, without any power; returns which of ours were made and have no password yet."""
    made = []
    with target, target.cursor() as cursor:
        for role in roles:
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
            if cursor.rowcount:
                continue
            if role in dump.OURS:
                database_roles.make(cursor, role)
                made.append(role)
            else:
                cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    return made
