"""Refreshes the marts here and now."""

import json
import sys
from typing import Any

from django.core.management.base import CommandParser
from rich.console import Console
from rich.table import Table

from analytics import marts
from analytics.marts import Outcome
from ingestion.doors import Door, refuse
from ingestion.runs import ALREADY_RUNNING


class Command(Door):
    help = (
        "Refreshes the marts that are stale: whose tables have changed, or whose day is over. Readers never wait. "
        "Exit codes: 0 done or nothing to do; 1 a mart failed (it keeps its rows); 2 no such mart; 69 the database "
        "is away; 75 another process refreshes already."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("marts", nargs="*", metavar="MART", help="these, after stale ones that they are made of")
        parser.add_argument("--force", action="store_true", help="also those that are fresh")
        parser.add_argument("--json", action="store_true", help="a JSON line per mart on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        tell = _tell_json if options["json"] else _teller()
        try:
            outcomes = marts.refresh(only=options["marts"], is_forced=options["force"], say=tell)
        except marts.UnknownMart as error:
            refuse(str(error))
        except marts.AlreadyRunning as error:
            self.stderr.write(str(error))
            sys.exit(ALREADY_RUNNING)
        if not options["json"]:
            Console().print(_table(outcomes))
        sys.exit(any(outcome.status == "failed" for outcome in outcomes))


def _tell_json(outcome: Outcome) -> None:
    print(json.dumps(outcome.__dict__ | {"seconds": round(outcome.seconds, 3)}), flush=True)


def _teller() -> Any:
    """Progress, for who looks on."""
    console = Console(stderr=True)
    return (lambda outcome: console.print(f"{outcome.mart}: {outcome.status}")) if console.is_terminal else None


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("mart", "", "why", "rows", "seconds", box=None)
    for one in outcomes:
        rows = "" if one.rows is None else f"{one.rows:,}"
        table.add_row(one.mart, str(one.status), one.error or one.why, rows, f"{one.seconds:.1f}")
    return table
