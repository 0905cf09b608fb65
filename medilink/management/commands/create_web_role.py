"""Make the role that the web connects as: medilink/web_role.py."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from clinical.database_roles import NotAllowedError, UnfitRoleError
from ingestion import doors
from medilink import web_role


class Command(doors.Door):
    help = (
        f"Makes the database role {web_role.ROLE}, as which the web connects: it owns nothing, and row-level security "
        "binds it. Prints how to connect; put it into DATABASE_WEB_URL of the web. Again: brings it back into shape. "
        "Exit codes: 0 done, 1 refused, 2 usage, 69 the database is away."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--password-stdin", action="store_true", help="read its password from the first line of standard input"
        )

    def handle(self, *, password_stdin: bool, **options: Any) -> None:
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
        if password_stdin and not password:
            raise CommandError("There is no password on standard input.", returncode=2)
        try:
            self.stdout.write(web_role.create(password))
        except (UnfitRoleError, NotAllowedError) as error:
            raise CommandError(str(error)) from error
