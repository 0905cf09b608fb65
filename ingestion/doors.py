"""What the ingestion commands share: dates from the command line, the telling of a run, and its exit code."""

import sys
from abc import abstractmethod
from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from clinical.database_roles import NotAllowedError, UnfitRoleError
from ingestion import backfill, lanes, outages, runs, sources
from ingestion.lanes import Crew
from ingestion.models import IngestBatch, IngestRun
from ingestion.reports import reporter
from ingestion.runs import Find, Outcome


class Door(BaseCommand):
    """A command for which a service that is away is exit code 69; what was begun is taken up by the next run."""

    requires_system_checks = ()  # they import the whole web, which takes longer than a small file; `check` runs them

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except sources.StorageError as error:
            _exit(str(error), runs.AWAY)
        except (OperationalError, InterfaceError) as error:
            _exit(f"{outages.told(error)} If it goes on, check DATABASE_URL.", runs.AWAY)


class RoleDoor(Door):
    """A command that makes a role of the database, whose password comes by standard input."""

    @abstractmethod
    def create(self, password: str | None) -> str:
        """Returns how to connect."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--password-stdin", action="store_true", help="read its password from the first line of standard input"
        )

    def handle(self, *, password_stdin: bool, **options: Any) -> None:
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
        if password_stdin and not password:
            raise CommandError("There is no password on standard input.", returncode=2)
        try:
            self.stdout.write(self.create(password))
        except (UnfitRoleError, NotAllowedError) as error:
            raise CommandError(str(error)) from error


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date; write it as 2026-11-22") from None


def only(batch: IngestBatch) -> Find:
    """This batch and nothing else, whatever else is due."""

    def find(run: IngestRun) -> list[IngestBatch]:
        IngestBatch.objects.filter(pk=batch.pk).update(run=run)
        return []

    return find


def carry_out(run: IngestRun, *, find: Find, is_dry: bool, is_json: bool) -> NoReturn:
    """Carries the run out, tells it, and exits with its code."""
    telling = reporter(is_json=is_json)
    # Each statement hands the interpreter over; 5 ms until the thread that parses lets go would be most of a load.
    sys.setswitchinterval(0.0005)
    try:
        outcome = runs.carry_out(
            run, find=find, is_dry=is_dry, watch=telling, foresee=telling.foresee, crew=Crew(lanes.HERE)
        )
    except runs.AlreadyRunning as error:
        _exit(str(error), runs.ALREADY_RUNNING)
    except backfill.NoDate as error:
        _exit(str(error), runs.USAGE)
    finally:
        telling.close()
    telling.end(outcome)
    sys.exit(outcome.exit_code())


def tell(outcome: Outcome, *, is_json: bool) -> NoReturn:
    telling = reporter(is_json=is_json)
    for report in outcome.reports:
        telling(report)
    telling.end(outcome)
    sys.exit(outcome.exit_code())


def refuse(message: str) -> NoReturn:
    _exit(message, runs.USAGE)


def _exit(message: str, code: int) -> NoReturn:
    sys.stderr.write(message + "\n")
    sys.exit(code)
