"""Lists of the desk that stay fast at millions of rows: counted up to a limit, read by key, never walked to the end.

A list of up to EXACT_UP_TO rows can be sorted by any of its columns. A longer one is estimated and keeps the order that
an index gives; who wants to see its far end narrows it down, or turns the order round.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR
from django.core.paginator import InvalidPage, Page, Paginator
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import cached_property
from psycopg2.errors import QueryCanceled
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.utils import parse_date_str
from unfold.views import ChangeList

from clinical.api.counting import Count, counted
from clinical.models import Facility
from clinical.values import LAGOS

EXACT_UP_TO = 10_000
DEEPEST = 100_000  # rows; as far as pages go in the API, too


class Pages(Paginator):
    """Pages of a queryset that may have millions of rows."""

    template_name = "clinical/pages.html"  # unfold asks for it
    deepest = f"{DEEPEST:,}"

    @cached_property
    def counted(self) -> Count:
        return counted(self.object_list, up_to=EXACT_UP_TO)

    @property
    def count(self) -> int:  # type: ignore[override]  # the stubs know it as cached
        return self.counted.rows

    @property
    def is_estimate(self) -> bool:
        return self.counted.is_estimate

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
        """The rows of the page's keys: keys stand in an index, so that what is stepped over is not read.

        A few thousand are all sorted, because PostgreSQL, asked for the first fifty, may walk through millions in the
        hope to meet fifty soon.
        """
        number = self.validate_number(number)
        first, last = (number - 1) * self.per_page, number * self.per_page
        keys = self.object_list.values_list("pk", flat=True)
        wanted = [*keys[first:last]] if self.is_estimate else [*keys][first:last]
        found = {row.pk: row for row in self.object_list.order_by().filter(pk__in=wanted)}
        return self._get_page([found[key] for key in wanted if key in found], number, self)


class List(ChangeList):
    """A changelist over Pages."""

    def get_results(self, request: HttpRequest) -> None:
        pages = Pages(self.queryset, self.list_per_page)
        if pages.is_estimate and not self._has_index(self.queryset):
            told = f"Only lists of up to {EXACT_UP_TO:,} rows are sorted so; narrow this one down with a filter first."
            messages.warning(request, told)
            self.params.pop(ORDER_VAR, None)
            pages.object_list = self.queryset = self.queryset.order_by(*self.get_ordering(request, self.queryset))
        try:
            self.result_list = pages.page(self.page_num).object_list
        except InvalidPage as error:
            raise IncorrectLookupParameters from error
        self.paginator, self.result_count = pages, pages.count
        self.multi_page = pages.count > self.list_per_page
        self.full_result_count, self.show_full_result_count = None, False
        self.can_show_all, self.show_admin_actions = False, True

    def _has_index(self, rows: "QuerySet[Any]") -> bool:
        """That the list's first column of order is one that an index holds."""
        first = str((rows.query.order_by or ("pk",))[0]).removeprefix("-")
        return first in {"pk", self.lookup_opts.pk.name, *self.model_admin.indexed}


class Listed:
    """What an admin of a table without bounds is mixed with."""

    show_full_result_count = False
    list_per_page = 50
    list_filter_sheet = True
    indexed: Sequence[str] = ()  # columns, besides the key, by which millions are ordered without being sorted
    most_at_once = EXACT_UP_TO  # rows of one action: it runs while the browser waits

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[List]:
        return List

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """What the web's limit of a statement (medilink/wsgi.py) breaks off is said in words."""
        try:
            return super().changelist_view(request, extra_context)  # type: ignore[misc]  # of the admin
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled) or not request.GET:
                raise
            self._tell(request, "That would have taken too long; choose a shorter time, a facility, or whole words.")
            return HttpResponseRedirect(request.path)

    def response_action(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse | None:
        """All rows of a list, but not of any list."""
        if request.POST.get("select_across", "0") == "1":
            found = counted(queryset, up_to=self.most_at_once)
            if found.is_estimate:
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
    """By the state of a row's facility."""

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        state = self.value()
        return at_facilities(queryset, Facility.objects.filter(state=state)) if state else queryset


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
