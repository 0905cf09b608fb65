"""Lets go of what is kept no longer."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from medilink import purge


class Command(BaseCommand):
    help = (
        "Does what every night does: cells of refused rows 180 days after they were settled, expired keys and tokens."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count; nothing goes")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        found = purge.purge(is_dry=options["dry_run"])
        if options["json"]:
            self.stdout.write(json.dumps(found))
            return
        for what, count in found.items():
            self.stdout.write(f"{count:>10,}  {what}{' would go' if options['dry_run'] else ''}")
