"""Measures the silent-facility watch on an invented year in which it is known what went wrong."""

import json
from typing import Any

from django.core.management.base import CommandParser
from rich.console import Console
from rich.table import Table

from analytics.silence import score, year
from ingestion.doors import Door

GROUPS = {
    "all facilities": (0.0, float("inf")),
    f"with {score.SMALL:.0f} rows a day and more": (score.SMALL, float("inf")),
    "smaller ones": (0.0, score.SMALL),
}


class Command(Door):
    help = (
        "Invents 300 facilities over 365 days, with weekdays, seasons, growth, holidays, openings, closures and "
        "planted incidents, judges every day as its night would have done, and prints precision and recall by kind. "
        "Files are scored by facility and day, volumes by incident. The same seed gives the same year. Nothing is "
        "stored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=11, help="of the invented year (default: 11)")
        parser.add_argument("--facilities", type=int, default=300, help="how many (default: 300)")
        parser.add_argument("--days", type=int, default=365, help="how long (default: 365)")
        parser.add_argument("--json", action="store_true", help="a JSON line per group and kind")

    def handle(self, *args: Any, **options: Any) -> None:
        invented = year.invent(options["seed"], options["facilities"], options["days"])
        verdict = score.verdicts(invented)
        for name, sizes in GROUPS.items():
            scored = score.score(invented, verdict, sizes=sizes)
            (_tell_json if options["json"] else _print)(name, scored)


def _tell_json(name: str, scored: score.Score) -> None:
    for line in scored.lines:
        told = vars(line) | {"precision": round(line.precision, 4), "recall": round(line.recall, 4)}
        print(json.dumps({"group": name} | told))
    rest = {key: round(value, 2) for key, value in vars(scored).items() if key != "lines"}
    print(json.dumps({"group": name} | rest))


def _print(name: str, scored: score.Score) -> None:
    table = Table("kind", "by", "precision", "recall", "found", "missed", "false", "days to see", box=None, title=name)
    for line in scored.lines:
        seen = "" if line.days_to_see is None else f"{line.days_to_see:.0f}"
        figures = (f"{line.precision:.3f}", f"{line.recall:.3f}", line.found, line.missed, line.wrong, seen)
        table.add_row(line.kind.lower(), line.by, *map(str, figures))
    console = Console()
    console.print(table)
    console.print(
        f"Too new to judge: {scored.too_new_pct:.1f} % of facility-days, and {scored.unjudged_pct:.1f} % of those with "
        f"something wrong. False alarms: {scored.false_per_facility_year:.2f} per facility and year.\n"
    )
