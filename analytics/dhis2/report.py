"""A month as DHIS2 takes it: a dataValueSet per facility, and what could not go into one.

Every mapped cell is sent, 0 too: a number that has become smaller must not stay what it was. A facility without any
event in the month is not sent as zeros, because no delivery and no patients look alike; unless it was sent before.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from analytics.dhis2 import figures, mapping
from analytics.dhis2.figures import Counts
from analytics.dhis2.mapping import Cell, Mapping
from analytics.dhis2.models import OrgUnit, Sending
from clinical.models import Facility
from clinical.months import next_month

Body = dict[str, Any]


@dataclass(frozen=True)
class DataValueSet:
    facility_id: int
    body: Body

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()


@dataclass
class Report:
    """`unmapped`: facilities with figures and without an organisation unit; `unmapped_cells`: figures of mapped
    facilities that the mapping has no place for. Both are counted, so that nothing is missing without being told.
    """

    month: date
    state: str
    mapping: Mapping
    counts: Counts
    org_units: dict[int, str]
    is_over: bool
    sent_before: set[int] = field(default_factory=set)

    @property
    def period(self) -> str:
        return f"{self.month:%Y%m}"

    @cached_property
    def sets(self) -> list[DataValueSet]:
        whose = sorted((set(self.counts) | self.sent_before) & set(self.org_units))
        return [DataValueSet(facility, self._body(facility)) for facility in whose]

    @property
    def unmapped(self) -> list[int]:
        return sorted(set(self.counts) - set(self.org_units))

    @property
    def unmapped_cells(self) -> Counter[Cell]:
        found: Counter[Cell] = Counter()
        for facility in set(self.counts) & set(self.org_units):
            for cell, count in self.counts[facility].items():
                if cell not in self.mapping.targets:
                    found[cell] += count
        return found

    def _body(self, facility: int) -> Body:
        counts = self.counts.get(facility, {})
        # Not the day of sending: what is the same must look the same, or it would be sent anew each night.
        complete = {"completeDate": next_month(self.month).isoformat()} if self.is_over else {}
        return {
            "dataSet": self.mapping.data_set,
            **complete,
            "period": self.period,
            "orgUnit": self.org_units[facility],
            "dataValues": [
                {
                    "dataElement": target.data_element,
                    "categoryOptionCombo": target.category_option_combo,
                    "value": str(counts.get(cell, 0)),
                }
                for cell, target in self.mapping.targets.items()
            ],
        }


def make(month: date, today: date, state: str = "") -> Report:
    mapped = mapping.current()
    counts = figures.read(month, mapped.conditions, state)
    places = Facility.objects.filter(state=state) if state else Facility.objects.all()
    units = dict(OrgUnit.objects.filter(facility__in=places).values_list("facility_id", "uid"))
    sent = Sending.objects.filter(month=month, facility__in=places).values_list("facility_id", flat=True)
    return Report(month, state, mapped, counts, units, today >= next_month(month), {*sent})
