"""POST /fhir: a bundle is a row of each dataset, by the same rules, all of it or nothing."""

import json

import pytest
from django.test import Client

from clinical.access import Role
from clinical.models import AuditEvent, MedicalRecord, Patient, TriageVisit
from ingestion.models import IngestBatch, RejectedRow
from tests import rows
from tests.callers import Caller
from tests.deliveries import deliver, digest, night
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


# --- The same as a row of a file

PATIENTS = """facility_name,facility_state,first_name,last_name,sex,dob,phone
Ikeja Clinic,LAGOS,AMINA,Bello,F,1990-01-01,+2347021000001
"""
VISITS = """facility_name,facility_state,patient_first_name,patient_last_name,patient_dob,triage_level,chief_complaint,\
vital_signs,conditions,recommendations,visited_at
Ikeja Clinic,LAGOS,Amina,Bello,1990-01-01,2,,BP 140/90 mmHg,Malaria,,2026-11-19 08:30
"""


def deliver_files(number=1):
    deliver(f"patients-2026-11-20_{number}.csv", PATIENTS + "\n" * number)
    deliver(f"triage_visits-2026-11-20_{number}.csv", VISITS + "\n" * number)
    night()


@pytest.mark.parametrize("order", ["file, bundle", "bundle, file"])
def test_a_bundle_and_a_file_of_the_same_content_are_one_patient_and_one_visit(service, clinic, order):
    for number, way in enumerate(order.split(", ") * 2):
        if way == "file":
            deliver_files(number)
        else:
            assert send(service, bundles.visit_of(clinic)).status_code == 200
        assert (Patient.objects.count(), TriageVisit.objects.count()) == (1, 1)
    assert TriageVisit.objects.get().ordinal == 1
    assert not RejectedRow.objects.exists()


@pytest.mark.parametrize("order", ["file, bundle", "bundle, file"])
def test_a_day_without_a_time_is_the_same_instant_as_in_a_file(service, clinic, order):
    for way in order.split(", "):
        if way == "file":
            deliver("patients-2026-11-20.csv", PATIENTS)
            deliver("triage_visits-2026-11-20.csv", VISITS.replace(" 08:30", ""))
            night()
        else:
            assert send(service, bundles.visit_of(clinic, period={"start": "2026-11-19"})).status_code == 200
    visit = TriageVisit.objects.get()
    assert (visit.visited_at.isoformat(), visit.time_is_estimated) == ("2026-11-18T23:00:00+00:00", False)


def test_the_same_bundle_again_changes_nothing_and_is_answered_alike(service, clinic):
    first = send(service, bundles.visit_of(clinic))
    before, batches = digest(), IngestBatch.objects.count()
    again = send(service, bundles.visit_of(clinic))
    assert places(again) == places(first)
    assert statuses(again) == ["200"] * 5
    assert (digest(), IngestBatch.objects.count()) == (before, batches)


def test_a_bundle_with_an_idempotency_key_is_answered_once(service, clinic):
    first = send(service, bundles.visit_of(clinic), Idempotency_Key="k")
    again = send(service, bundles.visit_of(clinic), Idempotency_Key="k")
    assert again.json() == first.json()
    assert again["Idempotent-Replay"] == "true"
    assert AuditEvent.objects.latest("id").patient_ids == [Patient.objects.get().pk]
    assert send(service, bundle(entry(1, patient(clinic))), Idempotency_Key="k").status_code == 422


def test_a_later_bundle_brings_a_visit_with_an_id_up_to_date(service, clinic):
    numbered = {"identifier": [{"system": f"urn:medilink:facility:{clinic.pk}:visit-number", "value": "V1"}]}
    send(service, bundles.visit_of(clinic, **numbered))
    later = bundles.visit_of(clinic, **numbered)
    later["entry"][2]["resource"]["valueCodeableConcept"]["coding"][0]["code"] = "1"
    assert statuses(send(service, later)) == ["200"] * 5
    assert (TriageVisit.objects.get().triage_level, TriageVisit.objects.get().visit_id) == (1, "V1")


def test_a_record_bears_diagnoses_medications_treatment_and_notes(service, clinic):
    who, of = urn(1), urn(2)
    parts = [
        condition(who, of, "Hypertension"),
        condition(who, of, "Malaria"),
        medication(who, of, "Amlodipine 5mg"),
        bundles.observation(who, of, bundles.OWN, "treatment", valueString="Rest"),
        bundles.observation(who, of, bundles.OWN, "notes", valueString="Seen\r\nagain"),
    ]
    sent = bundle(
        entry(1, patient(clinic)),
        entry(2, encounter(clinic, who, "AMB", type=[{"text": "Consultation"}])),
        *(entry(n, part) for n, part in enumerate(parts, 3)),
    )
    response = send(service, sent)
    record = MedicalRecord.objects.get()
    assert record.record_type == "Consultation"
    assert record.data == {
        "diagnosis": "Hypertension; Malaria",
        "medications": "Amlodipine 5mg",
        "treatment": "Rest",
        "notes": "Seen\r\nagain",
    }
    of = f"record-{record.pk}"
    assert places(response)[1:] == [
        f"Encounter/{of}",
        f"Condition/{of}",
        f"Condition/{of}",
        f"MedicationStatement/{of}",
        f"Observation/{of}-treatment",
        f"Observation/{of}-notes",
    ]


def test_vital_signs_are_written_in_one_order_whatever_order_they_came_in(service, clinic):
    sent = bundles.visit_of(clinic)
    signs = (
        ("2708-6", 97, "%"),
        ("8310-5", 37.2, "Cel"),
        ("8867-4", 88, "/min"),
        ("29463-7", 61.50, "kg"),
        ("9279-1", 18.0, "/min"),
    )
    sent["entry"] += [entry(10 + n, measured(urn(1), urn(2), *sign)) for n, sign in enumerate(signs)]
    assert send(service, sent).status_code == 200
    assert (
        TriageVisit.objects.get().vital_signs
        == "BP 140/90 mmHg, Pulse 88/min, RR 18/min, Temp 37.2 C, SpO2 97%, Weight 61.5 kg"
    )


# --- Who is referred to


def events_of(clinic, subject, *more):
    return bundle(*more, entry(2, encounter(clinic, subject)), entry(3, level(subject, urn(2), 3)))


def test_a_stored_patient_is_referred_to_by_id_or_number(service, clinic):
    known = rows.patient(clinic, patient_number="P 7")
    named = f"Patient?identifier=urn:medilink:facility:{clinic.pk}:patient-number%7CP 7"
    for number, subject in enumerate((f"Patient/{known.pk}", named, "Patient?identifier=P%207")):
        sent = events_of(clinic, subject)
        sent["entry"][0]["resource"]["period"]["start"] = f"2026-11-1{number}"
        assert send(service, sent).status_code == 200
    assert {*TriageVisit.objects.values_list("patient", flat=True)} == {known.pk}


def test_if_none_exist_takes_the_stored_patient_instead(service, clinic):
    known = rows.patient(clinic, first_name="Amina", last_name="Bello", dob="1990-01-01", patient_number="P7")
    query = f"identifier=urn:medilink:facility:{clinic.pk}:patient-number|P7"
    response = send(service, events_of(clinic, urn(1), entry(1, patient(clinic), ifNoneExist=query)))
    assert (places(response)[0], statuses(response)[0]) == (f"Patient/{known.pk}", "200")
    assert TriageVisit.objects.get().patient == known
    query = query.replace("P7", "P8")
    sent = events_of(clinic, urn(1), entry(1, patient(clinic, birthDate="1991-01-01"), ifNoneExist=query))
    assert statuses(send(service, sent)) == ["201"] * 3


def test_a_former_name_and_a_merged_patient_lead_to_whom_they_stand_for(service, clinic):
    survivor = rows.patient(clinic)
    merged = rows.patient(clinic, first_name="Amina", last_name="Bello")
    Patient.objects.filter(pk=merged.pk).update(merged_into=survivor, deleted_at="2026-11-01T00:00Z")
    survivor.aliases.create(facility=clinic, first_name="Amina", last_name="Bello", dob=merged.dob, of=merged)
    response = send(service, bundles.visit_of(clinic))
    assert places(response)[0] == f"Patient/{survivor.pk}"
    assert send(service, events_of(clinic, f"Patient/{merged.pk}")).status_code == 200
    assert {*TriageVisit.objects.values_list("patient", flat=True)} == {survivor.pk}


def test_the_facility_is_said_by_id_location_or_its_code_in_the_registry(service, clinic):
    for place in (
        {"reference": f"Location/{clinic.pk}"},
        {"identifier": {"system": "urn:medilink:hfr", "value": clinic.hfr_code}},
        {"reference": f"Organization?identifier={clinic.hfr_code}"},
    ):
        assert send(service, bundle(entry(1, patient(clinic, managingOrganization=place)))).status_code == 200
    assert Patient.objects.get().facility == clinic


# --- What is refused, and that then nothing is stored


def changed(body, path, value):
    """The bundle with another value at a path; None takes it away."""
    body = json.loads(json.dumps(body))
    *way, last = path
    place = body
    for part in way:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


def at(number, *path):
    return ("entry", number, "resource", *path)


E = "Bundle.entry[{}].resource"
TERMS = "http://terminology.hl7.org/CodeSystem/"
VERIFIED, CLINICAL, CATEGORY = (
    f"{TERMS}condition-ver-status",
    f"{TERMS}condition-clinical",
    f"{TERMS}condition-category",
)


def coded(system, code, **more):
    return {"coding": [{"system": system, "code": code} | more]}


STATUSES = [
    ("clinicalStatus", coded(CLINICAL, "resolved")),
    ("clinicalStatus", {"text": "resolved"}),
    ("clinicalStatus", {"coding": [{"code": "active"}]}),
    ("clinicalStatus", coded(VERIFIED, "active")),
    ("clinicalStatus", {"coding": [{"system": CLINICAL, "display": "Active"}]}),
    ("clinicalStatus", coded(CLINICAL, "active") | {"text": "resolved"}),
    ("verificationStatus", {"text": "refuted"}),
    ("verificationStatus", {"text": "confirmed"}),
    ("verificationStatus", coded(VERIFIED, "refuted")),
    ("verificationStatus", coded(VERIFIED, "entered-in-error")),
    ("verificationStatus", coded(VERIFIED, "provisional")),
    ("verificationStatus", coded("http://x", "confirmed")),
    ("verificationStatus", coded(VERIFIED, "confirmed", display="Refuted")),
    ("verificationStatus", {"coding": [{"system": VERIFIED, "display": "Refuted"}]}),
    ("verificationStatus", {"coding": [*coded(VERIFIED, "confirmed")["coding"], {"system": "http://x", "code": "no"}]}),
    ("category", [{"text": "family history"}]),
    ("category", [coded("http://x", "encounter-diagnosis")]),
]
REFUSED = [
    (at(0, "name", 0, "family"), None, "REQUIRED_MISSING", E.format(0) + ".name[0].family"),
    (at(0, "birthDate"), "2090-01-01", "DATE_FUTURE", E.format(0) + ".birthDate"),
    (at(0, "birthDate"), "01/02/1990", "DATE_AMBIGUOUS", E.format(0) + ".birthDate"),
    (at(0, "name", 0, "given"), ["x" * 101], "LENGTH", E.format(0) + ".name[0].given"),
    (at(0, "maritalStatus"), {"text": "x"}, "NOT_CARRIED", E.format(0) + ".maritalStatus"),
    (at(0, "_birthDate"), {"extension": []}, "NOT_CARRIED", E.format(0) + "._birthDate"),
    (at(0, "modifierExtension"), [{"url": "x"}], "NOT_CARRIED", E.format(0) + ".modifierExtension"),
    (at(0, "identifier"), [{"system": "http://x", "value": "1"}], "NOT_CARRIED", E.format(0) + ".identifier[0].system"),
    (at(0, "resourceType"), "Group", "NOT_SUPPORTED", E.format(0) + ".resourceType"),
    (at(1, "period", "start"), "2026-11", "TYPE_INVALID", E.format(1) + ".period.start"),
    (at(1, "period", "start"), "1989-01-01", "RANGE", E.format(1) + ".period.start"),
    (at(1, "period", "start"), None, "STRUCTURE", E.format(1) + ".period"),
    (at(1, "period", "end"), "2026-11-20", "NOT_CARRIED", E.format(1) + ".period.end"),
    (at(1, "status"), "cancelled", "NOT_CARRIED", E.format(1) + ".status"),
    (at(1, "priority"), {"text": "Emergency"}, "NOT_CARRIED", E.format(1) + ".priority"),
    (
        at(1, "subject", "identifier"),
        {"system": "http://x", "value": "1"},
        "IDENTITY_CONFLICT",
        E.format(1) + ".subject",
    ),
    (at(1, "subject", "reference"), "#p1", "REFERENCE_UNKNOWN", E.format(1) + ".subject"),
    (at(1, "contained"), [{"resourceType": "Patient", "id": "p1"}], "NOT_CARRIED", E.format(1) + ".contained"),
    (at(1, "subject", "display"), "Musa Ali", "IDENTITY_CONFLICT", E.format(1) + ".subject"),
    (at(3, "encounter", "identifier"), {"value": "V1"}, "NOT_CARRIED", E.format(3) + ".encounter.identifier"),
    (at(1, "class", "code"), "IMP", "NOT_CARRIED", E.format(1) + ".class.code"),
    (at(1, "subject", "reference"), urn(9), "REFERENCE_UNKNOWN", E.format(1) + ".subject"),
    (at(1, "subject", "reference"), "Patient/999", "PATIENT_NOT_FOUND", E.format(1) + ".subject"),
    (at(1, "subject", "reference"), "http://x/Patient/1", "REFERENCE_UNKNOWN", E.format(1) + ".subject"),
    (at(1, "serviceProvider", "reference"), "Organization/9", "FACILITY_NOT_FOUND", E.format(1) + ".serviceProvider"),
    (at(1, "extension"), [{"url": "http://x", "valueString": "y"}], "NOT_CARRIED", E.format(1) + ".extension[0].url"),
    (at(2, "valueCodeableConcept", "coding", 0, "code"), "9", "RANGE", "Bundle.entry[2]"),
    (at(2, "code", "coding", 0, "code"), "else", "NOT_CARRIED", E.format(2) + ".code.coding[0]"),
    (at(2, "status"), "preliminary", "NOT_CARRIED", E.format(2) + ".status"),
    (at(3, "code"), {"coding": [{"system": "http://x", "code": "1"}]}, "REQUIRED_MISSING", E.format(3) + ".code.text"),
    (at(3, "code", "text"), "Malaria; Typhoid", "TYPE_INVALID", E.format(3) + ".code"),
    *((at(3, name), value, "NOT_CARRIED", None) for name, value in STATUSES),
    (at(3, "encounter"), None, "REQUIRED_MISSING", E.format(3) + ".encounter"),
    (at(3, "encounter", "reference"), "Encounter/visit-1", "REFERENCE_UNKNOWN", E.format(3) + ".encounter"),
    (at(4, "component", 1), None, "REQUIRED_MISSING", E.format(4) + ".component"),
    (at(4, "component", 0, "valueQuantity", "code"), "kPa", "NOT_CARRIED", None),
    (at(4, "component", 0, "valueQuantity", "value"), 140.5, "NOT_CARRIED", E.format(4)),
    (at(4, "component", 0, "valueQuantity", "value"), "140", "STRUCTURE", None),
    (("entry", 1, "fullUrl"), urn(1), "STRUCTURE", "Bundle.entry[1].fullUrl"),
    (("entry", 1, "fullUrl"), "http://x/Encounter/1", "NOT_SUPPORTED", "Bundle.entry[1].fullUrl"),
    (("entry", 1, "request", "method"), "PUT", "NOT_SUPPORTED", "Bundle.entry[1].request.method"),
    (("entry", 1, "request", "method"), "DELETE", "NOT_SUPPORTED", "Bundle.entry[1].request.method"),
    (("entry", 1, "request", "url"), "Patient", "STRUCTURE", "Bundle.entry[1].request.url"),
    (("entry", 1, "request", "ifNoneExist"), "identifier=1", "NOT_SUPPORTED", "Bundle.entry[1].request.ifNoneExist"),
    (("entry", 1, "search"), {"mode": "match"}, "NOT_CARRIED", "Bundle.entry[1].search"),
    (("type",), "batch", "NOT_SUPPORTED", "Bundle.type"),
    (("signature",), {"who": {}}, "NOT_CARRIED", "Bundle.signature"),
    (at(0, "name", 0, "family"), "\ud800", "STRUCTURE", E.format(0) + ".name[0].family"),
    (at(0, "name"), "Bello", "STRUCTURE", E.format(0) + ".name"),
    (at(0, "gender"), 1, "STRUCTURE", E.format(0) + ".gender"),
]


@pytest.mark.parametrize(("path", "value", "code", "expression"), REFUSED)
def test_what_cannot_be_stored_is_refused_by_its_entry(service, clinic, s3, path, value, code, expression):
    response = send(service, changed(bundles.visit_of(clinic), path, value))
    assert response.status_code == 422, response.content
    assert response.json()["resourceType"] == "OperationOutcome"
    found = [one for one in told(response) if one[0] == code]
    assert found, told(response)
    assert expression in (None, *(one[1] for one in found))
    assert [model.objects.count() for model in (Patient, TriageVisit, IngestBatch)] == [0, 0, 0]
    assert s3.keys() == []
    assert AuditEvent.objects.latest("id").outcome == "failed"


def test_a_status_that_is_the_only_one_there_is_or_is_in_the_words_is_taken(service, clinic):
    said = {
        "clinicalStatus": coded(CLINICAL, "active", display="Active"),
        "category": [coded(CATEGORY, "encounter-diagnosis", display="Encounter Diagnosis")],
    }
    words = {"Malaria": "confirmed", "?malaria": "provisional", "Suspected typhoid": "provisional"}
    sent = bundles.visit_of(clinic)
    for number, (text, code) in enumerate(words.items(), 10):
        status = {"verificationStatus": coded(VERIFIED, code)}
        sent["entry"].append(entry(number, condition(urn(1), urn(2), text, **said, **status)))
    assert send(service, sent).status_code == 200
    assert TriageVisit.objects.get().conditions == ["Malaria", *words]
    for text in ("?malaria", "Suspected malaria"):
        later = changed(sent, at(5, "code", "text"), text)
        assert told(send(service, later))[0][0] == "NOT_CARRIED"


UNREADABLE = [
    b"",
    b"[1]",
    b'{"resourceType":"Bundle","resourceType":"Bundle"}',
    b'{"resourceType":"Bundle","total":NaN}',
    b'\xef\xbb\xbf{"resourceType":"Bundle"}',
    b'{"resourceType":"Bundle\xff"}',
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"a":' * 31 + b"1" + b"}" * 31,
    b'{"a":1e400}',
    b'{"a":' + b"1" * 100_000 + b"}",
    '{"resourceType":"Bundle"}'.encode("utf-16"),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_body_that_is_no_json_object_is_refused(service, body):
    response = send(service, body)
    assert response.status_code == 400
    assert told(response) == [("STRUCTURE", "Bundle")]


def test_too_many_entries_and_too_many_bytes_are_refused(service, clinic):
    many = bundle(*(entry(n, patient(clinic, birthDate="1990")) for n in range(1001)))
    response = send(service, many)
    assert (response.status_code, told(response)) == (413, [("NOT_SUPPORTED", "Bundle.entry")])
    assert send(service, b" " * (4 * 1024 * 1024 + 1)).status_code == 413


def test_all_reasons_against_all_entries_are_told_at_once(service, clinic):
    sent = changed(bundles.visit_of(clinic), at(0, "birthDate"), "2090-01-01")
    sent = changed(sent, at(2, "valueCodeableConcept", "coding", 0, "code"), "9")
    assert told(send(service, sent)) == [
        ("DATE_FUTURE", "Bundle.entry[0].resource.birthDate"),
        ("DATE_FUTURE", "Bundle.entry[1].resource.subject"),
        ("RANGE", "Bundle.entry[2]"),
    ]


def test_a_patient_who_is_neither_in_the_bundle_nor_known_is_missing(service, clinic):
    gone = rows.patient(clinic, deleted_at="2026-11-01T00:00Z")
    assert told(send(service, events_of(clinic, f"Patient/{gone.pk}")))[0][0] == "PATIENT_NOT_FOUND"


def test_a_contradicted_sex_is_refused_as_in_a_file(service, clinic):
    send(service, bundle(entry(1, patient(clinic))))
    response = send(service, bundle(entry(1, patient(clinic, gender="male"))))
    assert told(response) == [("IDENTITY_CONFLICT", "Bundle.entry[0].resource.gender")]
    twice = bundle(
        entry(1, patient(clinic, birthDate="1991")), entry(2, patient(clinic, birthDate="1991", gender="male"))
    )
    assert {code for code, _ in told(send(service, twice))} == {"DUP_IN_FILE_CONFLICT"}


def test_a_patient_whom_a_steward_has_deleted_is_not_taken_in_silence(service, clinic):
    rows.patient(clinic, first_name="Amina", last_name="Bello", deleted_at="2026-11-01T00:00Z")
    assert ("DELETED_BY_STEWARD", "Bundle.entry[0]") in told(send(service, bundles.visit_of(clinic)))


def test_what_a_file_only_warns_of_is_told_with_its_entry(service, clinic):
    sent = changed(bundles.visit_of(clinic), at(0, "telecom", 0, "value"), "0702")
    sent = changed(sent, at(3, "code", "text"), "Mala\x00ria")
    response = send(service, sent)
    outcomes = [one["response"].get("outcome") for one in response.json()["entry"]]
    assert [(one and one["issue"][0]["details"]["coding"][0]["code"]) for one in outcomes] == [
        *("PHONE_INVALID", "CHAR_REMOVED", None, None, None),
    ]
    assert TriageVisit.objects.get().conditions == ["Malaria"]


# --- Who may


def test_a_bundle_is_taken_from_who_may_write_there(service, clinic):
    elsewhere = rows.facility()
    clerk = Caller((Role.CLERK, {"facility": clinic}))
    assert send(clerk, bundles.visit_of(clinic)).status_code == 200
    record = bundle(entry(1, patient(clinic)), entry(2, encounter(clinic, urn(1), "AMB")))
    response = send(clerk, record)
    assert (response.status_code, told(response)) == (403, [("FORBIDDEN", "Bundle.entry[1]")])
    assert told(send(service, bundles.visit_of(elsewhere)))[0][0] == "FACILITY_NOT_FOUND"
    assert send(Caller((Role.ANALYST,)), bundles.visit_of(clinic)).status_code == 403
    assert Client().post("/fhir", b"{}", content_type="application/fhir+json").status_code == 401
    assert service.client.post("/fhir", b"{}", content_type="text/csv").status_code == 415


def test_a_bundle_is_of_one_facility(clinic, bucket):
    both = Caller((Role.SERVICE,))
    other = rows.facility()
    sent = changed(bundles.visit_of(clinic), at(1, "serviceProvider"), bundles.at(other))
    assert told(send(both, sent)) == [("OTHER_FACILITY", "Bundle.entry[1].resource.serviceProvider")]


def test_a_patient_who_has_moved_away_is_not_written_to_from_here(service, clinic):
    moved = rows.patient(clinic, first_name="Amina", last_name="Bello")
    moved.aliases.create(facility=clinic, first_name="Amina", last_name="Bello", dob=moved.dob)
    Patient.objects.filter(pk=moved.pk).update(facility=rows.facility())
    response = send(service, bundles.visit_of(clinic))
    assert response.status_code == 422
    assert ("FACILITY_NOT_FOUND", "Bundle.entry[1].resource.serviceProvider") in told(response)
