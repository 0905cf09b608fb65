"""Searches for probable duplicates of patients and facilities."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from clinical.duplicates import search
from clinical.models import DuplicateSearch

ALREADY_RUNNING = 75


class Command(BaseCommand):
    help = (
        "Compares patients of one facility, and facilities of one state, that have changed since the last search with "
        "all others, and keeps the pairs that are probably one for the stewards. Exit codes: 0 done; 75 another search "
        "is at work."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="all rows, not only those that have changed")
        parser.add_argument("--json", action="store_true", help="a JSON line per table")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            searches = search.search_all(is_full=options["all"])
        except search.AlreadyRunning as error:
            self.stderr.write(str(error))
            sys.exit(ALREADY_RUNNING)
        for done in searches:
            self.stdout.write(json.dumps(_told(done)) if options["json"] else _sentence(done))


def _told(done: DuplicateSearch) -> dict[str, Any]:
    columns = ("table", "is_full", "rows", "blocked", "compared", "found", "capped")
    return {column: getattr(done, column) for column in columns} | {"seconds": round(done.seconds, 3)}


def _sentence(done: DuplicateSearch) -> str:
    told = (
        f"{done.table}: {done.rows:,} rows {'in all' if done.is_full else 'had changed'}, {done.blocked:,} pairs share "
        f"a key, {done.compared:,} were scored, {done.found:,} are probably one; {done.seconds:.1f} s."
    )
    capped = ", ".join(f"{count:,} by {kind}" for kind, count in done.capped.items())
    return f"{told} Too large to compare all with all: {capped}." if capped else told
