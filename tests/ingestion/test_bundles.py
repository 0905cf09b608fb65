"""POST /fhir: a bundle is a row of each dataset, by the same rules, all of it or nothing."""

import json

import pytest
from django.test import Client

from clinical.access import Role
from clinical.models import AuditEvent, MedicalRecord, Patient, TriageVisit
from ingestion.models import IngestBatch, RejectedRow
from tests import rows
from tests.callers import Caller
from tests.deliveries import counts, deliver, digest, night
from tests.ingestion import bundles
from tests.ingestion.bundles import bundle, condition, encounter, entry, level, measured, medication, patient, urn

pytestmark = pytest.mark.django_db


@pytest.fixture
def clinic(db):
    return rows.facility(name="Ikeja Clinic", state="LAGOS", lga="Ikeja", lga_name="Ikeja", hfr_code="25/10/1/1/1/0001")


@pytest.fixture
def service(clinic, bucket, settings):
    settings.THROTTLE_USER = "off"
    return Caller((Role.SERVICE, {"facility": clinic}))


def send(caller, body, **headers):
    raw = body if isinstance(body, bytes | str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return caller.client.post("/fhir", raw, content_type="application/fhir+json", headers=named)


def told(response):
    """(code, expression) of each issue."""
    return [(one["details"]["coding"][0]["code"], one["expression"][0]) for one in response.json()["issue"]]


def places(response):
    assert response.status_code == 200, response.content
    return [one["response"]["location"] for one in response.json()["entry"]]


def statuses(response):
    return [one["response"]["status"][:3] for one in response.json()["entry"]]


def test_a_visit_with_its_patient_is_stored_and_answered_entry_by_entry(service, clinic):
    response = send(service, bundles.visit_of(clinic))
    visit = TriageVisit.objects.get()
    of = f"visit-{visit.pk}"
    assert places(response) == [
        f"Patient/{visit.patient_id}",
        f"Encounter/{of}",
        f"Observation/{of}-acuity",
        f"Condition/{of}-1",
        f"Observation/{of}-blood-pressure",
    ]
    assert statuses(response) == ["201"] * 5
    assert (visit.triage_level, visit.conditions, visit.vital_signs) == (2, ["Malaria"], "BP 140/90 mmHg")
    assert (visit.facility, visit.patient.first_name, visit.patient.phone) == (clinic, "Amina", "+2347021000001")
    assert response["Content-Type"] == "application/fhir+json"
