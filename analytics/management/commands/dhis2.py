"""A month for DHIS2: written to a file or sent, with the sheet that reconciles it; also takes in organisation units."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from analytics.dhis2 import org_units, reconciling, report, sending
from analytics.dhis2.models import Sending
from clinical import audit
from clinical.geography import find_state
from clinical.months import month_of
from ingestion.doors import Door

AWAY, SOME_REFUSED = 69, 3


class Command(Door):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--month", metavar="YYYY-MM")
        parser.add_argument("--state", default="", help="only the facilities of this state")
        parser.add_argument("--to", type=Path, metavar="FILE", help="the dataValueSets as JSON")
        parser.add_argument("--sheet", type=Path, metavar="FILE", help="the reconciliation as CSV")
        parser.add_argument("--post", action="store_true", help="send them to DHIS2_URL")
        parser.add_argument("--again", action="store_true", help="with --post: also what was accepted and is unchanged")
        parser.add_argument("--org-units", type=Path, metavar="FILE", help="take in a CSV of hfr_code, org_unit")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["org_units"]:
            with options["org_units"].open(newline="", encoding="utf-8-sig") as file:
                taken = org_units.take(file)
            self.stdout.write(f"{taken.mapped} mapped, {taken.unknown} of no facility, {taken.wrong} not understood")
        if options["month"]:
            self._month(options)
        elif not options["org_units"]:
            raise CommandError("Say which --month.", returncode=2)

    def _month(self, options: dict[str, Any]) -> None:
        month, state = month_of(options["month"]), ""
        if month is None:
            raise CommandError("A month is written YYYY-MM.", returncode=2)
        if options["state"] and not (state := find_state(options["state"]) or ""):
            raise CommandError("There is no such state.", returncode=2)
        made = report.make(month, timezone.localdate(), state)
        if options["to"]:
            sets = {"dataValueSets": [one.body for one in made.sets]}
            options["to"].write_text(json.dumps(sets, indent=1) + "\n")
        if options["sheet"]:
            options["sheet"].write_text(reconciling.sheet(made))
        if written := [name for name in ("to", "sheet") if options[name]]:
            audit.note_file("dhis2", "dhis2", rows=len(made.sets), files=written, month=made.period)
        self._tell(made)
        if options["post"]:
            self._post(made, again=options["again"])

    def _tell(self, made: report.Report) -> None:
        off = [line for line in reconciling.lines(made) if line.difference]
        cells = made.unmapped_cells
        self.stdout.write(f"{made.period}: {len(made.sets)} facilities, {len(made.unmapped)} without organisation unit")
        if made.unmapped:
            self.stdout.write(f"  unmapped facilities: {', '.join(map(str, made.unmapped))}")
        for cell, count in sorted(cells.items()):
            self.stdout.write(f"  unmapped figure: {', '.join(cell)}: {count}")
        for line in off:
            self.stdout.write(f"  {line.metric} {line.age_group} {line.sex}: {line.total}, {line.relation} {line.mart}")

    def _post(self, made: report.Report, *, again: bool) -> None:
        if not settings.DHIS2_URL:
            raise CommandError("DHIS2_URL is not set.", returncode=2)
        try:
            ends = sending.send(made, again=again)
        except sending.Unreachable as error:
            raise CommandError(f"{error} What was sent so far is kept; run it again.", returncode=AWAY) from error
        self.stdout.write(", ".join(f"{count} {end}" for end, count in sorted(ends.items())) or "nothing to send")
        refused = (Sending.State.PARTLY, Sending.State.REFUSED)
        for one in Sending.objects.filter(month=made.month, state__in=refused):
            for conflict in one.conflicts:
                self.stdout.write(f"  {one.org_unit}: {conflict['object']}: {conflict['value']}")
        if any(ends[state] for state in refused):
            raise CommandError("DHIS2 did not take everything.", returncode=SOME_REFUSED)
