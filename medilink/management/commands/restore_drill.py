"""Tries out that a backup would do."""

import sys
from argparse import ArgumentParser
from typing import Any

import psycopg2
from django.core.management.base import BaseCommand

from medilink.backups import dump, places, postgres, restore, sealed
from medilink.management.commands.restore import AWAY, BROKEN, told


class Command(BaseCommand):
    help = (
        "Restores a backup into a database of its own on this server and drops it again: every table is compared, "
        "`migrate --check` asked, the marts made. Exit codes: 0 it would do, 1 it would not, 69 as of `restore`."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("place", metavar="FILE|s3://BUCKET/KEY")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            done = restore.rehearse(options["place"], lambda step: sys.stderr.write(f"{step}\n"))
        except (places.NotReachable, postgres.NoProgram, psycopg2.OperationalError) as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(AWAY)
        except (dump.Broken, sealed.NotABackup, restore.NotPossible) as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(BROKEN)
        self.stdout.write(told(done, is_json=options["json"]))
        sys.exit(BROKEN if done.different else 0)
