"""An examination in words for a terminal, or as JSON for a program."""

import json
import textwrap
from collections import Counter
from collections.abc import Iterable

from django.utils import timezone
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from medilink.doctor.examination import Examination
from medilink.doctor.findings import KINDS, RUNBOOK, Finding, Gravity, Kind

SIGNS = {Gravity.ERROR: ("✗", "bold red"), Gravity.WARNING: ("!", "bold yellow"), Gravity.NOTE: ("·", "bold cyan")}
WIDEST = 96  # longer lines are hard to read


def tell(result: Examination, console: Console) -> None:
    console.width = min(console.width, WIDEST)
    _line(console, ("Medilink doctor", "bold"), (f"{timezone.localtime():%d %B %Y, %H:%M}", "dim"))
    console.print()
    for kind, findings in _by_kind(result.findings):
        sign, style = SIGNS[kind.gravity]
        _line(console, (f"{sign} {kind.title}", style), (kind.code, "dim"))
        for finding in findings:
            _indented(console, finding.seen)
        _indented(console, kind.means, "dim")
        _indented(console, f"→ {kind.do}")
        for command in dict.fromkeys(finding.command for finding in findings if finding.command):
            _indented(console, f"  {'SQL:' if command.endswith(';') else '$'} {command}", "cyan")
        console.print()
    if result.well.total():
        _indented(console, "Found well: " + _counted(result.well), "green", sign="✓ ")
    if result.unseen:
        _indented(console, "Not looked at: " + ", ".join(sorted(result.unseen)))
    if result.findings:
        _indented(console, f"More on each word at the right: {RUNBOOK}", "dim")
    console.print()
    _line(console, (_verdict(result.findings), "bold"), (f"{result.seconds:.1f} s", "dim"))


def _line(console: Console, left: tuple[str, str], right: tuple[str, str]) -> None:
    gap = " " * max(2, console.width - cell_len(left[0]) - cell_len(right[0]))
    console.print(Text.assemble(left, gap, right), soft_wrap=True)


def _indented(console: Console, text: str, style: str = "", *, sign: str = "  ") -> None:
    within = " " * (len(text) - len(text.lstrip(" →$")))
    for line in textwrap.wrap(text, console.width - 2, subsequent_indent=within, break_on_hyphens=False):
        console.print(Text(sign + line, style), soft_wrap=True)
        sign = "  "


def _counted(well: Counter[str]) -> str:
    return ", ".join(f"{subject}\N{NO-BREAK SPACE}{count}" for subject, count in well.items() if count)


def _by_kind(findings: Iterable[Finding]) -> list[tuple[Kind, list[Finding]]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.kind.code, []).append(finding)
    return [(KINDS[code], same) for code, same in found.items()]


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
