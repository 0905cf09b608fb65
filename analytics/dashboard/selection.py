"""What of everything is looked at: the filters of the URL, read strictly, and what of it lies in the user's scope."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from rest_framework.exceptions import NotFound

from analytics.models import FacilityDimension
from clinical import access
from clinical.api import filters, parameters
from clinical.api.facilities import as_stored
from clinical.geography import in_words
from clinical.models import Facility, User
from clinical.months import next_month

DAYS = 90  # today and those before it, where no dates are given
MOST_DAYS = 3_660
FILTERS = ("state", "facility_id", "date_from", "date_to", "condition")
VIEWS = ("map", "sort", "page")  # how a figure is shown; they select nothing
MAPS = {"visits": "Visits", "rate": "Visits per 1,000 patients"}
SORTS = {  # of the facilities; a minus reverses
    *("facility_name", "state", "total_patients", "visits_30d", "critical_visits_30d"),
    *("avg_triage_level_30d", "avg_monthly_visits"),
}
BUSIEST = "-visits_30d"


@dataclass(frozen=True)
class Selection:
    date_from: date
    date_to: date
    state: str = ""
    facility_id: int | None = None
    condition: str = ""
    map: str = "visits"
    sort: str = BUSIEST
    page: int = 1
    is_default_range: bool = True

    @property
    def days(self) -> int:
        return (self.date_to - self.date_from).days + 1

    @property
    def before(self) -> tuple[date, date]:
        """As many days just before."""
        return self.date_from - timedelta(days=self.days), self.date_from - timedelta(days=1)

    @property
    def step(self) -> str:
        """How long a time one point of a curve stands for. Conditions are counted by month."""
        return "month" if self.condition or self.days > 1_100 else "week" if self.days > 184 else "day"

    @property
    def months(self) -> tuple[date, date]:
        """The first days of the months that the dates touch."""
        return self.date_from.replace(day=1), self.date_to.replace(day=1)

    @property
    def whole_months(self) -> tuple[date, date]:
        """The first and the last day of these months."""
        first, last = self.months
        return first, next_month(last) - timedelta(days=1)

    @property
    def span(self) -> tuple[date, date]:
        """The days of which visits are counted: with a condition whole months, since its mart knows no days."""
        return self.whole_months if self.condition else (self.date_from, self.date_to)

    def link(self, **changed: Any) -> str:
        """The query of this selection with something changed; what is as it would be anyway is left out."""
        other = replace(self, **changed)
        said: dict[str, Any] = {"state": other.state, "facility_id": other.facility_id, "condition": other.condition}
        if not self.is_default_range:
            said |= {"date_from": other.date_from, "date_to": other.date_to}
        said["map"] = other.map if other.map != "visits" else ""
        said["sort"] = other.sort if other.sort != BUSIEST else ""
        said["page"] = other.page if other.page > 1 else ""
        return urlencode({name: value for name, value in said.items() if value})


def read(query: QueryDict) -> Selection:
    """Raises ValidationError on the first parameter that is unknown, doubled or cannot be read."""
    given = parameters.read(query, (*FILTERS, *VIEWS))
    today = timezone.localdate()
    last = parameters.day("date_to", given["date_to"]) if "date_to" in given else today
    first = (
        parameters.day("date_from", given["date_from"])
        if "date_from" in given
        else last - timedelta(days=min(DAYS - 1, last.toordinal() - 1))
    )
    if last < first:
        raise parameters.refused("date_to", "reversed_range", "Lies before the beginning of the range.")
    if (last - first).days >= MOST_DAYS:
        raise parameters.refused("date_from", "range_too_long", f"Choose {MOST_DAYS:,} days at most.")
    for name, day in (("date_from", first), ("date_to", last)):
        if not 1900 <= day.year < 2200:
            raise parameters.refused(name, "invalid", "Must be a date between 1900 and 2200.")
    sort = given.get("sort", BUSIEST)
    _one_of("sort", sort.removeprefix("-"), SORTS)
    return Selection(
        date_from=first,
        date_to=last,
        state=as_stored("state", given["state"]) if "state" in given else "",
        facility_id=parameters.identifier("facility_id", given["facility_id"]) if "facility_id" in given else None,
        condition=filters.name("condition", given["condition"]) if "condition" in given else "",
        map=_one_of("map", given.get("map", "visits"), MAPS),
        sort=sort,
        page=parameters.whole_number("page", given.get("page", "1"), 1, 10_000),
        is_default_range=not {"date_from", "date_to"} & given.keys(),
    )


def _one_of(name: str, text: str, known: Any) -> str:
    if text not in known:
        raise parameters.refused(name, "invalid_choice", f"Must be one of {', '.join(sorted(known))}.")
    return text


@dataclass(frozen=True)
class Reach:
    """A selection in the hands of a user: what of the marts and tables counts.

    Marts of whole states serve who sees whole states; below, everything is counted from the user's own facilities.
    """

    user: User
    selection: Selection
    scope: access.Scope
    facility_name: str = ""
    known: dict[str, Any] = field(default_factory=dict, compare=False)  # what several figures ask for

    def once(self, what: str, make: Callable[["Reach"], Any]) -> Any:
        if what not in self.known:
            self.known[what] = make(self)
        return self.known[what]

    @property
    def is_clear(self) -> bool:
        """That nothing is hidden from this user."""
        return self.user.access.sees_all_clear("analytics")

    @property
    def is_of_states(self) -> bool:
        """Whether lines of whole states say it."""
        scope, state = self.scope, self.selection.state
        if self.selection.facility_id:
            return False
        return scope.has_state(state) or bool(scope.states and not (scope.lgas or scope.facilities))

    @property
    def is_withheld(self) -> bool:
        """That conditions are not told here: of less than a state, to who is not shown small numbers."""
        return not (self.is_clear or self.is_of_states)

    @property
    def states(self) -> Q:
        """On marts by state (without ALL)."""
        inside = self.scope.of_states()
        return inside & Q(state=self.selection.state) if self.selection.state else inside

    @property
    def facilities(self) -> Q:
        """On marts that have a facility and its state."""
        inside = Q() if self.scope.is_national else Q(facility_id__in=Facility.objects.inside(self.scope).values("pk"))
        if self.selection.facility_id:
            inside &= Q(facility_id=self.selection.facility_id)
        return inside & Q(state=self.selection.state) if self.selection.state else inside

    @property
    def place(self) -> str:
        """In words."""
        if self.facility_name:
            return self.facility_name
        if self.selection.state or self.scope.is_national:
            return in_words(self.selection.state)
        return "your area"


def reach(user: User, selection: Selection) -> Reach:
    """404 for a facility that there is not, or not for this user."""
    found = Reach(user, selection, user.access.scope(access.READ, "analytics"))
    if not selection.facility_id:
        return found
    names = FacilityDimension.objects.filter(found.facilities).values_list("facility_name", flat=True)
    if not names:
        raise NotFound
    return replace(found, facility_name=names[0])
