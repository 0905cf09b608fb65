"""Visits whose level and vital signs disagree: all that were planted, for who may see them."""

import random
from datetime import date, timedelta

import pytest
from django.utils import timezone

from clinical import scores, vital_readings
from clinical.models import SecondLook, TriageVisit
from clinical.scores import second_look
from clinical.scores.scoring import Name
from clinical.vitals import parse
from tests.callers import codes
from tests.places import caller, kept
from tests.rows import facility, lagos, patient, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
ILL = "BP 82/50, HR 134, RR 30, T 39.5, SpO2 89% on 5L O2, AVPU: V"
WELL = "BP 120/80, HR 70, RR 16, T 37.0, SpO2 98% RA, AVPU: A"


@pytest.fixture(scope="module")
def places(django_db_setup, django_db_blocker):
    with kept(django_db_blocker) as places:
        yield places


def drawn(draw):
    """Signs as they may be: of the well and the ill, some of them not written down."""
    said = [
        f"BP {draw.randint(75, 225)}/{draw.randint(30, 70)}",
        f"HR {draw.randint(35, 150)}",
        f"RR {draw.randint(7, 32)}",
        f"T {draw.randint(345, 400) / 10}",
        f"SpO2 {draw.randint(85, 100)}% {draw.choice(['RA', 'on 2L O2'])}",
        f"AVPU: {draw.choice('AAAAVPU')}",
    ]
    return ", ".join(one for one in said if draw.random() < draw.choice([0.7, 1]))


def test_planted_under_triage_is_found_to_the_last():
    whose, planted = patient(), []
    for number in range(60):
        signs = (80 + number % 10, 131 + number, 25 + number % 9, 85 + number % 6)
        text = "BP {}/50, HR {}, RR {}, T 39.5, SpO2 {}% RA, AVPU: A".format(*signs)
        planted.append(visit(whose, DAY, 3 + number % 3, vital_signs=text).pk)
        visit(whose, DAY, 1 + number % 2, vital_signs=text)
    vital_readings.read_due()
    assert [*SecondLook.objects.filter(kind="under").order_by("id").values_list("id", flat=True)] == planted


def test_the_list_is_what_the_rules_say_of_each_visit():
    draw, whose = random.Random(8), patient()
    for _ in range(300):
        visit(whose, DAY, draw.randint(1, 5), vital_signs=drawn(draw) or None)
    vital_readings.read_due()
    expected = {}
    for one in TriageVisit.objects.exclude(vital_signs=None):
        for score in scores.all_scores(scores.inputs_of(parse(one.vital_signs).signs), 36):
            if score.name == Name.NEWS2 and (rule := second_look.look(one.triage_level, score)):
                expected[one.pk] = (rule.name, rule.kind, score.minimum, score.maximum, [*score.missing], [*score.reds])
    found = SecondLook.objects.values_list("id", "rule", "kind", "minimum", "maximum", "missing", "reds")
    assert {pk: tuple(rest) for pk, *rest in found} == expected
    assert len({rule for rule, *_ in expected.values()}) == len(second_look.RULES)


def test_children_deleted_and_restricted_visits_are_not_listed():
    visit(patient(dob=date(2015, 1, 1)), DAY, 5, vital_signs=ILL)
    visit(patient(), DAY, 5, vital_signs=ILL, deleted_at=timezone.now())
    visit(patient(restricted_at=timezone.now()), DAY, 5, vital_signs=ILL, restricted_at=timezone.now())
    vital_readings.read_due()
    assert not SecondLook.objects.exists()


def test_a_corrected_level_is_seen_at_once():
    one = visit(patient(), DAY, 5, vital_signs=ILL)
    vital_readings.read_due()
    TriageVisit.objects.filter(pk=one.pk).update(triage_level=1)
    assert not SecondLook.objects.exists()


# --- The API


def test_the_api_counts_by_facility_and_by_hour(places):
    steward, at = caller("steward", "nation", places["own"]), facility(state="OYO", lga="Iseyin")
    whose = patient(at)
    for hour, level, text in ((9, 4, ILL), (9, 5, ILL), (14, 1, WELL)):
        visit(whose, DAY, level, vital_signs=text, visited_at=lagos(DAY, hour))
    visit(whose, DAY, 5, vital_signs=ILL, time_is_estimated=True)
    vital_readings.read_due()
    told = steward.get("/api/triage-second-look", {"state": "OYO", "ordering": "-minimum"}).json()
    assert told["count"] == 4
    assert told["by_facility"] == [{"facility_id": at.pk, "under": 3, "over": 1}]
    assert told["by_hour"] == [
        {"hour": 9, "under": 2, "over": 0},
        {"hour": 14, "under": 0, "over": 1},
        {"hour": None, "under": 1, "over": 0},
    ]
    assert "no advice at the bedside" in told["notice"]
    assert "a date of birth is estimated" in told["notice"]
    assert told["results"][0]["rule"] == "NEWS2 of 7 or more"
    assert told["results"][0]["missing"] == []
    day_after = (DAY + timedelta(days=1)).isoformat()
    assert steward.get("/api/triage-second-look", {"state": "OYO", "visited_after": day_after}).json()["count"] == 0
    assert steward.get("/api/triage-second-look", {"state": "OYO", "kind": "over"}).json()["count"] == 1


def test_the_list_is_given_as_a_csv(places):
    answer = caller("steward", "nation", places["own"]).get("/api/triage-second-look", {"format": "csv"})
    head, *lines = b"".join(answer.streaming_content).decode("utf-8-sig").splitlines()
    assert head.startswith("id,patient_id,facility_id,triage_level,visited_at")
    assert len(lines) == 4


def test_one_visit_tells_its_values_and_scores(places):
    own = places["own"]
    told = caller("clinician", "facility", own).get(f"/api/triage-visits/{own.things['visit'].pk}/vitals").json()
    assert [value["name"] for value in told["values"]][:3] == ["systolic", "diastolic", "pulse"]
    kept = told["values"][4]
    assert (kept["name"], kept["code"], kept["value"], kept["unit"]) == ("temperature", "8310-5", 37.0, "Cel")
    assert (kept["coded"], kept["written"], kept["flag"]) == (None, "T 37.0", None)
    assert told["leftover"] == "Zqveil"
    assert [score["score"] for score in told["scores"]] == ["NEWS2", "qSOFA", "shock index", "MAP"]
    assert (told["age_is_estimated"], told["parser_version"]) == (False, 1)
    assert told["read_at"] is not None


def test_who_sees_visits_masked_sees_nothing_that_was_read_out_of_them(places):
    analyst = caller("analyst", "nation", places["own"])
    for address in ("triage-second-look", f"triage-visits/{places['own'].things['visit'].pk}/vitals"):
        assert analyst.get(f"/api/{address}").status_code == 403


def test_an_unknown_kind_is_refused(places):
    answer = caller("steward", "nation", places["own"]).get("/api/triage-second-look", {"kind": "some"})
    assert codes(answer) == [("invalid_choice", "kind")] or answer.status_code == 400


# --- The desk


def test_the_desk_lists_them_and_says_what_it_is_not(desk):
    one = visit(patient(), DAY, 5, vital_signs=ILL)
    vital_readings.read_due()
    page = desk.get("/admin/clinical/secondlook/").content.decode()
    assert "no advice at the bedside" in page
    assert f"/admin/clinical/triagevisit/{one.pk}/change/" in page
    assert "<strong>1</strong> under-triage" in page


def test_a_visits_page_shows_what_was_read(desk):
    one = visit(patient(), DAY, 5, vital_signs=f"{ILL}; <b>pale</b>")
    page = desk.get(f"/admin/clinical/triagevisit/{one.pk}/change/").content.decode()
    assert "systolic: <strong>82 mmHg</strong>" in page
    assert "NEWS2: <strong>19</strong>" in page
    assert "&lt;b&gt;pale&lt;/b&gt;" in page
