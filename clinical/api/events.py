"""/api/medical-records and /api/triage-visits."""

from django.db.models import BooleanField, Func, Value
from django.db.models.fields.json import KT
from django.db.models.lookups import Exact
from django_filters import FilterSet

from clinical.api import filters, parameters
from clinical.api.resource import Listing, Row, orders
from clinical.models import MedicalRecord, TriageVisit


class MedicalRecordFilter(FilterSet):
    patient_id = filters.identifier("patient_id")
    facility_id = filters.identifier("facility_id")
    record_type = filters.Parameter(filters.TEXT, filters.name, filters.same_name("record_type"))
    recorded_after, recorded_before = filters.moments("recorded_at")
    diagnosis = filters.Parameter(
        filters.TEXT, filters.name, lambda text: Exact(filters.key(KT("data__diagnosis")), filters.key(Value(text)))
    )


class MedicalRecordViewSet(Listing):
    resource = "records"
    queryset = MedicalRecord.objects.all()
    columns = (
        *("id", "patient_id", "facility_id", "record_type", "data", "record_id", "recorded_at", "time_is_estimated"),
        *("created_at", "updated_at"),
    )
    masked = frozenset({"record_id"})
    orders = orders("recorded_at")
    tables = ("medical_records",)
    filterset_class = MedicalRecordFilter

    def mask(self, row: Row) -> Row:
        return super().mask(row) | {"data": row["data"] | {"treatment": None, "notes": None}}

    def _flat_columns(self) -> list[str]:
        flat: list[str] = []
        for column in self.columns:
            flat += MedicalRecord.CONTENT if column == "data" else [column]
        return flat


def _level(name: str, text: str) -> int:
    return parameters.whole_number(name, text, 1, 5)


class HasCondition(Func):
    """That one of the visit's conditions is this one, compared as names are."""

    template = (
        "EXISTS (SELECT FROM unnest(conditions) AS condition"
        " WHERE lower(condition COLLATE pg_c_utf8) = lower(%(expressions)s COLLATE pg_c_utf8))"
    )
    output_field = BooleanField()
    conditional = True


class TriageVisitFilter(FilterSet):
    patient_id = filters.identifier("patient_id")
    facility_id = filters.identifier("facility_id")
    triage_level = filters.Parameter(
        {"type": "integer", "minimum": 1, "maximum": 5}, _level, filters.equal("triage_level")
    )
    visited_after, visited_before = filters.moments("visited_at")
    condition = filters.Parameter(filters.TEXT, filters.name, lambda text: HasCondition(Value(text)))


class TriageVisitViewSet(Listing):
    resource = "visits"
    queryset = TriageVisit.objects.all()
    columns = (
        *("id", "patient_id", "facility_id", "triage_level", "chief_complaint", "vital_signs", "conditions"),
        *("recommendations", "visit_id", "visited_at", "time_is_estimated", "language", "provider"),
        *("created_at", "updated_at"),
    )
    masked = frozenset({"chief_complaint", "vital_signs", "recommendations", "language", "provider", "visit_id"})
    orders = orders("visited_at", "triage_level")
    tables = ("triage_visits",)
    filterset_class = TriageVisitFilter
