"""How well vital signs are read: the corpus of phrases, by family."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from clinical.vitals import measuring


class Command(BaseCommand):
    help = "Reads the phrases of clinical/vitals/corpus.csv and prints how many are read exactly, by family."
    requires_system_checks = []  # Django's own attribute

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--failed", action="store_true", help="also the phrases that are not read as expected")

    def handle(self, *args: Any, **options: Any) -> None:
        families = measuring.measure()
        total = sum(family.phrases for family in families.values())
        failed = sum(len(family.failed) for family in families.values())
        for name, family in families.items():
            self._say(name, family.phrases, len(family.failed))
            for text, expected, read in family.failed if options["failed"] else []:
                self.stdout.write(f"    {text!r}\n        expected {expected!r}\n        read     {read!r}")
        self._say("all", total, failed)

    def _say(self, name: str, phrases: int, failed: int) -> None:
        self.stdout.write(f"{name:<20} {phrases - failed:>4} of {phrases:>4}  {1 - failed / phrases:.4f}")
