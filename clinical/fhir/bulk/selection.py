"""Which rows an export is about: its types, its level, who it is for, and its span of time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from clinical import access, geography
from clinical.fhir.registry import Kind, Part, registry
from clinical.models import FhirExport, User

EVERYTHING = Q()
# Asked for by name only: its lines grow with each look at them.
NOT_BY_ITSELF = frozenset({"AuditEvent"})


def is_of_patients(part: Part) -> bool:
    """Whether what it makes is in the compartment of a patient."""
    return part.patient is not None


def types(user: User, level: str) -> list[str]:
    """All that an export of this level can have for this user, in the order of the registry."""
    return [
        name
        for name, kind in registry.items()
        if kind.is_in_scope(user, "rs")
        and any(level == FhirExport.Level.SYSTEM or is_of_patients(part) for part in kind.parts_for(user))
    ]


@dataclass(frozen=True)
class Line:
    """One table of one type."""

    kind: Kind
    number: int
    part: Part

    @property
    def type(self) -> str:
        return self.kind.name


@dataclass(frozen=True)
class Selection:
    export: FhirExport
    user: User
    until: datetime  # what was changed later is not in it

    @property
    def since(self) -> datetime:
        """Of an export that has one."""
        assert self.export.since
        return self.export.since

    def lines(self) -> Iterator[Line]:
        for name in self.export.types:
            kind = registry[name]
            allowed = {id(part) for part in kind.parts_for(self.user)}
            for number, part in enumerate(kind.parts):
                if id(part) in allowed and (self.export.level == FhirExport.Level.SYSTEM or is_of_patients(part)):
                    yield Line(kind, number, part)

    def rows(self, part: Part) -> "QuerySet[Any]":
        """As dicts, by their ids."""
        rows = part.queryset(self.user).filter(self.narrow(part), last_updated__lte=self.until)
        if self.export.since:
            rows = rows.filter(last_updated__gt=self.export.since)
        return rows.order_by("pk")

    def narrow(self, part: Part) -> Q:
        """What the level leaves of the user's scope."""
        condition = EVERYTHING
        if self.export.group:
            condition &= of_group(part, self.export.group)
        if self.export.patient_ids is not None:
            condition &= Q(**{f"{part.patient}__in": self.export.patient_ids})
        return condition


def of_group(part: Part, group: str) -> Q:
    """The condition on rows that belong to a group's patients: those whom a facility or a state's facilities know."""
    kind, _, of = group.partition("-")
    state, _, facility = part.model.PLACE
    return Q(**({facility: int(of)} if kind == "facility" else {state: STATES[of]}))


STATES = {code: state for state, code in geography.HEALTH_CODES.items()}


def has_group(user: User, group: str) -> bool:
    """Whether there is such a group in the user's scope."""
    kind, _, of = group.partition("-")
    scope = user.access.scope(access.READ, "patients")
    if kind == "state":
        return of in STATES and scope.has_state(STATES[of])
    return any(
        part.queryset(user).filter(pk=part.row_id(group)).exists()
        for part in registry["Group"].parts_for(user)
        if part.row_id(group)
    )
