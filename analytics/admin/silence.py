"""The facilities that have fallen silent: how, since when, what is missing; muted by a steward who knows why."""

from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminDateWidget

from analytics import silence
from analytics.facility_signals import BatchShare, FacilitySignal, FacilitySignalQuerySet, WatchedDay
from clinical.geography import STATES
from ingestion.admin.desk import Desk, OfBatches, WhyForm, link, person

Kind, State = FacilitySignal.Kind, FacilitySignal.State
COLOURS = {
    Kind.NO_FILE: "danger",
    Kind.EMPTY_FILE: "danger",
    Kind.SAME_FILE: "warning",
    Kind.VOLUME_LOW: "warning",
    Kind.VOLUME_HIGH: "info",
}
BAR, GAP, HEIGHT = 3, 1, 28  # of the small chart, in its own units
MUTE_FOR = timedelta(days=14)


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(facility__state=self.value()) if self.value() in STATES else queryset


class SettledFilter(DropdownFilter):
    """Open ones, unless something else is asked for: the list is what waits for a steward."""

    title = "what is shown"
    parameter_name = "shown"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("muted", "muted"), ("over", "over"), ("all", "all")]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        return [first | {"display": "open"}, *others]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        if self.value() == "all":
            return queryset
        return queryset.filter(state=self.value() if self.value() in State.values else State.OPEN)


class MuteForm(WhyForm):
    until = forms.DateField(
        label="Until and with",
        widget=UnfoldAdminDateWidget(),
        help_text="Then it is open again, if the facility is still silent.",
    )
    field_order = ("until", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["until"].initial = timezone.localdate() + MUTE_FOR

    def clean_until(self) -> date:
        until: date = self.cleaned_data["until"]
        if until < timezone.localdate():
            raise forms.ValidationError("This day has passed.")
        return until


@admin.register(FacilitySignal)
class FacilitySignalAdmin(Desk):
    list_display = ("place", "kind_label", "since", "seen", "missing", "recent_days")
    list_display_links = ("place",)
    list_select_related = ("facility", "muted_by")
    list_filter = (SettledFilter, StateFilter, ("kind", ChoicesDropdownFilter))
    search_fields = ("facility__name", "facility__lga")
    list_before_template = "analytics/watched_day.html"
    actions = ("mute", "unmute")
    fieldsets = (
        (None, {"fields": ("at_facility", "kind", "state_label", "recent_days")}),
        ("When", {"fields": ("began_on", "last_on", "over_on", "last_rows_on", "found_at")}),
        ("How it was seen", {"fields": ("seen", "over_days", "baseline_days", "missing")}),
    )
    readonly_fields = ("at_facility", "state_label", "seen", "missing", "recent_days")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-rows_amiss", "began_on", "id")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        extra = {"watched": WatchedDay.objects.order_by("-day").first()}
        return super().changelist_view(request, extra | (extra_context or {}))

    @admin.display(description="facility", ordering="facility__name")
    def place(self, signal: FacilitySignal) -> SafeString:
        facility = signal.facility
        where = ", ".join(filter(None, (facility.lga, facility.state)))
        about = f"{where} · {_muted(signal)}" if signal.state == State.MUTED else where
        name = format_html('<div class="desk-key">{}</div>', facility.name)
        return format_html('<div class="desk-object">{}<div class="desk-about">{}</div></div>', name, about)

    @admin.display(description="facility")
    def at_facility(self, signal: FacilitySignal) -> SafeString:
        return link("clinical_facility", signal.facility_id, signal.facility)

    @display(description="what is wrong", label=COLOURS, ordering="kind")
    def kind_label(self, signal: FacilitySignal) -> tuple[str, str]:
        return signal.kind, signal.get_kind_display()

    @admin.display(description="state")
    def state_label(self, signal: FacilitySignal) -> str:
        return _muted(signal) if signal.state == State.MUTED else signal.state

    @admin.display(description="since", ordering="began_on")
    def since(self, signal: FacilitySignal) -> str:
        return date_format(signal.began_on, "D j M").replace(" ", "\N{NO-BREAK SPACE}")

    @admin.display(description="seen, and usual")
    def seen(self, signal: FacilitySignal) -> SafeString:
        usual = f"{signal.observed:,}, usual {signal.expected_low:,}\N{EN DASH}{signal.expected_high:,}"
        over = f" in {signal.over_days} days" if signal.over_days > 1 else ""
        return format_html('<div><span class="desk-count whitespace-nowrap">{}</span>{}</div>', usual, over)

    @admin.display(description="rows amiss", ordering="rows_amiss")
    def missing(self, signal: FacilitySignal) -> str:
        too = "too many" if signal.kind == Kind.VOLUME_HIGH else "missing"
        return f"{signal.rows_amiss:,}\N{NO-BREAK SPACE}{too}"

    @admin.display(description="the last 28 days")
    def recent_days(self, signal: FacilitySignal) -> SafeString:
        return spark(signal.recent)

    @admin.action(description="Mute until…", permissions=["decide"])
    def mute(self, request: HttpRequest, signals: FacilitySignalQuerySet) -> HttpResponse | None:
        signals = signals.select_related("facility")
        answer = self.ask(request, signals, MuteForm, title="Known, and not to be shown", button="Mute")
        if isinstance(answer, HttpResponse):
            return answer
        count = silence.mute(signals, **answer, today=timezone.localdate(), by=person(request))
        self.tell(request, f"{count} muted until {date_format(answer['until'], 'j F Y')}.")
        return self.back(request)

    @admin.action(description="Open again", permissions=["decide"])
    def unmute(self, request: HttpRequest, signals: FacilitySignalQuerySet) -> HttpResponse | None:
        self.tell(request, f"{silence.unmute(signals, by=person(request))} open again.")
        return self.back(request)


def _muted(signal: FacilitySignal) -> str:
    by = f" by {signal.muted_by}" if signal.muted_by else ""
    until = date_format(signal.muted_until, "j M") if signal.muted_until else "?"
    return f"muted until {until}{by}: {signal.muted_why}"


def spark(recent: list[int | None]) -> SafeString:
    """A bar a day; a dot below the line where no file came."""
    top = max([rows or 0 for rows in recent] + [1])
    width = len(recent) * (BAR + GAP)
    bars = [_bar(at * (BAR + GAP), rows, top) for at, rows in enumerate(recent)]
    drawn = format_html_join("", '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>', bars)
    told = ", ".join("no file" if rows is None else f"{rows}" for rows in recent)
    return format_html(
        '<svg class="desk-spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>',
        *(width, HEIGHT + 4, width, HEIGHT + 4, f"Rows by day: {told}", drawn),
    )


def _bar(x: int, rows: int | None, top: int) -> tuple[str, int, float, int, float]:
    if rows is None:
        return "is-absent", x, HEIGHT + 1, BAR, 3
    height = max(1.0, round(rows / top * HEIGHT, 1))
    return "", x, HEIGHT - height, BAR, height


@admin.register(WatchedDay)
class WatchedDayAdmin(Desk):
    list_display = (
        *("day", "facilities", "in_order", "silent", "too_new", "not_due"),
        *("stopped", "holiday", "together", "watched_at"),
    )


@admin.register(BatchShare)
class BatchShareAdmin(OfBatches):
    list_display = ("batch_id", "facility_count", "row_count")
    fields = ("batch_id", "facility_count", "row_count")
    readonly_fields = fields

    @admin.display(description="facilities")
    def facility_count(self, share: BatchShare) -> int:
        return len(share.facilities)

    @admin.display(description="rows")
    def row_count(self, share: BatchShare) -> str:
        return f"{sum(share.rows):,}"
