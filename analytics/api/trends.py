"""/api/analytics/triage-trends, /condition-analysis and /condition-codes: of whole states, not for who sees less."""

from typing import Any

from django.db.models import Q, QuerySet, Value
from django.http import StreamingHttpResponse
from django_filters import FilterSet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import metrics, publications
from analytics.api.mart import Mart, whole_states
from analytics.models import (
    ConditionAnalysis,
    ConditionCode,
    SuppressedConditionAnalysis,
    SuppressedConditionCode,
    TriageTrend,
)
from clinical import access
from clinical.api import filters, parameters
from clinical.api.facilities import as_stored
from clinical.api.lists import Order
from clinical.api.patients import AGES
from clinical.models import Patient


class OfStates(Mart):
    """Each line is of a state, or of the whole country."""

    def list(self, request: Request) -> Response | StreamingHttpResponse:
        whole_states(self.user.access)
        return super().list(request)

    def places(self, scope: access.Scope) -> Q:
        return scope.of_states()


def _state_or_all(name: str, text: str) -> str:
    return "ALL" if text.upper() == "ALL" else as_stored(name, text)


class TrendFilter(FilterSet):
    state = filters.Parameter(
        {"type": "string", "description": "A state, or ALL."}, _state_or_all, filters.equal("state")
    )
    date_from, date_to = filters.days("day")


class TrendBody(serializers.ModelSerializer[TriageTrend]):
    class Meta:
        model = TriageTrend
        exclude = ("pk",)
        extra_kwargs = metrics.help_texts("triage_trends")


class TriageTrendViewSet(OfStates):
    """Visits of each day by urgency, per state and for ALL; days without visits are 0."""

    relation = "triage_trends"
    model = TriageTrend
    serializer_class = TrendBody
    columns = tuple(field.name for field in TriageTrend._meta.concrete_fields)
    orders = {name: Order(name, keys=("state", "day")) for name in ("state", "day", "total_visits")}
    filterset_class = TrendFilter


def _month(name: str, text: str) -> Any:
    return parameters.day(name, text if len(text) > 7 else f"{text}-01").replace(day=1)


GRAIN = ("condition", "month", "state", "age_group", "sex")


class ConditionFilter(FilterSet):
    condition = filters.Parameter(filters.TEXT, filters.name, filters.same_name("condition"))
    state = filters.Parameter(filters.TEXT, as_stored, filters.equal("state"))
    age_group = filters.one_of("age_group", AGES)
    sex = filters.one_of("sex", Patient.Sex.values)
    month = filters.Parameter({"type": "string", "description": "YYYY-MM"}, _month, filters.equal("month"))
    date_from, date_to = filters.days("month")


class ConditionBody(serializers.ModelSerializer[SuppressedConditionAnalysis]):
    class Meta:
        model = SuppressedConditionAnalysis
        exclude = ("pk",)
        extra_kwargs = metrics.help_texts("condition_analysis")


COLUMNS = tuple(field.name for field in SuppressedConditionAnalysis._meta.concrete_fields)


NOT_SUPPRESSED = Value(False)


class ConditionAnalysisViewSet(OfStates):
    """Conditions of triage visits by state, age group, sex and month. Small numbers are hidden from analysts.

    Of an earlier day (`as_of`) they are told no totals, ranks and shares, and no line that is hidden today.
    """

    relation = "condition_analysis"
    model = SuppressedConditionAnalysis
    serializer_class = ConditionBody
    columns = COLUMNS
    orders = {
        name: Order(name, keys=GRAIN) for name in ("condition", "month", "state", "frequency_rank", "severity_rank")
    }
    filterset_class = ConditionFilter

    def present(self) -> "QuerySet[Any]":
        """Without suppression only for who sees everything clearly, wherever: no two answers give a hidden one away."""
        if not self.user.access.sees_all_clear(self.resource):
            return super().present()
        lines = ConditionAnalysis.objects.all()
        if self.publication:
            lines = publications.lines(ConditionAnalysis, self.publication.day)
        whole = lines.annotate(suppressed=NOT_SUPPRESSED).values_list(*COLUMNS)
        return self.inside(whole, self.user.access.scope(access.READ, self.resource))


class CodeFilter(FilterSet):
    code = filters.Parameter(
        {"type": "string", "description": "ICD-10 code, unmapped, qualified or several."},
        filters.name,
        filters.equal("code"),
    )
    state = filters.Parameter(filters.TEXT, as_stored, filters.equal("state"))
    month = filters.Parameter({"type": "string", "description": "YYYY-MM"}, _month, filters.equal("month"))
    date_from, date_to = filters.days("month")


class CodeBody(serializers.ModelSerializer[SuppressedConditionCode]):
    class Meta:
        model = SuppressedConditionCode
        exclude = ("pk",)
        extra_kwargs = metrics.help_texts("condition_codes")


CODE_COLUMNS = tuple(field.name for field in SuppressedConditionCode._meta.concrete_fields)


class ConditionCodesViewSet(OfStates):
    """Conditions of triage visits by ICD-10 code, state and month; what has no code is counted as such.

    Analysts see a number only where no line of condition-analysis that it is made of is hidden from them.
    """

    relation = "condition_codes"
    model = SuppressedConditionCode
    serializer_class = CodeBody
    columns = CODE_COLUMNS
    orders = {name: Order(name, keys=("code", "month", "state", "system")) for name in ("code", "month", "state")}
    filterset_class = CodeFilter

    def present(self) -> "QuerySet[Any]":
        if not self.user.access.sees_all_clear(self.resource):
            return super().present()
        whole = ConditionCode.objects.annotate(suppressed=NOT_SUPPRESSED).values_list(*CODE_COLUMNS)
        return self.inside(whole, self.user.access.scope(access.READ, self.resource))
