"""How conditions are spelt, counted, ranked and, for analysts, withheld."""

from datetime import date
from decimal import Decimal

import pytest
from django.db import connection

from analytics.models import ConditionAnalysis, PatientSummary, SuppressedConditionAnalysis
from tests import rows

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 10)


@pytest.fixture(autouse=True)
def today():
    rows.stand_at(date(2026, 11, 25))


def visits(*lists, whose=None, level=3, day=DAY):
    whose = whose or rows.patient()
    for conditions in lists:
        rows.visit(whose, day, level, conditions=conditions)


def test_a_condition_is_shown_in_its_most_frequent_spelling():
    visits(["MALARIA"], ["Malaria"], ["Malaria"])
    rows.refresh_all()
    assert {line.condition: line.occurrence_count for line in ConditionAnalysis.objects.all()} == {"Malaria": 3}
    assert PatientSummary.objects.get().recent_conditions == ["Malaria"]


def test_of_equally_frequent_spellings_the_first_by_character_codes_is_shown():
    visits(["malaria"], ["Malaria"], ["ọgbẹ́"], ["Ọgbẹ́"])
    rows.refresh_all()
    assert {line.condition for line in ConditionAnalysis.objects.all()} == {"Malaria", "Ọgbẹ́"}


def test_a_condition_counts_once_per_visit_in_its_spellings_too():
    visits(["malaria", "malaria", "Malaria"], ["Malaria"])
    rows.refresh_all()
    assert {line.condition: line.occurrence_count for line in ConditionAnalysis.objects.all()} == {"Malaria": 2}


def test_old_visits_choose_the_spelling_of_recent_ones():
    whose = rows.patient()
    visits(["Malaria"], ["Malaria"], whose=whose, day=date(2020, 1, 1))
    visits(["MALARIA"], whose=whose)
    rows.refresh_all()
    assert PatientSummary.objects.get().recent_conditions == ["Malaria"]


def test_ranks_are_shared_by_equals_and_leave_gaps():
    visits(["A", "B"], ["A", "B"], level=2)
    visits(["C"], level=2)
    visits(["D"], level=5)
    rows.refresh_all()
    ranks = ConditionAnalysis.objects.values_list("condition", "condition_total", "frequency_rank", "severity_rank")
    assert {*ranks} == {("A", 2, 1, 1), ("B", 2, 1, 1), ("C", 1, 3, 1), ("D", 1, 3, 4)}


def test_equal_means_of_different_counts_share_a_severity_rank():
    whose = rows.patient()
    # 12/11 and 12000/11000, which numeric division writes with 16 and with 20 decimals.
    for condition, times in (("few", 1), ("many", 1000)):
        rows.visits(whose, DAY, [1] * 10 * times + [2] * times, conditions=[condition])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE triage_visits, patients, facilities")  # as autovacuum does after a load
    rows.refresh_all()
    assert {line.severity_rank for line in ConditionAnalysis.objects.all()} == {1}


def test_shares_are_of_all_occurrences_in_the_month():
    visits(["A", "B"], ["A"])
    visits(["A"], day=date(2026, 10, 31))
    rows.refresh_all()
    found = {(line.condition, line.month): line.share_of_month_pct for line in ConditionAnalysis.objects.all()}
    assert found == {
        ("A", date(2026, 11, 1)): Decimal("66.7"),
        ("B", date(2026, 11, 1)): Decimal("33.3"),
        ("A", date(2026, 10, 1)): 100,
    }


# --- What analysts see


def counted(counts, condition="Malaria"):
    """As many visits of patients of each sex."""
    for sex, count in counts.items():
        visits(*[[condition]] * count, whose=rows.patient(sex=sex), level=2)


def seen(model=SuppressedConditionAnalysis):
    rows.refresh_all()
    return {line.sex: line.occurrence_count for line in model.objects.all()}


def test_a_line_of_1_to_7_is_hidden_with_all_its_numbers():
    counted({"M": 1, "F": 7, "Other": 8})
    assert seen() == {"M": None, "F": None, "Other": 8}
    line = SuppressedConditionAnalysis.objects.get(sex="F")
    assert (line.avg_triage_level, line.critical_count, line.share_of_month_pct, line.suppressed) == (*[None] * 3, True)
    assert (line.condition_total, line.frequency_rank) == (16, 1)
    shown = SuppressedConditionAnalysis.objects.get(sex="Other")
    assert (shown.avg_triage_level, shown.critical_count, shown.share_of_month_pct) == (2, 8, 50)
    assert not shown.suppressed


def test_a_single_hidden_line_takes_the_next_smallest_along():
    counted({"M": 3, "F": 9, "Other": 8, "Unknown": 10})
    assert seen() == {"M": None, "F": 9, "Other": None, "Unknown": 10}


def test_a_single_line_of_a_condition_and_month_is_hidden_alone():
    counted({"M": 3})
    assert seen() == {"M": None}


def test_the_next_smallest_is_of_the_same_condition_and_month_in_the_whole_table():
    counted({"M": 3, "F": 10})
    counted({"Other": 8}, condition="Typhoid")
    visits(*[["Malaria"]] * 9, whose=rows.patient(rows.facility(state="KANO", lga="Dala"), sex="Unknown"))
    assert seen() == {"M": None, "F": 10, "Other": 8, "Unknown": None}


def test_stewards_see_every_number():
    counted({"M": 3, "F": 8})
    assert seen(ConditionAnalysis) == {"M": 3, "F": 8}
    assert {line.is_small for line in ConditionAnalysis.objects.all()} == {True}
