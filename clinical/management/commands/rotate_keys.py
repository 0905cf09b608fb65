"""Seals anew what is sealed with an older key of DATA_KEYS."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinical import rotation, sealing

KEY_IS_MISSING = 1
USAGE = 2


class Command(BaseCommand):
    help = (
        "After a new key was put first in DATA_KEYS: seals anew what older ones have sealed. It may be broken off and "
        "started again. Exit codes: 0 nothing waits any more; 1 a key is missing; 2 usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--status", action="store_true", help="only how many values which key has sealed")
        parser.add_argument(
            "--forget",
            metavar="KEY_ID",
            help="instead: takes out for good what a key has sealed that nobody has any more",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["status"]:
            self._tell_status()
            return
        if options["forget"]:
            self._forget(options["forget"])
            return
        try:
            done = rotation.rotate(lambda name, count: sys.stderr.write(f"{name}: {count:,}\n"))
        except sealing.SealingError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(KEY_IS_MISSING)
        self.stdout.write(f"{done:,} rows sealed anew with the key {sealing.current_key_id()!r}.")
        self._tell_status()

    def _forget(self, key_id: str) -> None:
        try:
            rotation.forget(key_id, lambda name, count: count and self.stdout.write(f"{count:,} of {name} are gone"))
        except sealing.SealingError as error:
            raise CommandError(str(error), returncode=USAGE) from error

    def _tell_status(self) -> None:
        current = sealing.current_key_id()
        for key_id, counts in sorted(rotation.key_ids().items()):
            told = ", ".join(f"{count:,} of {name}" for name, count in sorted(counts.items()))
            self.stdout.write(f"{key_id}{' (the first)' if key_id == current else ': waiting'}: {told}")
