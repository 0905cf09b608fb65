"""Ends tokens of programs."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinical import logins


class Command(BaseCommand):
    help = "Ends one token, or all tokens of a user; refused from the next request on. Exit codes: 0 done, 2 refused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name_or_token", metavar="NAME|TOKEN")

    def handle(self, *args: Any, name_or_token: str, **options: Any) -> None:
        try:
            ended = logins.revoke_token(name_or_token)
        except logins.Refused as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"{ended} token{'' if ended == 1 else 's'} ended.")
