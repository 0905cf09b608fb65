"""Who may do what, where: the one table of roles (roles.csv), and the scope that every queryset is cut down to.

Pure: no models, no database. A user holds pairs of a role and a scope, and their union counts. What is out of scope
does not exist for the caller.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from django.db import models
from django.db.models import Q

CREATE, READ, UPDATE, DELETE = "create", "read", "update", "delete"
ROLES = Path(__file__).with_name("roles.csv")
NONE: frozenset[str] = frozenset()


class Role(models.TextChoices):
    STEWARD = "steward"
    CLINICIAN = "clinician"
    CLERK = "clerk"
    ANALYST = "analyst"
    AUDITOR = "auditor"
    SERVICE = "service"


LETTERS = dict(zip("crud", (CREATE, READ, UPDATE, DELETE), strict=True))


def _table() -> tuple[dict[Role, dict[str, frozenset[str]]], dict[Role, frozenset[str]]]:
    """What each role may do with each resource, and which resources it sees masked: clinical/roles.csv.

    `deliveries` are batches and refused rows; `analytics_records` the mart of single records; `passports` tell where a
    row comes from, with its line as it was delivered. Masked is a row without the names and free texts of people, or a
    refused row without its cells; of analytics also without small cells.
    """
    allowed: dict[Role, dict[str, frozenset[str]]] = {}
    masked: dict[Role, frozenset[str]] = {}
    with ROLES.open(newline="") as file:
        for line in csv.DictReader(file):
            role = Role(line.pop("role"))
            rights = {resource: cell.split() for resource, cell in line.items()}
            allowed[role] = {
                resource: frozenset(LETTERS[letter] for letter in words[0]) if words else NONE
                for resource, words in rights.items()
            }
            masked[role] = frozenset(resource for resource, words in rights.items() if "masked" in words)
    return allowed, masked


ALLOWED, MASKED = _table()
RESOURCES = tuple(ALLOWED[Role.STEWARD])


class Grant(NamedTuple):
    """One pair: a role, and the narrowest of facility, LGA and state that is given; none of them is the nation."""

    role: Role
    state: str = ""
    lga: str = ""
    facility_id: int | None = None


@dataclass(frozen=True)
class Scope:
    """A part of the country: everything, or these states, LGAs (state, LGA key) and facilities together."""

    is_national: bool = False
    states: frozenset[str] = frozenset()
    lgas: frozenset[tuple[str, str]] = frozenset()
    facilities: frozenset[int] = frozenset()

    @classmethod
    def of(cls, grants: Iterable[Grant]) -> "Scope":
        grants = [*grants]
        return cls(
            is_national=any(not (grant.state or grant.facility_id) for grant in grants),
            states=frozenset(grant.state for grant in grants if grant.state and not grant.lga),
            lgas=frozenset((grant.state, grant.lga) for grant in grants if grant.lga),
            facilities=frozenset(grant.facility_id for grant in grants if grant.facility_id),
        )

    @property
    def is_empty(self) -> bool:
        return not (self.is_national or self.states or self.lgas or self.facilities)

    @property
    def has_states(self) -> bool:
        """That some state is in it as a whole."""
        return self.is_national or bool(self.states)

    def has_state(self, state: str) -> bool:
        return self.is_national or state in self.states

    def covers(self, other: "Scope") -> bool:
        """That nothing is in the other which is not in this, as far as it can be told without looking at facilities."""
        return self.is_national or (
            not other.is_national
            and other.states <= self.states
            and {lga for lga in other.lgas if lga[0] not in self.states} <= self.lgas
            and other.facilities <= self.facilities
        )

    def of_states(self) -> Q:
        """The condition on the column `state` of rows that are of whole states, or of the nation."""
        return Q() if self.is_national else Q(state__in=sorted(self.states))

    def of_places(self, state: str, lga_key: str, facility_id: str) -> Q:
        """The condition on columns (or paths to them) that hold a row's state, LGA key and facility."""
        if self.is_national:
            return Q()
        condition = Q(pk__in=[])
        if self.facilities:
            condition |= Q(**{f"{facility_id}__in": sorted(self.facilities)})
        if self.states:
            condition |= Q(**{f"{state}__in": sorted(self.states)})
        for of_state, key in sorted(self.lgas):
            condition |= Q(**{state: of_state, lga_key: key})
        return condition


NOWHERE = Scope()
NATION = Scope(is_national=True)


@dataclass(frozen=True)
class Access:
    """What one user may do. A superuser may do everything everywhere, as a national steward and auditor."""

    grants: tuple[Grant, ...] = ()
    is_read_only: bool = False
    _scopes: dict[tuple[str, str], Scope] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def roles(self) -> frozenset[Role]:
        return frozenset(grant.role for grant in self.grants)

    def may(self, action: str, resource: str) -> bool:
        return any(self._allows(role, action, resource) for role in self.roles)

    def scope(self, action: str, resource: str) -> Scope:
        """Where the user may do it."""
        return self._scope(action, resource)

    def clear_scope(self, resource: str) -> Scope:
        """Where the user may read it without anything being masked or suppressed."""
        return self._scope("clear", resource)

    def sees_all_clear(self, resource: str) -> bool:
        """That of all that the user may read nothing is masked."""
        return self.clear_scope(resource).covers(self.scope(READ, resource))

    def _scope(self, action: str, resource: str) -> Scope:
        found = self._scopes.get((action, resource))
        if found is None:
            found = Scope.of(grant for grant in self.grants if self._allows(grant.role, action, resource))
            self._scopes[action, resource] = found
        return found

    def _allows(self, role: Role, action: str, resource: str) -> bool:
        if action == "clear":
            return READ in ALLOWED[role][resource] and resource not in MASKED[role]
        if self.is_read_only and action != READ:
            return False
        return action in ALLOWED[role][resource]


NOBODY = Access()
EVERYTHING = Access((Grant(Role.STEWARD), Grant(Role.AUDITOR)))


def narrowed(
    pairs: Iterable[Grant], role: str, state: str, lga: str, facility_id: int | None, *, is_read_only: bool
) -> Access:
    """What is left of the pairs within this role (empty: any) and place; facilities come with their state and LGA."""
    limit = Grant(Role.STEWARD, state, lga, facility_id)
    met = []
    for pair in pairs:
        if role in ("", pair.role):
            met += [one._replace(role=pair.role) for one in _meet(pair, limit)]
    return Access(tuple(one._replace(state="", lga="") if one.facility_id else one for one in met), is_read_only)


def _meet(one: Grant, other: Grant) -> list[Grant]:
    """The narrower of two places, where it lies in the other."""
    return [other] if _lies_in(other, one) else [one] if _lies_in(one, other) else []


def _lies_in(inner: Grant, outer: Grant) -> bool:
    if outer.facility_id is not None:
        return inner.facility_id == outer.facility_id
    return outer.state in ("", inner.state) and outer.lga in ("", inner.lga)
