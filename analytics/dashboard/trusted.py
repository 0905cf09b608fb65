"""How far a figure of the dashboard can be trusted, in one line below it."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from analytics import marts
from analytics.dashboard.selection import Reach
from analytics.models import FacilityDimension
from analytics.relations import MARTS

NAMES = {mart.name for mart in MARTS}


@dataclass(frozen=True)
class Trust:
    as_of: datetime | None
    is_stale: bool
    has_failed: bool
    reported: int
    expected: int

    @property
    def said(self) -> str:
        return f"{self.reported:,} of {self.expected:,} facilities reported in the last 30 days."


class Trusting:
    """Of one page: the states of the marts and who reported are looked up once."""

    def __init__(self, reach: Reach) -> None:
        self.states = marts.states()
        self.reported, self.expected = (
            FacilityDimension.objects.filter(reach.facilities)
            .aggregate(
                reported=Count("pk", filter=Q(is_active_last_30_days=True)), expected=Count("first_activity_date")
            )
            .values()
        )

    def trust_of(self, relations: tuple[str, ...]) -> Trust:
        """As old as the oldest of the relations; what is read from the rows themselves is always of now."""
        found = [self.states[name] for name in relations if name in NAMES and name in self.states]
        return Trust(
            as_of=min((state.as_of for state in found), default=None),
            is_stale=any(state.is_stale for state in found),
            has_failed=any(state.has_failed for state in found),
            reported=self.reported,
            expected=self.expected,
        )
