"""Words without a code, what they may mean, and how much of what events say is understood."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from clinical.access import NATION
from clinical.terms import counting, mapping, ranking
from clinical.terms.proposals import proposals
from clinical.terms.shipped import Kind


class Command(BaseCommand):
    help = (
        "unmapped: words of events that the map does not have, those first that most events bear. proposals: the same "
        "with what on the map is like them; a steward decides at the desk. measure: the share of what events say that "
        "has a code. Each looks through all events first, unless --as-counted is given."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["unmapped", "proposals", "measure"])
        parser.add_argument("--kind", choices=[*Kind], default="", help="diagnoses or medications alone")
        parser.add_argument("--most", type=int, default=30, help="how many words")
        parser.add_argument("--as-counted", action="store_true", help="as the last pass left it")
        parser.add_argument("--json", action="store_true", help="a JSON line each")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["as_counted"]:
            counting.bring_up()
        told = _measured() if options["what"] == "measure" else _words(options)
        for line in told:
            self.stdout.write(json.dumps(line) if options["json"] else _sentence(line))


def _measured() -> list[dict[str, Any]]:
    version = mapping.current().version
    return [
        {"kind": one.kind, "map": version, "said": one.total, "mapped": one.mapped, "mapped_pct": one.mapped_pct}
        | {"qualified": one.qualified, "unmapped": one.unmapped}
        for one in ranking.coverage()
    ]


def _words(options: dict[str, Any]) -> list[dict[str, Any]]:
    found = ranking.ranked(NATION, options["kind"], most=options["most"])
    lines: list[dict[str, Any]] = [{"kind": one.kind, "times": one.times, "word": one.key} for one in found]
    if options["what"] == "proposals":
        for line in lines:
            alike = proposals(Kind(line["kind"]), line["word"])
            line["proposals"] = [f"{one.coding.code} {one.coding.display} ({one.likeness} %)" for one in alike]
    return lines


def _sentence(line: dict[str, Any]) -> str:
    if "word" in line:
        told = f"{line['times']:>9,}  {line['kind']:10}  {line['word']}"
        return told + "".join(f"\n{'':23}{one}" for one in line.get("proposals", ()))
    share = (
        "nothing is said"
        if line["mapped_pct"] is None
        else f"{line['mapped_pct']} % of {line['said']:,} are understood"
    )
    none, unsure = f"{line['unmapped']:,} are not", f"{line['qualified']:,} are suspected, denied or past"
    return f"{line['kind']}: {share}, {none}, {unsure} (map {line['map']})."
