"""Prints how well duplicates are found."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.table import Table as Grid

from clinical.duplicates.scoring import THRESHOLDS
from medilink import measuring
from medilink.measuring import Measured

SEED = 20261126  # not one of those by which the weights were tried


class Command(BaseCommand):
    help = (
        "Invents patients and facilities whose duplicates are known, searches them, and prints precision, recall and "
        "F1 by kind of dirt. Nothing is kept, and no real row is read: it works in a schema of its own, taken back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=SEED)
        parser.add_argument("--patients", type=int, default=20_000)
        parser.add_argument("--facilities", type=int, default=10_000)
        parser.add_argument("--json", action="store_true", help="one line per table")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console()
        if not console.is_terminal:
            console.width = 120  # a file has no width of its own
        with console.status("Inventing") as status:
            found = measuring.measure(
                seed=options["seed"],
                patients=options["patients"],
                facilities=options["facilities"],
                say=lambda line: status.update(line),
            )
        for measured in found:
            if options["json"]:
                print(json.dumps(_told(measured)))
            else:
                _print(console, measured)


def _told(measured: Measured) -> dict[str, Any]:
    said = {name: round(getattr(measured, name), 4) for name in ("precision", "recall", "f1")}
    done = measured.search
    counts = {"rows": measured.rows, "blocked": done.blocked, "compared": done.compared, "capped": done.capped}
    kinds = {"by_kind": measuring.by_kind(measured), "in_error": measured.in_error}
    return (
        {"table": measured.table, "threshold": THRESHOLDS[measured.table], "seconds": done.seconds}
        | said
        | counts
        | kinds
    )


def _print(console: Console, measured: Measured) -> None:
    done = measured.search
    console.print(
        f"\n[bold]{measured.table}[/]: {measured.rows:,} rows, {done.blocked:,} pairs share a key, {done.compared:,} "
        f"were scored, {done.found:,} are probable (score {THRESHOLDS[measured.table]:g} or more), {done.seconds:.1f} s"
    )
    for kind, blocks in done.capped.items():
        console.print(f"  {blocks:,} blocks by {kind} were too large to compare all with all")
    console.print(f"  precision {measured.precision:.4f}  recall {measured.recall:.4f}  F1 {measured.f1:.4f}")
    grid = Grid("kind of dirt", "found", "of", box=None)
    for kind, (found, of) in measuring.by_kind(measured).items():
        grid.add_row(kind, f"{found:,}", f"{of:,}")
    console.print(grid)
    errors = Grid("found in error", "pairs", box=None)
    for kind, count in measured.in_error.most_common():
        errors.add_row(kind, f"{count:,}")
    console.print(errors)
