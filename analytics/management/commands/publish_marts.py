"""Publishes today's figures here and now."""

import json
import sys
from typing import Any

from django.core.management.base import CommandParser

from analytics import publishing
from ingestion.doors import Door
from ingestion.runs import ALREADY_RUNNING


class Command(Door):
    help = (
        "Keeps the aggregated marts as of today, for `?as_of=` of the API; what was published today already stays as "
        "it is. Exit codes: 0 done or nothing to do; 1 a mart is not of today or its last refresh failed; 69 the "
        "database is away; 75 another process publishes already."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--force", action="store_true", help="also marts that are not of today, or failed")
        parser.add_argument("--json", action="store_true", help="a JSON line per mart on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = publishing.publish(is_forced=options["force"])
        except publishing.NotFit as error:
            self.stderr.write(str(error))
            sys.exit(1)
        except publishing.AlreadyPublishing as error:
            self.stderr.write(str(error))
            sys.exit(ALREADY_RUNNING)
        for one in found:
            told = {"mart": one.mart, "day": one.day.isoformat(), "rows": one.rows, "changed": one.changed}
            said = json.dumps(told) if options["json"] else f"{one.mart}: {one.rows:,} lines, {one.changed:,} changed"
            self.stdout.write(said)
        if not found and not options["json"]:
            self.stdout.write("Today's figures are published already.")
