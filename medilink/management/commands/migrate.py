"""Django's own command, by one process at a time and without making others wait."""

from typing import Any

from django.core.management.base import CommandError, CommandParser, no_translations
from django.core.management.commands import migrate
from django.db import connections

from medilink import migrating, wall

LOOKING = ("check_unapplied", "plan")
AWAY = 75


class Command(migrate.Command):
    help = (
        f"{migrate.Command.help} Several hosts may start it at once. It waits {migrating.WAIT_MS} ms for a table, lets "
        "the others pass and comes again. Exit code 75: held up until --patience was over; start it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--patience", type=float, default=migrating.PATIENCE, metavar="SECONDS", help="until it is given up"
        )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        if any(options[name] for name in LOOKING):
            super().handle(*args, **options)
            return
        self._connection = connections[options["database"]]
        try:
            with migrating.alone(self._connection, self._tell, options["patience"]):
                self._migrate(*args, **options)
        except migrating.NotPossible as error:
            raise CommandError(str(error)) from error
        except migrating.HeldUp as error:
            raise CommandError(str(error), returncode=AWAY) from error

    def _migrate(self, *args: Any, **options: Any) -> None:
        if not options["app_label"] and migrating.is_ahead(self._connection):
            self._tell("A newer release has migrated this database; it is left as it is.")
            return
        migrating.limit_waits(self._connection, is_atomic=True)  # also for what follows each migrate
        with wall.watched(self._tell):
            migrating.insist(
                lambda: migrate.Command.handle(self, *args, **options),
                self._connection,
                self._tell,
                options["patience"],
            )

    def migration_progress_callback(self, action: str, migration: Any = None, fake: bool = False) -> None:
        if action in ("apply_start", "unapply_start"):
            migrating.limit_waits(self._connection, is_atomic=migration.atomic)
        elif action in ("apply_success", "unapply_success"):
            migrating.limit_waits(self._connection, is_atomic=True)
        super().migration_progress_callback(action, migration, fake)

    def _tell(self, line: str) -> None:
        self.stderr.write(line)
