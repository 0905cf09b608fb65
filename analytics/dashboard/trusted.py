"""How far a figure of the dashboard can be trusted, in one line below it: in words what the API says of its answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analytics import marts, trust
from analytics.dashboard.selection import Reach
from analytics.relations import MARTS

NAMES = {mart.name for mart in MARTS}
# What is counted from the rows themselves, and not read from a mart.
ROWS = frozenset({"facilities", "patients", "triage_visits"})
KINDS = {"refused": "refused", "waiting": "waiting for their facility or patient", "held": "in files that are held"}


@dataclass(frozen=True)
class Trust:
    as_of: datetime | None
    is_stale: bool
    has_failed: bool
    reporting: dict[str, Any]
    lacking: dict[str, Any]

    @property
    def said(self) -> str:
        told = f"{self.reporting['reported']:,} of {self.reporting['facilities']:,} facilities reported in 30 days."
        kinds = self.lacking["excluded"]
        if rows := self.lacking["excluded_rows"]:
            parts = [f"{kinds[kind]:,} {words}" for kind, words in KINDS.items() if kinds[kind]]
            are = "row was delivered and is" if rows == 1 else "rows were delivered and are"
            told += f" {rows:,} {are} not in it: {', '.join(parts)}."
        if kinds["unplaced"]:
            told += f" {kinds['unplaced']:,} more are of no known place."
        return told


class Trusting:
    """Of one page: what several figures share is looked up once."""

    def __init__(self, reach: Reach) -> None:
        self.states = marts.states()
        chosen = reach.selection
        self.selection = trust.Selection(reach.scope, chosen.state or None, chosen.facility_id or None)
        self.reporting = trust.reporting(self.selection)
        self._lacking: dict[frozenset[str], dict[str, Any]] = {}

    def trust_of(self, relations: tuple[str, ...]) -> Trust:
        """As old as the oldest of the relations; what is read from the rows themselves is always of now."""
        found = [self.states[name] for name in relations if name in NAMES and name in self.states]
        return Trust(
            as_of=min((state.as_of for state in found), default=None),
            is_stale=any(state.is_stale for state in found),
            has_failed=any(state.has_failed for state in found),
            reporting=self.reporting,
            lacking=self._lacking_of(relations),
        )

    def _lacking_of(self, relations: tuple[str, ...]) -> dict[str, Any]:
        datasets = frozenset().union(*(trust.DATASETS[name] for name in relations)) or ROWS
        if datasets not in self._lacking:
            self._lacking[datasets] = trust.excluded(self.selection, sorted(datasets))
        return self._lacking[datasets]
