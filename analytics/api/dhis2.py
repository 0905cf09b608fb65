"""/api/analytics/dhis2: a month as DHIS2 takes it, what has no place there, and the sheet that reconciles it."""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.api.mart import trusted, whole_states
from analytics.dhis2 import reconciling, report
from clinical import access, replica
from clinical.api import filters, parameters
from clinical.api.facilities import as_stored
from clinical.audit import reads
from clinical.models import Facility
from clinical.months import last_month

RELATIONS = ("condition_analysis", "triage_trends", "fct_medical_records")


class Monthly(APIView):
    resource = "analytics"
    action = "list"

    @extend_schema(
        operation_id="dhis2",
        tags=["analytics"],
        responses=OpenApiTypes.OBJECT,
        parameters=[
            OpenApiParameter("month", filters.TEXT, description="YYYY-MM; without it the last one that is over."),
            OpenApiParameter("state", filters.TEXT, description="In any spelling; of several states one must be said."),
        ],
    )
    @replica.readable
    def get(self, request: Request) -> Response:
        """`data_value_sets`, one for each facility with an organisation unit, and the reconciliation with the marts."""
        user: Any = request.user
        if not user.access.sees_all_clear(self.resource):
            raise PermissionDenied("DHIS2 takes whole numbers, and small ones are not shown to you.")
        scope = whole_states(user.access)
        given = parameters.read(request.GET, ("month", "state", "format"))
        month = parameters.month("month", given["month"]) if "month" in given else last_month(timezone.localdate())
        state = _state(given.get("state", ""), scope)
        trust = trusted(RELATIONS, user.access, state or None, None)
        made = report.make(month, timezone.localdate(), state)
        facilities = _facilities(made, scope)
        reads.seen("dhis2", "read", rows=len(facilities), **reads.query_of(given))
        figures = [{**cell._asdict(), "count": count} for cell, count in sorted(made.unmapped_cells.items())]
        return Response(
            {
                **trust,
                "period": made.period,
                "state": state or None,
                "data_value_sets": [one.body for one in made.sets],
                "unmapped_facilities": made.unmapped,
                "unmapped_figures": figures,
                "reconciliation": [line._asdict() for line in reconciling.lines(made)],
                "facilities": facilities,
            }
        )


def _state(text: str, scope: access.Scope) -> str:
    """The one that is asked for; nothing stands for the nation."""
    state = as_stored("state", text) if text else ""
    if scope.is_national:
        return state
    if not state and len(scope.states) > 1:
        raise parameters.refused("state", "required", "Say which of your states.")
    state = state or min(scope.states)
    if state not in scope.states:
        raise NotFound
    return state


def _facilities(made: report.Report, scope: access.Scope) -> list[dict[str, Any]]:
    """Every facility of the state, and whether its figures have a way to DHIS2."""
    places = Facility.objects.inside(scope).filter(deleted_at=None)
    places = places.filter(state=made.state) if made.state else places
    return [
        {
            "facility_id": pk,
            "facility_name": name,
            "state": state,
            "hfr_code": code,
            "org_unit": made.org_units.get(pk),
            "has_figures": pk in made.counts,
        }
        for pk, name, state, code in places.order_by("pk").values_list("pk", "name", "state", "hfr_code")
    ]
