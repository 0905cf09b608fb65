"""What marts.condition_codes must hold, by slow loops over the lines of condition_analysis and the map of words."""

from collections import defaultdict
from collections.abc import Iterator

from clinical import terms
from tests.analytics import slow_answers

UNCODED = {
    "unmapped": "No code",
    "qualified": "Suspected, denied or of the past",
    "several": "Several conditions in one text",
}


def condition_codes(rows: slow_answers.Rows) -> Iterator[dict]:
    lines: dict[tuple, list[dict]] = defaultdict(list)
    for line in slow_answers.condition_analysis(rows):
        lines[line["state"], line["month"], *meaning(line["condition"])].append(line)
    for (state, month, system, code, display), found in lines.items():
        yield {
            "state": state,
            "month": month,
            "system": system,
            "code": code,
            "display": display,
            "occurrence_count": sum(line["occurrence_count"] for line in found),
            "critical_count": sum(line["critical_count"] for line in found),
            "at_least_count": sum(line["occurrence_count"] for line in found if not line["is_small"]),
            "is_small": any(line["is_small"] for line in found),
        }


def meaning(text: str) -> tuple[str, str, str]:
    parts = terms.current().read(terms.Kind.DIAGNOSIS, text)
    codings = terms.codings("diagnosis", [text])[text]
    statuses = {part.status for part in parts}
    if statuses == {"confirmed"} and len(codings) == 1:
        return codings[0]
    why = "unmapped" if "unknown" in statuses else "several" if statuses == {"confirmed"} else "qualified"
    why = "unmapped" if not codings and why == "several" else why
    return "", why, UNCODED[why]
