"""Vital signs on the desk: what a visit's page shows of them, and the visits whose level they do not agree with."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, cast

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from clinical.changelists import DayFilter, Listed, ReadOnly, StateFilter
from clinical.models import SecondLook, User
from clinical.scores import Score
from clinical.scores.second_look import NOTICE, Kind
from clinical.values import LAGOS
from clinical.vital_readings import Vitals
from clinical.vitals import Sign, signs

NONE = "none"
COLOURS = {Kind.UNDER.value: "danger", Kind.OVER.value: "info"}
MOST_FACILITIES = 5  # counted above the list
RANGE = "\N{EN DASH}"
# UCUM in the words of people; other units are written as they are.
UNITS = {
    signs.MMHG: "mmHg",
    signs.CELSIUS: "\N{DEGREE SIGN}C",
    signs.FAHRENHEIT: "\N{DEGREE SIGN}F",
    signs.POUNDS: "lb",
    signs.INCHES: "in",
    signs.SCORE: "",
}


def values(found: Vitals) -> SafeString | str:
    """One line each, with the words that it was read from."""
    lines = [(signs.NAMES[sign.code], _said(sign), sign.written, sign.flag or "") for sign in found.reading.signs]
    row = '<li>{}: <strong>{}</strong> <span class="desk-about">“{}” {}</span></li>'
    return format_html("<ul>{}</ul>", format_html_join("", row, lines)) if lines else NONE


def _said(sign: Sign) -> str:
    unit = sign.unit or ""
    return sign.coded or f"{number(sign.value)} {UNITS.get(unit, unit)}".strip()


def scores(found: Vitals) -> SafeString | str:
    """One line each, with what was missing."""
    lines = [(score.name, in_words(score), _missing(score.missing)) for score in found.scores]
    row = '<li>{}: <strong>{}</strong> <span class="desk-about">{}</span></li>'
    return format_html("<ul>{}</ul>", format_html_join("", row, lines)) if lines else NONE


def in_words(score: Score) -> str:
    if score.minimum is None:
        return "cannot be said"
    low, high = number(score.minimum), number(score.maximum)
    return low if low == high else f"{low}{RANGE}{high}"


def number(value: Decimal | None) -> str:
    return "" if value is None else f"{value.normalize():f}"


def _missing(names: Iterable[str]) -> str:
    told = ", ".join(names)
    return f"without {told}" if told else ""


@admin.register(SecondLook)
class SecondLookAdmin(Listed, ReadOnly, ModelAdmin):
    list_display = ("visit", "kind_label", "triage_level", "score", "why", "not_written", "at_facility", "at")
    list_display_links = None
    list_select_related = ("facility",)
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("facility__state", StateFilter),
        ("facility", AutocompleteSelectFilter),
        ("visited_at", DayFilter),
    )
    list_before_template = "clinical/second_look.html"
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        rows: Any = super().get_queryset(request)
        return rows.inside(cast(User, request.user).access.clear_scope(SecondLook.RESOURCE))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The counts are of what is listed, with its filters."""
        answer = super().changelist_view(request, {"notice": NOTICE} | (extra_context or {}))
        context = getattr(answer, "context_data", None)
        if context and "cl" in context:
            rows = context["cl"].queryset.order_by()
            context["totals"] = [(kind, rows.filter(kind=kind).count()) for kind in Kind]
            context["by_hour"] = _by_hour(rows)
            context["by_facility"] = (
                rows.values("facility__name", "facility__state")
                .annotate(visits=Count("id"))
                .order_by("-visits", "facility__name")[:MOST_FACILITIES]
            )
        return answer

    @admin.display(description="visit")
    def visit(self, row: SecondLook) -> SafeString:
        page = reverse("admin:clinical_triagevisit_change", args=[row.pk])
        return format_html('<a class="text-link" href="{}">{}</a>', page, row.pk)

    @display(description="triage", label=COLOURS)
    def kind_label(self, row: SecondLook) -> tuple[str, str]:
        return row.kind, f"{row.kind}-triage"

    @admin.display(description="NEWS2")
    def score(self, row: SecondLook) -> str:
        return f"{row.minimum}" if row.minimum == row.maximum else f"{row.minimum}{RANGE}{row.maximum}"

    @admin.display(description="why")
    def why(self, row: SecondLook) -> str:
        return f"{row.rule}: {', '.join(row.reds)}" if row.reds else row.rule

    @admin.display(description="not written down")
    def not_written(self, row: SecondLook) -> str:
        return ", ".join(row.missing)

    @admin.display(description="facility")
    def at_facility(self, row: SecondLook) -> str:
        return str(row.facility)

    @admin.display(description="when")
    def at(self, row: SecondLook) -> str:
        form = "j M Y" if row.time_is_estimated else "j M Y, H:i"
        return date_format(row.visited_at.astimezone(LAGOS), form).replace(" ", "\N{NO-BREAK SPACE}")


def _by_hour(rows: "QuerySet[SecondLook]") -> list[tuple[str, int]]:
    """Each hour that occurs, in words, and how many there are."""
    found = rows.values_list("hour").annotate(visits=Count("id")).order_by("hour")
    return [("" if hour is None else f"{hour:02}", visits) for hour, visits in found]
