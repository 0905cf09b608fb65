"""/api/facilities."""

from typing import Any

from django.db.models import Q, Value
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

from clinical import access, values
from clinical.api import filters, parameters
from clinical.api.fields import Degrees, FreeText, Name, State
from clinical.api.refusals import Duplicate
from clinical.api.resource import Row, orders
from clinical.api.writing import Body, Resource
from clinical.models import Facility, FacilityAlias


def as_stored(_parameter: str, text: str) -> str:
    """A state as it is stored, in whatever spelling it is asked for; an unknown one is nobody's."""
    try:
        return values.state(text)
    except values.Invalid:
        return text


def _lga(text: str) -> Any:
    """By its official name too, where that is unique in the country."""
    official = values.lga(text, None) or text
    return filters.same_key("lga_key")(official)


def _search(_parameter: str, text: str) -> str:
    if len(text) < 3:
        raise parameters.refused("search", "too_short", "Needs three letters at least.")
    return filters.name(_parameter, text)


def _contains(text: str) -> Q:
    found = filters.key(Value(text))
    return Q(name_key__contains=found) | Q(lga_key__contains=found)


class FacilityFilter(FilterSet):
    state = filters.Parameter(filters.TEXT, as_stored, filters.equal("state"))
    lga = filters.Parameter(filters.TEXT, filters.name, _lga)
    type = filters.Parameter(filters.TEXT, filters.name, filters.same_name("type"))
    search = filters.Parameter(
        {"type": "string", "description": "Part of the name or the LGA; three letters at least."}, _search, _contains
    )


@extend_schema_serializer(
    component_name="Facility",
    examples=[
        OpenApiExample(
            "Facility",
            {"name": "Dala Clinic", "state": "KANO", "lga": "Dala", "lat": 12.0022, "lon": 8.592, "type": "Clinic"},
            request_only=True,
        )
    ],
)
class FacilityBody(Body):
    name = Name("facility_name")
    state = State()
    lga = Name("lga")
    lat = Degrees(required=False, allow_null=True, min_value=values.LATITUDES[0], max_value=values.LATITUDES[1])
    lon = Degrees(required=False, allow_null=True, min_value=values.LONGITUDES[0], max_value=values.LONGITUDES[1])
    type = Name("type", required=False)
    ownership = FreeText(required=False)
    level = FreeText(required=False)
    hfr_code = Name("hfr_code", required=False)

    def validate(self, attrs: Row) -> Row:
        attrs = (self.defaults() | attrs) if not self.partial else attrs
        if {"lat", "lon"} & attrs.keys():
            self._judge_point(attrs)
        if {"name", "state", "lga"} & attrs.keys():
            self._refuse_former_name(attrs)
        self._stay_in_scope(attrs)
        return attrs

    def _judge_point(self, attrs: Row) -> None:
        lat, lon = (self.after(attrs, name) for name in ("lat", "lon"))
        attrs["lat"], attrs["lon"], problem = values.point(*("" if one is None else f"{one:f}" for one in (lat, lon)))
        if problem:
            name = "lat" if attrs["lat"] is None and lat is None else "lon"
            raise parameters.refused(name, problem.lower(), "Give both coordinates or neither, inside Nigeria.")

    def _refuse_former_name(self, attrs: Row) -> None:
        """A name by which files still find another facility."""
        name, state, lga = (self.after(attrs, column) for column in ("name", "state", "lga"))
        official = values.lga(lga, state) or lga
        same = {"name_key": filters.key(Value(name)), "state": state, "lga_key": filters.key(Value(official))}
        if FacilityAlias.objects.filter(**same).exclude(facility=self.pk).exists():
            raise Duplicate

    def _stay_in_scope(self, attrs: Row) -> None:
        """Nobody makes a facility, or moves one, where they may not."""
        scope = self.user.access.scope(access.UPDATE if self.stored else access.CREATE, "facilities")
        state, lga = self.after(attrs, "state"), self.after(attrs, "lga")
        official = (values.lga(lga, state) or lga).lower()
        if not (
            scope.is_national or state in scope.states or (state, official) in scope.lgas or self.pk in scope.facilities
        ):
            raise parameters.refused("state", "does_not_exist", "There is no such place in your scope.")


class FacilityViewSet(Resource):
    """Every health facility, each known by its name, state and LGA."""

    resource = "facilities"
    model = Facility
    columns = (
        *("id", "name", "state", "lga", "lat", "lon", "type", "ownership", "level", "hfr_code"),
        *("created_at", "updated_at"),
    )
    orders = orders("name", "state")
    tables = ("facilities",)
    table = "facilities"
    identities = frozenset({"facilities_identity"})
    serializer_class = FacilityBody
    filterset_class = FacilityFilter
