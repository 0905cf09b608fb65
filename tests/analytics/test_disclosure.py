"""Nothing that is hidden can be computed from what is shown: invented countries, tables, and what an analyst reads."""

import csv
import random
from collections import Counter
from dataclasses import replace
from datetime import date

import pytest
from django.db import connection

from analytics import disclosure, marts, publishing
from analytics.models import ConditionAnalysis
from tests import rows
from tests.analytics import slow_disclosure
from tests.attack_suppression import (
    UNKNOWN,
    Published,
    as_published,
    as_published_before,
    attack,
    attack_days,
    by_contract_alone,
    days_recovered,
    many,
)
from tests.callers import Caller
from tests.suppression import Edge, followed

DAY = date(2026, 11, 10)


def test_no_line_of_invented_countries_can_be_recovered():
    found = many(12, 7, slow_disclosure.hidden)
    assert found.hidden
    assert (found.by_bounds, found.by_network) == (0, 0)
    assert min(found.widths) >= 2


def test_the_attack_recovers_lines_that_the_contracts_rule_alone_hides():
    found = many(12, 7, by_contract_alone)
    assert found.by_bounds
    assert found.by_network


def test_no_line_follows_from_the_publications_of_two_days_and_the_figures_of_today():
    small, recovered = days_recovered(60, 1, as_published)
    assert small
    assert recovered == 0


def test_with_totals_and_shares_two_publications_gave_lines_away():
    assert days_recovered(60, 1, as_published_before)[1]


# --- What an analyst of the nation reads


def counted(counts, condition="Malaria", day=DAY):
    for sex, count in counts.items():
        rows.visits(rows.patient(sex=sex), day, [3] * count, conditions=[condition])


def read():
    rows.stand_at(date(2026, 11, 25))
    rows.refresh_all()
    lines = Caller(("analyst",)).rows("/api/analytics/condition-analysis", {"per_page": 1000})
    return {(line["condition"], line["sex"]): line for line in lines}


@pytest.mark.django_db
def test_lines_that_are_forced_by_their_sum_take_the_next_smallest_along():
    counted({"M": 1, "F": 1, "Other": 20, "Unknown": 30})
    assert {sex: line["occurrence_count"] for (_, sex), line in read().items()} == {
        **dict.fromkeys(("M", "F", "Other")),
        "Unknown": 30,
    }


@pytest.mark.django_db
def test_a_total_that_would_tell_a_lonely_line_is_withheld():
    counted({"M": 3})
    line = read()["Malaria", "M"]
    assert (line["condition_total"], line["frequency_rank"], line["severity_rank"]) == (None, None, None)
    assert ConditionAnalysis.objects.get().condition_total == 3


@pytest.mark.django_db
def test_shares_that_would_tell_a_lonely_line_are_withheld():
    counted({"M": 3})
    counted({"M": 20, "F": 30}, condition="Typhoid")
    found = read()
    assert found["Typhoid", "M"]["occurrence_count"] == 20
    assert {line["share_of_month_pct"] for line in found.values()} == {None}


@pytest.mark.django_db
def test_ranks_leave_no_gap_for_a_condition_whose_total_is_withheld():
    counted({"M": 50, "F": 60}, condition="A")
    counted({"M": 4}, condition="B")
    counted({"M": 1, "F": 1, "Other": 1}, condition="C")
    assert {line["frequency_rank"] for line in read().values()} <= {None, 1}


ANALYSIS = "/api/analytics/condition-analysis"
MONTHS = (9, 10, 11)


def invent(chance):
    """Two states' patients, and visits of three conditions of very different frequency."""
    found = []
    for state, lga in (("LAGOS", "Ikeja"), ("KANO", "Dala")):
        at = rows.facility(state=state, lga=lga)
        found += [rows.patient(at, sex=sex) for sex in ("M", "F")]
    for whose in found:
        for condition, mean in (("A", 12), ("B", 6), ("C", 1)):
            for month in MONTHS:
                levels = [3] * int(chance.expovariate(1 / mean))
                rows.visits(whose, date(2026, month, 5), levels, conditions=[condition])
    return found


def answers(role=("analyst",), **query):
    return Caller(role).rows(ANALYSIS, {"per_page": 1000} | query)


def truth():
    return {_line(line): line["occurrence_count"] for line in ConditionAnalysis.objects.values()}


@pytest.mark.django_db
def test_nothing_of_a_country_follows_from_an_analysts_answers():
    rows.stand_at(date(2026, 11, 25))
    invent(random.Random(3))
    rows.refresh_all()
    told = answers()
    found, known = attack(_published(told)), truth()
    assert found
    assert not [line for line, (low, high) in found.items() if low == high]
    assert all(low <= known[line] <= high for line, (low, high) in found.items())
    assert answers(("analyst", {"state": "KANO"})) == [line for line in told if line["state"] == "KANO"]


@pytest.mark.django_db
def test_nothing_follows_from_what_was_published_on_two_days_and_is_told_today():
    chance = random.Random(3)
    people = invent(chance)
    known = []
    for day in (date(2026, 11, 24), date(2026, 11, 25), date(2026, 11, 26)):
        rows.stand_at(day)
        marts.refresh(is_forced=True)
        known.append(truth())
        publishing.publish()
        for whose in chance.sample(people, 2):
            rows.visits(whose, date(2026, 11, 5), [3] * chance.choice((1, 2, 5)), conditions=[chance.choice("ABC")])
    days = [_published(answers(as_of=f"2026-11-{day}")) for day in (24, 25)] + [_published(answers())]
    assert not any(day.totals or day.shares for day in days[:2])
    hidden = frozenset(line for line, number in days[-1].lines.items() if number is None)
    days = [*(replace(day, unbounded=hidden) for day in days[:2]), days[-1]]
    small = {at: bounds for at, bounds in attack_days(days).items() if known[at[0]][at[1]] <= 7}
    assert len({day for day, _ in small}) == 3
    assert not [at for at, (low, high) in small.items() if low == high]
    assert all(low <= known[day][line] <= high for (day, line), (low, high) in small.items())


@pytest.mark.django_db
def test_a_line_that_is_hidden_today_is_told_of_no_earlier_day():
    rows.stand_at(date(2026, 11, 24))
    counted({"M": 9, "F": 30})
    marts.refresh(is_forced=True)
    publishing.publish()
    earlier = {"as_of": "2026-11-24"}
    assert sorted(line["occurrence_count"] for line in answers(**earlier)) == [9, 30]
    counted({"Other": 1}, condition="malaria")
    marts.refresh(is_forced=True)
    assert sorted(line["occurrence_count"] or 0 for line in answers(**earlier)) == [0, 30]
    assert sorted(line["occurrence_count"] for line in answers(("steward",), **earlier)) == [9, 30]


@pytest.mark.django_db
def test_the_role_of_bi_and_the_dashboard_tell_analysts_lines_and_their_sums():
    rows.stand_at(date(2026, 11, 25))
    invent(random.Random(3))
    rows.refresh_all()
    told = answers()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(GRAIN)}, occurrence_count, condition_total FROM bi.condition_analysis")
        assert sorted(cursor.fetchall(), key=str) == sorted(
            ((*_line(line)[:4], _line(line)[4], line["occurrence_count"], line["condition_total"]) for line in told),
            key=str,
        )
    shown = Counter()
    for line in told:
        shown[line["condition"]] += line["occurrence_count"] or 0
    text = (
        Caller(("analyst",)).get("/dashboard/conditions.csv?date_from=2026-09-01&date_to=2026-11-30").content.decode()
    )
    figures = {line[0]: int(line[1]) for line in [*csv.reader(text.splitlines())][1:]}
    assert figures == {condition: count for condition, count in shown.items() if count}


GRAIN = ("condition", "state", "age_group", "sex", "month")


def _line(row):
    return row["condition"], row["state"], row["age_group"], row["sex"], date.fromisoformat(str(row["month"]))


def _published(answers):
    return Published(
        {_line(row): row["occurrence_count"] for row in answers},
        {row["condition"]: row["condition_total"] for row in answers if row["condition_total"] is not None},
        {_line(row): round(10 * row["share_of_month_pct"]) for row in answers if row["share_of_month_pct"] is not None},
    )


# --- Tables that pages and exports make


@pytest.mark.parametrize(("count", "told"), [(0, "0"), (1, "<8"), (7, "<8"), (8, "8"), (12345, "12,345")])
def test_a_number_that_stands_alone_is_told_unless_it_is_small(count, told):
    assert str(disclosure.shown(count)) == told


def test_a_small_part_takes_others_along_until_no_subtraction_tells_it():
    parts, whole = disclosure.row([3, 40, 50, 0])
    assert [cell.count for cell in parts] == [None, None, 50, 0]
    assert whole.count == 93


def test_a_total_of_a_lonely_small_part_is_withheld():
    parts, whole = disclosure.row([3, 0])
    assert [cell.count for cell in parts] == [None, 0]
    assert whole.suppressed


@pytest.mark.parametrize("seed", range(60))
def test_no_cell_of_a_table_follows_from_its_totals(seed):
    chance = random.Random(seed)
    height, width = chance.randint(1, 6), chance.randint(2, 5)
    mean = chance.choice((1, 4, 10, 40))
    counts = [[int(chance.expovariate(1 / mean)) for _ in range(width)] for _ in range(height)]
    cells, of_rows, of_columns, whole = disclosure.table(counts)
    edges = [
        Edge(r, c, counts[r][c], 1, UNKNOWN, (r, c))
        for r in range(height)
        for c in range(width)
        if cells[r][c].suppressed
    ]
    assert all(cells[r][c].suppressed for r in range(height) for c in range(width) if 0 < counts[r][c] <= 7)
    free = [{n for n, cell in enumerate(totals) if cell.suppressed} for totals in (of_rows, of_columns)]
    assert not followed(edges, *free, knows_whole=not whole.suppressed)
