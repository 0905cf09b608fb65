"""Every edge of every band; what is missing, and what is not guessed."""

from decimal import Decimal

import pytest

from clinical import scores
from clinical.scores import scoring, second_look
from clinical.scores.scoring import Name
from clinical.vitals import parse

# Points of NEWS2 by the chart of the Royal College of Physicians: of each band both edges.
CHART = {
    "respiration": {3: (1, 8, 25, 60), 1: (9, 11), 0: (12, 20), 2: (21, 24)},
    "saturation": {3: (50, 91), 2: (92, 93), 1: (94, 95), 0: (96, 100)},
    "saturation 2 air": {3: (50, 83), 2: (84, 85), 1: (86, 87), 0: (88, 92, 93, 100)},
    "saturation 2 oxygen": {3: (50, 83, 97, 100), 2: (84, 85, 95, 96), 1: (86, 87, 93, 94), 0: (88, 92)},
    "oxygen": {0: ("air",), 2: ("oxygen",)},
    "systolic": {3: (50, 90, 220, 280), 2: (91, 100), 1: (101, 110), 0: (111, 219)},
    "pulse": {3: (30, 40, 131, 200), 1: (41, 50, 91, 110), 0: (51, 90), 2: (111, 130)},
    "response": {0: ("A",), 3: ("C", "V", "P", "U")},
    "temperature": {3: (30, "35.0"), 1: ("35.1", "36.0", "38.1", "39.0"), 0: ("36.1", "38.0"), 2: ("39.1", 41)},
}
EDGES = [(of, points, value) for of, bands in CHART.items() for points, values in bands.items() for value in values]
WELL = "BP 120/80, HR 70, RR 16, T 37.0, SpO2 98% RA, AVPU: A"


def inputs(text):
    return scores.inputs_of(parse(text).signs)


def scored(text, age=40):
    return {score.name: score for score in scores.all_scores(inputs(text), age)}


@pytest.mark.parametrize(("of", "points", "value"), EDGES)
def test_each_edge_of_news2_has_the_points_of_the_chart(of, points, value):
    is_word = of in ("oxygen", "response")
    assert scoring.points("NEWS2", of, value if is_word else Decimal(value)) == points


def test_the_chart_speaks_of_every_band():
    assert {of for score, of in scoring.BANDS if score == "NEWS2"} == {*CHART}


@pytest.mark.parametrize(
    ("of", "value", "points"),
    [
        *(("respiration", 21, 0), ("respiration", 22, 1), ("systolic", 100, 1), ("systolic", 101, 0)),
        *(("coma", 14, 1), ("coma", 15, 0)),
    ],
)
def test_each_edge_of_qsofa(of, value, points):
    assert scoring.points("qSOFA", of, Decimal(value)) == points


def test_who_is_well_has_nothing():
    news = scored(WELL)[Name.NEWS2]
    assert (news.minimum, news.maximum, news.missing, news.reds) == (0, 0, (), ())


def test_the_worst_is_twenty():
    news = scored("BP 80/40, HR 140, RR 30, T 34.0, SpO2 85% on 5L O2, AVPU: U")[Name.NEWS2]
    assert (news.minimum, news.maximum) == (20, 20)


@pytest.mark.parametrize(
    ("left_out", "missing", "most"),
    [("RR 16, ", "respiration", 3), (" RA", "oxygen", 2), (", AVPU: A", "response", 3), ("HR 70, ", "pulse", 3)],
)
def test_what_is_missing_makes_a_range(left_out, missing, most):
    news = scored(WELL.replace(left_out, ""))[Name.NEWS2]
    assert (news.minimum, news.maximum, news.missing) == (0, most, (missing,))


def test_two_values_of_one_sign_make_a_range():
    news = scored(WELL + "; RR 26")[Name.NEWS2]
    assert (news.minimum, news.maximum, news.missing, news.reds) == (0, 3, (), ())


def test_a_flagged_value_is_a_missing_one():
    news = scored(WELL.replace("HR 70", "HR 700"))[Name.NEWS2]
    assert (news.maximum, news.missing) == (3, ("pulse",))


def test_fahrenheit_is_scored_in_celsius():
    assert scored(WELL.replace("37.0", "102.4F"))[Name.NEWS2].minimum == 2
    assert scored(WELL.replace("37.0", "100.4F"))[Name.NEWS2].minimum == 0


def test_the_second_scale_goes_by_what_is_breathed():
    on_air, on_oxygen = inputs(WELL), inputs(WELL.replace("98% RA", "98% on 2L O2"))
    assert scoring.news2(on_air, scale=2).minimum == 0
    assert scoring.news2(on_oxygen, scale=2).minimum == 5
    unknown = scoring.news2(inputs(WELL.replace(" RA", "")), scale=2)
    assert (unknown.minimum, unknown.maximum) == (0, 5)


@pytest.mark.parametrize(("age", "names"), [(15, 2), (16, 3), (17, 3), (18, 4)])
def test_nobody_is_scored_by_what_is_not_made_for_them(age, names):
    assert len(scored(WELL, age)) == names


def test_altered_mentation_is_said_by_either_of_two():
    for words in ("GCS 14", "AVPU: V", "GCS 15, AVPU: P"):
        found = scored(f"BP 95/60, RR 24, {words}")[Name.QSOFA]
        assert (found.minimum, found.maximum, found.missing) == (3, 3, ())
    found = scored("BP 95/60, RR 24")[Name.QSOFA]
    assert (found.minimum, found.maximum, found.missing) == (2, 3, ("response",))


def test_shock_index_and_mean_pressure():
    found = scored("BP 90/60 HR 120")
    assert found[Name.SHOCK_INDEX].minimum == Decimal("1.33")
    assert found[Name.MEAN_PRESSURE].minimum == 70


def test_what_cannot_be_said_is_not_said():
    found = scored("HR 120")
    assert found[Name.SHOCK_INDEX] == scoring.Score(Name.SHOCK_INDEX, None, None, ("systolic",))
    assert Name.MEAN_PRESSURE not in found
    assert scored("Wt 70kg") == {}


@pytest.mark.parametrize(
    ("text", "level", "rule"),
    [
        ("BP 85/50, HR 128, RR 26, T 39.4, SpO2 91% RA, AVPU: A", 3, "NEWS2 of 7 or more"),
        ("BP 85/50, HR 128, RR 26, T 39.4, SpO2 91% RA, AVPU: A", 2, None),
        ("BP 105/60, HR 115, RR 22, T 37, SpO2 98% RA, AVPU: A", 4, "NEWS2 of 5 or 6"),
        ("BP 105/60, HR 115, RR 22, T 37, SpO2 98% RA, AVPU: A", 3, None),
        (WELL.replace("AVPU: A", "AVPU: V"), 5, "one sign with 3 points"),
        (WELL.replace("AVPU: A", "AVPU: V"), 3, None),
        (WELL, 1, "NEWS2 of 1 at most"),
        (WELL, 3, None),
        (WELL.replace(" RA", ""), 1, None),
    ],
)
def test_which_rule_says_that_a_level_disagrees(text, level, rule):
    found = second_look.look(level, scored(text)[Name.NEWS2])
    assert (found.name if found else None) == rule
