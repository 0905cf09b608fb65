"""A backup put into an empty database."""

import sys
from argparse import ArgumentParser
from typing import Any

import psycopg2
from django.core.management.base import BaseCommand

from medilink.backups import dump, places, postgres, restore, sealed

BROKEN, AWAY = 1, 69


class Command(BaseCommand):
    help = (
        "Restores a backup into an empty database, compares every table, gives the roles their rights and makes the "
        "marts. Exit codes: 0 all is as it was, 1 it is not, 69 the place, the database or the programs are not there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("place", metavar="FILE|s3://BUCKET/KEY")
        parser.add_argument("--into", required=True, metavar="URL", help="an empty database: postgres://…")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            done = restore.into(options["place"], options["into"])
            restore.settle(options["into"])
        except (places.NotReachable, postgres.NoProgram, psycopg2.OperationalError) as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(AWAY)
        except (dump.Broken, sealed.NotABackup, restore.NotPossible) as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(BROKEN)
        self.stdout.write(told(done))
        sys.exit(BROKEN if done.different else 0)


def told(done: restore.Drill) -> str:
    steps = ", ".join(f"{name} {seconds} s" for name, seconds in done.seconds.items())
    alike = f"{len(done.different)} differ: {', '.join(done.different)}" if done.different else "all as in the backup"
    return f"{done.tables} tables, {done.rows:,} rows, {alike}. {steps}; {sum(done.seconds.values()):.1f} s together."
