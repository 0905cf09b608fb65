"""Refused rows by what they have in common."""

import pytest

from clinical.models import User
from ingestion import causes, stewards
from ingestion.models import RejectedRow
from tests import scenes
from tests.deliveries import deliver, deliver_all, night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("parked")]
PATIENTS = "facility_name,first_name,last_name,sex,dob,phone,facility_state\n"
VISITS = "facility_name,patient_first_name,patient_last_name,triage_level,chief_complaint,vital_signs,conditions,"
VISITS += "recommendations\n"


def deliver_parked():
    deliver_all()
    rows = "".join(
        f"{name},Zainab,Umar{n},F,1990-01-01,,\n"
        for n, name in enumerate(["Gen. Hosp. Ikeja", "gen.  hosp. IKEJA"] * 3)
    )
    rows += "Kuje General Hospital,A,B,woman,1990-01-01,,\nKuje General Hospital,C,D,woman,1990-01-01x,,\n"
    deliver("patients-more-2026-11-20.csv", PATIENTS + rows)
    deliver("triage_visits-more-2026-11-20.csv", VISITS + "Kuje General Hospital,No,Body,3,x,,,\n")
    night()


@pytest.fixture(scope="module")
def kept_parked(django_db_setup, django_db_blocker):
    with scenes.delivered(django_db_blocker, deliver_parked) as bucket:
        yield bucket


@pytest.fixture
def parked(kept_parked, bucket):
    scenes.copied(kept_parked, bucket)
    return RejectedRow.objects.all()


def test_one_cause_for_one_text_and_those_first_that_free_most(parked):
    found = [(g.reason, g.value, g.total, g.freed) for g in causes.groups(parked)]
    assert found == [
        ("FACILITY_NOT_FOUND", "Gen. Hosp. Ikeja", 6, 6),
        ("ENUM:sex", "woman", 2, 1),
        ("PATIENT_NOT_FOUND", "No Body · Kuje General Hospital", 1, 1),
        ("TYPE_INVALID:dob", "1990-01-01x", 1, 0),
    ]


def test_a_cause_is_found_again_from_each_of_its_rows(parked):
    for row in parked:
        for reason in row.reasons:
            group = causes.of_row(row, reason, parked)
            assert causes.like(row, reason, parked).count() == group.total
            assert group in causes.groups(parked)


def test_only_what_the_steward_may_see_counts(parked):
    kano = User.objects.create_user("kano")
    kano.memberships.create(role="steward", state="KANO")
    assert causes.groups(RejectedRow.objects.visible_to(kano)) == []


def test_settled_rows_are_no_cause_any_more(parked, alice):
    stewards.dismiss(parked, reason="Test data.", by=alice)
    assert causes.groups(parked) == []


def test_somebody_sees_to_it_and_says_so(parked, alice):
    causes.assign(causes.groups(parked)[0], alice, by=alice)
    causes.comment(causes.groups(parked)[0], "Asked the hospital.", by=alice)
    cause = causes.groups(parked)[0].known
    assert cause.assigned_to == alice
    assert [(said.by, said.text) for said in cause.comments.all()] == [(alice, "Asked the hospital.")]


def test_a_rule_can_be_about_some_of_them(parked):
    assert [group.about for group in causes.groups(parked)] == ["facility", "sex", None, None]
    assert causes.rule_about("ENUM:facility_state") == "state"
