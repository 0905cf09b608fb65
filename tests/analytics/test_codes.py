"""Conditions by code: they add up to condition_analysis, and tell analysts nothing that it does not tell them."""

from collections import Counter
from datetime import date

import pytest

from analytics import marts
from analytics.models import ConditionAnalysis, ConditionCode
from clinical.terms import decisions, shipped
from clinical.terms.shipped import Coding, Kind
from tests import rows
from tests.analytics.slow_codes import meaning
from tests.callers import Caller

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
PATHS = ("/api/analytics/condition-analysis", "/api/analytics/condition-codes")


def crowd(condition, count, at=None, **changed):
    whose = rows.patient(at, **changed)
    for _ in range(count):
        rows.visit(whose, DAY, conditions=[condition])


def lines(caller, path):
    found = caller.rows(path, {"per_page": 1000})
    assert len(found) < 1000
    return found


@pytest.fixture
def country():
    rows.stand_at(DAY)
    kano = rows.facility(state="KANO", lga="Dala", lga_name="Dala")
    for at in (kano, None):
        for n, word in enumerate(("Malaria", "malaria fever", "HTN", "Body heat", "? typhoid", "Malaria and HTN")):
            crowd(word, 9 + n, at)
            crowd(word, 3 + n, at, sex="M")
    crowd("Cough", 12)
    rows.refresh_all()


def test_spellings_of_one_meaning_are_one_line_and_nothing_is_lost(country):
    found = {(line.state, line.code): line.occurrence_count for line in ConditionCode.objects.all()}
    assert found["KANO", "B54"] == 9 + 3 + 10 + 4
    assert {code for state, code in found if state == "KANO"} == {"B54", "I10", "unmapped", "qualified", "several"}
    assert sum(found.values()) == sum(ConditionAnalysis.objects.values_list("occurrence_count", flat=True))


def test_what_analysts_are_told_follows_from_condition_analysis(country):
    analyst = Caller(("analyst",))
    analysis, codes = (lines(analyst, path) for path in PATHS)
    told, hidden = Counter(), set()
    for line in analysis:
        _, code, _ = meaning(line["condition"])
        place = line["state"], line["month"], code
        told[place] += line["occurrence_count"] or 0
        if line["suppressed"]:
            hidden.add(place)
    assert hidden
    assert {line["code"] for line in codes if not line["suppressed"]} == {"R05", "several"}
    for line in codes:
        place = line["state"], line["month"], line["code"]
        assert line["suppressed"] == (place in hidden)
        assert line["at_least_count"] == told[place]
        assert line["occurrence_count"] == (None if place in hidden else told[place])


def test_a_clinician_of_the_nation_sees_all_and_one_of_a_state_the_state(country):
    whole = lines(Caller(("clinician",)), PATHS[1])
    assert all(line["occurrence_count"] and not line["suppressed"] for line in whole)
    assert {line["state"] for line in lines(Caller(("clinician", {"state": "KANO"})), PATHS[1])} == {"KANO"}


def test_a_list_is_narrowed_by_code_state_and_month(country):
    clinician = Caller(("clinician",))
    (line,) = clinician.rows(PATHS[1], {"code": "B54", "state": "KANO", "month": "2026-11"})
    assert (line["display"], line["occurrence_count"]) == ("Unspecified malaria", 26)
    assert clinician.rows(PATHS[1], {"code": "B54", "month": "2026-10"}) == []


@pytest.mark.django_db(transaction=True)
def test_a_decision_makes_the_mart_stale_and_a_refresh_makes_it_fresh_again(alice):
    crowd("Coldness", 9)
    marts.refresh()
    assert not marts.states()["condition_codes"].is_stale
    cold = Coding(shipped.ICD10, "J00", "Acute nasopharyngitis [common cold]")
    decisions.decide(Kind.DIAGNOSIS, "coldness", "Coldness", cold, by=alice, reason="as they say here")
    assert marts.states()["condition_codes"].is_stale
    assert not marts.states()["condition_analysis"].is_stale
    marts.refresh()
    assert not marts.states()["condition_codes"].is_stale
    assert ConditionCode.objects.get().code == "J00"
