"""A sealed backup of the whole database, from a terminal."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from medilink.backups import dump, places, postgres, sealed

BROKEN, AWAY = 1, 69
STEP = 64 * 1024**2


class Command(BaseCommand):
    help = (
        "Writes a backup, sealed with the first of DATA_KEYS, and its SHA-256 beside it; then reads it back. "
        "Exit codes: 0 good, 1 broken, 69 the place or the programs of PostgreSQL are not there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("place", metavar="FILE|s3://BUCKET/KEY")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            made = dump.make(options["place"], _Telling())
        except (places.NotReachable, postgres.NoProgram) as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(AWAY)
        except (dump.Broken, sealed.NotABackup) as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(BROKEN)
        seconds = (made.finished_at - made.started_at).total_seconds() if made.finished_at else 0
        self.stdout.write(f"{made.place}: {made.bytes:,} bytes in {seconds:.1f} s, read back. SHA-256 {made.sha256}")


class _Telling:
    def __init__(self) -> None:
        self._told = 0

    def __call__(self, done: int) -> None:
        if done >= self._told + STEP:
            self._told = done
            sys.stderr.write(f"{done / 1024**2:,.0f} MiB\n")
