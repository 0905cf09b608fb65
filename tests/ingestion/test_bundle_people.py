"""Whom a bundle is about: who is referred to must be who is described, or nothing is stored."""

import pytest

from clinical.access import Role
from clinical.models import Patient, TriageVisit
from tests import rows
from tests.callers import Caller
from tests.deliveries import deliver, night
from tests.ingestion import bundles
from tests.ingestion.bundles import bundle, encounter, entry, level, patient, urn
from tests.ingestion.test_bundles import clinic, events_of, places, send, service, statuses, told

__all__ = ["clinic", "service"]
pytestmark = pytest.mark.django_db
PATIENT = "Bundle.entry[0].resource"
MUSA = {"name": [{"family": "Ali", "given": ["Musa"]}], "gender": "male", "birthDate": "1975-01-01"}


@pytest.fixture
def amina(clinic):
    known = {"first_name": "Amina", "last_name": "Bello", "sex": "F", "dob": "1990-01-01", "patient_number": "A1"}
    return rows.patient(clinic, **known)


def numbered(clinic, value):
    return {"system": f"urn:medilink:facility:{clinic.pk}:patient-number", "value": value}


def kept(clinic, query="", **said):
    """A visit of the patient entry that ifNoneExist leads to A1."""
    query = query or f"identifier={numbered(clinic, 'A1')['system']}|A1"
    return events_of(clinic, urn(1), entry(1, patient(clinic, **said), ifNoneExist=query))


OTHERS = [
    (MUSA, {"gender", "birthDate", "name[0].family", "name[0].given"}),
    ({"name": [{"family": "Bello", "given": ["Musa"]}]}, {"name[0].given"}),
    ({"name": [{"family": "Ali", "given": ["Amina"]}]}, {"name[0].family"}),
    ({"birthDate": "1990-01-02"}, {"birthDate"}),
    ({"birthDate": "1991"}, {"birthDate"}),
    ({"gender": "male"}, {"gender"}),
    ({"identifier": [{"value": "B2"}]}, {"identifier[0].value"}),
]


@pytest.mark.parametrize(("said", "expressions"), OTHERS)
def test_if_none_exist_that_leads_to_somebody_else_is_refused(service, clinic, amina, said, expressions):
    assert {*told(send(service, kept(clinic, **said)))} == {
        ("IDENTITY_CONFLICT", f"{PATIENT}.{one}") for one in expressions
    }
    sent = kept(clinic, query=f"identifier=urn:medilink:patient|{amina.pk}", **said)
    assert {code for code, _ in told(send(service, sent))} == {"IDENTITY_CONFLICT"}
    assert (Patient.objects.count(), TriageVisit.objects.count()) == (1, 0)


SAME = [
    {},
    {"name": [{"family": "BELLO", "given": [" amina "]}], "gender": "unknown"},
    {"name": None, "birthDate": None, "gender": None},
    {"name": [{"family": "Okoro", "given": ["Amina"]}]},  # a former name
    {"birthDate": "1990"},
]


@pytest.mark.parametrize("said", SAME)
def test_if_none_exist_that_leads_to_the_one_described_is_kept(service, clinic, amina, said):
    amina.aliases.create(facility=clinic, first_name="Amina", last_name="Okoro", dob=amina.dob)
    response = send(service, kept(clinic, **said))
    assert (places(response)[0], statuses(response)[0]) == (f"Patient/{amina.pk}", "200")
    assert TriageVisit.objects.get().patient == amina


def test_half_of_a_former_identity_and_half_of_this_one_are_nobody(service, clinic, amina):
    amina.aliases.create(facility=clinic, first_name="Aminat", last_name="Okoro", dob=amina.dob)
    said = {"name": [{"family": "Okoro", "given": ["Amina"]}]}
    assert told(send(service, kept(clinic, **said))) == [("IDENTITY_CONFLICT", f"{PATIENT}.name[0].family")]


def test_what_is_new_of_a_kept_patient_is_told_not_to_be_stored(service, clinic, amina):
    response = send(service, kept(clinic))
    outcome = response.json()["entry"][0]["response"]["outcome"]["issue"]
    assert [(one["severity"], one["expression"]) for one in outcome] == [
        ("information", [f"{PATIENT}.telecom[0].value"])
    ]
    assert Patient.objects.get().phone is None


def test_an_invalid_date_of_birth_of_a_kept_patient_is_refused(service, clinic, amina):
    response = send(service, kept(clinic, birthDate="2090-01-01"))
    assert told(response) == [("DATE_FUTURE", f"{PATIENT}.birthDate")]


# --- Our own id


def test_a_patient_with_our_own_id_is_that_one_or_refused(service, clinic, amina):
    own = {"identifier": [{"system": "urn:medilink:patient", "value": str(amina.pk)}]}
    assert places(send(service, bundle(entry(1, patient(clinic, **own))))) == [f"Patient/{amina.pk}"]
    codes = {code for code, _ in told(send(service, bundle(entry(1, patient(clinic, **MUSA, **own)))))}
    assert codes == {"IDENTITY_CONFLICT"}
    nobody = {"identifier": [{"system": "urn:medilink:patient", "value": "999999"}]}
    response = send(service, bundle(entry(1, patient(clinic, **nobody))))
    assert told(response) == [("PATIENT_NOT_FOUND", f"{PATIENT}.identifier")]
    assert Patient.objects.count() == 1


def test_our_own_id_and_if_none_exist_must_be_of_one_patient(service, clinic, amina):
    other = rows.patient(clinic, first_name="Amina", last_name="Bello", dob="1990-02-02", sex="F")
    own = {"identifier": [{"system": "urn:medilink:patient", "value": str(other.pk)}], "birthDate": None}
    assert told(send(service, kept(clinic, **own))) == [("IDENTITY_CONFLICT", f"{PATIENT}.identifier")]


def test_a_number_that_another_person_has_is_taken_as_from_a_file(service, clinic, amina):
    header = "facility_name,facility_state,first_name,last_name,sex,dob,phone,patient_number\n"
    deliver("patients-2026-11-20.csv", f"{header}{clinic.name},{clinic.state},Musa,Ali,M,1975-01-01,,A1\n")
    night()
    third = {"name": [{"family": "Eze", "given": ["Ngozi"]}], "identifier": [numbered(clinic, "A1")]}
    response = send(service, bundle(entry(1, patient(clinic, **third))))
    assert "outcome" not in response.json()["entry"][0]["response"]
    assert [*Patient.objects.values_list("patient_number", flat=True)] == ["A1"] * 3
    assert told(send(service, kept(clinic)))[0][0] == "PATIENT_AMBIGUOUS"


# --- References that say more than one thing


def test_all_that_a_reference_says_must_be_of_one_patient(service, clinic, amina):
    other = rows.patient(clinic, first_name="Musa", last_name="Ali", patient_number="B2")
    right = [
        {"identifier": numbered(clinic, "A1")},
        {"identifier": {"value": "A1"}, "type": "Patient"},
        {"identifier": {"system": "urn:medilink:patient", "value": str(amina.pk)}},
        {"display": "Mrs. BELLO, Amina (F)"},
    ]
    wrong = [
        ({"identifier": numbered(clinic, "B2")}, "IDENTITY_CONFLICT"),
        ({"identifier": {"system": "urn:medilink:patient", "value": str(other.pk)}}, "IDENTITY_CONFLICT"),
        ({"identifier": numbered(clinic, "C3")}, "PATIENT_NOT_FOUND"),
        ({"identifier": {"system": "http://x", "value": "1"}}, "PATIENT_NOT_FOUND"),
        ({"display": "Musa Ali"}, "IDENTITY_CONFLICT"),
        ({"display": "Musa Bello"}, "IDENTITY_CONFLICT"),
    ]
    subjects = (f"Patient/{amina.pk}", "Patient?identifier=A1")
    for subject in subjects:
        for more, code in wrong:
            sent = events_of(clinic, subject)
            sent["entry"][0]["resource"]["subject"] |= more
            assert code in {code for code, _ in told(send(service, sent))}, more
    assert not TriageVisit.objects.exists()
    for number, more in enumerate(right):
        sent = events_of(clinic, subjects[number % 2])
        sent["entry"][0]["resource"]["subject"] |= more
        sent["entry"][0]["resource"]["period"]["start"] = f"2026-11-1{number}"
        assert send(service, sent).status_code == 200, more
    assert {*TriageVisit.objects.values_list("patient", flat=True)} == {amina.pk}


def test_an_identifier_beside_a_reference_into_the_bundle_is_that_of_its_entry(service, clinic):
    who = patient(clinic, identifier=[numbered(clinic, "A1")])
    for number, status in (("A1", 200), ("B2", 422)):
        visit = encounter(clinic, urn(1))
        visit["subject"] |= {"identifier": numbered(clinic, number), "display": "Amina Bello"}
        sent = bundle(entry(1, who), entry(2, visit), entry(3, level(urn(1), urn(2), 3)))
        assert send(service, sent).status_code == status


def test_a_facility_that_is_said_twice_is_one(clinic, bucket):
    both, other = Caller((Role.SERVICE,)), rows.facility()
    place = {"reference": f"Organization/{clinic.pk}", "identifier": {"system": "urn:medilink:facility"}}
    for of, status in ((clinic, 200), (other, 422)):
        place["identifier"]["value"] = str(of.pk)
        sent = bundle(entry(1, patient(clinic, managingOrganization=place)))
        assert send(both, sent).status_code == status


# --- What is masked


def test_whoever_is_shown_masks_elsewhere_cannot_find_out_a_number_or_a_name_there(clinic, bucket):
    away = rows.facility()
    hidden = rows.patient(away, first_name="Amina", last_name="Bello", patient_number="K77")
    caller = Caller((Role.ANALYST,), (Role.CLINICIAN, {"facility": clinic}))
    found = []
    for number in ("K77", "K78"):
        named = numbered(away, number)
        for subject in ({"identifier": named}, {"reference": f"Patient?identifier={named['system']}|{number}"}):
            sent = events_of(clinic, urn(9))
            for part in sent["entry"]:
                part["resource"]["subject"] = subject
            found.append(told(send(caller, sent)))
    assert found == [[("PATIENT_NOT_FOUND", f"Bundle.entry[{n}].resource.subject") for n in (0, 1)]] * 4
    own = {"identifier": [{"system": "urn:medilink:patient", "value": str(hidden.pk)}]}
    for said in ({}, MUSA):
        response = send(caller, bundle(entry(1, patient(clinic, **said, **own))))
        assert told(response) == [("PATIENT_NOT_FOUND", f"{PATIENT}.identifier")]
    assert send(caller, bundles.visit_of(clinic)).status_code == 200
