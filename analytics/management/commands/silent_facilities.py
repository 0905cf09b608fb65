"""Judges a day and names the facilities that are silent on it."""

import json
import sys
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from analytics.facility_signals import FacilitySignal
from analytics.silence import watch
from clinical.models import Facility
from clinical.values import LAGOS
from ingestion.doors import Door, day, refuse

SILENT = 3


class Command(Door):
    help = (
        "Compares what came of each facility on a day with the same weekday of the eight weeks before: no file, a file "
        "without rows, the same file as before, too few rows, too many. Public holidays, days on which most facilities "
        "are quiet together, and files that wait for a steward are no silence; with fewer than four comparable days a "
        "facility is too new to judge. The findings are stored, unless a later day is stored already. Muted ones are "
        "named, and say so. Exit codes: 0 none is silent; 3 some are, or most facilities are quiet together; 2 usage; "
        "69 the database is away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--day", type=day, metavar="DATE", help="the business date (default: yesterday in Lagos)")
        parser.add_argument("--json", action="store_true", help="a JSON line per facility, then one with the totals")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = options["day"] or watch.yesterday()
        if chosen > timezone.now().astimezone(LAGOS).date():
            refuse(f"{chosen} has not come yet.")
        watched = watch.watch(chosen)
        facilities = Facility.objects.in_bulk([signal.facility_id for signal in watched.signals])
        unsettled = FacilitySignal.objects.unsettled() if watched.is_stored else FacilitySignal.objects.none()
        muted = set(unsettled.filter(state=FacilitySignal.State.MUTED).values_list("facility_id", flat=True))
        told = [
            _told(signal, facilities[signal.facility_id], signal.facility_id in muted)
            for signal in sorted(watched.signals, key=lambda signal: (-signal.rows_amiss, signal.facility_id))
        ]
        totals = {name: getattr(watched.day, name) for name in TOTALS}
        if options["json"]:
            for line in told:
                print(json.dumps(line))
            print(json.dumps({"day": f"{chosen}", "totals": totals, "is_stored": watched.is_stored}))
        else:
            _print(told, totals, f"{chosen:%A %d %B %Y}")
        sys.exit(SILENT if told or watched.day.together else 0)


TOTALS = ("facilities", "in_order", "silent", "too_new", "not_due", "stopped", "holiday", "together")


def _told(signal: FacilitySignal, facility: Facility, is_muted: bool) -> dict[str, Any]:
    return {
        "facility_id": facility.pk,
        "facility": facility.name,
        "state": facility.state,
        "kind": signal.kind,
        "since": f"{signal.began_on}",
        "observed": signal.observed,
        "expected": [signal.expected_low, signal.expected_high],
        "over_days": signal.over_days,
        "baseline_days": signal.baseline_days,
        "rows_amiss": signal.rows_amiss,
        "is_muted": is_muted,
    }


def _print(told: list[dict[str, Any]], totals: dict[str, int], chosen: str) -> None:
    console = Console()
    if told:
        table = Table("facility", "state", "what is wrong", "since", "seen", "usual", "days", "amiss", box=None)
        for line in told:
            kind = FacilitySignal.Kind(line["kind"]).label + (" (muted)" if line["is_muted"] else "")
            usual = "{}\N{EN DASH}{}".format(*line["expected"])
            row = (line["facility"], line["state"], kind, line["since"], line["observed"], usual)
            table.add_row(*map(str, (*row, line["over_days"], line["rows_amiss"])))
        console.print(table)
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in totals.items() if count)
    console.print(f"{chosen}: {said or 'nothing ever came of any facility'}.")
