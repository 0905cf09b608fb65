"""/api/medical-records and /api/triage-visits."""

from typing import Any, ClassVar
from uuid import uuid4

from django.db.models import BooleanField, Func, Value
from django.db.models.fields.json import KT
from django.db.models.lookups import Exact
from django.utils import timezone
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from clinical import values
from clinical.api import filters, parameters
from clinical.api.fields import FreeText, Id, Instant, Items, Name, WholeNumber
from clinical.api.resource import Row, orders
from clinical.api.writing import Body, Resource, Strict
from clinical.models import Facility, MedicalRecord, Patient, TriageVisit

BY_A_PERSON = 0  # the fingerprint is a random one, equal to no row of a file


class MedicalRecordFilter(FilterSet):
    patient_id = filters.identifier("patient_id")
    facility_id = filters.identifier("facility_id")
    record_type = filters.Parameter(filters.TEXT, filters.name, filters.same_name("record_type"))
    recorded_after, recorded_before = filters.moments("recorded_at")
    diagnosis = filters.Parameter(
        filters.TEXT, filters.name, lambda text: Exact(filters.key(KT("data__diagnosis")), filters.key(Value(text)))
    )


class EventBody(Body):
    """What is posted is a new event of its own, whatever it is equal to: two visits may be told in the same words."""

    patient_id = Id()
    facility_id = Id()
    time_is_estimated = serializers.BooleanField(read_only=True)
    instant: ClassVar[str]

    def fixed_fields(self) -> set[str]:
        return super().fixed_fields() | ({"patient_id", "facility_id"} if self.stored else set())

    def validate(self, attrs: Row) -> Row:
        if self.stored is None:
            self._begin(attrs)
        if attrs.get(self.instant) is None:
            attrs.pop(self.instant, None)  # nothing said changes nothing
        else:
            attrs["time_is_estimated"] = False
            self._judge_instant(attrs)
        return attrs

    def _begin(self, attrs: Row) -> None:
        patient = self.find(Patient, attrs["patient_id"], "patient_id")
        if patient.facility_id != attrs["facility_id"]:
            facility = Facility.objects.filter(pk=attrs["facility_id"]).first()
            while facility and facility.merged_into_id:  # as far as the caller's scope goes
                facility = Facility.objects.filter(pk=facility.merged_into_id).first()
            if not facility or patient.facility_id != facility.pk:
                raise parameters.refused("facility_id", "facility_mismatch", "Is not the facility of this patient.")
        if patient.pk != attrs["patient_id"]:  # the old id of one who was merged
            attrs |= {"arrived_as_id": attrs["patient_id"], "patient_id": patient.pk}
        attrs["facility_id"] = patient.facility_id
        attrs |= {"fingerprint": uuid4(), "fingerprint_version": BY_A_PERSON}
        attrs[self.instant] = attrs.get(self.instant) or timezone.now()

    def _judge_instant(self, attrs: Row) -> None:
        row = self.context.get("row")
        born = row.patient.dob if row else Patient.objects.values_list("dob", flat=True).get(pk=attrs["patient_id"])
        if attrs[self.instant].astimezone(values.LAGOS).date() < born:
            raise parameters.refused(self.instant, "range", "Lies before the birth of the patient.")


class RecordData(Strict):
    diagnosis = FreeText(required=False)
    treatment = FreeText(required=False)
    medications = FreeText(required=False)
    notes = FreeText(required=False)


@extend_schema_serializer(
    component_name="MedicalRecord",
    examples=[
        OpenApiExample(
            "MedicalRecord",
            {"patient_id": 1, "facility_id": 1, "record_type": "Consultation", "data": {"diagnosis": "Malaria"}},
            request_only=True,
        )
    ],
)
class MedicalRecordBody(EventBody):
    record_type = Name("record_type", required=False)
    data = RecordData(required=False)  # type: ignore[assignment]  # a field, taken away by the metaclass
    record_id = Name("record_id", required=False)
    recorded_at = Instant(required=False)
    instant = "recorded_at"

    def validate(self, attrs: Row) -> Row:
        attrs = (self.defaults() | attrs) if not self.partial else attrs
        if "data" in attrs:
            before = self.after({}, "data") if self.partial else None
            attrs["data"] = (before or dict.fromkeys(MedicalRecord.CONTENT)) | (attrs["data"] or {})
        return super().validate(attrs)


class MedicalRecordViewSet(Resource):
    """Entries of patients' records: consultations, laboratory results, admissions."""

    resource = "records"
    model = MedicalRecord
    columns = (
        *("id", "patient_id", "facility_id", "record_type", "data", "record_id", "recorded_at", "time_is_estimated"),
        *("created_at", "updated_at"),
    )
    masked = frozenset({"record_id"})
    orders = orders("recorded_at")
    tables = ("medical_records",)
    table = "medical_records"
    identities = frozenset({"medical_records_id_identity"})
    serializer_class = MedicalRecordBody
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
        "EXISTS (SELECT FROM unnest(%(column)s) AS condition"
        " WHERE lower(condition COLLATE pg_c_utf8) = lower(%(expressions)s COLLATE pg_c_utf8))"
    )
    output_field = BooleanField()
    conditional = True

    def __init__(self, expression: Any, column: str = "conditions") -> None:
        super().__init__(expression, column=column)


class TriageVisitFilter(FilterSet):
    patient_id = filters.identifier("patient_id")
    facility_id = filters.identifier("facility_id")
    triage_level = filters.Parameter(
        {"type": "integer", "minimum": 1, "maximum": 5}, _level, filters.equal("triage_level")
    )
    visited_after, visited_before = filters.moments("visited_at")
    condition = filters.Parameter(filters.TEXT, filters.name, lambda text: HasCondition(Value(text)))


@extend_schema_serializer(
    component_name="TriageVisit",
    examples=[
        OpenApiExample(
            "TriageVisit",
            {"patient_id": 1, "facility_id": 1, "triage_level": 3, "conditions": ["Malaria"]},
            request_only=True,
        )
    ],
)
class TriageVisitBody(EventBody):
    triage_level = WholeNumber(min_value=1, max_value=5)
    chief_complaint = FreeText(required=False)
    vital_signs = FreeText(required=False)
    conditions = Items()
    recommendations = Items()
    visit_id = Name("visit_id", required=False)
    visited_at = Instant(required=False)
    language = FreeText(required=False)
    provider = FreeText(required=False)
    instant = "visited_at"

    def validate(self, attrs: Row) -> Row:
        empty: Row = {"conditions": [], "recommendations": []}
        return super().validate(attrs if self.partial else self.defaults() | empty | attrs)


class TriageVisitViewSet(Resource):
    """Arrivals judged by urgency: level 1, the most urgent, to 5."""

    resource = "visits"
    model = TriageVisit
    columns = (
        *("id", "patient_id", "facility_id", "triage_level", "chief_complaint", "vital_signs", "conditions"),
        *("recommendations", "visit_id", "visited_at", "time_is_estimated", "language", "provider"),
        *("created_at", "updated_at"),
    )
    masked = frozenset({"chief_complaint", "vital_signs", "recommendations", "language", "provider", "visit_id"})
    orders = orders("visited_at", "triage_level")
    tables = ("triage_visits",)
    table = "triage_visits"
    identities = frozenset({"triage_visits_id_identity"})
    serializer_class = TriageVisitBody
    filterset_class = TriageVisitFilter
