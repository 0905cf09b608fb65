"""Makes a backup and proves that what was written can be read: pg_dump → sealed chunks → the place → pg_restore --list.

The plain stream begins with a line of JSON: which server and roles it is of, and a digest of every table in the very
snapshot that was dumped. By it a restore is compared.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import IO, Any

from django.db import connection, transaction
from django.utils import timezone

from analytics import bi
from clinical import row_security
from medilink.backups import places, postgres, sealed
from medilink.backups.digests import digests
from medilink.models import Backup

BLOCK = 1 << 18
OPTIONS = ("--format=custom", "--no-owner", "--no-privileges", "--no-password")
Tell = Callable[[int], None]  # bytes so far

# Roles are the cluster's, not the database's: policies and grants name them, and a restore needs them before.
ROLES = """
SELECT r.rolname FROM pg_policy p CROSS JOIN unnest(p.polroles) AS of (oid) JOIN pg_roles r ON r.oid = of.oid
UNION SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)
ORDER BY 1
"""
# What a mart holds is made anew after a restore: pg_restore would do so before anything is known of the tables.
MARTS = """
SELECT format('--exclude-table-data=%I.%I', schemaname, matviewname) FROM pg_matviews ORDER BY 1
"""
OURS = (row_security.ROLE, bi.ROLE)  # that somebody logs in as


class Broken(Exception):
    """pg_dump or pg_restore has failed; its own words."""


def make(place: str, tell: Tell = lambda _: None) -> Backup:
    """Raises Broken, NoProgram or places.NotReachable; a backup that could not be read back is told as broken."""
    backup = Backup.objects.create(place=place, started_at=timezone.now())
    try:
        written = places.write(place, _told(sealed.seal(_stream()), tell))
        _prove(place, written)
    except BaseException as error:
        Backup.objects.filter(pk=backup.pk).update(finished_at=timezone.now(), error=type(error).__name__)
        raise
    backup.finished_at, backup.bytes, backup.sha256 = timezone.now(), written.bytes, written.sha256
    backup.save()
    return backup


def _stream() -> Iterator[bytes]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SELECT pg_export_snapshot(), current_setting('server_version_num')::int")
        snapshot, version = cursor.fetchone()
        cursor.execute(ROLES, [[*OURS]])
        roles = [name for (name,) in cursor.fetchall()]
        cursor.execute(MARTS)
        without = [option for (option,) in cursor.fetchall()]
        program = postgres.program("pg_dump", version)
        about = {
            "made_at": timezone.now().isoformat(),
            "server_version": version,
            "roles": roles,
            "digests": digests(cursor),
        }
        yield json.dumps(about).encode() + b"\n"
        yield from _output_of([program, *OPTIONS, *without, f"--snapshot={snapshot}"])


def _output_of(argv: list[str]) -> Iterator[bytes]:
    environment = postgres.environment(connection.get_connection_params())
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:  # noqa: S603
        assert process.stdout
        assert process.stderr
        try:
            while block := process.stdout.read(BLOCK):
                yield block
            said = process.stderr.read()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise Broken(f"pg_dump has failed: {_last_line(said)}")


def _told(blocks: Iterator[bytes], tell: Tell) -> Iterator[bytes]:
    done = 0
    for block in blocks:
        done += len(block)
        tell(done)
        yield block


def _prove(place: str, written: places.Written) -> None:
    """Reads it back to its end: the bytes are those that were written, every chunk opens, and it is an archive."""
    with places.opened(place) as file:
        proving = places.Proving(file)
        told, blocks = read(proving)
        program = postgres.program("pg_restore", told["server_version"])
        feed([program, "--list"], blocks, {})
        if proving.sha256 != written.sha256:
            raise Broken("What was read back is not what was written.")


def read(file: Any) -> tuple[dict[str, Any], Iterator[bytes]]:
    """What the backup says of itself, and pg_dump's archive. Raises sealed.NotABackup."""
    blocks = sealed.unseal(file)
    begun = b""
    while b"\n" not in begun and (block := next(blocks, b"")):
        begun += block
    line, _, rest = begun.partition(b"\n")
    return json.loads(line), chain([rest], blocks)


def feed(argv: list[str], blocks: Iterator[bytes], params: Mapping[str, Any]) -> None:
    """Gives the archive to a program, to its last byte also where that one has read enough. Raises Broken."""
    process = subprocess.Popen(  # noqa: S603  ours, or the server's
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=postgres.environment(params),
    )
    assert process.stdin
    assert process.stderr
    said: list[bytes] = []
    listening = Thread(target=lambda: said.append(process.stderr.read()), daemon=True)  # type: ignore[union-attr]  # a pipe
    listening.start()
    try:
        _pour(blocks, process.stdin)
        returncode = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):  # only now: it would take the end for the archive's
            process.stdin.close()
        raise
    finally:
        listening.join()
        process.stderr.close()
    if returncode:
        raise Broken(f"{Path(argv[0]).name} has failed: {_last_line(b''.join(said))}")


def _pour(blocks: Iterator[bytes], pipe: IO[bytes]) -> None:
    is_listening = True
    for block in blocks:
        if is_listening:
            try:
                pipe.write(block)
            except BrokenPipeError:
                is_listening = False
    with suppress(BrokenPipeError):
        pipe.close()


def _last_line(said: bytes) -> str:
    """Not all of it: what a server says of rows may be a person's."""
    lines = [line for line in said.decode(errors="replace").splitlines() if "error:" in line]
    return lines[0][:300] if lines else "it says nothing"
