"""/api/analytics/patients and /patient-summary."""

from django_filters import FilterSet
from rest_framework import serializers

from analytics import metrics
from analytics.api.mart import Mart
from analytics.models import PatientDimension, PatientSummary
from clinical.api import filters
from clinical.api.facilities import as_stored
from clinical.api.lists import Order
from clinical.api.patients import AGES
from clinical.api.resource import Row
from clinical.models import Patient

HIDDEN = ("facility_lga_name",)


def orders(*columns: str, personal: str = "") -> dict[str, Order]:
    return {name: Order(name, name == personal, keys=("patient_id",)) for name in ("patient_id", *columns)}


class PatientFilter(FilterSet):
    patient_id = filters.identifier("patient_id")
    facility_id = filters.identifier("facility_id")
    state = filters.Parameter(filters.TEXT, as_stored, filters.equal("facility_state"))
    sex = filters.one_of("sex", Patient.Sex.values)
    age_group = filters.one_of("age_group", AGES)


class PatientDimensionBody(serializers.ModelSerializer[PatientDimension]):
    class Meta:
        model = PatientDimension
        exclude = HIDDEN
        extra_kwargs = metrics.help_texts("dim_patients")


class PatientDimensionViewSet(Mart):
    """Patients with what happened to them in all."""

    relation = "dim_patients"
    model = PatientDimension
    serializer_class = PatientDimensionBody
    columns = tuple(field.name for field in PatientDimension._meta.concrete_fields if field.name not in HIDDEN)
    masked = frozenset({"first_name", "last_name", "full_name", "date_of_birth", "phone_number"})
    instead = ("birth_year",)
    orders = orders("engagement_score", "age_years", "total_medical_records", "total_triage_visits")
    filterset_class = PatientFilter

    def mask(self, row: Row) -> Row:
        return super().mask(row) | {"birth_year": row["date_of_birth"].year}

    def _flat_columns(self) -> list[str]:
        return [*self.columns] if self.is_clear else [*self.columns, *self.instead]


class SummaryFilter(FilterSet):
    patient_id = filters.identifier("patient_id")
    facility_id = filters.identifier("facility_id")
    state = filters.Parameter(filters.TEXT, as_stored, filters.equal("facility_state"))
    risk_level = filters.one_of("risk_level", ("High", "Medium", "Low"))


class PatientSummaryBody(serializers.ModelSerializer[PatientSummary]):
    class Meta:
        model = PatientSummary
        exclude = HIDDEN
        extra_kwargs = metrics.help_texts("patient_summary")


class PatientSummaryViewSet(Mart):
    """Patients' last 12 months. It describes use; it is no clinical score."""

    relation = "patient_summary"
    model = PatientSummary
    serializer_class = PatientSummaryBody
    columns = tuple(field.name for field in PatientSummary._meta.concrete_fields if field.name not in HIDDEN)
    orders = orders("engagement_score", "visits_last_12_months", "records_last_12_months")
    filterset_class = SummaryFilter
