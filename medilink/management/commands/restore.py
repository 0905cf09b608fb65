"""A backup put into an empty database."""

import json
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
        parser.add_argument("--json", action="store_true", help="one line of JSON")
        parser.add_argument("--into", required=True, metavar="URL", help="an empty database: postgres://…")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            done = restore.into(options["place"], options["into"])
            restore.settle(options["into"], done)
        except (places.NotReachable, postgres.NoProgram, psycopg2.OperationalError) as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(AWAY)
        except (dump.Broken, sealed.NotABackup, restore.NotPossible) as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(BROKEN)
        self.stdout.write(told(done, is_json=options["json"]))
        sys.exit(BROKEN if done.different else 0)


def told(done: restore.Drill, *, is_json: bool) -> str:
    if is_json:
        return json.dumps(done.told())
    steps = ", ".join(f"{name} {seconds} s" for name, seconds in done.seconds.items())
    alike = f"{len(done.different)} differ: {', '.join(done.different)}" if done.different else "all as in the backup"
    lines = [
        f"{done.bytes / 1024**2:,.1f} MiB, {done.tables} tables, {done.rows:,} rows, {alike}.",
        f"{steps}; {done.total} s together. At this pace ten million rows take "
        f"{done.minutes_for(restore.TEN_MILLION)} min.",
        *(f"The role {role} is new here and has no password: set it." for role in done.without_password),
    ]
    return "\n".join(lines)
