"""Reads vital signs out of visits that have no reading by the parser and the formulas of today."""

import json
import sys
import time
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from clinical import vital_readings
from clinical.vital_readings import Done

ALREADY_RUNNING = 75
WIDTH = 30


class Command(BaseCommand):
    help = (
        "Reads vital signs out of the visits that have no reading by the versions of today, and scores them. What was "
        "read stays read: broken off, it goes on where it was. Exit codes: 0 done; 75 another process reads."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="all visits anew, whatever version has read them")
        parser.add_argument("--since", help="with --all: go on with one that began at this instant (ISO 8601)")
        parser.add_argument("--json", action="store_true", help="one line of JSON at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        began, clock = timezone.now(), time.monotonic()
        since = _instant(options["since"]) or began if options["all"] else None
        bar = None if options["json"] or not sys.stderr.isatty() else _Bar(self)
        try:
            done = vital_readings.read_due(since=since, tell=bar or (lambda _: None))
        except vital_readings.AlreadyReading as error:
            self.stderr.write(str(error))
            sys.exit(ALREADY_RUNNING)
        seconds = round(time.monotonic() - clock, 1)
        told = {"visits": done.visits, "values": done.values, "scores": done.scores, "seconds": seconds}
        if options["json"]:
            self.stdout.write(json.dumps(told))
        else:
            self.stdout.write(
                f"{done.visits:,} visits read: {done.values:,} values, {done.scores:,} scores; {seconds} s."
            )


class _Bar:
    """How far it is, over one line of the terminal."""

    def __init__(self, command: BaseCommand) -> None:
        self.command = command
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM triage_visits WHERE vital_signs IS NOT NULL")
            self.total = max(1, cursor.fetchone()[0])

    def __call__(self, done: Done) -> None:
        filled = min(WIDTH, WIDTH * done.visits // self.total)
        self.command.stderr.write(
            f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {done.visits:,} of at most {self.total:,} visits", ending=""
        )


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    instant = parse_datetime(text)
    if instant is None or timezone.is_naive(instant):
        raise CommandError("--since must be an instant with its offset, such as 2026-11-26T08:00:00+01:00.")
    return instant
