"""`?as_of=`: figures as published that day, whatever is loaded, deleted, moved or merged afterwards."""

from datetime import date, timedelta

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from analytics import marts, publishing
from analytics.history import MartState
from analytics.publications import Publication
from clinical import merging
from clinical.models import Facility, TriageVisit
from ingestion.models import IngestRun, Kind
from tests.callers import Caller, codes
from tests.rows import facility, patient, record, stand_at, visit

pytestmark = pytest.mark.django_db
FIRST = date(2026, 11, 20)
PATHS = ("facility-stats", "facilities", "facility-performance", "triage-trends", "condition-analysis")


def publish(day, **options):
    stand_at(day)
    marts.refresh()
    return publishing.publish(**options)


@pytest.fixture(scope="module")
def kept_country(django_db_setup, django_db_blocker):
    """Published once for all tests; what each of them changes is taken back."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield published_country()
        transaction.set_rollback(True)


@pytest.fixture
def country(kept_country):
    return kept_country


def published_country():
    places = {
        "dala": facility(name="Dala", state="KANO", lga="Dala", lga_name="Dala"),
        "ikeja": facility(name="Ikeja", state="LAGOS", lga="Ikeja", lga_name="Ikeja"),
        "agege": facility(name="Agege", state="LAGOS", lga="Agege", lga_name="Agege"),
        "empty": facility(name="Empty", state="LAGOS", lga="Agege", lga_name="Agege"),
    }
    people = [patient(place) for place in (places["dala"], places["ikeja"], places["agege"])]
    for number, whose in enumerate(people):
        for _ in range(3 + 3 * number):
            visit(whose, FIRST - timedelta(days=number), 2, conditions=["Fever"])
        record(whose, FIRST)
    publish(FIRST)
    return places, people


def change_everything(places, people):
    for _ in range(5):
        visit(people[0], FIRST + timedelta(days=2), 1, conditions=["Cough", "Fever"])
    TriageVisit.objects.filter(patient=people[1]).update(deleted_at="2026-11-21T10:00:00Z")
    Facility.objects.filter(pk=places["empty"].pk).update(deleted_at="2026-11-21T10:00:00Z")
    Facility.objects.filter(pk=places["ikeja"].pk).update(state="OYO")
    publish(FIRST + timedelta(days=2))
    visit(people[0], FIRST + timedelta(days=3), 1)
    publish(FIRST + timedelta(days=3))


def answers(caller, day, **query):
    found = []
    for path in PATHS:
        response = caller.get(f"/api/analytics/{path}", {"as_of": day.isoformat()} | query)
        assert response.status_code == 200, (path, response.content)
        found.append(response.content)
    return found


def test_figures_of_a_day_are_the_same_bytes_whatever_comes_later(country):
    callers = [Caller((role,)) for role in ("steward", "analyst")]
    callers += [Caller(("steward", {"state": state})) for state in ("LAGOS", "OYO")]
    before = [answers(caller, FIRST) for caller in callers]
    change_everything(*country)
    assert [answers(caller, FIRST) for caller in callers] == before
    assert answers(callers[0], FIRST + timedelta(days=2)) != before[0]


@pytest.mark.parametrize("path", PATHS)
def test_on_its_day_a_publication_says_what_the_mart_says(country, path):
    steward = Caller(("steward",))
    now = steward.get(f"/api/analytics/{path}").json()
    then = steward.get(f"/api/analytics/{path}", {"as_of": FIRST.isoformat()}).json()
    assert then.pop("stale") is False
    now.pop("stale")
    assert then == now


@pytest.mark.parametrize("path", PATHS[1:])
def test_a_publication_is_walked_ordered_and_read_as_a_file_like_the_mart(country, path):
    steward = Caller(("steward",))
    query = {"as_of": FIRST.isoformat(), "ordering": "-state", "per_page": "1", "cursor": ""}
    walked, link = [], steward.get(f"/api/analytics/{path}", query)
    while link:
        answer = (link if not isinstance(link, str) else steward.get(link)).json()
        walked += answer["results"]
        link = answer["next"]
    whole = steward.rows(f"/api/analytics/{path}", {"as_of": FIRST.isoformat(), "ordering": "-state"})
    assert walked == whole
    file = steward.get(f"/api/analytics/{path}", {"as_of": FIRST.isoformat(), "format": "ndjson"})
    assert len(b"".join(file.streaming_content).splitlines()) == len(whole)
    assert file["X-Stale"] == "false"


def test_a_day_without_a_publication_names_the_nearest_one_before_it(country):
    steward = Caller(("steward",))
    for day, said in ((FIRST + timedelta(days=1), str(FIRST)), (FIRST - timedelta(days=1), "nor on any day")):
        refused = steward.get("/api/analytics/facility-stats", {"as_of": day.isoformat()})
        assert (refused.status_code, codes(refused)) == (404, [("not_published", None)])
        assert said in refused.json()["errors"][0]["detail"]


def test_of_patients_and_events_nothing_is_published(country):
    for path in ("patients", "patient-summary", "medical-records", "triage-visits"):
        refused = Caller(("steward",)).get(f"/api/analytics/{path}", {"as_of": FIRST.isoformat()})
        assert (refused.status_code, codes(refused)) == (400, [("not_published", "as_of")])


def test_the_scope_is_that_of_the_places_as_they_were(country):
    change_everything(*country)

    def names(**scope):
        rows = Caller(("clinician", scope)).rows("/api/analytics/facilities", {"as_of": FIRST.isoformat()})
        return [row["facility_name"] for row in rows]

    assert names(state="LAGOS") == ["Ikeja", "Agege", "Empty"]
    assert names(state="OYO") == []
    assert names(state="LAGOS", lga="Agege") == ["Agege", "Empty"]
    assert names(facility_id=country[0]["ikeja"].pk) == ["Ikeja"]


def test_small_numbers_stay_hidden_as_they_were(country):
    query = {"as_of": FIRST.isoformat()}
    answer = Caller(("analyst",)).get("/api/analytics/condition-analysis", query).json()
    assert {row["occurrence_count"] for row in answer["results"] if row["suppressed"]} == {None}
    assert answer["trust"]["suppressed_cells"] == sum(row["suppressed"] for row in answer["results"]) > 0


def test_the_trust_of_that_day_is_kept_for_the_nation_and_each_state(country):
    def trust(caller, **query):
        return caller.get("/api/analytics/facility-stats", {"as_of": FIRST.isoformat()} | query).json()["trust"]

    steward = Caller(("steward",))
    assert trust(steward)["reporting"] == {"facilities": 3, "reported": 3, "rate_pct": 100.0, "days": 30}
    assert trust(steward, state="Kano")["reporting"]["facilities"] == 1
    assert trust(Caller(("steward", {"state": "LAGOS"})))["reporting"]["facilities"] == 2
    assert trust(Caller(("steward", {"state": "LAGOS"})), state="KANO") is None
    assert trust(steward, facility_id=country[0]["dala"].pk) is None


# --- Publishing


def test_the_second_time_on_a_day_nothing_is_published(country):
    _, people = country
    visit(people[0], FIRST, 1)
    assert publish(FIRST) == []
    assert Publication.objects.count() == 5


def test_only_what_has_changed_is_written(country):
    _, people = country
    visit(people[0], FIRST - timedelta(days=1), 3)
    found = {one.mart: (one.rows, one.changed) for one in publish(FIRST + timedelta(days=1))}
    assert found["dim_facilities"] == (4, 2)
    assert {one.mart: one.digest for one in Publication.objects.filter(day=FIRST)}.keys() == found.keys()


def test_a_mart_that_failed_or_is_of_yesterday_is_not_published_unless_forced(country):
    stand_at(FIRST + timedelta(days=1))
    with pytest.raises(publishing.NotFit, match="not refreshed today"):
        publishing.publish()
    marts.refresh()
    MartState.objects.filter(mart="triage_trends").update(has_failed=True)
    with pytest.raises(publishing.NotFit, match="triage_trends: the last refresh failed"):
        publishing.publish()
    assert len(publishing.publish(is_forced=True)) == 5


def test_the_command_says_what_it_published(country, capsys):
    stand_at(FIRST + timedelta(days=1))
    marts.refresh()
    call_command("publish_marts", "--json")
    assert capsys.readouterr().out.count('"changed"') == 5
    call_command("publish_marts")
    assert "already" in capsys.readouterr().out


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE published.dim_facilities SET total_patients = 9",
        "UPDATE published.dim_facilities SET last_on = first_on - 1",
        "DELETE FROM published.triage_trends",
        "TRUNCATE published.condition_analysis",
        "INSERT INTO published.conditions SELECT 'Ulcer', 1, 1, 1, DATE '2026-11-01'",
        "INSERT INTO published.conditions SELECT 'Ulcer', 1, 1, 1, DATE '2026-11-01', DATE '2026-11-02'",
        "UPDATE published.trust SET trust = '{}'",
        "UPDATE publications SET rows = 0",
        "DELETE FROM publications",
    ],
)
def test_nobody_changes_what_was_published(country, sql):
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_line_that_ends_may_not_end_twice_and_one_place_has_one_open_line(country):
    publish(FIRST + timedelta(days=1))
    ended = "UPDATE published.triage_trends SET last_on = DATE '2026-12-01' WHERE last_on IS NULL AND state = 'ALL'"
    again = "INSERT INTO published.triage_trends SELECT * FROM published.triage_trends WHERE last_on IS NULL LIMIT 1"
    with connection.cursor() as cursor:
        cursor.execute(ended)
        for sql in (ended.replace("IS NULL", "= DATE '2026-12-01'"), again):
            with pytest.raises(IntegrityError), transaction.atomic():
                cursor.execute(sql)


def test_a_merge_leaves_what_was_published(country):
    places, _ = country
    before = answers(Caller(("steward",)), FIRST)
    by = Caller(("steward",)).user
    merging.merge_facilities(places["agege"], places["ikeja"], by=by)
    publish(FIRST + timedelta(days=1))
    assert answers(Caller(("steward",)), FIRST) == before


def night(status, **fields):
    return IngestRun.objects.create(kind=Kind.NIGHTLY, night_on=timezone.localdate(), status=status, **fields)


@pytest.mark.parametrize("state", ["queued", "running", "broken_off"])
def test_a_night_that_is_not_over_is_not_published(db, state):
    visit(patient(), timezone.localdate())
    night(state)
    marts.refresh(is_forced=True)
    assert publishing.after_the_night() == []


def test_no_day_is_published_before_its_night(db):
    marts.refresh(is_forced=True)
    assert publishing.after_the_night() == []


def test_a_night_is_published_once_and_only_when_the_marts_have_seen_it(db):
    stand_at(timezone.localdate())
    run = night("some_rows_refused", finished_at=timezone.now() + timedelta(minutes=5))
    visit(patient(), timezone.localdate())
    assert publishing.after_the_night() == []
    IngestRun.objects.filter(pk=run.pk).update(finished_at=timezone.now())
    assert publishing.after_the_night() == []
    marts.refresh()
    assert {one.mart for one in publishing.after_the_night()} == {*publishing.PARTS}
    assert publishing.after_the_night() == []
