"""What the law lets a patient ask for, from the command line."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from analytics import marts
from clinical import logins, subjects
from clinical.audit import questions
from clinical.merging import NotPossible
from clinical.models import Erasure, User, Why
from ingestion import dossier, erasure


class Command(BaseCommand):
    help = "A patient's rights. Exit codes: 0 done, 2 refused."

    def add_arguments(self, parser: CommandParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True)
        for name, what in (
            ("export", "everything that is held about them, as one JSON document"),
            ("accesses", "who was told of them, and who changed something"),
            ("restrict", "hide them from everybody but stewards; loads go on"),
            ("unrestrict", "take the restriction back"),
            ("erase", "ask for their erasure; a second person confirms it, and it is done"),
        ):
            deed = deeds.add_parser(name, help=what)
            deed.add_argument("patient_id", type=int)
            if name != "accesses":
                deed.add_argument("--by", required=True, help="the user who does it")
            if name == "export":
                deed.add_argument("--to", help="a file that is not there yet; else standard output")
            if name in ("restrict", "unrestrict", "erase"):
                deed.add_argument("--why", required=name != "erase", choices=Why.values)
            if name == "erase":
                deed.add_argument("--confirm", action="store_true", help="what somebody else has asked for")

    def handle(self, *args: Any, deed: str, patient_id: int, **options: Any) -> None:
        try:
            by = logins.known_user(name) if (name := options.pop("by", None)) else None
            getattr(self, f"_{deed}")(patient_id, by, **options)
        except (NotPossible, logins.Refused) as error:
            raise CommandError(str(error), returncode=2) from error

    def _export(self, pk: int, by: User, *, to: str | None, **options: Any) -> None:
        text = json.dumps(dossier.export(pk, by=by), cls=DjangoJSONEncoder, ensure_ascii=False, indent=1)
        if to is None:
            self.stdout.write(text)
            return
        path = Path(to)
        try:
            path.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            raise CommandError(f"{to} is there already.", returncode=2) from None
        path.write_text(text + "\n")
        self.stdout.write(f"{path.stat().st_size:,} bytes")

    def _accesses(self, pk: int, by: None, **options: Any) -> None:
        lines = [line._asdict() for line in questions.who_saw(subjects.patient_of(pk).pk)]
        self.stdout.write(json.dumps(lines, cls=DjangoJSONEncoder, indent=1))

    def _restrict(self, pk: int, by: User, *, why: str, **options: Any) -> None:
        subjects.restrict(pk, why=why, by=by)
        self._refresh()
        self.stdout.write("Restricted: only stewards see the patient, on the desk.")

    def _unrestrict(self, pk: int, by: User, *, why: str, **options: Any) -> None:
        subjects.unrestrict(pk, why=why, by=by)
        self._refresh()
        self.stdout.write("No longer restricted.")

    def _erase(self, pk: int, by: User, *, why: str | None, confirm: bool, **options: Any) -> None:
        if not confirm:
            if why is None:
                raise NotPossible("Say --why, or --confirm what somebody else has asked for.")
            subjects.ask_to_erase(pk, why=why, by=by)
            self.stdout.write("Asked for. Nothing is erased before another user confirms it (--confirm).")
            return
        asked = Erasure.objects.filter(patient=subjects.patient_of(pk)).first()
        if asked is None:
            raise NotPossible("Nobody has asked for it.")
        if not asked.confirmed_at:
            subjects.confirm_erasure(asked, by=by)
            asked.refresh_from_db()
        done = erasure.erase(asked)
        self._refresh()
        self.stdout.write(json.dumps(done._asdict(), cls=DjangoJSONEncoder, indent=1))
        self.stderr.write(erasure.STILL_HELD)

    def _refresh(self) -> None:
        with suppress(marts.AlreadyRunning):  # by whom it will be seen, or by the next refresh
            marts.refresh()
