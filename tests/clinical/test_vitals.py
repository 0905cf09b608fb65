"""Reading vital signs: the corpus at its rate, and what holds of any text whatever."""

import re
from decimal import Decimal
from io import StringIO
from time import perf_counter

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from clinical.vitals import measuring, parse, signs
from clinical.vitals.parser import EDGES, MARKS

RATE = 1084 / 1089  # what is read today; the five are numbers in words, letters for figures and a bare second value
WORDS = st.sampled_from(
    [
        "BP",
        "HR",
        "RR",
        "Temp",
        "SpO2",
        "GCS",
        "RBS",
        "pain",
        "120/80",
        "98",
        "36.5",
        "15/15",
        "E4V5M6",
        "on",
        "2L",
        "O2",
        "RA",
        "kg",
        "1.75",
        "m",
        "°C",
        "mmHg",
        "%",
        "/min",
        ":",
        ",",
        ";",
        "-",
        "alert",
        "AVPU",
        "A",
        "T",
        "P",
        "R",
        "FHR",
        "<",
        "->",
        "now",
        "if",
        "not",
        "baby",
        "측불",
    ]
)
TEXTS = st.one_of(st.text(), st.lists(WORDS).map(" ".join), st.lists(WORDS).map("".join))


def test_the_corpus_is_read_at_its_rate():
    families = measuring.measure().values()
    phrases, failed = sum(one.phrases for one in families), sum(len(one.failed) for one in families)
    assert phrases >= 500
    assert 1 - failed / phrases >= RATE


def test_no_phrase_is_in_the_corpus_twice():
    texts = [phrase["text"] for phrase in measuring.phrases()]
    assert len(texts) == len(set(texts))


def test_whatever_is_no_vital_sign_is_left_alone():
    assert [*measuring.measure()["no vital sign"].failed] == []


def test_the_command_prints_each_family_and_all():
    out = StringIO()
    call_command("measure_vitals", "--failed", stdout=out)
    lines = out.getvalue().splitlines()
    assert re.fullmatch(r"blood pressure +92 of +92  1\.0000", lines[0])
    assert re.fullmatch(r"all +1084 of +1089  0\.9954", lines[-1])


@given(TEXTS)
def test_every_character_is_in_a_value_or_left_over(text):
    reading = parse(text)
    kept = "".join(dict.fromkeys(sign.written for sign in reading.signs)) + (reading.leftover or "")
    missing = set(text) - set(kept) - MARKS - set(EDGES)
    assert not missing


@pytest.mark.parametrize("whose", ["Mother:", "baby's", "Husband", "TWIN 2", "wife\u2019s"])
@given(text=TEXTS)
def test_behind_the_name_of_another_person_nothing_is_read(whose, text):
    assert parse(f"{whose} {text}").signs == ()


@pytest.mark.parametrize("words", ["if", "refer if", "call when", "target"])
@pytest.mark.parametrize(
    "sign", ["BP 180/110mmHg", "T > 38.5°C", "SpO2 90% RA", "140 bpm", "on oxygen 5L/min", "RBS 4"]
)
def test_what_is_to_be_done_once_a_value_is_reached_is_no_value(words, sign):
    assert parse(f"{words} {sign}").signs == ()
    assert len(parse(f"HR 88. {words} {sign}").signs) == 1


@pytest.mark.parametrize("unit", ["/min", " /min", "/ min", " per min", "/min.", "b/min", " beats/min", "bpm", "c/min"])
def test_the_unit_of_one_sign_hides_no_other(unit):
    names = [signs.NAMES[sign.code] for sign in parse(f"PR 88{unit} BP 120/80 T 36.5").signs]
    assert names[-3:] == ["systolic", "diastolic", "temperature"]


@given(TEXTS)
def test_what_is_written_stands_in_the_text(text):
    reading = parse(text)
    assert all(sign.written in text for sign in reading.signs)
    assert all(piece in text for piece in (reading.leftover or "").split("\n"))


@given(TEXTS)
def test_a_value_is_a_number_with_its_unit_or_a_word(text):
    for sign in parse(text).signs:
        assert (sign.value is None) == (sign.unit is None) != (sign.coded is None)
        assert sign.code in signs.NAMES
        assert sign.value is None or abs(sign.value) < 10**7


@given(
    systolic=st.integers(90, 250),
    below=st.integers(10, 60),
    pulse=st.integers(20, 250),
    tenths=st.integers(300, 430),
    share=st.integers(30, 100),
)
def test_what_is_written_out_is_read_back(systolic, below, pulse, tenths, share):
    diastolic, celsius = systolic - below, Decimal(tenths) / 10
    read = parse(f"BP: {systolic}/{diastolic}, HR: {pulse}, Temp: {celsius}, SpO2: {share}%")
    assert [sign.value for sign in read.signs] == [systolic, diastolic, pulse, celsius, share]
    assert read.leftover is None


def test_an_endless_text_is_read_at_its_beginning_and_kept_whole():
    text = "HR 80 " + "x" * 100_000 + " HR 90"
    reading = parse(text)
    assert [sign.value for sign in reading.signs] == [80]
    assert len(reading.leftover) > 100_000


@pytest.mark.parametrize("text", ["B" * 4000, "BP " * 1300, "1 " * 2000, "BP " + "1 " * 2000, "E4" * 2000, "(" * 4000])
def test_no_text_takes_long(text):
    before = perf_counter()
    parse(text)
    assert perf_counter() - before < 1
