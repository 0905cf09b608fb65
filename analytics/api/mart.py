"""What every list over a mart does: its scope, how old it is, and nothing that anybody could change."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import marts
from clinical import access
from clinical.api.refusals import Unavailable
from clinical.api.resource import Listing, Row
from clinical.models import Facility


def freshness(*relations: str) -> Row:
    """`as_of` and `stale` of an answer made of these relations; 503 before there is any."""
    as_of, is_stale = marts.freshness(*relations)
    if as_of is None:
        raise Unavailable("The mart has not been filled yet; try again shortly.", "mart_not_ready")
    return {"as_of": as_of, "stale": is_stale}


class Mart(Listing):
    """A list over one relation of schema marts."""

    resource = "analytics"
    relation: ClassVar[str]
    tells_changes = False
    tables: ClassVar[tuple[str, ...] | None] = ()  # a mart changes by being refreshed
    envelope: ClassVar[Row] = {
        "as_of": {"type": "string", "format": "date-time", "description": "The rows are those of this instant."},
        "stale": {"type": "boolean", "description": "Something newer exists, or the last refresh failed."},
    }
    trust: Row

    @classmethod
    def existing(cls) -> "QuerySet[Any]":
        return cls.model.objects.all()

    def places(self, scope: access.Scope) -> Q:
        return Q(facility_id__in=Facility.objects.inside(scope).values("pk"))

    def list(self, request: Request) -> Response | StreamingHttpResponse:
        self.trust = freshness(self.relation)
        response = super().list(request)
        if isinstance(response, StreamingHttpResponse):
            response["X-As-Of"] = self.trust["as_of"].isoformat()
            response["X-Stale"] = str(self.trust["stale"]).lower()
        return response

    def extras(self) -> Row:
        return self.trust

    def counted_as(self) -> Any:
        """A count holds for as long as the mart is the same."""
        return self.trust["as_of"] if not self.tables else None
