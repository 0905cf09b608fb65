"""Nothing that is hidden can be computed from what is shown: invented countries, tables, and what an analyst reads."""

import random
from datetime import date

import pytest

from analytics import disclosure
from analytics.models import ConditionAnalysis
from tests import rows
from tests.analytics import slow_disclosure
from tests.attack_suppression import UNKNOWN, Published, attack, by_contract_alone, many
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


@pytest.mark.django_db
def test_nothing_of_a_country_follows_from_an_analysts_answers():
    chance = random.Random(3)
    rows.stand_at(date(2026, 11, 25))
    for state, lga in (("LAGOS", "Ikeja"), ("KANO", "Dala")):
        at = rows.facility(state=state, lga=lga)
        for sex in ("M", "F"):
            whose = rows.patient(at, sex=sex)
            for condition, mean in (("A", 12), ("B", 6), ("C", 1)):
                for month in (9, 10, 11):
                    levels = [3] * int(chance.expovariate(1 / mean))
                    rows.visits(whose, date(2026, month, 5), levels, conditions=[condition])
    rows.refresh_all()
    answers = Caller(("analyst",)).rows("/api/analytics/condition-analysis", {"per_page": 1000})
    found = attack(_published(answers))
    truth = {_line(line): line["occurrence_count"] for line in ConditionAnalysis.objects.values()}
    assert found
    assert not [line for line, (low, high) in found.items() if low == high]
    assert all(low <= truth[line] <= high for line, (low, high) in found.items())
    of_kano = Caller(("analyst", {"state": "KANO"}))
    lines = of_kano.rows("/api/analytics/condition-analysis", {"per_page": 1000})
    assert lines == [line for line in answers if line["state"] == "KANO"]


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
