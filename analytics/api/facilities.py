"""/api/analytics/facilities, /facility-performance and /facility-stats."""

from datetime import date
from typing import Any

from django.db.models import Func, QuerySet, TextField
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics import metrics, publications
from analytics.api.mart import TRUST, Mart, published, trusted, trusted_then
from analytics.models import FacilityDimension, FacilityPerformance
from clinical import access, replica
from clinical.api import filters, parameters, statements
from clinical.api.facilities import as_stored
from clinical.api.lists import Order
from clinical.models import Facility

CATEGORIES = ("Hospital", "Pharmacy", "Clinic", "Health Center", "Other")
BY_FACILITY = ("facility_id",)
NUMBER = {"type": "number", "nullable": True}


def orders(*columns: str) -> dict[str, Order]:
    return {column: Order(column, keys=BY_FACILITY) for column in ("facility_id", *columns)}


class FacilityFilter(FilterSet):
    facility_id = filters.identifier("facility_id")
    state = filters.Parameter(filters.TEXT, as_stored, filters.equal("state"))
    lga = filters.Parameter(filters.TEXT, filters.name, filters.same_name("lga"))
    facility_category = filters.one_of("facility_category", CATEGORIES)


class FacilityDimensionBody(serializers.ModelSerializer[FacilityDimension]):
    class Meta:
        model = FacilityDimension
        exclude = ("lga_name",)
        extra_kwargs = metrics.help_texts("dim_facilities")


class FacilityDimensionViewSet(Mart):
    """Facilities with what happened there in all."""

    relation = "dim_facilities"
    model = FacilityDimension
    serializer_class = FacilityDimensionBody
    columns = tuple(field.name for field in FacilityDimension._meta.concrete_fields if field.name != "lga_name")
    orders = orders("facility_name", "state", "total_patients", "total_medical_records", "total_triage_visits")
    filterset_class = FacilityFilter


class PerformanceFilter(FacilityFilter):
    volume_category = filters.one_of("volume_category", ("Inactive", "High", "Medium", "Low"))
    acuity_category = filters.one_of("acuity_category", ("High", "Medium", "Low"))


class FacilityPerformanceBody(serializers.ModelSerializer[FacilityPerformance]):
    class Meta:
        model = FacilityPerformance
        exclude = ("lga_name",)
        extra_kwargs = metrics.help_texts("facility_performance")


class FacilityPerformanceViewSet(Mart):
    """Facilities by their last 30 days and their mean month."""

    relation = "facility_performance"
    model = FacilityPerformance
    serializer_class = FacilityPerformanceBody
    columns = tuple(field.name for field in FacilityPerformance._meta.concrete_fields if field.name != "lga_name")
    orders = orders("facility_name", "state", "total_patients", "visits_30d", "avg_monthly_visits")
    filterset_class = PerformanceFilter


TOTALS = ("total_patients", "total_medical_records", "total_triage_visits")


class FacilityLine(serializers.Serializer[Any]):
    facility_id = serializers.IntegerField()
    facility_name = serializers.CharField()
    state = serializers.CharField()
    patient_count = serializers.IntegerField(help_text=metrics.answered("patient_count"))
    record_count = serializers.IntegerField(help_text=metrics.answered("record_count"))
    triage_count = serializers.IntegerField(help_text=metrics.answered("triage_count"))
    avg_triage_level = serializers.FloatField(allow_null=True, help_text=metrics.answered("avg_triage_level"))


@extend_schema_field(TRUST)
class TrustField(serializers.JSONField):
    """As analytics/trust.py tells it."""


class Stats(serializers.Serializer[Any]):
    total_facilities = serializers.IntegerField()
    total_patients = serializers.IntegerField(help_text=metrics.answered("total_patients"))
    total_records = serializers.IntegerField(help_text=metrics.answered("total_records"))
    total_triage_visits = serializers.IntegerField(help_text=metrics.answered("total_triage_visits"))
    as_of = serializers.DateTimeField()
    stale = serializers.BooleanField()
    trust = TrustField(allow_null=True)
    facilities = FacilityLine(many=True)


class AsFloat(Func):
    """A float as PostgreSQL gives it: a Decimal, or a look at each value, would cost more than the query."""

    template = "%(expressions)s::float8"
    output_field = TextField()  # the only kind that Django lets through as it is


def _as_lines(facilities: "QuerySet[Any]") -> "QuerySet[Any]":
    rows = facilities.order_by("facility_id").annotate(level=AsFloat("avg_triage_level"))
    return rows.values_list("facility_id", "facility_name", "state", *TOTALS, "level")


LINES = _as_lines(FacilityDimension.objects.all())


class FacilityStats(APIView):
    resource = "analytics"
    action = "retrieve"

    @extend_schema(
        operation_id="facility_stats",
        tags=["analytics"],
        responses=Stats,
        parameters=[
            OpenApiParameter("facility_id", filters.INTEGER, description="This one alone; 404 where there is none."),
            OpenApiParameter("state", filters.TEXT, description="In any spelling."),
            OpenApiParameter("as_of", filters.DAY, description="The figures as published that day."),
        ],
    )
    @replica.readable
    def get(self, request: Request) -> Response:
        """Counts of each facility in your scope, and their totals."""
        given = parameters.read(request.GET, ("facility_id", "state", "as_of", "format"))
        scope = request.user.access.scope(access.READ, self.resource)  # type: ignore[union-attr]  # past the permission
        state = as_stored("state", given["state"]) if "state" in given else None
        facility_id = parameters.identifier("facility_id", given["facility_id"]) if "facility_id" in given else None
        asked = request.user.access, state, facility_id  # type: ignore[union-attr]  # as above
        if "as_of" in given:
            publication = published("dim_facilities", parameters.day("as_of", given["as_of"]))
            trust = trusted_then(publication, *asked)
            rows = _published_lines(publication.day, scope, state, facility_id)
        else:
            trust = trusted("dim_facilities", *asked)
            rows = _lines(scope, state, facility_id)
        if not rows and facility_id:
            raise NotFound
        return Response(
            {
                "total_facilities": len(rows),
                "total_patients": sum(row[3] for row in rows),
                "total_records": sum(row[4] for row in rows),
                "total_triage_visits": sum(row[5] for row in rows),
                **trust,
                "facilities": [
                    {
                        "facility_id": pk,
                        "facility_name": name,
                        "state": of_state,
                        "patient_count": patients,
                        "record_count": records,
                        "triage_count": visits,
                        "avg_triage_level": level,
                    }
                    for pk, name, of_state, patients, records, visits, level in rows
                ],
            }
        )


def _lines(scope: access.Scope, state: str | None, facility_id: int | None) -> list[Any]:
    """By a statement made before, where nobody asks for less than the nation."""
    if scope.is_national and not state and not facility_id:
        return statements.read((FacilityStats,), (), lambda: LINES)
    lines = (
        LINES.all() if scope.is_national else LINES.filter(facility_id__in=Facility.objects.inside(scope).values("pk"))
    )
    return _narrowed(lines, state, facility_id)


def _published_lines(day: date, scope: access.Scope, state: str | None, facility_id: int | None) -> list[Any]:
    lines = publications.lines(FacilityDimension, day).filter(scope.of_places(*publications.PLACE))
    return _narrowed(_as_lines(lines), state, facility_id)


def _narrowed(lines: "QuerySet[Any]", state: str | None, facility_id: int | None) -> list[Any]:
    lines = lines.filter(state=state) if state else lines
    return [*(lines.filter(facility_id=facility_id) if facility_id else lines)]
