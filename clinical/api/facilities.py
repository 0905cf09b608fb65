"""/api/facilities."""

from typing import Any

from django.db.models import Q, Value
from django_filters import FilterSet

from clinical import values
from clinical.api import filters, parameters
from clinical.api.resource import Listing, orders
from clinical.models import Facility


def _state(_parameter: str, text: str) -> str:
    """As it is stored, in whatever spelling it is asked for; an unknown one is nobody's."""
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
    state = filters.Parameter(filters.TEXT, _state, filters.equal("state"))
    lga = filters.Parameter(filters.TEXT, filters.name, _lga)
    type = filters.Parameter(filters.TEXT, filters.name, filters.same_name("type"))
    search = filters.Parameter(
        {"type": "string", "minLength": 3, "description": "Part of the name or the LGA."}, _search, _contains
    )


class FacilityViewSet(Listing):
    resource = "facilities"
    queryset = Facility.objects.all()
    columns = (
        *("id", "name", "state", "lga", "lat", "lon", "type", "ownership", "level", "hfr_code"),
        *("created_at", "updated_at"),
    )
    orders = orders("name", "state")
    tables = ("facilities",)
    filterset_class = FacilityFilter
