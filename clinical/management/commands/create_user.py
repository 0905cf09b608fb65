"""Makes a user, or gives one more role and scope."""

import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinical import logins
from clinical.access import Role


class Command(BaseCommand):
    help = (
        "Makes the user NAME with a role within a scope: the nation, or what --state, --lga or --facility names. "
        "Called again for the same user it adds the pair. Without --password-stdin a new user has no password and "
        "can only use tokens (issue_token). --superuser makes one who may do everything. Exit codes: 0 done, 2 refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--role", choices=Role.values, default="")
        what.add_argument("--superuser", action="store_true", help="everything, everywhere; manages the other users")
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument("--state", help="a state in any spelling, as KANO")
        scope.add_argument("--lga", metavar="STATE/LGA", help="an LGA with its state, as KANO/Dala")
        scope.add_argument("--facility", type=int, metavar="ID", help="the id of a facility")
        parser.add_argument("--password-stdin", action="store_true", help="the password is the first line of stdin")

    def handle(self, *args: Any, name: str, role: str, password_stdin: bool, **options: Any) -> None:
        password = sys.stdin.readline().rstrip("\n") if password_stdin else None
        try:
            state, lga, facility = logins.place(options["state"], options["lga"], options["facility"])
            _, membership, is_new = logins.create_user(
                name,
                role,
                state=state,
                lga=lga,
                facility_id=facility,
                password=password,
                is_superuser=options["superuser"],
            )
        except logins.Refused as error:
            raise CommandError(str(error), returncode=2) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=2) from error
        self.stdout.write(f"{'Made' if is_new else 'Extended'} {name}: {membership or 'superuser'}")
