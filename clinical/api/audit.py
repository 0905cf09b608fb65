"""/api/audit-events: who did what to which row, who read it, and who was refused."""

from typing import Any

from django.db.models import Q, QuerySet
from django_filters import FilterSet
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from clinical import access
from clinical.api import filters, parameters
from clinical.api.lists import Order
from clinical.api.resource import Readable, Row
from clinical.models import AuditEvent


def _text(_name: str, text: str) -> str:
    return text


COLUMNS = (
    *("id", "at", "actor__username", "roles", "action", "outcome", "purpose", "table", "object_id", "patient_ids"),
    *("rows", "batch_id", "route", "request_id", "address", "details"),
)


class AuditFilter(FilterSet):
    actor = filters.Parameter(
        {"type": "string", "description": "The name of a user."}, _text, filters.equal("actor__username")
    )
    action = filters.Parameter(filters.TEXT, _text, filters.equal("action"))
    table = filters.Parameter(filters.TEXT, _text, filters.equal("table"))
    object_id = filters.identifier("object_id")
    patient_id = filters.Parameter(filters.INTEGER, parameters.identifier, lambda pk: Q(patient_ids__contains=[pk]))
    outcome = filters.one_of("outcome", AuditEvent.Outcome.values)
    at_after = filters.Parameter(filters.MOMENT, parameters.since, filters.equal("at__gte"))
    at_before = filters.Parameter(filters.MOMENT, parameters.until, filters.equal("at__lte"))


class EventBody(serializers.ModelSerializer[AuditEvent]):
    actor = serializers.CharField(allow_null=True)

    class Meta:
        model = AuditEvent
        fields = tuple(("actor" if name == "actor__username" else name) for name in COLUMNS)


class AuditViewSet(Readable):
    """Who did what to which row, who read it, and who was refused; nothing of the rows' content."""

    resource = "audit"
    model = AuditEvent
    serializer_class = EventBody
    columns = COLUMNS
    orders = {name: Order(name) for name in ("id", "at")}
    filterset_class = AuditFilter
    tells_changes = False

    @classmethod
    def existing(cls) -> "QuerySet[Any]":
        return AuditEvent.objects.all()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """A line of the audit does not know where its rows are, so that there is none of less than the nation."""
        super().initial(request, *args, **kwargs)
        if not self.user.access.scope(access.READ, self.resource).is_national:
            raise PermissionDenied("The audit is of the whole country; your scope is smaller.")

    def represent(self, *more: str) -> Any:
        told = super().represent(*more)

        def with_actor(values: Any) -> Row:
            return {("actor" if name == "actor__username" else name): value for name, value in told(values).items()}

        return with_actor

    def _flat_columns(self) -> list[str]:
        return [("actor" if name == "actor__username" else name) for name in self.columns if name != "details"]

    def etag(self, row: Row) -> str:
        return f'"{row["id"]:x}"'
