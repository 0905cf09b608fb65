"""Registers a program that logs in with a key of its own (SMART backend services), or ends it."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinical import logins
from clinical.models import SmartClient
from clinical.smart import clients


class Command(BaseCommand):
    help = (
        "Registers the program NAME with its public keys, or gives a known one new keys. It acts as the user NAME, or "
        "--user: make one with create_user, of the role service. Exit codes: 0 done, 2 refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the client_id: letters, digits, . _ and -")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--jwks", type=Path, metavar="FILE", help="its public keys, as a JWKS")
        what.add_argument("--end", action="store_true", help="ends it, with its tokens and exports")
        parser.add_argument("--user", help="as whom it acts (default: the user of the same name)")
        parser.add_argument("--scope", action="append", help="that it may ask for (default system/*.rs)")

    def handle(self, *args: Any, name: str, jwks: Path | None, **options: Any) -> None:
        try:
            if jwks is None:
                self._end(name)
            else:
                self._register(name, jwks, options["user"] or name, options["scope"] or ["system/*.rs"])
        except logins.Refused as error:
            raise CommandError(str(error), returncode=2) from error

    def _register(self, name: str, jwks: Path, user: str, scopes: list[str]) -> None:
        try:
            keys = json.loads(jwks.read_text())
        except (OSError, ValueError) as error:
            raise logins.Refused(f"{jwks} cannot be read as JSON.") from error
        client, is_new = clients.register(name, logins.known_user(user), keys, scopes, by=None)
        done = "registered" if is_new else "has new keys"
        self.stdout.write(f"{client} {done}: {len(client.keys['keys'])} keys, {' '.join(client.scopes)}.")

    def _end(self, name: str) -> None:
        client = SmartClient.objects.filter(client_id=name, ended_at=None).first()
        if client is None:
            raise logins.Refused(f"There is no client {name} that has not been ended.")
        clients.end(client, by=None)
        self.stdout.write(f"{client} is ended.")
