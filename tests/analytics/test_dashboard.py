"""The dashboard: its figures against API, SQL and the slow answers; whose they are; what it says of little."""

import csv
import re
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from itertools import product

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from analytics import dictionary, marts, metrics
from analytics.dashboard import cells
from analytics.dashboard.page import ONE
from analytics.history import MartState
from clinical.models import AuditEvent
from clinical.months import last_month
from clinical.values import LAGOS
from tests import rows
from tests.analytics import slow_answers
from tests.callers import Caller

pytestmark = pytest.mark.django_db
PAGE = {"Accept": "text/html"}
DAYS = 90
OWN = 150_000  # bytes


@pytest.fixture
def country():
    """Facilities, people and events of many kinds, and their marts; what is known of the marts says so."""
    today = timezone.localdate()
    rows.make_many(7, today)
    marts.refresh(is_forced=True)
    return slow_answers.Rows(today)


@pytest.fixture
def few():
    """One patient at a clinic of Kano, with visits of three days; one of Lagos with one."""
    today = timezone.localdate()
    people = [
        rows.patient(rows.facility(name=f"{state} Clinic", state=state, lga=lga, lga_name=lga))
        for state, lga in (("KANO", "Dala"), ("LAGOS", "Ikeja"))
    ]
    for back in range(3):
        rows.visit(people[0], today - timedelta(days=back), 2, conditions=["Malaria"])
    rows.visit(people[1], today, 4, conditions=["Lassa fever"])
    marts.refresh(is_forced=True)
    return people


class Tables(HTMLParser):
    """Each figure's table: its rows of texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self.figure, self.cell = "", None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "figure":
            self.figure = dict(attrs)["id"]
            self.found[self.figure] = []
        elif tag == "tr" and self.figure:
            self.found[self.figure].append([])
        elif tag in ("th", "td") and self.figure:
            self.cell = ""

    def handle_endtag(self, tag):
        if tag == "figure":
            self.figure = ""
        elif tag in ("th", "td") and self.cell is not None:
            self.found[self.figure][-1].append(" ".join(self.cell.split()))
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data


def page(caller, query=""):
    answer = caller.get(f"/dashboard{query}", **PAGE)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def tables(caller, query=""):
    return Tables(page(caller, query)).found


def file(caller, name, query=""):
    answer = caller.get(f"/dashboard/{name}.csv{query}")
    assert answer.status_code == 200, answer.content
    return [*csv.reader(answer.content.decode("utf-8-sig").splitlines())]


def says(text, figure):
    return " ".join(re.search(rf'id="{figure}".*?class="says">(.*?)</p>', text, re.DOTALL)[1].split())


def number(text):
    return Decimal(text.replace(",", ""))


def query(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


# --- The same figures everywhere


def test_visits_of_each_day_are_those_of_the_api_the_mart_and_the_slow_answer(country):
    steward = Caller(("steward",))
    first = country.today - timedelta(days=DAYS - 1)
    slow = {
        line["day"].isoformat(): (line["total_visits"], line["critical_count"], line["ma_7_day_visits"])
        for line in slow_answers.triage_trends(country)
        if line["state"] == "ALL" and line["day"] >= first
    }
    found = tables(steward)["visits"][1:]
    assert {line[0]: (int(number(line[1])), int(number(line[3])), number(line[2])) for line in found} == slow
    api = steward.rows(
        "/api/analytics/triage-trends", {"state": "ALL", "date_from": first.isoformat(), "per_page": 1000}
    )
    assert {line["day"]: line["total_visits"] for line in api} == {day: counts[0] for day, counts in slow.items()}
    ((total,),) = query(f"SELECT sum(total_visits) FROM bi.triage_trends WHERE state = 'ALL' AND day >= '{first}'")
    assert says(page(steward), "visits").startswith(f"{total:,} visits in the last 90 days in Nigeria")


def test_conditions_are_those_of_the_mart_and_of_the_slow_answer(country):
    first = (country.today - timedelta(days=DAYS - 1)).replace(day=1)
    slow = Counter()
    for line in slow_answers.condition_analysis(country):
        if line["month"] >= first:
            slow[line["condition"]] += line["occurrence_count"]
    found = tables(Caller(("steward",)))["conditions"][1:]
    assert {line[0]: int(number(line[1])) for line in found} == dict(slow)


def test_patients_by_age_and_sex_are_those_who_are_stored(country):
    slow = Counter((line["age_group"], line["sex"]) for line in slow_answers.stg_patients(country))
    lines = tables(Caller(("steward",)))["patients"][1:]
    sexes = ("M", "F", "Other", "Unknown")
    found = {
        (line[0].partition(" ")[0], sex): int(number(cell))
        for line in lines
        for sex, cell in zip(sexes, line[1:], strict=True)
    }
    assert +Counter(found) == slow


def test_facilities_are_those_of_the_api(country):
    steward = Caller(("steward",))
    api = steward.rows("/api/analytics/facility-performance", {"ordering": "facility_name"})
    expected = [(line["facility_name"], line["visits_30d"], line["volume_category"]) for line in api]
    found = file(steward, "facilities", "?sort=facility_name")[1:]
    assert sorted((line[0], int(line[5]), line[2]) for line in found) == sorted(expected)
    shown = tables(steward, "?sort=facility_name")["facilities"][1:]
    assert [line[0] for line in shown] == [line[0] for line in found]


def test_the_map_tells_the_visits_of_each_state(country):
    first = country.today - timedelta(days=DAYS - 1)
    slow = Counter(
        country.facilities[visit["facility_id"]]["state"]
        for visit in country.visits
        if first <= visit["day"] <= country.today
    )
    found = tables(Caller(("steward",)))["places"][1:]
    assert +Counter({line[0].upper(): int(number(line[1])) for line in found}) == slow


def test_what_is_counted_from_rows_is_what_the_mart_of_the_state_says(country):
    """A steward of an LGA that is all of a state's facilities sees the state's figures, without its mart."""
    state, lga = Caller(("steward", {"state": "KANO"})), Caller(("steward", {"state": "KANO", "lga": "Dala"}))
    whole, part = tables(state), tables(lga)
    for name in ("visits", "conditions", "severity", "patients", "categories", "places"):
        assert _folded(part[name]) == _folded(whole[name]), name


def _folded(lines):
    """A condition is shown in the spelling that is most frequent where one looks."""
    return [[cell.lower() for cell in line] for line in lines]


def test_a_csv_is_the_table_of_its_figure(country):
    steward = Caller(("steward",))
    shown = tables(steward)
    for name in ONE:
        told = [[cell.replace(",", "") for cell in line] for line in file(steward, name)]
        plain = [[cell.replace(",", "").replace("\N{EN DASH}", "") for cell in line] for line in shown[name]]
        assert len(told) == len(plain) > 1
        for one, other in zip(plain[1:], told[1:], strict=True):
            assert [_rounded(cell) for cell in one] == [_rounded(cell) for cell in other], name


def _rounded(cell):
    return round(float(cell), 1) if re.fullmatch(r"-?\d+(\.\d+)?", cell) else cell


# --- Filters


def test_a_state_a_facility_and_days_narrow_the_figures(few):
    steward = Caller(("steward",))
    kano, today = few[0].facility_id, timezone.localdate()
    assert says(page(steward, "?state=kano"), "visits").startswith("3 visits in the last 90 days in Kano")
    assert says(page(steward, f"?facility_id={kano}"), "visits").startswith(
        "3 visits in the last 90 days in KANO Clinic"
    )
    one = says(page(steward, f"?date_from={today}&date_to={today}"), "visits")
    assert one.startswith(f"2 visits from {today:%-d %B %Y} to")
    assert "4 visits of " in says(page(steward), "visits") or "4 visits in" in says(page(steward), "visits")


def test_a_condition_is_counted_by_month_whatever_its_spelling(few):
    found = tables(Caller(("steward",)), "?condition=MALARIA")
    assert sum(int(line[1]) for line in found["visits"][1:]) == 3
    assert [line[0] for line in found["conditions"][1:]] == ["Malaria"]
    assert {line[0]: line[1] for line in found["places"][1:]} == {"Kano": "3", "Lagos": "0"}


@pytest.mark.parametrize("place", ["", "&state=KANO", "&facility_id={facility}"])
def test_all_figures_of_a_condition_count_the_same_days(few, place):
    middle = last_month(timezone.localdate()).replace(day=15)
    for day in (middle.replace(day=2), middle, middle.replace(day=27)):
        rows.visit(few[0], day, 2, conditions=["Malaria"])
    marts.refresh(is_forced=True)
    query = f"?date_from={middle}&date_to={middle}&condition=Malaria" + place.format(facility=few[0].facility_id)
    text = page(Caller(("steward",)), query)
    found = Tables(text).found
    names = {"visits", "places", "conditions"} & found.keys()
    assert len(names) >= 2
    assert {name: sum(int(line[1]) for line in found[name][1:]) for name in names} == dict.fromkeys(names, 3)
    assert f"1 {middle:%B %Y} to 3" in text
    assert "whole months" in text


def test_a_long_time_is_cut_into_weeks_or_months(few):
    steward = Caller(("steward",))
    for years in (1, 5):
        first = timezone.localdate() - timedelta(days=365 * years)
        lines = tables(steward, f"?date_from={first}")["visits"][1:]
        assert sum(int(line[1]) for line in lines) == 4
        assert len(lines) < 60


REFUSED = (
    *("stat=KANO", "facility_id=x", "date_from=yesterday", "date_from=2026-02-02&date_to=2026-01-01", "sort=id"),
    *("map=heat", "page=0", "state=KANO&state=EDO", "date_from=1900-01-01", "condition=%00", "date_to=9999-12-31"),
)


def test_what_cannot_be_read_is_refused_in_words_and_in_codes(db):
    steward = Caller(("steward",))
    for text in REFUSED:
        answer = steward.get(f"/dashboard?{text}", **PAGE)
        assert answer.status_code == 400, text
        assert "cannot be read" in answer.content.decode()
        assert steward.get(f"/dashboard?{text}").json()["errors"]
        assert steward.get(f"/dashboard/visits.csv?{text}").status_code == 400


def test_a_facility_that_there_is_not_and_a_figure_that_there_is_not_are_absent(few):
    lagos = Caller(("clinician", {"state": "LAGOS"}))
    assert lagos.get(f"/dashboard?facility_id={few[0].facility_id}", **PAGE).status_code == 404
    assert lagos.get("/dashboard/heat.csv").status_code == 404


# --- Whose figures they are


def test_every_role_with_a_right_to_analytics_sees_its_own_scope(few):
    places = ({"state": "LAGOS"}, {"state": "LAGOS", "lga": "Ikeja"}, {"facility": few[1].facility})
    for role, where in product(("steward", "clinician", "clerk", "analyst", "service"), places):
        text = page(Caller((role, where)))
        assert "LAGOS Clinic" in text
        assert "KANO Clinic" not in text
        assert "Malaria" not in text
        assert 'value="KANO"' not in text
        assert says(text, "visits").startswith("1 visit in the last 90 days")


def test_others_are_turned_away(few):
    assert Caller(("auditor",)).get("/dashboard", **PAGE).status_code == 403
    assert Caller().get("/dashboard").status_code == 403
    answer = Client().get("/dashboard?state=KANO", headers=PAGE)
    assert answer["Location"].startswith("/admin/login/?next=/dashboard")
    assert Client().get("/dashboard").status_code == 401


def test_an_analyst_is_shown_no_small_number(country):
    analyst = Caller(("analyst",))
    for line in tables(analyst)["patients"][1:] + tables(analyst)["conditions"][1:]:
        counts = [cell for cell in line[1:2] if re.fullmatch(r"\d+", cell)]
        assert not [count for count in counts if 0 < int(count) < 8]
    facility = next(f["id"] for f in country.facilities.values() if not f["deleted_at"])
    assert "<8" not in {
        cell for line in file(Caller(("steward",)), "patients", f"?facility_id={facility}") for cell in line
    }


@pytest.mark.parametrize("place", ["?state=KANO", "?facility_id={facility}"])
def test_no_smaller_place_gives_an_analyst_what_a_larger_one_hides(few, place):
    """By the people of a part, or by its visits with a condition, the rest would follow from the whole."""
    analyst, facility = Caller(("analyst",)), few[0].facility_id
    query = f"{place.format(facility=facility)}&condition=Malaria"
    told = {"patients", *(("visits", "conditions", "severity") if "facility" in place else ()), "places"}
    for figure in told:
        rows = file(analyst, figure, query)[1:]
        assert rows == [], figure
    assert "of whole states only" in page(analyst, query)
    assert "visits name Malaria" not in page(analyst, query)
    assert len(file(Caller(("steward",)), "visits", query)) > 1


def test_a_hidden_number_is_never_alone():
    hidden, of_columns = cells.table([[3, 20], [9, 30]], is_clear=False)
    assert sum(count is None for line in hidden for count in line) == 4
    assert of_columns == [12, 50]
    assert cells.parts([3, 20, 400], is_clear=False) == [None, None, 400]
    assert cells.table([[3, 20]], is_clear=True) == ([[3, 20]], [3, 20])


def test_who_looks_is_noted_with_the_filters_and_not_with_the_condition(few):
    steward = Caller(("steward",))
    page(steward, "?state=KANO&condition=Malaria")
    file(steward, "visits", "?state=KANO")
    noted = AuditEvent.objects.filter(actor=steward.user, table="dashboard").order_by("id")
    assert [event.details["query"] for event in noted] == [["condition", "state=KANO"], ["state=KANO"]]


# --- When there is little, or not the newest


def test_before_the_first_file_it_says_how_to_deliver_one(db):
    marts.refresh()
    assert "No data yet" in page(Caller(("steward",)))


def test_before_the_first_refresh_it_says_that_the_figures_are_not_made(few):
    MartState.objects.all().delete()
    assert "not made yet" in page(Caller(("steward",)))


def test_an_empty_selection_says_so_in_each_figure(few):
    text = page(Caller(("steward",)), "?state=EDO")
    assert says(text, "visits") == "No visits in the last 90 days in Edo."
    assert text.count("Nothing to draw") >= 6


@pytest.mark.django_db(transaction=True)
def test_a_stale_mart_and_a_failed_one_are_told_of(few):
    steward = Caller(("steward",))
    assert "Not the newest" not in page(steward)
    rows.visit(few[0], timezone.localdate(), 2)
    assert "Newer data has been loaded" in page(steward)
    assert steward.get("/dashboard/visits.csv")["X-Stale"] == "true"
    MartState.objects.filter(mart="triage_trends").update(has_failed=True)
    assert "The last refresh of triage_trends failed" in page(steward)


def test_each_figure_says_of_when_it_is_and_who_reported(few):
    found = re.findall(r'class="trust.*?>(.*?)</p>', page(Caller(("steward",))), re.DOTALL)
    assert len(found) == len(ONE)
    as_of = MartState.objects.get(mart="triage_trends").as_of.astimezone(LAGOS)
    assert f"As of {as_of:%-d %b %Y, %H:%M}" in found[0]
    assert "2 of 2 facilities reported" in found[0]


# --- The page itself


def test_a_page_of_our_own_is_light(country):
    for query_ in ("", f"?date_from={timezone.localdate() - timedelta(days=183)}"):
        text = page(Caller(("steward",)), query_)
        assert len(text.encode()) + _static("dashboard.css") + _static("dashboard.js") < OWN


def _static(name):
    from django.contrib.staticfiles import finders

    with open(finders.find(f"analytics/{name}"), "rb") as found:
        return len(found.read())


def test_every_table_has_a_caption_and_every_picture_a_name(country):
    text = page(Caller(("steward",)))
    assert text.count("<table>") == text.count("<caption>")
    assert not re.findall(r"<th(?! scope|ead)", text)
    for picture in re.findall(r"<svg[^>]*>", text):
        assert "aria-label" in picture or 'aria-hidden="true"' in picture
    assert " style=" not in text


def test_who_may_not_go_to_the_desk_is_sent_to_the_dashboard(few):
    assert Caller(("clinician",)).get("/", **PAGE)["Location"] == "/dashboard"
    steward = Caller(("steward",))
    steward.user.is_staff = True
    steward.user.save()
    assert steward.get("/", **PAGE)["Location"] == "/admin/"
    assert Caller(("auditor",)).get("/", **PAGE)["Location"] == "/admin/"


# --- The metric catalogue


def test_a_metric_means_in_the_database_what_the_catalogue_says():
    comments = {
        (entry.name, column.name): column.comment
        for entry in dictionary.read()
        if entry.schema == "marts"
        for column in entry.columns
    }
    assert {(r, c): one.meaning for r, c, one in metrics.columns()}.items() <= comments.items()
    known = {(entry.name, column.name) for entry in dictionary.read() for column in entry.columns}
    for one in metrics.METRICS.values():
        assert {tuple(place.split(".")) for place in one.read_from} <= known


def test_the_api_describes_its_fields_in_the_words_of_the_catalogue():
    schemas = Caller(("steward",)).get("/api/schema").json()["components"]["schemas"]
    bodies = {"triage_trends": "TrendBody", "facility_performance": "FacilityPerformanceBody",
              "dim_facilities": "FacilityDimensionBody", "condition_analysis": "ConditionBody"}  # fmt: skip
    for relation, column, one in metrics.columns():
        if relation in bodies:
            name = next(name for name in schemas if name in (bodies[relation], bodies[relation].removesuffix("Body")))
            assert schemas[name]["properties"][column]["description"] == one.meaning, column
    for field in ("patient_count", "record_count", "triage_count", "avg_triage_level"):
        assert schemas["FacilityLine"]["properties"][field]["description"] == metrics.answered(field)


def test_the_dashboard_uses_metrics_of_the_catalogue_and_the_page_explains_each(few):
    steward = Caller(("steward",))
    told = steward.get("/api/docs/metrics", **PAGE).content.decode()
    for one in metrics.METRICS.values():
        assert f'id="{one.name}"' in told
    listed = steward.get("/api/docs/metrics").json()
    assert [line["name"] for line in listed] == [*metrics.METRICS]
    heads = re.findall(r'<th scope="col"[^>]*title="(.*?)"', page(steward))
    assert {head.replace("&#x27;", "'").replace("&gt;", ">").replace("&lt;", "<") for head in heads} <= {
        one.meaning for one in metrics.METRICS.values()
    }
