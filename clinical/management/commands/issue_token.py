"""Makes a token by which a program logs in."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinical import logins
from clinical.access import Role


class Command(BaseCommand):
    help = (
        "Makes a token for the user NAME and prints it as the last line; it is shown only now. A program sends it as "
        "`Authorization: Bearer TOKEN`. It may be narrower than its user: what both allow counts. "
        "Exit codes: 0 done, 2 refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="a user made with create_user")
        parser.add_argument("--days", type=int, default=365, help="until it ends, 1 to 3650 (default 365)")
        parser.add_argument("--role", choices=Role.values, default="", help="only this one of the user's roles")
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument("--state", help="only this state")
        scope.add_argument("--lga", metavar="STATE/LGA", help="only this LGA")
        scope.add_argument("--facility", type=int, metavar="ID", help="only this facility")
        parser.add_argument("--read-only", action="store_true", help="nothing can be written with it")
        parser.add_argument(
            "--from",
            dest="networks",
            action="append",
            default=[],
            metavar="ADDRESS",
            help="an address or network that it may come from; may be given again",
        )

    def handle(self, *args: Any, name: str, days: int, role: str, **options: Any) -> None:
        if not 1 <= days <= 3650:
            raise CommandError("--days is a number from 1 to 3650.", returncode=2)
        try:
            state, lga, facility_id = logins.place(options["state"], options["lga"], options["facility"])
            token = logins.issue_token(
                name,
                days,
                role=role,
                state=state,
                lga=lga,
                facility_id=facility_id,
                is_read_only=options["read_only"],
                networks=options["networks"],
            )
        except logins.Refused as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"Token of {name} for {days} days; keep it safe, it is not shown again:")
        self.stdout.write(token)
