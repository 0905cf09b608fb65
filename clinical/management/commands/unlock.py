"""Lets somebody try to log in again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinical import logins


class Command(BaseCommand):
    help = "Forgets the failed log-ins of the user NAME, who may try again at once. Exit codes: 0 done, 2 refused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        try:
            user = logins.known_user(name)
        except logins.Refused as error:
            raise CommandError(str(error), returncode=2) from error
        was_counted = logins.unlock(user, by=None)
        self.stdout.write(f"{name} may try again." if was_counted else f"{name} has not failed lately.")
