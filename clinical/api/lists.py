"""How a list is cut: pages with a count, a cursor at the same speed at any depth, and what has changed since.

A cursor carries the last row's id, and its place in the order where that may change under the walk and is nothing of
a person; a date of birth is looked up instead, since no person's data ever stands in a URL.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import F, Model, OrderBy, Q, QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from clinical.api import parameters

PER_PAGE, MOST_PER_PAGE = 50, 1000
DEEPEST_OFFSET = 100_000
PARAMETERS = ("page", "per_page", "cursor", "ordering", "changed_since", "format")


@dataclass(frozen=True)
class Order:
    """One column and the key of a row, all in one direction; none of them is ever null."""

    column: str
    is_descending: bool = False
    is_personal: bool = False
    keys: tuple[str, ...] = ("id",)

    @property
    def text(self) -> str:
        return f"-{self.column}" if self.is_descending else self.column

    @property
    def is_by_id(self) -> bool:
        """That the key is one number, and nothing else orders."""
        return self.keys == (self.column,) == ("id",)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, *(key for key in self.keys if key != self.column))

    def looked_up(self, visible: "QuerySet[Any]", place: "Place") -> "Place":
        """With what a cursor does not carry: of a row that the caller may see, or one made up would tell of others."""
        found = visible.filter(pk=place.keys[0]).values_list(self.column, flat=True).first()
        if found is None:
            raise _bad_cursor()
        return Place(place.keys, {self.column: found})

    def applied(self, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        return rows.order_by(*(OrderBy(F(column), descending=self.is_descending) for column in self.columns))

    def after(self, rows: "QuerySet[Any]", place: "Place") -> "QuerySet[Any]":
        """The rows behind that place; an index on the columns leads straight to them."""
        beyond = "lt" if self.is_descending else "gt"
        values = dict(zip(self.keys, place.keys, strict=True)) | place.column
        behind = Q()
        equal: dict[str, Any] = {}
        for column in self.columns:
            behind |= Q(**equal, **{f"{column}__{beyond}": values[column]})
            equal[column] = values[column]
        bound = Q(**{f"{self.column}__{beyond}e": values[self.column]}) if len(self.columns) > 1 else Q()
        return rows.filter(bound, behind)


@dataclass(frozen=True)
class Place:
    """Where a walk stands: behind the row with this key, and with this in the order's column."""

    keys: tuple[Any, ...]
    column: dict[str, Any] = field(default_factory=dict)


def _bad_cursor() -> Exception:
    return parameters.refused("cursor", "invalid", "Is none that this list has given; start again with an empty one.")


def cursor_of(order: Order, row: dict[str, Any]) -> str:
    """The place behind this row."""
    names = order.keys if order.is_personal else order.columns
    known = {name: _written(row[name]) for name in names}
    text = json.dumps([order.text, known], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def place_of(order: Order, cursor: str, model: type[Model]) -> Place:
    try:
        of, known = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        names = order.keys if order.is_personal else order.columns
        if of == order.text and known.keys() == {*names}:
            read = {name: _read(model, name, value) for name, value in known.items()}
            return Place(tuple(read[key] for key in order.keys), {order.column: read.get(order.column)})
    except (ValueError, TypeError, AttributeError, binascii.Error, DjangoValidationError):
        pass
    raise _bad_cursor()


def _read(model: type[Model], name: str, value: Any) -> Any:
    column: Any = model._meta.get_field(name)
    read = column.to_python(value)
    if read is None or (isinstance(read, int) and not 0 <= read <= parameters.LARGEST_ID):
        raise ValueError
    return read


@dataclass(frozen=True)
class Cut:
    """What the request asks for: `page` from 1, or a walk (`cursor`, empty at its start)."""

    per_page: int
    page: int
    cursor: str | None

    @classmethod
    def of(cls, request: Request, given: "dict[str, str]") -> "Cut":
        per_page = parameters.whole_number("per_page", given.get("per_page", str(PER_PAGE)), 1, MOST_PER_PAGE)
        if "cursor" not in request.GET:
            page = parameters.whole_number("page", given.get("page", "1"), 1, parameters.LARGEST_ID)
            if (page - 1) * per_page > DEEPEST_OFFSET:
                raise parameters.refused("page", "use_cursor", "Too deep for pages; walk with cursor= instead.")
            return cls(per_page, page, None)
        if "page" in given:
            raise parameters.refused("page", "invalid", "Not together with cursor.")
        return cls(per_page, 1, given.get("cursor", ""))

    def place(self, order: Order, model: type[Model]) -> Place | None:
        """Where a walk stands; None at its start, and for a page."""
        return place_of(order, self.cursor, model) if self.cursor else None

    def rows(self, rows: "QuerySet[Any]", order: Order, place: Place | None) -> "QuerySet[Any]":
        """One row more than a page, which tells whether there is a next one."""
        rows = order.applied(rows)
        if place:
            rows = order.after(rows, place)
        return self.window(rows)

    def window(self, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        offset = (self.page - 1) * self.per_page
        return rows[offset : offset + self.per_page + 1]

    def split(self, found: "Sequence[Any]") -> tuple[Sequence[Any], bool]:
        if not found and self.page > 1:
            raise NotFound("There is no such page.")
        return found[: self.per_page], len(found) > self.per_page

    def known_count(self, shown: int, has_next: bool) -> int | None:
        """The count, where the page itself tells it."""
        return None if has_next or (not shown and self.page > 1) else (self.page - 1) * self.per_page + shown


def link(request: Request, **changed: Any) -> str:
    """This request's address with other parameters."""
    query = {name: value for name, value in request.GET.items() if name not in changed} | changed
    return f"{request.build_absolute_uri(request.path)}?{urlencode(query)}"
