"""Filters of a list: declared in a django-filter FilterSet, which documents them; applied one by one where given.

The form that a FilterSet makes for every request would cost more than the query.
"""

from collections.abc import Callable, Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

import django_filters
from django.db.models import F, Q, QuerySet, TextField, Value
from django.db.models.functions import Collate, Lower
from django.db.models.lookups import Exact
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.request import Request

from clinical import values
from clinical.api import parameters

if TYPE_CHECKING:
    from clinical.api.resource import Listing

INTEGER = {"type": "integer", "format": "int64", "minimum": 1, "maximum": parameters.LARGEST_ID}
TEXT = {"type": "string"}
NOTHING = {"type": "string", "maxLength": 0}  # an empty value counts as absent
DAY = {"anyOf": [{"type": "string", "format": "date"}, NOTHING]}
MOMENT = {
    "anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}, NOTHING],
    "description": "A date (that whole day in Lagos) or an instant; included.",
}


class Parameter(django_filters.Filter):
    """One query parameter: how its text is read, and the condition that its value makes.

    `is_masked`: on a masked field; it selects only among rows that the user sees clearly. `is_number`: the value goes
    into the query as it is, and changes nothing else of it.
    """

    def __init__(
        self,
        schema: dict[str, Any],
        parse: Callable[[str, str], Any],
        condition: Callable[[Any], Any],
        *,
        is_masked: bool = False,
        is_number: bool = False,
    ) -> None:
        super().__init__()
        self.parse, self.condition, self.is_masked, self.is_number = parse, condition, is_masked, is_number
        extend_schema_field(schema)(self)


def key(expression: Any) -> Lower:
    """What names are compared by, as in clinical/models/columns.py, of a value or another column."""
    return Lower(Collate(expression, "pg_c_utf8"), output_field=TextField())


def name(_parameter: str, text: str) -> str:
    return values.text(text, is_name=True)[0]


def same_name(column: str) -> Callable[[str], Any]:
    return lambda text: Exact(key(F(column)), key(Value(text)))


def same_key(column: str) -> Callable[[str], Any]:
    """For a column that holds the key itself."""
    return lambda text: Exact(F(column), key(Value(text)))


def equal(column: str) -> Callable[[Any], Q]:
    return lambda value: Q(**{column: value})


def identifier(column: str) -> Parameter:
    return Parameter(INTEGER, parameters.identifier, equal(column), is_number=True)


def one_of(column: str, choices: Iterable[str], *, is_masked: bool = False) -> Parameter:
    choices = sorted(choices)

    def parse(name: str, text: str) -> str:
        if text not in choices:
            raise parameters.refused(name, "invalid_choice", f"Must be one of {', '.join(choices)}.")
        return text

    return Parameter({"type": "string", "enum": choices}, parse, equal(column), is_masked=is_masked)


def days(column: str, *, is_masked: bool = False) -> tuple[Parameter, Parameter]:
    """From and to a day, both included."""
    return (
        Parameter(DAY, parameters.day, equal(f"{column}__gte"), is_masked=is_masked),
        Parameter(DAY, parameters.day, equal(f"{column}__lte"), is_masked=is_masked),
    )


def moments(column: str) -> tuple[Parameter, Parameter]:
    return (
        Parameter(MOMENT, parameters.since, equal(f"{column}__gte")),
        Parameter(MOMENT, parameters.until, equal(f"{column}__lte")),
    )


def born_before(age: int, today: date) -> date:
    """The latest birthday of those who are at least `age` on the day; who was born on 29 February waits for March."""
    try:
        return today.replace(year=today.year - age)
    except ValueError:
        return today.replace(year=today.year - age, day=28)


RANGES = (("_after", "_before"), ("_from", "_to"))


class FilterBackend(DjangoFilterBackend):
    """Applies the view's `given` parameters, which it has read strictly already."""

    def filter_queryset(self, request: Request, queryset: "QuerySet[Any]", view: "Listing") -> "QuerySet[Any]":
        filters: dict[str, Parameter] = view.filterset_class.base_filters
        found = {name: filters[name].parse(name, text) for name, text in view.given.items() if name in filters}
        _refuse_reversed(found)
        for name in found:
            if filters[name].is_masked:
                queryset = view.clearly_visible(name, queryset)
        return (
            queryset.filter(*(filters[name].condition(value) for name, value in found.items())) if found else queryset
        )

    def to_html(self, request: Request, queryset: "QuerySet[Any]", view: Any) -> str:
        return ""


def _refuse_reversed(found: dict[str, Any]) -> None:
    for first, last in RANGES:
        for name in found:
            other = name.removesuffix(first) + last
            if name.endswith(first) and other in found and found[other] < found[name]:
                raise parameters.refused(other, "reversed_range", "Lies before the beginning of the range.")
