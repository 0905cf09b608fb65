"""An examination in words for a terminal, or as JSON for a program."""

import json
from collections import Counter
from collections.abc import Iterable

from django.utils import timezone
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from medilink.doctor.examination import Examination
from medilink.doctor.findings import KINDS, Finding, Gravity, Kind

SIGNS = {Gravity.ERROR: ("✗", "bold red"), Gravity.WARNING: ("!", "bold yellow"), Gravity.NOTE: ("·", "bold cyan")}
WIDEST = 96  # longer lines are hard to read


def tell(result: Examination, console: Console) -> None:
    console.width = min(console.width, WIDEST)
    console.print(Text.assemble(("Medilink doctor", "bold"), (f"  {timezone.localtime():%d %B %Y, %H:%M}", "dim")))
    console.print()
    for kind, findings in _by_kind(result.findings):
        sign, style = SIGNS[kind.gravity]
        console.print(Text.assemble((f"{sign} ", style), (kind.title, "bold"), "  ", (kind.code, "dim")))
        for finding in findings:
            _indented(console, finding.seen)
        _indented(console, kind.means, "dim")
        _indented(console, kind.do)
        for command in dict.fromkeys(finding.command for finding in findings if finding.command):
            _indented(console, f"$ {command}" if not command.endswith(";") else f"sql> {command}", "green")
        _indented(console, findings[0].runbook, "dim")
        console.print()
    if result.well.total():
        told = " · ".join(f"{subject} {count}" for subject, count in result.well.items() if count)
        console.print(Text.assemble(("✓ ", "bold green"), ("Found well  ", "bold"), told))
    if result.unseen:
        console.print(Text.assemble("  ", ("Not seen    ", "bold"), " · ".join(sorted(result.unseen))))
    console.print()
    console.print(Text.assemble((_verdict(result.findings), "bold"), (f"  {result.seconds:.1f} s", "dim")))


def _by_kind(findings: Iterable[Finding]) -> list[tuple[Kind, list[Finding]]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.kind.code, []).append(finding)
    return [(KINDS[code], same) for code, same in found.items()]


def _indented(console: Console, text: str, style: str = "") -> None:
    console.print(Padding(Text(text, style), (0, 0, 0, 2), expand=False))


def _verdict(findings: list[Finding]) -> str:
    counts = Counter(finding.kind.gravity for finding in findings)
    told = [
        f"{counts[gravity]} {gravity.word}{'s' * (counts[gravity] != 1)}"
        for gravity in (Gravity.ERROR, Gravity.WARNING)
        if counts[gravity]
    ]
    return ", ".join(told).capitalize() + "." if told else "All is well."


def as_json(result: Examination) -> str:
    counts = Counter(finding.kind.gravity for finding in result.findings)
    return json.dumps(
        {
            "at": timezone.now().isoformat(timespec="seconds"),
            "is_well": not counts[Gravity.ERROR],
            "counts": {gravity.word: counts[gravity] for gravity in Gravity},
            "findings": [finding.as_dict() for finding in result.findings],
            "well": dict(result.well),
            "unseen": sorted(result.unseen),
            "seconds": round(result.seconds, 1),
        },
        indent=2,
    )


def tell_kinds(console: Console) -> None:
    for kind in sorted(KINDS.values(), key=lambda one: (one.gravity, one.code)):
        sign, style = SIGNS[kind.gravity]
        console.print(
            Text.assemble((f"{sign} ", style), f"{kind.code:<24}", (kind.title, "dim")),
            overflow="ellipsis",
            no_wrap=True,
        )
