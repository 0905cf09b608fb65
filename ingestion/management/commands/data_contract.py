"""Writes the delivery contract as files: schemas, samples, errors and what would improve a delivery."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ingestion.contract import package


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="made where it is not there")

    def handle(self, *_: Any, **options: Any) -> None:
        folder: Path = options["to"]
        folder.mkdir(parents=True, exist_ok=True)
        found = package.documents()
        for name, text in found.items():
            (folder / name).write_text(text)
        number, digest = package.version()
        self.stdout.write(f"{len(found)} files of contract {number} ({digest[:12]})")
