"""Makes, shows and sends the report of a night."""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from analytics.nightly_reports import NightlyReport
from analytics.report import nightly
from clinical import audit
from clinical.geography import find_state
from clinical.values import LAGOS
from ingestion.doors import Door, day, refuse

BUSY, NOTHING = 75, 3


class Command(Door):
    help = (
        "Makes the reports of a night, of the nation and of each state that has facilities, where they are not there "
        "yet; what was reported stays as it was. With --to they are written as HTML and PDF, with --send due mails are "
        "sent. Exit codes: 0 they are there; 3 the marts were never filled; 2 usage; 69 the database is away; 75 "
        "another process makes them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--night", type=day, metavar="DATE", help="default: the last one, in Lagos")
        parser.add_argument("--state", help="this state alone")
        parser.add_argument("--to", type=Path, metavar="DIR", help="write the files here")
        parser.add_argument("--send", action="store_true", help="send what is due to its addressees")
        parser.add_argument("--json", action="store_true", help="a JSON line per report, with all it says")

    def handle(self, *args: Any, **options: Any) -> None:
        today = timezone.now().astimezone(LAGOS).date()
        night = options["night"] or today
        if night > today:
            refuse(f"{night} has not come yet.")
        state = find_state(options["state"]) if options["state"] else None
        if options["state"] and state is None:
            refuse(f"There is no state {options['state']!r}.")
        try:
            nightly.make(night, None if state is None else [state])
        except nightly.AlreadyReporting as error:
            self.stderr.write(str(error))
            sys.exit(BUSY)
        reports = NightlyReport.objects.filter(night=night).order_by("state")
        reports = reports.filter(state=state) if state else reports
        if not reports:
            self.stderr.write("There is no report: the marts were never filled.")
            sys.exit(NOTHING)
        for report in reports.iterator(chunk_size=10):
            self._tell(report, options["to"], is_json=options["json"])
        if options["to"]:
            audit.note_file("nightly_reports", "nightly_report", rows=len(reports), night=f"{night}")
        if options["send"]:
            sent, failed = nightly.send()
            self.stderr.write(f"{sent} mails were sent, {failed} could not be.")

    def _tell(self, report: NightlyReport, folder: Path | None, *, is_json: bool) -> None:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / report.file_name).write_bytes(report.pdf)
            (folder / report.file_name).with_suffix(".html").write_text(report.html)
        if is_json:
            self.stdout.write(json.dumps(report.facts | {"id": report.pk, "digest": report.digest}, ensure_ascii=False))
        else:
            self.stdout.write(f"{report}: {report.facts['verdict']['words']}")
