"""Takes a second factor away."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinical import factors, logins


class Command(BaseCommand):
    help = (
        "Takes the second factor of the user NAME away, logs them out, and lets them set up another one at the next "
        "log-in: for who has lost phone and recovery codes. Exit codes: 0 done, 2 refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        try:
            was_set = factors.reset(logins.known_user(name), by=None)
        except logins.Refused as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"{name} sets up a new one at the next log-in." if was_set else f"{name} had none.")
