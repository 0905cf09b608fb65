"""Runs the data checks."""

import json
import sys
from typing import Any

from django.core.management.base import CommandParser
from rich.console import Console
from rich.table import Table

from analytics import checks
from analytics.checks.catalogue import CHECKS
from analytics.history import CheckResult, CheckRun
from ingestion.doors import Door, refuse

Status = CheckResult.Status


class Command(Door):
    help = (
        "Checks the tables and marts: what is promised of them (not null, grain, accepted values, relationships, "
        "ranges, that each mart reconciles with its tables), and how good the data is (completeness, plausibility). "
        "Keys of failing rows are kept. Exit codes: 0 nothing failed, though some may warn; 1 a check failed or could "
        "not run; 2 no such check; 69 the database is away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--only", nargs="+", default=[], metavar="CHECK", help="these only")
        parser.add_argument("--json", action="store_true", help="a JSON line per check, then one with the totals")
        parser.add_argument(
            "--list",
            action="store_true",
            help="name the checks with what they are, and run none (with --json: all of it)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            _list(is_json=options["json"])
            return
        try:
            run = checks.run(options["only"], say=_tell_json if options["json"] else None)
        except checks.UnknownCheck as error:
            refuse(str(error))
        if options["json"]:
            totals = {"passed": run.passed, "failed": run.failed, "warned": run.warned, "skipped": run.skipped}
            print(json.dumps({"totals": totals, "run_id": run.pk}))
        else:
            _print(run)
        sys.exit(run.failed > 0)


def _list(*, is_json: bool) -> None:
    for check in CHECKS:
        about: dict[str, str] = {"category": check.category, "severity": check.severity, "owner": check.owner}
        if is_json:
            about |= {"context": check.context, "kind": check.kind, "threshold": check.threshold}
            about |= {"why": check.why, "remedy": check.remedy, "sql": check.failing}
            print(json.dumps({"check": check.name} | about))
        else:
            print(f"{check.name} ({', '.join(about.values())}): {check.why}")


def _tell_json(result: CheckResult) -> None:
    said = {"check": result.name, "kind": result.kind, "status": result.status, "failing_rows": result.failing_rows}
    said |= {"category": result.category, "severity": result.severity, "among_rows": result.among_rows}
    print(json.dumps(said | {"sample": result.sample, "seconds": result.seconds}), flush=True)


def _print(run: CheckRun) -> None:
    console = Console()
    table = Table("check", "", "failing rows", "such as", box=None)
    for result in run.results.exclude(status=Status.PASSED).order_by("id"):
        such_as = ", ".join(json.dumps(key) for key in result.sample[:3]) or result.error
        table.add_row(result.name, result.get_status_display(), f"{result.failing_rows:,}", such_as)
    if table.row_count:
        console.print(table)
    warned = f", {run.warned} warned" if run.warned else ""
    console.print(f"{run.passed} passed, {run.failed} failed{warned}, {run.skipped} skipped.")
