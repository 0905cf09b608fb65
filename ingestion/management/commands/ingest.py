"""Load what lies in the input, here and now."""

from argparse import ArgumentParser
from typing import Any

from ingestion import doors, runs
from ingestion.models import Kind


class Command(doors.Door):
    help = (
        "Discover and load what is due under the input prefix, without a broker. Exit codes: 0 done (rows may wait for "
        "parents); 3 done, some rows were refused; 1 a file was rejected, held or failed; 2 usage; 69 a service is "
        "away; 75 another run is at work."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--prefix", default="", help="only objects under this prefix of the bucket")
        where.add_argument("--key", action="append", default=[], help="only this object (may be given again)")
        parser.add_argument("--business-date", type=doors.day, help="the day that these deliveries speak of")
        parser.add_argument("--dry-run", action="store_true", help="the same verdicts, nothing written")
        parser.add_argument("--json", action="store_true", help="JSON lines on standard output, and nothing else there")

    def handle(self, *_args: Any, **options: Any) -> None:
        run = runs.request(Kind.MANUAL, prefix=options["prefix"], keys=options["key"])
        find = runs.in_input(options["business_date"])
        doors.carry_out(run, find=find, is_dry=options["dry_run"], is_json=options["json"])
