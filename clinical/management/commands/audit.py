"""`manage.py audit`: seals, their verification, the months, and what is asked of the audit."""

import csv
import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date, parse_datetime

from clinical.api import parameters
from clinical.audit import partitions, questions, seals, verifying


def _since(text: str) -> datetime:
    return _instant(text, parameters.since)


def _until(text: str) -> datetime:
    return _instant(text, parameters.until)


def _instant(text: str, read: Any) -> datetime:
    if not (parse_date(text) or parse_datetime(text)):
        raise ValueError
    found: datetime = read("at", text)
    return found


class Command(BaseCommand):
    help = "Seals the audit and verifies it, and answers who saw a patient and what a user saw."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        what.add_parser("seal", help="seal what has been committed; beat does it every five minutes")
        verify = what.add_parser("verify", help="exit code 0: all is as it was sealed; 1: something is not")
        verify.add_argument("--head", default="", help="a digest that was exported, which must be in the chain")
        what.add_parser(
            "months", help="make the months that are owed, index closed ones, drop those older than six years"
        )
        who = what.add_parser("who-saw", help="who was told of a patient, or of whoever was merged into them")
        who.add_argument("patient_id", type=int)
        seen = what.add_parser("seen-by", help="which patients a user was told of, where, by what")
        seen.add_argument("user")
        for one in (who, seen):
            one.add_argument("--from", dest="since", type=_since, help="a day in Lagos, or an instant")
            one.add_argument("--to", dest="until", type=_until, help="the same; that day is included")
            one.add_argument("--json", action="store_true")
            one.add_argument("--csv", action="store_true", help="who-saw: a line for each; seen-by: the patients' ids")

    def handle(self, *, what: str, **options: Any) -> None:
        answers: dict[str, Callable[..., None]] = {
            "seal": self._seal,
            "verify": self._verify,
            "months": self._months,
            "who-saw": self._who_saw,
            "seen-by": self._seen_by,
        }
        answers[what](**options)

    def _seal(self, **_: Any) -> None:
        self.stdout.write(f"{seals.seal():,} lines sealed; head {seals.head() or 'none'}")

    def _verify(self, *, head: str, **_: Any) -> None:
        if head and not (len(head) == 64 and all(letter in "0123456789abcdef" for letter in head)):
            raise CommandError("A head has 64 hexadecimal digits.", returncode=2)
        found = verifying.verify(head, self._progress)
        for wrong in found.wrong:
            self.stdout.write(str(wrong))
        self.stdout.write(
            f"{found.rows:,} lines, {found.seals:,} seals: {len(found.wrong) or 'nothing'} wrong; head {found.head}"
        )
        if found.wrong:
            sys.exit(1)

    def _progress(self, what: str, rows: int) -> None:
        if rows and self.stderr.isatty():
            self.stderr.write(f"{what}: {rows:,} lines")

    def _months(self, **_: Any) -> None:
        made, dropped = partitions.make_ahead(), partitions.drop_expired()
        indexed = partitions.index_closed()
        self.stdout.write(f"{made} made, {len(indexed)} indexed, {len(dropped)} dropped")

    def _who_saw(self, *, patient_id: int, since: Any, until: Any, **options: Any) -> None:
        found = questions.who_saw(patient_id, since, until)
        lines = [line._asdict() for line in found]
        if options["json"]:
            self.stdout.write(json.dumps(lines, default=str))
        elif options["csv"]:
            self._table(questions.Seen._fields, found)
        else:
            for line in found:
                self.stdout.write(
                    f"{line.at:%Y-%m-%d %H:%M:%S} {line.actor or '-'} ({', '.join(line.roles)}) {line.action}"
                    f" {line.table} {line.purpose} {line.route} {line.address} {line.request_id}"
                )
            self.stdout.write(f"{len(found)} times, by {len({line.actor for line in found})}")

    def _seen_by(self, *, user: str, since: Any, until: Any, **options: Any) -> None:
        try:
            found = questions.seen_by(user, since, until)
        except questions.NoSuchUser as error:
            raise CommandError(str(error)) from error
        if options["csv"]:
            self._table(("patient_id",), [(pk,) for pk in questions.patients_seen_by(user, since, until)])
        elif options["json"]:
            self.stdout.write(json.dumps(found._asdict(), default=str))
        else:
            self.stdout.write(f"{found.patients:,} patients, {found.events:,} times")
            for name in ("states", "facilities", "routes"):
                for line in getattr(found, name):
                    self.stdout.write(f"{name}: " + ", ".join(f"{key} {value}" for key, value in line.items()))

    def _table(self, names: Any, lines: Any) -> None:
        writer = csv.writer(self.stdout)
        writer.writerow(names)
        writer.writerows(lines)
