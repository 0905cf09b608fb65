"""Correction files: written for the senders, mangled by spreadsheets, edited by people, and dropped back."""

import csv
import io
import re
from collections import Counter
from datetime import date

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical.models import Facility, Patient, TriageVisit
from ingestion import reader
from ingestion.corrections import lists, returned, tokens
from ingestion.models import IngestBatch, Kind, RejectedRow
from ingestion.spreadsheets import protected, restored
from tests import scenes
from tests.deliveries import PATIENTS, VISITS, deliver, digest, night
from tests.ingestion.correction_files import KUJE, deliver_refused, give_back, is_line, put, written
from tests.ingestion.spreadsheet import EXCEL_UK, EXCEL_US, LIBREOFFICE, MANGLERS, table, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("refused")]


@pytest.fixture(scope="module")
def kept_refused(django_db_setup, django_db_blocker):
    with scenes.delivered(django_db_blocker, deliver_refused) as bucket:
        yield bucket


@pytest.fixture
def refused(kept_refused, s3):
    scenes.copied(kept_refused, s3.name)


def store():
    return digest(), [(row.pk, row.state, row.reasons, row.corrections) for row in RejectedRow.objects.order_by("pk")]


# --- What is written


def test_each_facility_gets_a_file_of_its_own_and_unknown_ones_by_their_source(refused, s3):
    keys = lists.write_all()
    day = re.search(r"/(\d{4}-\d\d-\d\d)/", keys[0])[1]
    kuje = Facility.objects.get(name=KUJE).pk
    below = f"{django_settings.S3_CORRECTIONS_PREFIX}{day}/"
    assert sorted(keys)[:2] == [
        f"{below}fct/{kuje}/patients-corrections-{day}.csv",
        f"{below}fct/{kuje}/triage_visits-corrections-{day}.csv",
    ]
    assert [re.sub(r"-[0-9a-f]{6}/", "/", key.removeprefix(below)) for key in sorted(keys)[2:]] == [
        f"fct/fct-triage_visits/triage_visits-corrections-{day}.csv",
        f"no-state/sender-patients/patients-corrections-{day}.csv",
    ]
    assert lists.write_all() == keys
    assert s3.keys(django_settings.S3_CORRECTIONS_PREFIX) == sorted(keys)


def test_a_file_opens_in_excel_and_runs_nothing(refused):
    (file,) = lists.files(
        RejectedRow.objects.filter(dataset="triage_visits").exclude(facility=None), date(2026, 11, 26)
    )
    assert file.body.startswith(b"\xef\xbb\xbffacility_name,")
    assert file.body.endswith(b"\r\n")
    assert not [cell for row in table(file.body) for cell in row if re.match(r"[=+\-@\t\r]", cell)]


def test_a_row_says_all_that_is_wrong_and_what_would_mend_it(refused):
    header, *rows = written("patients")
    zainab, ladi = (dict(zip(header, row, strict=True)) for row in rows)
    assert zainab["error"].startswith("dob: The date is written with slashes or dots")
    assert zainab["suggestion"] == "dob: 1990-01-05 (5 January) or 1990-05-01 (1 May)"
    assert ladi["error"] == "sex: The named cell is none of the values allowed there."
    assert ladi["suggestion"] == "sex: M, F, Other or Unknown"
    assert ladi["line"] == "3"


def test_names_are_suggested_from_what_is_known_nearby(refused):
    header, row = written(facility=None)
    assert dict(zip(header, row, strict=True))["suggestion"] == f"facility_name: {KUJE} (Kuje, FCT)"
    header, *rows = written()
    said = {row[header.index("line")]: row[header.index("suggestion")] for row in rows}
    assert "Amina Bello, born 1990-01-01 (F)" in said["6"]
    assert "1990-01-01 (1 January)" in said["3"]
    header, row = written("patients", reasons=["FACILITY_AMBIGUOUS"])
    assert dict(zip(header, row, strict=True))["suggestion"] == (
        "facility_state and facility_lga: KANO, Dala or OYO, Iseyin"
    )


# --- Tokens


def test_a_token_is_no_number_no_date_and_no_formula(refused):
    for row in RejectedRow.objects.all():
        assert re.fullmatch(r"row[b-df-hjkmnp-tv-z]{17,}", tokens.token_of(row))
        assert tokens.parse(f" {tokens.token_of(row).upper()} ").is_of(row)


def test_a_damaged_token_is_of_no_row(refused):
    row = RejectedRow.objects.first()
    token = tokens.token_of(row)
    for at in range(3, len(token)):
        other = tokens.parse(token[:at] + ("b" if token[at] != "b" else "c") + token[at + 1 :])
        assert other is None or other.row_id != row.pk or not other.is_of(row)


def test_a_token_means_nothing_for_another_row_of_its_id(refused):
    row = RejectedRow.objects.first()
    token = tokens.parse(tokens.token_of(row))
    row.raw = {"name": "another"}
    assert not token.is_of(row)


def test_a_token_outlives_a_change_of_the_secret_key(refused, settings):
    row = RejectedRow.objects.first()
    token = tokens.parse(tokens.token_of(row))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one, and long enough to be taken for a secret"
    assert token.is_of(row)
    settings.SECRET_KEY_FALLBACKS = []
    assert not token.is_of(row)


# --- What comes back


@pytest.mark.parametrize("mangler", MANGLERS[::3], ids=lambda mangler: mangler.name)
def test_a_file_that_was_only_opened_and_saved_changes_nothing(refused, mangler):
    before = store()
    for which in ({"facility__name": KUJE}, {"facility": None}):
        told = give_back(mangler.save(written(**which)), delimiter=mangler.delimiter, line_end=mangler.line_end)
        assert told["edited"] == 0
        assert told["unedited"] == told["rows"] > 0
    assert store() == before


@pytest.mark.parametrize("mangler", MANGLERS[1::2], ids=lambda mangler: mangler.name)
def test_an_edit_lands_once_whatever_the_spreadsheet_did(refused, mangler):
    rows = put(written(), "triage_level", is_line(2), "2")
    saved = mangler.save(rows)
    told = give_back(saved, delimiter=mangler.delimiter, line_end=mangler.line_end)
    assert (told["rows"], told["edited"], told["landed"]) == (4, 1, 1)
    row = RejectedRow.objects.get(line=2, dataset="triage_visits")
    assert row.corrections == {"triage_level": "2"}
    visit = TriageVisit.objects.get(pk=row.became_id)
    assert visit.patient.first_name == "Musa"
    assert row.replay_batch.parent == row.batch
    again = give_back(saved, "fct/triage_visits-corrections-2026-11-27.csv", delimiter=mangler.delimiter)
    assert (again["edited"], again["settled_before"], again["unedited"]) == (0, 1, 3)
    assert TriageVisit.objects.count() == 1


@pytest.mark.parametrize("mangler", [EXCEL_UK, EXCEL_US, LIBREOFFICE], ids=lambda mangler: mangler.name)
@pytest.mark.parametrize("typed", ["1990-01-05", "1990-05-01", "5-Jan-1990"])
def test_an_ambiguous_date_is_mended_in_a_spreadsheet_that_writes_its_own(refused, mangler, typed):
    rows = written("patients")
    told = give_back(mangler.save(put(rows, "dob", is_line(2), typed)), "sender/patients-back.csv")
    assert (told["edited"], told["landed"]) == (1, 1)
    meant = date(1990, 1, 5) if "Jan" in typed else date.fromisoformat(typed)
    assert Patient.objects.get(first_name="Zainab").dob == meant


def test_day_and_month_can_be_changed_over_in_a_spreadsheet_that_writes_its_own(refused):
    row = next(row for row in RejectedRow.objects.filter(facility__name=KUJE) if row.raw.get("first_name") == "Ladi")
    rows = put(put(written("patients"), "dob", is_line(3), "1991-03-02"), "sex", is_line(3), "F")
    give_back(EXCEL_UK.save(rows), "sender/patients-back.csv")
    row.refresh_from_db()
    assert row.corrections == {"dob": "1991-03-02", "sex": "F"}


def test_sorted_partly_deleted_and_without_columns_it_still_finds_its_rows(refused):
    header, *below = put(written(), "triage_level", is_line(2), "1")
    kept = sorted(below, key=lambda row: row[::-1])[:3]
    columns = [header.index(name) for name in ("row_token", "triage_level")]
    told = give_back([[row[at] for at in columns] for row in [header, *kept]], delimiter=";")
    assert (told["rows"], told["edited"] + told["unedited"]) == (3, 3)
    assert told["edited"] == any(row[header.index("line")] == "2" for row in kept)


def test_columns_of_one_s_own_are_warned_of_and_ignored(refused):
    header, *below = put(written(), "triage_level", is_line(2), "1")
    give_back([[*header, "Seen by"], *([*row, "me"] for row in below)])
    batch = IngestBatch.objects.filter(parent=None).latest("id")
    assert batch.warnings == {"HEADER_UNKNOWN_COLUMN:seen_by": 1}


def test_a_file_is_known_by_its_header_whatever_its_name(refused):
    rows = put(written(), "triage_level", is_line(2), "1")
    told = give_back(rows, "Copy of Book1 (2).CSV", delimiter="\t")
    assert told["landed"] == 1
    assert IngestBatch.objects.filter(parent=None).latest("id").dataset == "triage_visits"


def test_a_file_of_semicolons_without_tokens_stays_a_refused_file(refused):
    deliver("fct/patients-2026-11-27.csv", PATIENTS.replace(",", ";"))
    night()
    assert IngestBatch.objects.latest("id").reasons == ["HEADER_MISSING"]


def test_tokens_that_nobody_gave_out_are_counted_and_named_by_line(refused):
    header, *below = put(written(), "triage_level", is_line(2), "1")
    at = header.index("row_token")
    foreign = tokens.token_of(RejectedRow.objects.filter(dataset="patients").first())
    wrong = ["", "8.03E+09", "rowbbbbbbbbbbbbbbbbbbbbb", foreign]
    damaged = [[*row[:at], token, *row[at + 1 :]] for row, token in zip([below[0]] * 4, wrong, strict=True)]
    told = give_back([header, *damaged, *below])
    assert (told["unknown_tokens"], told["unknown_lines"], told["landed"]) == (4, [2, 3, 4, 5], 1)


def test_a_file_without_any_token_is_refused_and_nothing_waits_for_it(refused):
    header, *below = written("patients")
    deliver("fct/patients-corrections.csv", text_of([header, *([*row[:-1], ""] for row in below)]))
    night()
    batch = IngestBatch.objects.latest("id")
    assert (batch.status, batch.reasons) == ("rejected", ["TOKENS_MISSING"])
    deliver("fct/triage_visits-2026-11-27.csv", VISITS)
    night()
    assert IngestBatch.objects.latest("id").status == "archived"


def test_a_row_that_was_copied_and_changed_in_two_ways_is_left_alone(refused):
    header, *below = written()
    one, other = (put([header, *below], "triage_level", is_line(2), level)[1:] for level in "12")
    told = give_back([header, *one, *other])
    assert (told["contradictory"], told["contradictory_lines"], told["edited"]) == (2, [2, 7], 0)


def test_a_number_that_a_spreadsheet_has_shortened_is_no_edit(refused):
    rows = put(written(), "patient_phone", is_line(6), "8.09999E+09")
    told = give_back(rows)
    assert (told["edited"], told["shortened_numbers"]) == (0, 1)


def test_a_quote_that_swallows_rows_refuses_the_file(refused):
    text = text_of(put(written(), "triage_level", is_line(2), "1"))
    deliver("fct/triage_visits-corrections.csv", text.replace("Chest pain", '"Chest pain').encode())
    night()
    batch = IngestBatch.objects.latest("id")
    assert (batch.status, batch.reasons) == ("rejected", ["QUOTE_UNBALANCED:2"])


def test_what_was_corrected_at_the_desk_meanwhile_is_not_undone(refused):
    rows = written()
    row = RejectedRow.objects.get(line=2, dataset="triage_visits")
    row.corrections = {"chief_complaint": "Cough"}
    row.save()
    told = give_back(put(rows, "triage_level", is_line(2), "2"))
    assert told["landed"] == 1
    assert TriageVisit.objects.get().chief_complaint == "Cough"


def test_the_same_sheet_can_be_mended_further(refused):
    rows = put(written(), "triage_level", is_line(5), "8")
    assert give_back(rows)["still_refused"] == 1
    assert give_back(put(rows, "triage_level", is_line(5), "4"), "fct/triage_visits-second.csv")["landed"] == 1


def test_the_folder_of_another_state_cannot_touch_the_row(refused):
    rows = put(written(), "triage_level", is_line(2), "2")
    assert give_back(rows, "kano/triage_visits-corrections.csv")["unknown_tokens"] == 4
    assert give_back(rows, "triage_visits-corrections.csv")["landed"] == 1


def test_a_worker_that_dies_on_the_way_is_replaced_and_nothing_lands_twice(refused, monkeypatch):
    def die(*_args, **_options):
        raise RuntimeError

    rows = put(written(), "triage_level", is_line(2), "2")
    deliver("fct/triage_visits-corrections.csv", text_of(rows))
    with monkeypatch.context() as patch:
        patch.setattr("ingestion.pipeline.failpoints.at", lambda name: die() if name == "mid_audit" else None)
        night()
    assert TriageVisit.objects.count() == 0
    night()
    assert TriageVisit.objects.count() == 1
    assert IngestBatch.objects.filter(kind=Kind.REPLAY, rows_read=1, inserted=1).count() == 1


# --- Any file, any spreadsheet, any edit

CELL = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                "=1+1",
                "'",
                "''=x",
                "'+1",
                "@a",
                "\t",
                "\r",
                "a\r\nb",
                '"',
                '""',
                "-5",
                "-0.50",
                "+234 803 123 4567",
            ),
            *(
                "08031234567",
                "2348031234567",
                "0017",
                "3.0",
                "1E5",
                "8.12",
                "12/8",
                "1-2",
                "MAR1",
                "150/90",
                "10:30",
                "5 %",
            ),
            *(
                "1990-01-05",
                "05/01/1990",
                "5.1.1990",
                "1990-05",
                "1990",
                "32874",
                "2026-11-18 09:30:00",
                "TRUE",
                "false",
            ),
            *(
                "\u201cx\u201d",
                "it\u2019s",
                "a;b",
                "a,b",
                "\u1eccl\u00e1",
                "\u00a0x ",
                "2026-11-18T09:30Z",
                "5 Jan 1990",
            ),
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
)
COLUMNS = ("chief_complaint", "patient_phone", "visit_id", "patient_dob", "visited_at", "vital_signs", "triage_level")
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def compared(rows, mangler):
    body = text_of(mangler.save(rows), delimiter=mangler.delimiter, line_end=mangler.line_end).encode()
    headers = type("Headers", (), {"size": len(body), "md5": None})
    with reader.fetch(io.BytesIO(body), headers, is_gzip=False, max_bytes=1 << 20) as fetched:
        return returned.compare(fetched, RejectedRow.objects.all())


def holding(cells):
    """The refused visits of Kuje, delivered with these cells."""
    for row, more in zip(
        RejectedRow.objects.filter(dataset="triage_visits").exclude(facility=None), cells, strict=False
    ):
        row.raw |= more
        row.save()


@settings(max_examples=150, **QUIET)
@given(
    cells=st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, CELL)), min_size=4, max_size=4),
    mangler=st.sampled_from(MANGLERS),
)
def test_no_spreadsheet_makes_up_an_edit(refused, cells, mangler):
    holding(cells)
    found = compared(written(), mangler)
    assert (found.edits, found.rows, found.unedited) == ({}, 4, 4)


@settings(max_examples=100, **QUIET)
@given(
    cells=st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, CELL)), min_size=4, max_size=4),
    mangler=st.sampled_from(MANGLERS),
    typed=st.dictionaries(st.integers(0, 3), st.sampled_from(["fever", "pain; chest", "=x", "Ol\u00e1"]), min_size=1),
    order=st.permutations(range(4)),
    kept=st.integers(1, 4),
)
def test_every_edit_is_seen_in_a_file_that_was_sorted_and_cut(refused, cells, mangler, typed, order, kept):
    holding(cells)
    header, *below = written()
    tokens_of = [row[header.index("row_token")] for row in below]
    edited = put([header, *below], "recommendations", lambda row: tokens_of.index(row["row_token"]) in typed, "")
    for number, cell in typed.items():
        edited = put(edited, "recommendations", lambda row, n=number: row["row_token"] == tokens_of[n], protected(cell))
    found = compared([edited[0], *(edited[1 + at] for at in order[:kept])], mangler)
    expected = Counter(typed[at] for at in order[:kept] if at in typed)
    assert Counter(cells["recommendations"] for cells in found.edits.values()) == expected
    assert all(cells.keys() == {"recommendations"} for cells in found.edits.values())


@given(cell=st.one_of(CELL, st.text(max_size=6)))
def test_what_is_protected_comes_back_exactly(cell):
    assert restored(protected(cell)) == cell
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerow([protected(cell), "x"])
    (row,) = csv.reader(io.StringIO(out.getvalue(), newline=""), strict=True)
    assert restored(row[0]) == cell
