"""Make the read-only role for Power BI, Tableau and Metabase: analytics/bi.py."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from analytics import bi
from clinical.database_roles import NotAllowedError, UnfitRoleError
from ingestion import doors


class Command(doors.Door):
    help = (
        f"Makes the database role {bi.ROLE}, which reads the views of schema bi and nothing else, and prints how to "
        "connect. Again: brings it back into shape. A role belongs to the whole server, so other databases there "
        "should not let PUBLIC connect. Exit codes: 0 done, 1 refused, 2 usage, 69 the database is away."
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
            self.stdout.write(bi.create_role(password))
        except (UnfitRoleError, NotAllowedError) as error:
            raise CommandError(str(error)) from error
