"""Which resources there are, of which rows they are made, and who may have them: `registry[type]`.

A type has one part for each table that its resources are made of: an Encounter is a record or a visit. All that reads
resources goes through here, so that scope, masks, restriction and deletion hold at every door.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import BooleanField, Case, F, Model, Q, QuerySet, Value, When
from django.db.models.functions import Greatest

from clinical import access
from clinical.audit import reads
from clinical.fhir.codes import Resource, Row
from clinical.models import User
from clinical.models.subjects import Restrictable

BATCH = 2_000
EVERYTHING, NOTHING = Q(), Q(pk__in=[])
NUMBER = "[0-9]{1,18}"
Matches = Callable[[Resource], bool]


def _nothing_known(_rows: Sequence[Row]) -> Any:
    return None


@dataclass(frozen=True)
class Part:
    """Rows of one table, and the resources that are made of each: one, unless `has_many`.

    `make` is pure: it reads the row and what `know` has fetched for the whole batch. `searches` are, by the name of a
    search parameter, the condition on rows that its values make; a parameter that is missing finds nothing here.
    """

    model: Any
    resource: str  # of clinical/access.py
    columns: tuple[str, ...]
    make: Callable[[Row, Any], list[Resource]]
    prefix: str = ""  # of the resource's id, before the row's
    suffix: str = ""  # a pattern of what follows it
    names: tuple[str, ...] = ()  # of those with many that are not just numbered: what may follow it
    has: Q = EVERYTHING  # which rows have any
    know: Callable[[Sequence[Row]], Any] = _nothing_known
    has_many: bool = False
    size: str = ""  # of those with many: the lookup that tells how many
    is_masked: bool = False  # made of masked columns only: there for who sees the row clearly
    changed: tuple[Any, ...] = ("updated_at",)
    when: str = ""  # the instant at which it happened
    shows_merged: bool = False
    is_national: bool = False  # its rows are at no place: for who may read them of the whole country
    searches: Mapping[str, Callable[[Sequence[Any]], Q]] = field(default_factory=dict)
    masked_searches: frozenset[str] = frozenset()
    matches: Mapping[str, Callable[[Sequence[Any]], Matches]] = field(default_factory=dict)  # of those with many

    @cached_property
    def id(self) -> re.Pattern[str]:
        return re.compile(f"{self.prefix}({NUMBER}){self.suffix}")

    def row_id(self, of: str) -> int | None:
        """Of which row the resource with this id would be."""
        found = self.id.fullmatch(of)
        return int(found[1]) if found else None

    @cached_property
    def patient(self) -> str | None:
        """The column that says of whom a row is."""
        return reads.names_patients(self.model)

    @property
    def last_updated(self) -> Any:
        return Greatest(*self.changed) if len(self.changed) > 1 else F(self.changed[0])

    @property
    def instants(self) -> tuple[str, ...]:
        return tuple(one for one in self.changed if isinstance(one, str))

    def may_read(self, user: User) -> bool:
        scope, clear = user.access.scope(access.READ, self.resource), user.access.clear_scope(self.resource)
        if self.is_national and not scope.is_national:
            return False
        return not (clear if self.is_masked else scope).is_empty

    def queryset(
        self, user: User, since: datetime | None = None, until: datetime | None = None, *, clearly: bool = False
    ) -> "QuerySet[Any]":
        """The rows that the user may have, as dicts with `is_clear` and `last_updated`; in [since, until].

        `clearly`: those only of which the user sees everything.
        """
        rows = self._standing(self.model.objects.all())
        scope = user.access.scope(access.READ, self.resource)
        clear = user.access.clear_scope(self.resource)
        rows = self._inside(rows, clear if clearly or self.is_masked else scope).filter(self.has)
        if since:
            rows = rows.filter(self.changed_since(since))
        if until:
            rows = rows.filter(**{f"{name}__lte": until for name in self.instants})
        return rows.annotate(is_clear=self._is_clear(scope, clear), last_updated=self.last_updated).values(
            *self.columns, *({"pk"} - {*self.columns}), "is_clear", "last_updated"
        )

    def changed_since(self, since: datetime) -> Q:
        """Each column by itself, so that its index finds them."""
        found = NOTHING
        for name in self.instants:
            found |= Q(**{f"{name}__gte": since})
        return found

    def _standing(self, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        """No deleted, erased or restricted ones. Of merged ones it is told into whom, where the type can say it."""
        if issubclass(self.model, Restrictable):
            rows = rows.filter(restricted_at=None)
        if self.shows_merged:
            erased = {"erased_at": None} if hasattr(self.model, "erased_at") else {}
            return rows.filter(Q(deleted_at=None) | Q(merged_into__isnull=False), **erased)
        return rows.filter(deleted_at=None) if hasattr(self.model, "deleted_at") else rows

    def is_deleted(self, of: str, user: User) -> bool:
        """Whether a resource of that id was made of a row which is deleted now, in the user's scope."""
        pk = self.row_id(of)
        if pk is None or not hasattr(self.model, "deleted_at"):
            return False
        rows = self.model.objects.filter(pk=pk, deleted_at__isnull=False)
        if issubclass(self.model, Restrictable):
            rows = rows.filter(restricted_at=None)
        return bool(self._inside(rows, user.access.scope(access.READ, self.resource)).exists())

    def _inside(self, rows: "QuerySet[Any]", scope: access.Scope) -> "QuerySet[Any]":
        return rows if scope.is_national else rows.filter(scope.of_places(*self.model.PLACE))

    def _is_clear(self, scope: access.Scope, clear: access.Scope) -> Any:
        if clear.covers(scope):
            return Value(True)
        if clear.is_empty:
            return Value(False)
        places = clear.of_places(*self.model.PLACE)
        return Case(When(places, then=Value(True)), default=Value(False), output_field=BooleanField())

    def made(self, rows: Iterable[Row]) -> list[list[Resource]]:
        """The resources of each of these rows; what they need beside the rows is fetched once."""
        rows = [*rows]
        known = self.know(rows) if rows else None
        return [self.make(row, known) for row in rows]

    def stream(self, rows: "QuerySet[Any]", after: int = 0, batch: int = BATCH) -> Iterator[tuple[int, list[Resource]]]:
        """By rows' ids, a batch at a time: (id, its resources). `after` goes on behind a row."""
        while found := [*rows.filter(pk__gt=after).order_by("pk")[:batch]]:
            after = found[-1]["pk"]
            for row, made in zip(found, self.made(found), strict=True):
                yield row["pk"], made


@dataclass(frozen=True)
class Parameter:
    """What a type can be searched by; `of` is the FHIR type of parameter."""

    name: str
    of: str
    says: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """One type of resource."""

    name: str
    parts: tuple[Part, ...]
    parameters: tuple[Parameter, ...]
    # By name of an _include: where in a resource the references stand.
    includes: Mapping[str, Callable[[Resource], Iterable[str | None]]] = field(default_factory=dict)
    interactions: tuple[str, ...] = ()  # besides read and search

    @property
    def is_sortable(self) -> bool:
        """By when it changed: where one column of each part says so, and so an index is in that order."""
        return all(len(part.changed) == 1 for part in self.parts)

    @property
    def model(self) -> type[Model]:
        model: type[Model] = self.parts[0].model
        return model

    @cached_property
    def by_name(self) -> dict[str, Parameter]:
        return {one.name: one for one in self.parameters}

    def is_in_scope(self, user: User, letters: str = "") -> bool:
        """Of a SMART client's token: that it may read (r) or search (s) the type, or do something with it."""
        return user.fhir_scopes is None or user.fhir_scopes.allow(self.name, letters)

    def parts_for(self, user: User) -> list[Part]:
        if not self.is_in_scope(user):
            return []
        return [part for part in self.parts if part.may_read(user)]

    def stream(
        self, user: User, since: datetime | None = None, until: datetime | None = None, narrow: Q = EVERYTHING
    ) -> Iterator[Resource]:
        """All that the user may have, in batches that are never held together."""
        for part in self.parts_for(user):
            for _, made in part.stream(part.queryset(user, since, until).filter(narrow)):
                yield from made


@dataclass(frozen=True)
class Operation:
    """What can be done besides reading and searching; `of` is a type, or empty for the whole system."""

    name: str
    definition: str
    of: str = ""


class Registry(dict[str, Kind]):
    """By type; and what the CapabilityStatement says besides."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.instantiates: list[str] = []
        self.security: list[Resource] = []  # the services by which one may log in
        self.interactions: list[str] = []  # of the whole system

    def add(self, *kinds: Kind) -> None:
        self.update({kind.name: kind for kind in kinds})


registry = Registry()
