"""Logs somebody out everywhere."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinical import logins


class Command(BaseCommand):
    help = (
        "Ends all that the user NAME has open: browsers, apps and tokens of programs, from the next request on. "
        "The user may log in again. Exit codes: 0 done, 2 refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        try:
            ended, tokens = logins.end_sessions(logins.known_user(name), by=None)
        except logins.Refused as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"Ended: {ended} log-in{'s' * (ended != 1)}, {tokens} token{'s' * (tokens != 1)}.")
