import re
from pathlib import Path

import pytest

from ingestion import objects, reader, records
from ingestion.refusals import CODES, PARENT_CODES, FileRefused, Level, code_of


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("FIELD_COUNT", "FIELD_COUNT"),
        ("LENGTH:lga", "LENGTH"),
        ("HEADER_DUPLICATE_COLUMN:a:b", "HEADER_DUPLICATE_COLUMN"),
    ],
)
def test_code_is_the_part_before_the_colon(reason, code):
    assert code_of(reason) == code


def test_file_codes_stand_in_the_order_of_judgement():
    assert [name for name, code in CODES.items() if code.level is Level.FILE] == [
        "UNKNOWN_DATASET",
        "FILE_TOO_LARGE",
        "CHECKSUM_MISMATCH",
        "EMPTY_FILE",
        "NOT_CSV",
        "GZIP_TRUNCATED",
        "GZIP_BOMB",
        "ENCODING_INVALID",
        "HEADER_TOO_WIDE",
        "HEADER_MISSING",
        "HEADER_DUPLICATE_COLUMN",
        "HEADER_MISSING_COLUMN",
        "QUOTE_UNBALANCED",
    ]


@pytest.mark.parametrize(
    ("level", "codes"),
    [
        (Level.HOLD, "SAME_CONTENT_NEW_DATE OVERLAP_SUSPECT ROW_ERROR_RATIO"),
        (Level.WAIT, "WAITS_FOR_PATIENTS"),
        (
            Level.ROW,
            "FIELD_COUNT QUOTE_SUSPECT REQUIRED_MISSING TYPE_INVALID DATE_AMBIGUOUS DATE_FUTURE RANGE ENUM LENGTH"
            " FACILITY_NOT_FOUND FACILITY_AMBIGUOUS PATIENT_NOT_FOUND PATIENT_AMBIGUOUS IDENTITY_CONFLICT"
            " DUP_IN_FILE_CONFLICT RULE_TAKEN_BACK",
        ),
        (
            Level.WARNING,
            "EMPTY_DATA HEADER_UNKNOWN_COLUMN CHAR_REMOVED LGA_UNKNOWN LGA_MISSING GEO_INVALID GEO_OUTSIDE"
            " GEO_INCOMPLETE SEX_MISSING PHONE_INVALID DELETED_BY_STEWARD",
        ),
    ],
)
def test_every_code_of_the_contract_is_known_at_its_level(level, codes):
    assert {name for name, code in CODES.items() if code.level is level} == set(codes.split())


@pytest.mark.parametrize("name", CODES)
def test_meaning_and_action_are_one_plain_sentence_each(name):
    for sentence in (CODES[name].meaning, CODES[name].action):
        assert re.fullmatch(r"[A-Z][^\n]{10,160}[^.]\.", sentence)


def test_parent_codes_refuse_rows():
    assert {CODES[code].level for code in PARENT_CODES} == {Level.ROW}


@pytest.mark.parametrize("module", [reader, records, objects])
def test_every_code_that_the_reading_modules_spell_is_in_the_catalogue(module):
    spelt = set(re.findall(r'"([A-Z]{2,}(?:_[A-Z]+)+)[":]', Path(module.__file__).read_text()))
    assert spelt <= set(CODES)


def test_refusal_says_its_reason_and_nothing_else():
    refusal = FileRefused("QUOTE_UNBALANCED:3")
    assert (refusal.reason, str(refusal)) == ("QUOTE_UNBALANCED:3", "QUOTE_UNBALANCED:3")
