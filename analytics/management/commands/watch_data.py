"""Judges what came of each source on a day, and names what is unlike the usual."""

import json
import sys
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from analytics.monitor_results import MonitorResult
from analytics.monitors import watch
from analytics.silence.watch import yesterday
from clinical.values import LAGOS
from ingestion.doors import Door, day, refuse

Verdict = MonitorResult.Verdict
UNUSUAL = 3


class Command(Door):
    help = (
        "Compares what each source delivered on a day with what it usually does: rows, hours since something came, "
        "refused rows, empty columns, the mixture of levels, sexes and ages. The findings are stored, unless a later "
        "day is stored already. Exit codes: 0 all as usual; 3 something is not; 2 usage; 69 the database is away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--day", type=day, metavar="DATE", help="the business date (default: yesterday in Lagos)")
        parser.add_argument("--json", action="store_true", help="a JSON line per measure, then one with the totals")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = options["day"] or yesterday()
        if chosen > timezone.now().astimezone(LAGOS).date():
            refuse(f"{chosen} has not come yet.")
        found = watch.watch(chosen)
        unusual = [one for one in found if one.verdict in (Verdict.LOW, Verdict.HIGH)]
        totals = {verdict.value: sum(one.verdict == verdict for one in found) for verdict in Verdict}
        if options["json"]:
            for one in found:
                print(json.dumps(_told(one)))
            print(json.dumps({"day": f"{chosen}", "totals": totals}))
        else:
            _print(unusual, totals, f"{chosen:%A %d %B %Y}")
        sys.exit(UNUSUAL if unusual else 0)


def _told(one: MonitorResult) -> dict[str, Any]:
    return {
        "source": one.source,
        "dataset": one.dataset,
        "measure": one.measure,
        "verdict": one.verdict,
        "value": one.value,
        "expected": [one.low, one.high],
        "among": one.among,
        "baseline_days": one.baseline_days,
    }


def _print(unusual: list[MonitorResult], totals: dict[str, int], chosen: str) -> None:
    console = Console()
    if unusual:
        table = Table("source", "dataset", "measure", "verdict", "seen", "expected", box=None)
        for one in unusual:
            expected = f"{one.low:,.3g}\N{EN DASH}{one.high:,.3g}"
            table.add_row(one.source, one.dataset, one.measure, one.verdict, f"{one.value:,.3g}", expected)
        console.print(table)
    said = ", ".join(f"{count} {name}" for name, count in totals.items() if count)
    console.print(f"{chosen}: {said or 'no source delivered anything in four weeks'}.")
