"""The clinical lists of the API, in their simplest form: read by staff, newest writes and scopes come later.

What is marked as deleted does not exist here.
"""

from datetime import UTC
from typing import Any

from django.db import models
from django_filters.rest_framework import DjangoFilterBackend, FilterSet, NumberFilter
from rest_framework import serializers
from rest_framework.viewsets import ReadOnlyModelViewSet

from clinical.models import Facility, MedicalRecord, Patient, TriageVisit

ROW = ("created_at", "updated_at")


class Instant(serializers.DateTimeField):
    """UTC with a `Z`, whatever the zone that people see."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=UTC, **kwargs)


class RowSerializer(serializers.ModelSerializer):
    serializer_field_mapping = serializers.ModelSerializer.serializer_field_mapping | {models.DateTimeField: Instant}


class RowViewSet(ReadOnlyModelViewSet):
    filter_backends = [DjangoFilterBackend]


class FacilitySerializer(RowSerializer):
    lat = serializers.FloatField(read_only=True)
    lon = serializers.FloatField(read_only=True)

    class Meta:
        model = Facility
        fields = ("id", "name", "state", "lga", *Facility.UPDATABLE, *ROW)


class FacilityViewSet(RowViewSet):
    queryset = Facility.objects.filter(deleted_at=None).order_by("id")
    serializer_class = FacilitySerializer
    filterset_fields = ("state",)


class PatientSerializer(RowSerializer):
    class Meta:
        model = Patient
        fields = ("id", "facility_id", "first_name", "last_name", "sex", "dob", "phone", "patient_number", *ROW)


class PatientFilter(FilterSet):
    facility_id = NumberFilter()

    class Meta:
        model = Patient
        fields = ("facility_id", "sex")


class PatientViewSet(RowViewSet):
    queryset = Patient.objects.filter(deleted_at=None).order_by("id")
    serializer_class = PatientSerializer
    filterset_class = PatientFilter


class EventFilter(FilterSet):
    patient_id = NumberFilter()
    facility_id = NumberFilter()


class MedicalRecordSerializer(RowSerializer):
    class Meta:
        model = MedicalRecord
        fields = ("id", "patient_id", "facility_id", "record_type", "data", "record_id", "recorded_at", *ROW)


class MedicalRecordFilter(EventFilter):
    class Meta:
        model = MedicalRecord
        fields = ("patient_id", "facility_id", "record_type")


class MedicalRecordViewSet(RowViewSet):
    queryset = MedicalRecord.objects.filter(deleted_at=None).order_by("id")
    serializer_class = MedicalRecordSerializer
    filterset_class = MedicalRecordFilter


class TriageVisitSerializer(RowSerializer):
    class Meta:
        model = TriageVisit
        fields = (
            *("id", "patient_id", "facility_id", "triage_level", "chief_complaint", "vital_signs"),
            *("conditions", "recommendations", "visit_id", "visited_at", "language", "provider", *ROW),
        )


class TriageVisitFilter(EventFilter):
    class Meta:
        model = TriageVisit
        fields = ("patient_id", "facility_id", "triage_level")


class TriageVisitViewSet(RowViewSet):
    queryset = TriageVisit.objects.filter(deleted_at=None).order_by("id")
    serializer_class = TriageVisitSerializer
    filterset_class = TriageVisitFilter
