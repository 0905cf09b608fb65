"""Makes a token by which a program logs in."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinical import logins


class Command(BaseCommand):
    help = (
        "Makes a token for the user NAME and prints it as the last line; it is shown only now. A program sends it as "
        "`Authorization: Bearer TOKEN`. Exit codes: 0 done, 2 refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="a user made with create_user")
        parser.add_argument("--days", type=int, default=365, help="until it ends, 1 to 3650 (default 365)")

    def handle(self, *args: Any, name: str, days: int, **options: Any) -> None:
        if not 1 <= days <= 3650:
            raise CommandError("--days is a number from 1 to 3650.", returncode=2)
        try:
            token = logins.issue_token(name, days)
        except logins.Refused as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"Token of {name} for {days} days; keep it safe, it is not shown again:")
        self.stdout.write(token)
