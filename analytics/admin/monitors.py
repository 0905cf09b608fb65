"""The monitors of sources: what came of each on the last watched day, beside what was expected."""

from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, OuterRef, QuerySet, Value, When
from django.db.models.expressions import OrderBy
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.utils.dateparse import parse_date
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from analytics.admin.charts import line
from analytics.monitor_results import MonitorResult
from ingestion.admin.desk import Desk, person

Verdict = MonitorResult.Verdict
SHOWN = 28
COLOURS = {Verdict.IN_ORDER: "success", Verdict.LOW: "warning", Verdict.HIGH: "warning"}


class DayFilter(DropdownFilter):
    """The last watched day, unless another one is asked for."""

    title = "day"
    parameter_name = "of_day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.last = last_day(request)
        days = [self.last - timedelta(days=back) for back in range(1, 15)] if self.last else []
        return [(day.isoformat(), date_format(day, "D j M")) for day in days]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        return [first | {"display": "the last"}, *others]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        try:
            asked = parse_date(self.value() or "")
        except ValueError:
            asked = None
        return queryset.filter(day=asked or self.last)


def last_day(request: HttpRequest) -> date | None:
    seen = MonitorResult.objects.visible_to(person(request)).order_by("-day")
    return seen.values_list("day", flat=True).first()


@admin.register(MonitorResult)
class MonitorResultAdmin(Desk):
    list_display = ("of_what", "verdict_label", "seen", "expected", "recent_days")
    list_display_links = ("of_what",)
    list_before_template = "analytics/monitors_said.html"
    list_filter = (
        DayFilter,
        ("verdict", ChoicesDropdownFilter),
        ("dataset", AllValuesCheckboxFilter),
        ("measure", AllValuesCheckboxFilter),
    )
    search_fields = ("source",)
    fields = (
        *("source", "dataset", "day", "what", "verdict_told", "seen", "expected", "baseline_days", "among"),
        *("shares_told", "recent_days", "history"),
    )
    readonly_fields = ("what", "verdict_told", "seen", "expected", "shares_told", "recent_days", "history")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Each with what was seen before it."""
        same = {name: OuterRef(name) for name in ("source", "dataset", "measure")}
        before = MonitorResult.objects.filter(**same, day__lte=OuterRef("day")).order_by("-day")
        known = before.values(told=JSONObject(day="day", value="value", verdict="verdict"))
        return super().get_queryset(request).annotate(recent=ArraySubquery(known[:SHOWN]))

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        """What is unusual comes first."""
        unusual = Case(When(verdict__in=(Verdict.LOW, Verdict.HIGH), then=Value(0)), default=Value(1))
        return (OrderBy(unusual), "source", "dataset", "measure", "id")

    @admin.display(description="measure", ordering="source")
    def of_what(self, result: MonitorResult) -> SafeString:
        about = f"{result.dataset} · {result.source}"
        name = format_html('<div class="desk-key">{}</div>', self.what(result))
        return format_html('<div class="desk-object">{}<div class="desk-about">{}</div></div>', name, about)

    @admin.display(description="measure")
    def what(self, result: MonitorResult) -> str:
        return result.measured

    @display(description="verdict", label=COLOURS, ordering="verdict")
    def verdict_label(self, result: MonitorResult) -> tuple[str, str]:
        return result.verdict, result.get_verdict_display().partition(":")[0]

    @admin.display(description="verdict")
    def verdict_told(self, result: MonitorResult) -> str:
        return result.get_verdict_display()

    @admin.display(description="seen", ordering="value")
    def seen(self, result: MonitorResult) -> SafeString:
        return format_html('<span class="desk-count">{}</span>', told(result.measure, result.value))

    @admin.display(description="expected")
    def expected(self, result: MonitorResult) -> SafeString:
        if result.low is None or result.high is None:
            return format_html('<span class="desk-none">{}</span>', "learning")
        band = f"{told(result.measure, result.low)}\N{EN DASH}{told(result.measure, result.high)}"
        return format_html('<span class="desk-count whitespace-nowrap">{}</span>', band)

    @admin.display(description="mixture")
    def shares_told(self, result: MonitorResult) -> str:
        return ", ".join(f"{key or 'empty'} {share:.1%}" for key, share in (result.shares or {}).items())

    @admin.display(description="the last 28 days")
    def recent_days(self, result: Any) -> SafeString:
        """Also days of which nothing is known take their room."""
        known = {one["day"]: one["value"] for one in result.recent}
        days = [(result.day - timedelta(days=back)).isoformat() for back in range(SHOWN - 1, -1, -1)]
        values = [known.get(day) for day in days]
        said = ", ".join("nothing" if value is None else told(result.measure, value) for value in values)
        return line(values, f"By day: {said}", low=result.low, high=result.high)

    @admin.display(description="by day")
    def history(self, result: Any) -> SafeString:
        lines = [(one["day"], told(result.measure, one["value"]), one["verdict"]) for one in result.recent]
        rows = format_html_join("", '<tr><td>{}</td><td class="desk-figure">{}</td><td>{}</td></tr>', lines)
        return format_html('<table class="desk-table">{}</table>', rows)


def told(measure: str, value: float) -> str:
    if measure == "volume":
        return f"{value:,.0f}"
    return f"{value:.0f}\N{NO-BREAK SPACE}h" if measure == "freshness" else f"{value:.1%}"
