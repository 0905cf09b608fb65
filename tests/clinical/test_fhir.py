"""/fhir: who is told what, what a read says, and how it refuses."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from clinical import vital_readings
from clinical.fhir import vitals
from clinical.fhir.asked import Token
from clinical.fhir.meanings import may_name
from clinical.merging import merge_patients
from clinical.models import AuditEvent, Patient, TriageVisit
from clinical.terms import Kind, counting
from clinical.terms.shipped import ICD10
from clinical.vitals import Sign
from tests import rows
from tests.callers import Caller

DAY = date(2026, 5, 6)
MASKED = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def steward(db):
    return Caller(("steward", {}))


@pytest.fixture
def person(db):
    return rows.patient(first_name="Ada", last_name="Zubair", phone="+2348031234567", patient_number="N-7")


def resources(response):
    assert response.status_code == 200, response.content
    return [entry["resource"] for entry in response.json().get("entry", ())]


def issue(response):
    assert response["Content-Type"] == "application/fhir+json"
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return response.status_code, outcome["issue"][0]["code"]


# --- Refusals


def test_every_refusal_is_an_operation_outcome(steward, person, client, settings):
    analyst, auditor = Caller(("analyst", {})), Caller(("auditor", {}))
    assert issue(client.get("/fhir/Patient")) == (401, "login")
    assert issue(auditor.get("/fhir/Patient")) == (403, "forbidden")
    assert issue(steward.get("/fhir/Patient/999999")) == (404, "not-found")
    assert issue(steward.get("/fhir/Patient/x")) == (404, "not-found")
    assert issue(steward.get("/fhir/Medication")) == (404, "not-found")
    assert issue(steward.send("delete", f"/fhir/Patient/{person.pk}")) == (405, "not-supported")
    assert issue(steward.get("/fhir/Patient", Accept="application/fhir+xml")) == (406, "not-supported")
    assert issue(steward.get("/fhir/Patient", {"_format": "xml"})) == (406, "not-supported")
    assert issue(steward.send("post", "/fhir/Patient/_search", {})) == (415, "not-supported")
    assert issue(steward.get("/fhir/Patient", {"nmae": "Ada"})) == (400, "not-supported")
    assert issue(steward.get("/fhir/Patient", {"birthdate": "1990-13-01"})) == (400, "invalid")
    assert issue(analyst.get("/fhir/Patient", {"name": "Ada"})) == (400, "forbidden")
    settings.THROTTLE_USER = "1/min"
    steward.get("/fhir/Patient")
    assert issue(steward.get("/fhir/Patient")) == (429, "throttled")


def test_a_refusal_before_any_view_is_one_too(client, db):
    too_large = client.post("/fhir/Patient/_search", "x" * (1024 * 1024 + 1), content_type=FORM)
    assert issue(too_large) == (413, "too-long")


def test_what_is_unknown_is_left_out_only_where_the_caller_says_so(steward, person):
    lenient = steward.get("/fhir/Patient", {"nmae": "x", "gender": "female"}, Prefer="handling=lenient").json()
    assert lenient["link"][0]["url"] == "http://testserver/fhir/Patient?gender=female"


# --- What a read says


def test_a_search_cannot_be_made_dear_by_saying_things_again_and_again(steward, person):
    for asked in (
        "&".join(["gender=male"] * 21),
        "gender=male," + ",".join(["female"] * 100),
        "_include=" + ",".join(["x"] * 21),
    ):
        answer = steward.get(f"/fhir/Patient?{asked}")
        assert issue(answer) == (400, "invalid")
        assert "At most" in answer.json()["issue"][0]["details"]["text"]
    with CaptureQueriesContext(connection) as once:
        steward.get("/fhir/Patient?_revinclude=Encounter:patient")
    with CaptureQueriesContext(connection) as often:
        steward.get("/fhir/Patient?_revinclude=" + ",".join(["Encounter:patient"] * 20))
    assert len(often) == len(once)


def test_what_has_no_order_is_not_sorted(steward):
    assert issue(steward.get("/fhir/Observation?_sort=_lastUpdated")) == (400, "invalid")


def test_a_read_that_knows_the_answer_is_told_nothing_new(steward, person):
    first = steward.get(f"/fhir/Patient/{person.pk}")
    assert first["ETag"].startswith('W/"')
    assert steward.get(f"/fhir/Patient/{person.pk}", **{"If-None-Match": first["ETag"]}).status_code == 304
    assert steward.get(f"/fhir/Patient/{person.pk}", **{"If-Modified-Since": first["Last-Modified"]}).status_code == 304
    Patient.objects.filter(pk=person.pk).update(phone=None)
    assert steward.get(f"/fhir/Patient/{person.pk}", **{"If-None-Match": first["ETag"]}).status_code == 200


def test_who_was_merged_is_told_with_the_one_who_stands_for_them(steward, person, alice):
    other = rows.patient(person.facility)
    merge_patients(person, other, by=alice)
    told = steward.get(f"/fhir/Patient/{other.pk}").json()
    assert told["active"] is False
    assert told["link"] == [{"other": {"reference": f"Patient/{person.pk}"}, "type": "replaced-by"}]
    assert [one["id"] for one in resources(steward.get("/fhir/Patient", {"active": "true"}))] == [str(person.pk)]


def test_what_was_deleted_is_gone_where_it_was_seen_and_absent_elsewhere(steward, person):
    visit = rows.visit(person, DAY, conditions=["Malaria"])
    steward.send("delete", f"/api/triage-visits/{visit.pk}")
    for kind, of in (("Encounter", ""), ("Condition", "-1"), ("Observation", "-acuity")):
        assert issue(steward.get(f"/fhir/{kind}/visit-{visit.pk}{of}")) == (410, "deleted")
    elsewhere = Caller(("steward", {"state": "KANO"}))
    assert issue(elsewhere.get(f"/fhir/Encounter/visit-{visit.pk}")) == (404, "not-found")
    assert resources(steward.get("/fhir/Encounter")) == []


def test_a_restricted_patient_is_in_no_answer(steward, person):
    visit = rows.visit(person, DAY)
    Patient.objects.filter(pk=person.pk).update(restricted_at=visit.created_at)
    type(visit).objects.filter(pk=visit.pk).update(restricted_at=visit.created_at)
    assert issue(steward.get(f"/fhir/Patient/{person.pk}")) == (404, "not-found")
    assert issue(steward.get(f"/fhir/Encounter/visit-{visit.pk}")) == (404, "not-found")
    assert issue(steward.get(f"/fhir/Patient/{person.pk}/$everything")) == (404, "not-found")


# --- Masks


def test_who_sees_masks_is_told_no_name_no_number_and_no_free_text(person):
    said = {"chief_complaint": "Zq cough", "provider": "Zq Bello", "recommendations": ["Zq rest"], "visit_id": "Zq-1"}
    visit = rows.visit(person, DAY, conditions=["Malaria"], vital_signs="BP 140/90", **said)
    vital_readings.read_due()
    told = resources(Caller(("clinician", {})).get("/fhir/Observation", {"category": "vital-signs"}))
    assert [one["id"] for one in told] == [f"visit-{visit.pk}-blood-pressure"]
    record = rows.record(person, DAY, diagnosis="Typhoid", notes="Zq note", treatment="Zq bed", record_id="Zq-2")
    analyst = Caller(("analyst", {}))
    told = analyst.get(f"/fhir/Patient/{person.pk}").json()
    assert told["name"] == told["telecom"] == [{"extension": [{"url": MASKED, "valueCode": "masked"}]}]
    assert told["birthDate"] == "1990"
    everything = analyst.get(f"/fhir/Patient/{person.pk}/$everything").content.decode()
    assert not any(word in everything for word in ("Zq", "Ada", "Zubair", "+234", "N-7"))
    assert "Malaria" in everything
    assert "Typhoid" in everything
    for of in (f"visit-{visit.pk}-complaint", f"visit-{visit.pk}-blood-pressure", f"record-{record.pk}-notes"):
        assert issue(analyst.get(f"/fhir/Observation/{of}")) == (404, "not-found")


def test_a_mask_holds_where_it_is_one_and_not_where_the_caller_sees_clearly(person):
    elsewhere = rows.patient(rows.facility(state="KANO", lga="Dala", lga_name="Dala"), first_name="Binta")
    both = Caller(("analyst", {}), ("clinician", {"state": "KANO"}))
    told = {one["id"]: one["name"][0] for one in resources(both.get("/fhir/Patient"))}
    assert told[str(elsewhere.pk)]["given"] == ["Binta"]
    assert "extension" in told[str(person.pk)]
    assert [one["id"] for one in resources(both.get("/fhir/Patient", {"given": "binta,ada"}))] == [str(elsewhere.pk)]
    numbered = both.get("/fhir/Patient", {"identifier": "N-7"})
    assert resources(numbered) == []


def test_an_encounter_is_not_found_by_a_condition_that_it_has_not(steward, person):
    visit = rows.visit(person, DAY, conditions=["Malaria"])
    found = {n: steward.get("/fhir/Encounter", {"diagnosis": f"visit-{visit.pk}-{n}"}) for n in (0, 1, 2)}
    assert [len(resources(one)) for one in found.values()] == [0, 1, 0]


# --- Audit and cost


def test_a_condition_says_what_its_words_say_and_no_more(steward, person):
    words = ["Hypertension", "?malaria", "No typhoid", "Malaria and typhoid", "Feels odd since the wedding"]
    visit = rows.visit(person, DAY, conditions=words)
    found = resources(steward.get("/fhir/Condition", {"encounter": f"Encounter/visit-{visit.pk}"}))
    assert [one["code"]["text"] for one in found] == words
    codes = [[coding["code"] for coding in one["code"].get("coding", ())] for one in found]
    assert codes == [["I10"], [], [], [], []]
    statuses = [one.get("verificationStatus", {}).get("coding", [{}])[0].get("code") for one in found]
    assert statuses == [None, "provisional", "refuted", None, None]
    several = [one["valueCoding"]["code"] for one in found[3]["code"]["extension"]]
    assert len(several) == 2  # two things, of which neither is the code of both
    both = resources(steward.get("/fhir/Condition", {"code": several[0]}))
    assert [one["code"]["text"] for one in both] == ["Malaria and typhoid"]


def test_a_search_by_code_looks_only_at_rows_whose_words_may_name_it(steward, person):
    rows.visit(person, DAY, conditions=["Malaria"])
    rows.visit(person, DAY, conditions=["Hypertension"])
    with rows.past_all_triggers():
        TriageVisit.objects.update(updated_at=now() - timedelta(days=1))
    counting.bring_up()
    rows.visit(person, DAY, conditions=["Malaria fever"])  # which no pass has seen
    token = f"{ICD10}|B54"
    found = resources(steward.get("/fhir/Condition", {"code": token}))
    assert [one["code"]["text"] for one in found] == ["Malaria", "Malaria fever"]
    narrowed = may_name(Kind.DIAGNOSIS, "conditions__overlap")([Token(ICD10, "B54")])
    assert [visit.conditions for visit in TriageVisit.objects.filter(narrowed)] == [["Malaria"], ["Malaria fever"]]


def test_a_page_leaves_one_line_of_everybody_it_tells_of_and_no_value(steward, person):
    rows.visit(person, DAY)
    steward.client.post("/fhir/Patient/_search", "given=Ada&_revinclude=Encounter:patient", content_type=FORM)
    line = AuditEvent.objects.latest("id")
    assert (line.table, line.action, {*line.patient_ids}) == ("patients", "list", {person.pk})
    assert "Ada" not in str(line.details)
    steward.get(f"/fhir/Patient/{person.pk}/$everything")
    assert AuditEvent.objects.latest("id").action == "everything"


def test_rows_of_patients_that_are_told_are_counted(steward, person, settings):
    rows.visit(person, DAY)
    settings.THROTTLE_PATIENTS = "1/min"
    assert steward.get("/fhir/Patient").status_code == 200
    assert issue(steward.get("/fhir/Encounter")) == (429, "throttled")


@pytest.mark.parametrize(
    ("kind", "queries"), [("Patient", 12), ("Encounter", 13), ("Condition", 13), ("Observation", 18)]
)
def test_a_page_costs_as_many_queries_whatever_it_holds(steward, person, kind, queries):
    def cost():
        with CaptureQueriesContext(connection) as asked:
            steward.get(f"/fhir/{kind}")
        return len(asked)

    rows.visit(person, DAY, conditions=["a"])
    steward.get("/fhir/Patient")
    few = cost()
    for number in range(20):
        rows.visit(rows.patient(person.facility), DAY - timedelta(days=number), conditions=["a", "b"])
    assert cost() == few <= queries


# --- Vital signs, as a pure mapping


def vital(*signs):
    known = {"id": 7, "patient_id": 3, "visited_at": rows.lagos(DAY), "last_updated": rows.lagos(DAY)}
    visit = known | {"time_is_estimated": False, "is_clear": True}
    numbered = [(code, value if value is None else Decimal(value), *rest) for code, value, *rest in signs]
    return vitals.observations(visit, [Sign(*sign) for sign in numbered])


def test_pressures_that_were_written_together_are_one_observation():
    both, other = vital(
        ("8480-6", 140, "mm[Hg]", None, "BP: 140/90"),
        ("8462-4", 90, "mm[Hg]", None, "BP: 140/90"),
        ("8480-6", 120, "mm[Hg]", None, "then 120"),
    )
    assert both["id"] == "visit-7-blood-pressure"
    assert [part["valueQuantity"]["value"] for part in both["component"]] == [140, 90]
    assert both["note"] == [{"text": "BP: 140/90"}]
    assert both["meta"]["profile"] == ["http://hl7.org/fhir/StructureDefinition/bp"]
    assert other["id"] == "visit-7-blood-pressure-2"
    assert other["component"][1]["dataAbsentReason"]["coding"][0]["code"] == "unknown"


def test_what_cannot_be_has_no_profile():
    hot, reversed_pressure = vital(
        ("8310-5", 60, "Cel", None, "T 60", "implausible"),
        ("8480-6", 80, "mm[Hg]", None, "BP 80/120", "reversed"),
        ("8462-4", 120, "mm[Hg]", None, "BP 80/120", "reversed"),
    )
    assert "profile" not in hot["meta"]
    assert "profile" not in reversed_pressure["meta"]


def test_a_word_stays_a_word_and_a_flag_is_told():
    response, breathes, hot = vital(
        ("67775-7", None, None, "V", "AVPU: V"),
        ("medilink:breathes", None, None, "air", "on air"),
        ("8310-5", 60, "Cel", None, "T 60", "implausible"),
    )
    assert response["valueCodeableConcept"] == {"text": "V"}
    assert breathes["code"]["coding"][0] == {
        "system": "urn:medilink:vital-sign",
        "code": "breathes",
        "display": "breathes",
    }
    assert hot["interpretation"][0]["coding"][0]["code"] == "implausible"
    assert hot["valueQuantity"] == {
        "value": 60,
        "unit": "Cel",
        "system": "http://unitsofmeasure.org",
        "code": "Cel",
    }
