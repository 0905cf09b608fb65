"""/api/analytics/medical-records and /triage-visits: one line per event, always current."""

from typing import Any

from django.db.models import Value
from django_filters import FilterSet
from rest_framework import serializers

from analytics.api.facilities import CATEGORIES
from analytics.api.mart import Mart
from analytics.models import RecordFact, VisitFact
from clinical.api import filters, parameters
from clinical.api.events import HasCondition
from clinical.api.facilities import as_stored
from clinical.api.lists import Order
from clinical.api.patients import AGES
from clinical.models import Patient


class EventFilter(FilterSet):
    patient_id = filters.identifier("patient_id")
    facility_id = filters.identifier("facility_id")
    state = filters.Parameter(filters.TEXT, as_stored, filters.equal("facility_state"))
    facility_category = filters.one_of("facility_category", CATEGORIES)
    age_group = filters.one_of("patient_age_group", AGES)
    sex = filters.one_of("patient_sex", Patient.Sex.values)


class RecordFilter(EventFilter):
    record_type = filters.Parameter(filters.TEXT, filters.name, filters.same_name("record_type"))
    diagnosis = filters.Parameter(filters.TEXT, filters.name, filters.same_name("diagnosis"))
    date_from, date_to = filters.days("record_date")


class RecordBody(serializers.ModelSerializer[RecordFact]):
    class Meta:
        model = RecordFact
        fields = (
            *("record_id", "patient_id", "facility_id", "record_type", "diagnosis", "recorded_at"),
            *("patient_age", "patient_age_group", "patient_sex", "facility_name", "facility_state"),
            *("facility_category", "record_date", "record_year", "record_month", "record_day_of_week"),
            *("record_day_name",),
        )


class RecordFactViewSet(Mart):
    """Medical records with the age, sex and facility of their patient."""

    resource = "analytics_records"
    relation = "fct_medical_records"
    model = RecordFact
    serializer_class = RecordBody
    columns = RecordBody.Meta.fields
    orders = {name: Order(name, keys=("record_id",)) for name in ("record_id", "recorded_at")}
    tables = ("medical_records", "patients", "facilities")
    filterset_class = RecordFilter


def _level(name: str, text: str) -> int:
    return parameters.whole_number(name, text, 1, 5)


class VisitFilter(EventFilter):
    triage_level = filters.Parameter(
        {"type": "integer", "minimum": 1, "maximum": 5}, _level, filters.equal("triage_level")
    )
    priority_category = filters.one_of("priority_category", ("Critical", "High", "Medium", "Low"))
    time_of_day = filters.one_of("time_of_day", ("Morning", "Afternoon", "Evening", "Night"))
    condition = filters.Parameter(filters.TEXT, filters.name, lambda text: _has_condition(text))
    date_from, date_to = filters.days("visit_date")


def _has_condition(text: str) -> Any:
    return HasCondition(Value(text), column="likely_conditions")


class VisitBody(serializers.ModelSerializer[VisitFact]):
    class Meta:
        model = VisitFact
        fields = (
            *("triage_id", "patient_id", "facility_id", "triage_level", "triage_description"),
            *("priority_category", "likely_conditions", "recommendations", "condition_count"),
            *("visited_at", "is_time_estimated", "patient_age", "patient_age_group", "patient_sex"),
            *("facility_name", "facility_state", "facility_category", "visit_date", "visit_year"),
            *("visit_month", "visit_day_of_week", "visit_day_name", "visit_hour", "time_of_day"),
        )


class VisitFactViewSet(Mart):
    """Triage visits with the age, sex and facility of their patient."""

    relation = "fct_triage_visits"
    model = VisitFact
    serializer_class = VisitBody
    columns = VisitBody.Meta.fields
    masked = frozenset({"recommendations"})
    orders = {name: Order(name, keys=("triage_id",)) for name in ("triage_id", "visited_at", "triage_level")}
    tables = ("triage_visits", "patients", "facilities")
    filterset_class = VisitFilter
