"""`make demo`: see medilink/demo.py."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from medilink import demo


class Command(BaseCommand):
    help = "Starts everything, delivers a night of invented data, loads it through Celery and leaves the site up."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end after the load: 0 where all went well, else 1")

    def handle(self, *, once: bool, **options: Any) -> None:
        demo.run(is_once=once)
