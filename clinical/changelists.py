"""Lists of the desk that stay fast at millions of rows: counted up to a limit, read by key, never walked to the end.

A list of up to EXACT_UP_TO rows can be sorted by any of its columns. A longer one is estimated and keeps the order that
an index gives; who wants to see its far end narrows it down, or turns the order round.
"""

from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR
from django.core.paginator import InvalidPage, Page, Paginator
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import cached_property
from psycopg2.errors import QueryCanceled
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.utils import parse_date_str

from clinical import reading
from clinical.access import READ, Scope
from clinical.api.counting import estimated
from clinical.models import Facility
from clinical.searches import FoundList, Searched
from clinical.values import LAGOS

EXACT_UP_TO = 10_000
DEEPEST = 100_000  # rows; as far as pages go in the API, too
# Rows that are gathered and then sorted. Where more are chosen, the first fifty are met soon on a walk along the keys;
# but days lie close together there, and may lie far from where the walk begins.
GATHERED, GATHERED_OF_DAYS = 100_000, 3_000_000


class Pages(Paginator):
    """Pages of a queryset that may have millions of rows."""

    template_name = "clinical/pages.html"  # unfold asks for it
    object_list: "QuerySet[Any]"
    deepest = f"{DEEPEST:,}"
    gathered = GATHERED

    @cached_property
    def few(self) -> list[Any] | None:
        """All keys, where there are few: what it costs to find them is paid once for the count and the page."""
        found = [*self.object_list.order_by().values_list("pk", flat=True)[: EXACT_UP_TO + 1]]
        return found if len(found) <= EXACT_UP_TO else None

    @cached_property
    def count(self) -> int:
        return max(EXACT_UP_TO + 1, estimated(self.object_list)) if self.few is None else len(self.few)

    @property
    def is_estimate(self) -> bool:
        return self.few is None

    @property
    def in_words(self) -> str:
        """An estimate without the digits that it does not know."""
        if not self.is_estimate:
            return f"{self.count:,}"
        return f"about {round(self.count, 2 - len(str(self.count))):,}"

    @property
    def is_cut(self) -> bool:
        """That there are rows which no page shows."""
        return self.is_estimate and self.count > DEEPEST

    @cached_property
    def num_pages(self) -> int:
        return max(1, -(-min(self.count, DEEPEST) // self.per_page))

    def page(self, number: Any) -> Page:
        """The rows of the page's keys: keys stand in an index, so that what is stepped over is not read."""
        number = self.validate_number(number)
        wanted = self._keys((number - 1) * self.per_page)
        found = {row.pk: row for row in self.object_list.order_by().filter(pk__in=wanted)}
        return Page([found[key] for key in wanted if key in found], number, self)

    def _keys(self, first: int) -> list[Any]:
        """Of a page. Asked for the first fifty, PostgreSQL may walk through millions in the hope to meet them soon."""
        keys, last = self.object_list.values_list("pk", flat=True), first + self.per_page
        if self.few is not None:
            is_plain = is_by_key(keys)
            few = sorted(self.few) if is_plain else [*keys.filter(pk__in=self.few)]
            return (few[::-1] if is_plain and is_descending(keys) else few)[first:last]
        if not is_by_key(keys) or self.count > self.gathered:
            return [*keys[first:last]]
        sql, params = keys.order_by().query.sql_with_params()
        way = "DESC" if is_descending(keys) else "ASC"
        with connection.cursor() as cursor:
            cursor.execute(GATHER.format(keys=sql, way=way), [*params, self.per_page, first])
            return [key for (key,) in cursor.fetchall()]


# OFFSET 0: what is chosen is chosen before it is sorted.
GATHER = "SELECT key FROM ({keys} OFFSET 0) AS chosen (key) ORDER BY key {way} LIMIT %s OFFSET %s"


def is_by_key(rows: "QuerySet[Any]") -> bool:
    key = rows.model._meta.pk
    return _first_column(rows).removeprefix("-") in ("pk", key.name, key.attname)


def is_descending(rows: "QuerySet[Any]") -> bool:
    return _first_column(rows).startswith("-")


def _first_column(rows: "QuerySet[Any]") -> str:
    return next(map(str, rows.query.order_by), "")


class List(FoundList):
    """A changelist over Pages."""

    queryset: "QuerySet[Any]"

    def get_results(self, request: HttpRequest) -> None:
        pages = Pages(self.queryset, self.list_per_page)
        if any(isinstance(one, DayFilter) and one.used_parameters for one in self.filter_specs):
            pages.gathered = GATHERED_OF_DAYS
        if pages.is_estimate and not is_by_key(self.queryset):
            told = f"Only lists of up to {EXACT_UP_TO:,} rows are sorted so; narrow this one down with a filter first."
            messages.warning(request, told)
            self.params.pop(ORDER_VAR, None)
            pages.object_list = self.queryset = self.queryset.order_by(*self.get_ordering(request, self.queryset))
        try:
            self.result_list = pages.page(self.page_num).object_list
        except InvalidPage as error:
            raise IncorrectLookupParameters from error
        reading.shown(request.user, getattr(self.model, "RESOURCE", ""), len(self.result_list))
        self.paginator, self.result_count = pages, pages.count
        self.multi_page = pages.count > self.list_per_page
        # The header tells a count that differs from the full one, and links to the whole list.
        is_told = not pages.is_estimate and (self.has_active_filters or self.query)
        self.full_result_count, self.show_full_result_count = None if is_told else pages.count, False
        self.can_show_all, self.show_admin_actions = False, True


class ReadOnly:
    """What an admin of a table is mixed with that no form of columns writes: people read, and decide by other ways."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Listed(Searched):
    """What an admin of a table without bounds is mixed with."""

    show_full_result_count = False
    list_per_page = 50
    list_filter_sheet = True
    paginator = Pages  # of what an autocomplete offers
    most_at_once = EXACT_UP_TO  # rows of one action: it runs while the browser waits

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[List]:
        return List

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """What the web's limit of a statement (medilink/wsgi.py) breaks off is said in words."""
        try:
            return super().changelist_view(request, extra_context)
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled) or not request.GET:
                raise
            self._tell(request, "That would have taken too long; choose a shorter time, a facility, or whole words.")
            return HttpResponseRedirect(request.path)

    def response_action(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse | None:
        """All rows of a list, but not of any list."""
        is_all = request.POST.get("select_across", "0") == "1"
        if is_all and queryset.order_by()[: self.most_at_once + 1].count() > self.most_at_once:
            self._tell(request, f"Not more than {self.most_at_once:,} rows at once: narrow the list down first.")
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset)  # type: ignore[misc]  # of the admin

    def _tell(self, request: HttpRequest, text: str) -> None:
        messages.warning(request, text)


# --- Filters


def at_facilities(rows: "QuerySet[Any]", facilities: "QuerySet[Facility]", path: str = "facility") -> "QuerySet[Any]":
    """Rows of these facilities by their ids, which PostgreSQL can judge the number of; behind a join it guesses."""
    return rows.filter(**{f"{path}__in": [*facilities.order_by().values_list("pk", flat=True)]})


class StateFilter(ChoicesDropdownFilter):
    """By the state of a row's facility. Who sees one state only is not asked twice: it would be estimated as less."""

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        state, scope = self.value(), request.user.access.scope(READ, queryset.model.RESOURCE)  # type: ignore[union-attr]
        if not state or scope == Scope(states=frozenset({state})):
            return queryset
        return at_facilities(queryset, Facility.objects.filter(state=state))


class DayFilter(RangeDateFilter):
    """From one day to another in Lagos, both included, of an instant."""

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        first, last = (self._day(end) for end in ("from", "to"))
        if first:
            queryset = queryset.filter(**{f"{self.field_path}__gte": _midnight(first)})
        if last:
            queryset = queryset.filter(**{f"{self.field_path}__lt": _midnight(last + timedelta(days=1))})
        return queryset

    def _day(self, end: str) -> date | None:
        return parse_date_str(self.used_parameters.get(f"{self.parameter_name}_{end}"))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), LAGOS)
