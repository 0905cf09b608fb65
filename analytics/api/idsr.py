"""/api/analytics/idsr: notifiable diseases of a week or month, as a line list or as the form by LGA; JSON or CSV."""

from datetime import date, timedelta
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.api.mart import tell_beside, trusted
from analytics.idsr import cases, forms
from analytics.idsr.cases import Case, Span
from clinical import access, reading, replica
from clinical.api import exports, filters, parameters, rendering
from clinical.api.facilities import as_stored
from clinical.audit import reads
from clinical.models import Facility
from clinical.months import next_month, week_of

MOST_LINES = 20_000
FORMS = ("lines", "areas")
WEEK = timedelta(days=7)
RELATIONS = ("fct_triage_visits", "fct_medical_records")


class Notifiable(APIView):
    resource = "analytics_records"
    action = "list"
    renderer_classes = (rendering.JSON, rendering.People, rendering.CSV)

    @extend_schema(
        operation_id="idsr",
        tags=["analytics"],
        responses=OpenApiTypes.OBJECT,
        parameters=[
            OpenApiParameter("week", filters.TEXT, description="YYYY-Www, ISO; without it the last one that is over."),
            OpenApiParameter("month", filters.TEXT, description="YYYY-MM, in place of a week."),
            OpenApiParameter("state", filters.TEXT, description="In any spelling."),
            OpenApiParameter("form", {"type": "string", "enum": list(FORMS)}, description="lines, or areas by LGA."),
        ],
    )
    @replica.readable
    def get(self, request: Request) -> Response | HttpResponse:
        """Suspected cases by what triage found likely and what was diagnosed; nobody is named."""
        user: Any = request.user
        given = parameters.read(request.GET, ("week", "month", "state", "form", "format"))
        wanted = given.get("form", "lines")
        if wanted not in FORMS:
            raise parameters.refused("form", "invalid", f"Must be one of {', '.join(FORMS)}.")
        scope = user.access.scope(access.READ, self.resource)
        span, places = _span(given), Facility.objects.inside(scope)
        if span.state:
            places = places.filter(state=span.state)
        known = forms.facilities(places)
        if span.state and not known and not scope.is_national:
            raise NotFound
        trust = trusted(RELATIONS, user.access, span.state or None, None)
        found, reporting = cases.read(span), cases.reporting(span)
        columns: tuple[str, ...]
        if wanted == "lines":
            columns, rows = forms.LINE, self._lines(user, found, known)
        else:
            is_clear = user.access.sees_all_clear(self.resource)
            columns, rows = forms.FORM, forms.form(found, known, reporting, is_clear=is_clear)
        whom = [case.patient_id for case in found] if wanted == "lines" else []
        reads.seen("idsr", "list", patient_ids=whom, rows=len(rows), **reads.query_of(given))
        if request.accepted_renderer.format == "csv":
            response = HttpResponse(exports.EXCEL + forms.as_csv(columns, rows), content_type="text/csv; charset=utf-8")
            response["Content-Disposition"] = f'attachment; filename="idsr-{wanted}-{span.first}.csv"'
            tell_beside(response, trust)
            return response
        facilities = [{"facility_id": pk, "is_reporting": pk in reporting} for pk in known]
        dates = {"date_from": span.first, "date_to": span.end - timedelta(days=1)}
        return Response({**trust, **dates, "form": wanted, "results": rows, "facilities": facilities})

    def _lines(self, user: Any, found: list[Case], known: dict[int, Facility]) -> list[forms.Row]:
        if len(found) > MOST_LINES:
            raise parameters.refused(
                "state", "required", f"More than {MOST_LINES:,} lines; say which state, or a week."
            )
        reading.shown(user, self.resource, len(found))
        return forms.lines(found, known)


def _span(given: dict[str, str]) -> Span:
    state = as_stored("state", given["state"]) if "state" in given else ""
    if "month" in given:
        if "week" in given:
            raise parameters.refused("month", "invalid", "Give a week or a month, not both.")
        first = parameters.month("month", given["month"])
        return Span(first, next_month(first), state)
    monday = week_of(given["week"]) if "week" in given else _last_week()
    if monday is None:
        raise parameters.refused("week", "invalid", "Must be an ISO week, written YYYY-Www.")
    return Span(monday, monday + WEEK, state)


def _last_week() -> date:
    today = timezone.localdate()
    return today - timedelta(days=today.weekday()) - WEEK
