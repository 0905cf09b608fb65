"""What every list over a mart does: its scope, how far to trust it, as of which day, and nothing to change."""

from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property, partial
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import HttpResponseBase, StreamingHttpResponse
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import dictionary, publications, trust
from analytics.api import parquet
from analytics.publications import Publication
from analytics.trust import Selection
from clinical import access, replica
from clinical.api import exports, filters, parameters
from clinical.api.exports import json_of
from clinical.api.lists import Cut, Order
from clinical.api.refusals import Unavailable
from clinical.api.resource import Listing, Row
from clinical.models import Facility

exports.FORMATS["parquet"] = (parquet.Parquet.media_type, None)
COUNT = {"type": "integer"}
TRUST: Row = {
    "type": "object",
    "nullable": True,
    "description": "How far the numbers can be trusted, in the caller's scope and for the given state and facility_id; "
    "other filters do not change it. Of a publication as it was that day, and null for less than a state.",
    "properties": {
        "batches": {
            "type": "object",
            "description": "Files and replays that had brought rows to it by as_of.",
            "properties": {
                "count": COUNT,
                "last_id": COUNT | {"nullable": True},
                "last_loaded_at": {"type": "string", "format": "date-time", "nullable": True},
            },
        },
        "excluded_rows": COUNT
        | {"description": "Rows that were delivered for it and are in no table now: refused, waiting, held."},
        "excluded": {
            "type": "object",
            "description": "The same by kind. `unplaced` may belong to it: neither row nor folder says where they are "
            "from (of the nation they are counted in excluded_rows). The rows of `unread_files` are not known.",
            "properties": dict.fromkeys(("refused", "waiting", "held", "unplaced", "unread_files"), COUNT),
        },
        "reporting": {
            "type": "object",
            "description": "Facilities with an event in the last 30 days, of those with one in the last year.",
            "properties": {
                "facilities": COUNT,
                "reported": COUNT,
                "rate_pct": {"type": "number", "nullable": True},
                "days": COUNT,
            },
        },
        "suppressed_cells": COUNT | {"description": "Lines of it whose small numbers are hidden from the caller."},
    },
}


def trusted(relations: str | Sequence[str], who: access.Access, state: str | None, facility_id: int | None) -> Row:
    """`as_of`, `stale` and `trust` of an answer made of these relations; 503 before there is any."""
    names = [relations] if isinstance(relations, str) else relations
    as_of, is_stale, told = trust.of(names, who, state, facility_id)
    if as_of is None:
        raise Unavailable("The mart has not been filled yet; try again shortly.", "mart_not_ready")
    return {"as_of": as_of, "stale": is_stale, "trust": told}


def tell_beside(response: HttpResponseBase, told: Row) -> None:
    """In headers, where the answer is a file."""
    response["X-As-Of"] = told["as_of"].isoformat()
    response["X-Stale"] = str(told["stale"]).lower()
    response["X-Medilink-Trust"] = json_of(told["trust"]).decode()


def published(relation: str, day: date) -> Publication:
    try:
        return publications.find(relation, day)
    except publications.NotPublished as error:
        nearest = f"the nearest day before it is {error.nearest}" if error.nearest else "nor on any day before it"
        raise NotFound(f"Nothing was published on that day; {nearest}.", "not_published") from None


def trusted_then(publication: Publication, who: access.Access, state: str | None, facility_id: int | None) -> Row:
    """The same of a publication, as it was kept."""
    selection = Selection(who.scope(access.READ, trust.RESOURCE), state, facility_id)
    told = None
    if selection.is_national:
        told = publications.trust_of(publication, None)
    elif facility_id is None and not (selection.scope.lgas or selection.scope.facilities):
        told = publications.trust_of(publication, selection.states)
    if told and publication.mart == "condition_analysis" and not who.sees_all_clear(trust.RESOURCE):
        told |= {"suppressed_cells": publications.suppressed(publication.day, selection.states)}
    return {"as_of": publication.as_of, "stale": False, "trust": told}


def whole_states(who: access.Access) -> access.Scope:
    """The scope of a reader of figures that are of whole states; 403 for who sees less than one."""
    scope = who.scope(access.READ, trust.RESOURCE)
    if not scope.has_states:
        raise PermissionDenied("These figures are of whole states; your scope is smaller.")
    return scope


class Mart(Listing):
    """A list over one relation of schema marts."""

    resource = "analytics"
    relation: ClassVar[str]
    tells_changes = False
    tables: ClassVar[tuple[str, ...] | None] = ()  # a mart changes by being refreshed
    envelope: ClassVar[Row] = {
        "as_of": {"type": "string", "format": "date-time", "description": "The rows are those of this instant."},
        "stale": {"type": "boolean", "description": "Something newer exists, or the last refresh failed."},
        "trust": TRUST,
    }
    renderer_classes = (*Listing.renderer_classes, parquet.Parquet)

    @property
    def parameters(self) -> dict[str, tuple[Row, str]]:
        """What the description says of the query besides what all lists share."""
        as_of = filters.DAY, "The figures as published that day."
        return {"as_of": as_of} if self.relation in publications.MARTS else {}

    @classmethod
    def existing(cls) -> "QuerySet[Any]":
        return cls.model.objects.all()

    def list_parameters(self) -> Sequence[str]:
        return [*super().list_parameters(), "as_of"]

    def present(self) -> "QuerySet[Any]":
        if not self.publication:
            return super().present()
        rows = publications.lines(self.model, self.publication.day).values_list(*self.columns)
        return self.inside(rows, self.user.access.scope(access.READ, self.resource))

    def places(self, scope: access.Scope) -> Q:
        if self.publication:
            return scope.of_places(*publications.PLACE)
        return Q(facility_id__in=Facility.objects.inside(scope).values("pk"))

    @cached_property
    def publication(self) -> Publication | None:
        """Which one is asked for; None for what is so now."""
        if "as_of" not in self.given:
            return None
        if self.relation not in publications.MARTS:
            raise parameters.refused("as_of", "not_published", "Of single patients and events nothing is published.")
        return published(self.relation, parameters.day("as_of", self.given["as_of"]))

    @cached_property
    def trust(self) -> Row:
        filters = self.filterset_class.base_filters
        given = {name: filters[name].parse(name, self.given[name]) for name in PLACES if self._selects_by(name)}
        state = None if given.get("state") == "ALL" else given.get("state")
        asked = self.user.access, state, given.get("facility_id")
        if self.publication:
            return trusted_then(self.publication, *asked)
        return trusted(self.relation, *asked)

    def _selects_by(self, name: str) -> bool:
        return name in self.given and name in self.filterset_class.base_filters

    def list(self, request: Request) -> Response | StreamingHttpResponse:
        if request.accepted_renderer.format == "parquet" and not parquet.is_installed():
            raise parameters.refused("format", "not_installed", "This server has no Parquet; ask for csv or ndjson.")
        response: Response | StreamingHttpResponse
        if request.accepted_renderer.format in exports.FORMATS:  # too long for a replica, which may have to go on
            response = super().list(request)
        else:
            self.user.access  # noqa: B018  # what one may see is asked at the primary
            response = replica.answered(partial(super().list, request))
        if isinstance(response, StreamingHttpResponse):
            tell_beside(response, self.trust)
        return response

    def _selected(self) -> "QuerySet[Any]":
        self.trust  # noqa: B018  # 503 and 404 come before an answer begins
        return super()._selected()

    def _cut_out(self, cut: Cut, order: Order) -> Sequence[Any]:
        """A text that was made before is of the marts as they are now."""
        self.trust  # noqa: B018
        if not self.publication:
            return super()._cut_out(cut, order)
        return [*cut.rows(self._selected(), order, cut.place(order, self.model))]

    def _stream(
        self, kind: str, rows: "QuerySet[Any]", represent: Callable[[Any], Row], *more: str
    ) -> StreamingHttpResponse:
        if kind == "parquet":
            told = {"relation": self.relation, "as_of": self.trust["as_of"].isoformat()}
            told["stale"] = str(self.trust["stale"]).lower()
            self.writes = partial(parquet.write, self.model, dictionary.comments(self.relation), told)
        return super()._stream(kind, rows, represent, *more)

    def extras(self) -> Row:
        return self.trust

    def counted_as(self) -> Any:
        """A count holds for as long as the mart is the same."""
        return self.trust["as_of"] if not self.tables else None


PLACES = ("state", "facility_id")
