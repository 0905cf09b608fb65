"""/api/triage-visits/{id}/vitals and /api/triage-second-look: what vital signs say, and where the level differs.

Both are made of a text that is masked for some roles: who sees a visit masked sees none of this.
"""

from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import Count, Q, QuerySet
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from clinical import access, reading, scores, vital_readings
from clinical.api import filters, parameters
from clinical.api.facilities import as_stored
from clinical.api.lists import Order
from clinical.api.resource import Listing, Row, id_of
from clinical.audit import reads
from clinical.models import SecondLook, TriageVisit
from clinical.scores import Name
from clinical.scores.second_look import NOTICE, Kind
from clinical.vital_readings import Vitals
from clinical.vitals import VERSION, Flag
from clinical.vitals.signs import NAMES

Body = serializers.Serializer[Any]
MOST_FACILITIES = 100  # that are counted by name; the list itself has them all
MASKED = "What vital signs say is masked for your role."


class SignBody(Body):
    name = serializers.ChoiceField([*NAMES.values()])
    code = serializers.CharField(help_text="LOINC; medilink:breathes is ours")
    value = serializers.FloatField(allow_null=True)
    unit = serializers.CharField(allow_null=True, help_text="UCUM")
    coded = serializers.CharField(allow_null=True, help_text="A, C, V, P or U; air or oxygen")
    written = serializers.CharField(help_text="the words that it was read from")
    flag = serializers.ChoiceField([*map(str, Flag)], allow_null=True)


class ScoreBody(Body):
    score = serializers.ChoiceField([*map(str, Name)])
    minimum = serializers.FloatField(allow_null=True)
    maximum = serializers.FloatField(allow_null=True)
    missing = serializers.ListField(child=serializers.CharField(), help_text="inputs that were not written down")
    reds = serializers.ListField(child=serializers.CharField(), help_text="inputs with three points of NEWS2")


class VitalsBody(Body):
    visit_id = serializers.IntegerField()
    vital_signs = serializers.CharField(allow_null=True, help_text="the text itself")
    values = SignBody(many=True)
    leftover = serializers.CharField(allow_null=True, help_text="what was not understood, one piece a line")
    scores = ScoreBody(many=True)
    age = serializers.IntegerField(help_text="in years, at the visit")
    age_is_estimated = serializers.BooleanField()
    parser_version = serializers.IntegerField()
    scores_version = serializers.IntegerField()
    read_at = serializers.DateTimeField(allow_null=True, help_text="when it was stored; null: it is about to be")
    notice = serializers.CharField()


def _refuse_masked(scope: access.Scope) -> None:
    if scope.is_empty:
        raise PermissionDenied(MASKED)


class VisitVitals(GenericViewSet[Any]):
    """What one visit's vital signs say."""

    resource = "visits"
    needs: ClassVar[dict[str, str]] = {"vitals": access.READ}
    filter_backends = ()
    pagination_class = None
    http_method_names = [method for method in GenericViewSet.http_method_names if method != "options"]

    @extend_schema(
        parameters=[OpenApiParameter("id", {"type": "integer", "minimum": 1}, OpenApiParameter.PATH)],
        responses=VitalsBody,
    )
    @action(detail=True)
    def vitals(self, request: Request, pk: str) -> Response:
        """Coded values with the words that they were read from, what was not understood, and scores made of them."""
        parameters.read(request.GET, ("format",))
        user: Any = request.user
        scope = user.access.clear_scope(self.resource)
        _refuse_masked(scope)
        visits = TriageVisit.objects.present().unrestricted().inside(scope).select_related("patient")
        visit = visits.filter(pk=id_of(pk)).first()
        if visit is None:
            raise NotFound
        reads.seen("triage_visits", "vitals", object_id=visit.pk, patient_ids=[visit.patient_id], rows=1)
        reading.shown(user, self.resource, 1)
        return Response(_told(visit, vital_readings.of_visit(visit)))


def _told(visit: TriageVisit, found: Vitals) -> Row:
    return {
        "visit_id": visit.pk,
        "vital_signs": visit.vital_signs,
        "values": [
            {
                "name": NAMES[sign.code],
                "code": sign.code,
                "value": _number(sign.value),
                "unit": sign.unit,
                "coded": sign.coded,
                "written": sign.written,
                "flag": sign.flag,
            }
            for sign in found.reading.signs
        ],
        "leftover": found.reading.leftover,
        "scores": [
            {
                "score": score.name,
                "minimum": _number(score.minimum),
                "maximum": _number(score.maximum),
                "missing": score.missing,
                "reds": score.reds,
            }
            for score in found.scores
        ],
        "age": found.age,
        "age_is_estimated": visit.patient.dob_is_estimated,
        "parser_version": VERSION,
        "scores_version": scores.VERSION,
        "read_at": vital_readings.read_at(visit),
        "notice": NOTICE,
    }


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


class SecondLookFilter(FilterSet):
    facility_id = filters.identifier("facility_id")
    state = filters.Parameter(filters.TEXT, as_stored, filters.equal("facility__state"))
    kind = filters.one_of("kind", [*map(str, Kind)])
    visited_after, visited_before = filters.moments("visited_at")


class SecondLookBody(serializers.ModelSerializer[SecondLook]):
    patient_id = serializers.IntegerField()
    facility_id = serializers.IntegerField()

    class Meta:
        model = SecondLook
        fields = (
            *("id", "patient_id", "facility_id", "triage_level", "visited_at", "time_is_estimated", "hour"),
            *("kind", "rule", "minimum", "maximum", "missing", "reds"),
        )


COUNT = {"type": "integer"}
COUNTS = {str(kind): COUNT for kind in Kind}


def _counted_by(name: str, nullable: bool) -> Row:
    of: Row = {"type": "integer", "nullable": nullable}
    return {"type": "array", "items": {"type": "object", "properties": {name: of} | COUNTS}}


class SecondLookViewSet(Listing):
    """Visits whose triage level and vital signs disagree, by NEWS2: an audit list, and no advice at the bedside."""

    resource = "visits"
    model = SecondLook
    serializer_class = SecondLookBody
    columns = SecondLookBody.Meta.fields
    orders: ClassVar[dict[str, Order]] = {name: Order(name) for name in ("id", "visited_at", "minimum")}
    filterset_class = SecondLookFilter
    tells_changes = False
    envelope: ClassVar[Row] = {
        "notice": {"type": "string"},
        "by_facility": _counted_by("facility_id", False),
        "by_hour": _counted_by("hour", True),
    }

    def list(self, request: Request) -> Any:
        _refuse_masked(self.user.access.clear_scope(self.resource))
        return super().list(request)

    def present(self) -> "QuerySet[Any]":
        """Where the caller sees visits clearly."""
        clear = self.user.access.clear_scope(self.resource)
        return self.inside(SecondLook.objects.values_list(*self.columns), clear)

    def extras(self) -> Row:
        """How many of each kind there are among all that are selected: by facility, most first, and by hour of day."""
        return {
            "notice": NOTICE,
            "by_facility": [*_counts(self._selected(), "facility_id").order_by("-under", "-over", "facility_id")][
                :MOST_FACILITIES
            ],
            "by_hour": [*_counts(self._selected(), "hour").order_by("hour")],
        }


def _counts(rows: "QuerySet[Any]", name: str) -> "QuerySet[Any]":
    kinds: dict[str, Any] = {str(kind): Count("id", filter=Q(kind=kind)) for kind in Kind}
    return rows.order_by().values(name).annotate(**kinds)
