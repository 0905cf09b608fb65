"""What is wrong, and what to do: medilink/doctor."""

import sys
from argparse import ArgumentParser
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import Error
from rich.console import Console

from medilink import wall
from medilink.doctor import checks, examination, opening, report
from medilink.doctor.findings import Gravity


class Command(BaseCommand):
    help = (
        "Looks whether this installation is well, and says of each thing that is not what it means and what to do. It "
        "changes nothing. Exit codes: 0 no error (there may be warnings), 1 errors, 2 usage."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for a program")
        parser.add_argument(
            "--only", action="append", default=[], metavar="NAME", help="a subject or a code of --list; may be repeated"
        )
        parser.add_argument("--list", action="store_true", help="the subjects, and what can be found")
        parser.add_argument("--thorough", action="store_true", help="with no limit of time: for a large database")
        parser.add_argument(
            "--probe-writes",
            action="store_true",
            help="also whether the bucket may be written: an upload is begun and taken back, nothing stays",
        )

        parser.add_argument(
            "--accept-wall",
            action="store_true",
            help="the one thing that it writes: that policies, functions, triggers and scoped views are meant to be as "
            "they are (wall-changed)",
        )

    def handle(self, **options: Any) -> None:
        if options["accept_wall"]:
            self._accept_wall()
            return
        for name in options["only"]:
            if not checks.is_known(name):
                raise CommandError(f"There is no subject and no code {name!r}; see --list.", returncode=2)
        if options["list"]:
            checks.load()
            self.stdout.write(f"Subjects: {', '.join(checks.LANES)}\n")
            report.tell_kinds(self._console())
            return
        opening.state.is_probing = options["probe_writes"]
        result = examination.examine(options["only"], is_thorough=options["thorough"])
        if options["json"]:
            self.stdout.write(report.as_json(result))
        else:
            report.tell(result, self._console())
        if any(finding.kind.gravity is Gravity.ERROR for finding in result.findings):
            sys.exit(1)

    def _accept_wall(self) -> None:
        try:
            accepted = wall.accept()
        except Error as error:
            raise CommandError(f"Nothing was accepted: {type(error).__name__}. See manage.py doctor.") from error
        self.stdout.write("\n".join(f"Accepted: {one}" for one in accepted) or "Nothing has changed.")

    def _console(self) -> Console:
        return Console(file=cast(IO[str], self.stdout), highlight=False, markup=False)
