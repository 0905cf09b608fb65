"""A correction becomes a rule: tried, in force, taken back."""

from datetime import date, timedelta

import pytest
from django.utils import timezone

from clinical.models import Facility, MedicalRecord, Patient, User
from ingestion import reverting, rulemaking
from ingestion.models import IngestBatch, RejectedRow, Rule, RuleUse
from ingestion.rulemaking import Proposal
from ingestion.stewards import NotPossible
from tests.deliveries import FILES, deliver, digest, last_batch, night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("a_night")]
PATIENTS = "facility_name,first_name,last_name,sex,dob,phone,facility_state\n"
TYPOS = PATIENTS + "".join(f"Kuje Gen Hosp,Zainab,Umar{n},F,1990-01-{n:02},,FCT\n" for n in range(1, 6))


@pytest.fixture
def kuje(a_night):
    """The hospital, loaded with all the rest of a night."""
    return Facility.objects.get(name="Kuje General Hospital")


def means(facility=None, about="facility", text="Kuje Gen Hosp", **said):
    return Proposal(about, text, facility=facility, **said)


def parked(**query):
    return RejectedRow.objects.filter(state="open", **query)


def test_one_rule_frees_every_row_that_says_it(kuje, alice):
    deliver("patients-2026-11-21.csv", TYPOS)
    night()
    assert parked().count() == 5
    rulemaking.apply(rulemaking.save(means(kuje), by=alice), by=alice)
    assert not parked().exists()
    assert kuje.patients.count() == 7
    assert RuleUse.objects.count() == 5


def test_what_comes_later_goes_in_at_once_and_says_by_which_rule(kuje, alice):
    rule = rulemaking.save(means(kuje, text="KUJE  gen hosp"), by=alice)
    deliver("patients-2026-11-21.csv", TYPOS)
    night()
    assert not parked().exists()
    batch = last_batch("patients")
    assert [*RuleUse.objects.order_by("line").values_list("rule", "batch", "line")] == [
        (rule.pk, batch.pk, line) for line in range(2, 7)
    ]


@pytest.mark.parametrize(
    ("proposal", "dataset", "text"),
    [
        (
            means(about="state", text="Abuja FTC", value="FCT"),
            "facilities",
            "name,state,lga,lat,lon,type\nX,abuja ftc,Kuje,,,\n",
        ),
        (
            means(about="sex", text="Woman", value="f"),
            "patients",
            "facility_name,first_name,last_name,sex,dob,phone\nKuje General Hospital,A,B,woman,1990-01-01,\n",
        ),
        (
            means(about="state", text="Abuja FTC", value="FCT"),
            "patients",
            PATIENTS + "Kuje General Hospital,A,B,,1990-01-01,,Abuja FTC\n",
        ),
    ],
)
def test_cells_are_read_as_the_rule_says(kuje, alice, proposal, dataset, text):
    deliver(f"{dataset}-2026-11-21.csv", text)
    night()
    assert parked().count() == 1
    rulemaking.apply(rulemaking.save(proposal, by=alice), by=alice)
    assert not parked().exists()
    deliver(f"{dataset}-2026-11-22.csv", text + "\n")
    night()
    assert last_batch(dataset).unchanged == 1


def test_an_lga_in_other_words_is_the_same_facility(kuje, alice):
    rulemaking.save(means(about="lga", text="Kuje Town", value="kuje", state="FCT"), by=alice)
    deliver(
        "facilities-2026-11-21.csv",
        "name,state,lga,lat,lon,type\nKuje General Hospital,FCT,Kuje Town,,,Clinic\n",
    )
    night()
    assert last_batch("facilities").updated == 1
    assert Facility.objects.filter(name="Kuje General Hospital").count() == 1


def test_a_diagnosis_is_stored_as_meant_and_comes_again_as_the_same_event(kuje, alice):
    row = "facility_name,patient_first_name,patient_last_name,record_type,diagnosis,treatment,medications,notes\n"
    row += "Kuje General Hospital,Amina,Bello,Consultation,HTN,,,\n"
    deliver("medical_records-a-2026-11-21.csv", row)
    night()
    found = rulemaking.preview(means(about="diagnosis", text="htn", value="Hypertension"), by=alice)
    assert found.would_have_changed == {"medical_records": 1}
    rulemaking.save(means(about="diagnosis", text="htn", value="Hypertension"), by=alice)
    deliver("medical_records-b-2026-11-21.csv", row + "Kuje General Hospital,Musa,Bello,Consultation,HTN,,,\n")
    night()
    assert (last_batch("medical_records").inserted, last_batch("medical_records").unchanged) == (1, 1)
    diagnoses = MedicalRecord.objects.filter(recorded_at__date="2026-11-21").order_by("id")
    assert [record.data["diagnosis"] for record in diagnoses] == ["HTN", "Hypertension"]


def test_a_rule_of_one_source_or_state_leaves_others_alone(kuje, alice):
    rulemaking.save(means(kuje, source="kano/patients-*.csv"), by=alice)
    rulemaking.save(means(about="sex", text="woman", value="F", state="KANO"), by=alice)
    deliver("patients-2026-11-21.csv", TYPOS.replace(",F,", ",woman,"))
    night()
    assert parked(reasons__contains=["FACILITY_NOT_FOUND", "ENUM:sex"]).count() == 5
    assert not RuleUse.objects.exists()


def test_the_preview_tells_what_is_freed_and_leaves_no_trace(kuje, alice):
    deliver("patients-2026-11-21.csv", TYPOS.replace("1990-01-02", "1990-01-02x"))
    night()
    before = (digest(), IngestBatch.objects.count(), parked().count())
    found = rulemaking.preview(means(kuje), by=alice)
    assert (found.waiting, found.freed, found.still) == (5, 4, {"TYPE_INVALID:dob": 1})
    assert (digest(), IngestBatch.objects.count(), parked().count()) == before
    assert not Rule.objects.exists()


def test_taking_a_rule_back_parks_exactly_its_rows_again(kuje, alice):
    deliver("patients-2026-11-21.csv", TYPOS)
    night()
    before = digest()
    rule = rulemaking.save(means(kuje), by=alice)
    rulemaking.apply(rule, by=alice)
    deliver("patients-b-2026-11-22.csv", TYPOS.replace("Zainab", "Hauwa"))
    night()
    deliver(
        "patients-c-2026-11-22.csv", TYPOS.replace("Zainab", "Right").replace("Kuje Gen Hosp", "Kuje General Hospital")
    )
    night()
    assert rulemaking.take_back(rule, why="It is another hospital.", by=alice) == 10
    assert parked(reasons=["FACILITY_NOT_FOUND"]).count() == 10
    assert Patient.objects.filter(first_name="Right").count() == 5
    assert not Patient.objects.filter(first_name__in=["Zainab", "Hauwa"]).exists()
    assert len(digest()[1]) == len(before[1]) + 5
    rulemaking.apply(rulemaking.save(means(kuje), by=alice), by=alice)
    assert Patient.objects.filter(first_name__in=["Zainab", "Hauwa"]).count() == 10


def test_what_the_rule_only_changed_is_as_it_was_before(kuje, alice):
    rule = rulemaking.save(means(kuje), by=alice)
    deliver("patients-2026-11-21.csv", PATIENTS + "Kuje Gen Hosp,Musa,Bello,M,1988-05-05,08035555555,FCT\n")
    before = digest()
    night()
    assert Patient.objects.get(first_name="Musa").phone == "+2348035555555"
    rulemaking.take_back(rule, why="No.", by=alice)
    assert digest() == before
    assert parked().count() == 1


def test_rows_that_others_rest_on_are_not_taken_back(kuje, alice):
    rule = rulemaking.save(means(kuje), by=alice)
    deliver("patients-2026-11-21.csv", TYPOS)
    deliver(
        "triage_visits-2026-11-21.csv",
        FILES["triage_visits"].split("\n")[0] + "\nKuje General Hospital,Zainab,Umar1,3,x,,,\n",
    )
    night()
    before = digest()
    with pytest.raises(reverting.Obstructed) as raised:
        rulemaking.take_back(rule, why="No.", by=alice)
    patient = Patient.objects.get(last_name="Umar1")
    assert [(o.table, o.object_id, o.what) for o in raised.value.obstacles] == [
        ("patients", patient.pk, "has 1 visits")
    ]
    assert digest() == before
    assert not Rule.objects.get().ended_at


def test_a_newer_version_ends_the_older_and_each_keeps_its_own_rows(kuje, alice):
    clinic = Facility.objects.get(name="Ikeja Clinic")
    first = rulemaking.save(means(clinic), by=alice)
    deliver("patients-2026-11-21.csv", TYPOS.replace(",FCT", ","))
    night()
    second = rulemaking.save(means(kuje, replaces=first), by=alice)
    deliver("patients-2026-11-22.csv", TYPOS.replace(",FCT", ",").replace("Zainab", "Hauwa"))
    night()
    assert (second.version, second.replaces) == (2, first)
    assert [clinic.patients.count(), kuje.patients.count()] == [6, 7]
    rulemaking.take_back(first, why="It was wrong.", by=alice)
    assert [clinic.patients.count(), kuje.patients.count()] == [1, 12], "tried again, they come in by the second"


def test_a_rule_that_is_over_applies_no_more(kuje, alice):
    rule = rulemaking.save(means(kuje, expires_on=timezone.localdate() + timedelta(days=9)), by=alice)
    Rule.objects.filter(pk=rule.pk).update(expires_on=date(2026, 1, 1))
    deliver("patients-2026-11-21.csv", TYPOS)
    night()
    assert parked().count() == 5


def test_a_load_that_began_before_the_rule_is_caught_up_with(kuje, alice):
    deliver("patients-2026-11-21.csv", TYPOS)
    night()
    rulemaking.save(means(kuje), by=alice)
    night()
    assert not parked().exists()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"about": "state", "text": "Kano State", "value": "LAGOS"}, "understood without a rule"),
        ({"about": "state", "text": "Kanoo", "value": "Atlantis"}, "36 states"),
        ({"about": "lga", "text": "Ikeja GRA", "value": "Ikeja"}, "Choose the state"),
        ({"about": "lga", "text": "Ikeja GRA", "value": "Kuje", "state": "LAGOS"}, "an LGA of that state"),
        ({"about": "sex", "text": "male", "value": "F"}, "understood"),
        ({"about": "diagnosis", "text": "HTN", "value": "htn"}, "means itself"),
        ({"about": "facility", "text": "X"}, "Choose the facility"),
        ({"about": "sex", "text": " \u200b", "value": "F"}, "Give the text"),
        ({"about": "sex", "text": "girl", "value": "F", "expires_on": date(2020, 1, 1)}, "over already"),
    ],
)
def test_rules_that_make_no_sense_are_refused(alice, said, why):
    with pytest.raises(NotPossible, match=why):
        rulemaking.save(Proposal(**said), by=alice)


def test_there_is_one_answer_to_one_text(alice):
    rulemaking.save(means(about="sex", text="girl", value="F"), by=alice)
    with pytest.raises(NotPossible, match="already"):
        rulemaking.save(means(about="sex", text="GIRL", value="M"), by=alice)


def test_a_states_steward_rules_in_that_state_only(kuje):
    kano = User.objects.create_user("kano")
    kano.memberships.create(role="steward", state="KANO")
    with pytest.raises(NotPossible, match="a state of yours"):
        rulemaking.save(means(about="sex", text="girl", value="F"), by=kano)
    rulemaking.save(means(about="sex", text="girl", value="F", state="KANO"), by=kano)
    rulemaking.save(means(about="sex", text="boy", value="M", source="kano/patients-*.csv"), by=kano)
