"""Load history, from the archive or from files of this machine."""

import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from clinical.models import Facility
from ingestion import backfill, doors, runs
from ingestion.models import Kind

NOT_IN_FILES = (
    "The archive holds what was delivered. What people did here is not in it: accounts and roles, rows of the API, "
    "merges and aliases, decisions on refused rows, rules, restrictions and erasures, the audit. A backup has them "
    "(`restore`); rows that were erased on request come back with their files."
)


class Command(doors.Door):
    help = (
        "Load history the way the night's files go: archived objects by their metadata, or local files by the dates in "
        "their names. Nothing newer is overwritten. Exit codes as of `ingest`; 2 also where a local file has no date."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--archive", action="store_true", help="everything in the archive prefix of the bucket")
        where.add_argument("--local", type=Path, metavar="DIR", help="the files of this folder, at any depth")
        parser.add_argument("--from", dest="first", type=doors.day, metavar="DATE", help="first business date")
        parser.add_argument("--to", dest="last", type=doors.day, metavar="DATE", help="last business date, included")
        parser.add_argument("--business-date", type=doors.day, help="the day of local files without a date")
        parser.add_argument("--dry-run", action="store_true", help="the same verdicts, nothing written")
        parser.add_argument("--json", action="store_true", help="JSON lines on standard output, and nothing else there")

    def handle(self, *_args: Any, **options: Any) -> None:
        days = {"first": options["first"], "last": options["last"]}
        find: runs.Find
        if options["archive"]:
            if not Facility.objects.exists():
                sys.stderr.write(f"{NOT_IN_FILES}\n")
            find = partial(backfill.from_archive, **days)
        elif not options["local"].is_dir():
            doors.refuse(f"{options['local']} is no folder.")
        else:
            given = options["business_date"]
            find = partial(backfill.from_folder, folder=options["local"], business_date=given, **days)
        run = runs.request(Kind.BACKFILL)
        doors.carry_out(run, find=find, is_dry=options["dry_run"], is_json=options["json"])
