import csv
import gzip
import io
from datetime import UTC, date, datetime, timedelta

import pytest

from clinical import geography, values
from clinical.values import Invalid
from ingestion import objects, sources
from ingestion.datasets import COLUMNS
from medilink import country, delivery

NIGHT = date(2026, 11, 24)
NEXT = NIGHT + timedelta(days=1)
SMALL = {"seed": 7, "facilities": 120, "patients": 900, "days": 60}


@pytest.fixture(scope="module")
def tonight():
    return delivery.generate(night=NIGHT, **SMALL)


def rows_of(files, start):
    """The rows of the one file that begins so, as a reader of CSV sees them; None stands for a missing cell."""
    [(name, body)] = [(name, body) for name, body in files.items() if name.startswith(start)]
    text = (gzip.decompress(body) if name.endswith(".gz") else body).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def is_refused(row, dataset):
    """What a row is refused for by its own cells."""
    if None in row.values() or not all(row[column].strip() for column in COLUMNS[dataset].filled):
        return True
    latest = datetime(2026, 11, 26, tzinfo=UTC)
    parsers = {
        "state": values.state,
        "sex": values.sex,
        "dob": lambda cell: values.dob(cell, NIGHT),
        "patient_dob": lambda cell: values.dob(cell, NIGHT),
        "triage_level": values.level,
        "visited_at": lambda cell: values.instant(cell, latest),
        "recorded_at": lambda cell: values.instant(cell, latest),
    }
    try:
        for column in parsers.keys() & row.keys():
            parsers[column](row[column])
    except Invalid:
        return True
    return any(len(row.get(column) or "") > values.LENGTHS[column] for column in ("type", "record_type"))


def test_the_same_seed_and_night_give_the_same_bytes(tonight):
    assert delivery.generate(night=NIGHT, **SMALL) == tonight


def test_another_seed_gives_another_country(tonight):
    other = delivery.generate(night=NIGHT, **SMALL | {"seed": 8})
    assert other.keys() == tonight.keys()
    assert other[f"patients-{NIGHT}.csv"] != tonight[f"patients-{NIGHT}.csv"]


def test_every_dataset_is_there_one_file_is_packed_and_one_is_of_no_dataset(tonight):
    datasets = [objects.dataset_of(name) for name in tonight]
    assert set(COLUMNS) == set(datasets) - {None}
    assert datasets.count(None) == 1
    assert [name for name in tonight if name.endswith(".gz")] == [f"medical_records-{NIGHT}.csv.gz"]
    assert {geography.find_state(name.split("/")[0]) for name in tonight if "/" in name} == {"KANO", "LAGOS", "RIVERS"}


def test_the_file_from_rivers_is_no_utf_8(tonight):
    with pytest.raises(UnicodeDecodeError):
        tonight[f"rivers/medical_records-{NIGHT}.csv"].decode()


@pytest.mark.parametrize("dataset", COLUMNS)
def test_under_a_tenth_of_a_files_rows_is_refused_for_its_own_cells_but_some_are(tonight, dataset):
    rows = rows_of(tonight, dataset)
    refused = sum(is_refused(row, dataset) for row in rows)
    assert 0 < refused < len(rows) / 10
    assert list(rows[0]) == list(COLUMNS[dataset].all)


def test_a_line_is_ragged_and_one_cell_has_swallowed_a_line(tonight):
    assert sum(None in row.values() for row in rows_of(tonight, "patients")) == 1
    visits = rows_of(tonight, "triage_visits")
    width = len(visits[0])
    swallowed = [
        cell
        for row in visits
        for cell in row.values()
        for line in cell.split("\n")[1:-1]
        if len(line.split(",")) == width
    ]
    assert len(swallowed) == 1


def test_some_phones_and_points_cannot_be_used_but_most_can(tonight):
    phones = [values.phone(row["phone"] or "") for row in rows_of(tonight, "patients")]
    assert 0.02 < phones.count(None) / len(phones) < 0.15
    assert all(phone.startswith("+234702100") for phone in phones if phone)
    points = [values.point(row["lat"], row["lon"]) for row in rows_of(tonight, "facilities") if row["hfr_code"]]
    assert 0 < sum(warning is not None for *_, warning in points) < len(points) / 10


def test_every_state_has_a_facility_and_every_facility_another_identity(tonight):
    identities = [(place.name, place.state, place.lga) for place in country.Country(7, 300, 0).places]
    assert {state for _, state, _ in identities} == set(geography.STATES)
    assert len(set(identities)) == 300
    assert len({name for name, _, _ in identities}) < 300  # names alone are ambiguous
    assert all(place.lga in geography.LGAS[place.state] for place in country.Country(7, 300, 0).places)


def test_every_state_is_home_to_a_people():
    assert all(any(state in people.states for people in country.PEOPLES) for state in geography.STATES)


def test_nearly_all_events_name_a_patient_of_the_patients_file(tonight):
    def who(row, prefix=""):
        names = (row["facility_name"], row[f"{prefix}first_name"], row[f"{prefix}last_name"])
        return *(values.text(name, is_name=True)[0].casefold() for name in names), row[f"{prefix}dob"]

    known = {who(row) for row in rows_of(tonight, "patients")}
    for start in ("triage_visits", "medical_records"):
        rows = rows_of(tonight, start)
        strangers = sum(who(row, "patient_") not in known for row in rows)
        assert 0 < strangers < len(rows) * 0.06


def test_no_event_happens_before_its_patient_is_born_or_after_the_night(tonight):
    for row in rows_of(tonight, "triage_visits"):
        if not is_refused(row, "triage_visits"):
            assert row["patient_dob"] <= row["visited_at"][:10] < NIGHT.isoformat()


def test_urgent_visits_are_the_fewer_ones(tonight):
    levels = [row["triage_level"] for row in rows_of(tonight, "triage_visits")]
    assert 0 < levels.count("1") < levels.count("3") < levels.count("4") + levels.count("5")


def test_the_next_night_repeats_what_was_and_adds_a_day(tonight):
    following = delivery.generate(night=NEXT, **SMALL)
    for start, key in (("triage_visits", "visit_id"), ("medical_records", "record_id")):
        # Without the line that lost its last cells, which is another one every night.
        before, after = ({row[key] for row in rows_of(files, start)} - {None} for files in (tonight, following))
        of_last_day = {one for one in after if one[1:7] == f"{NIGHT:%y%m%d}"}
        assert of_last_day
        assert of_last_day <= after - before
        assert len(after - before) <= len(of_last_day) + 1
        assert len(after & before) > 0.9 * len(after)


def test_the_next_night_brings_other_phones_new_patients_and_those_whose_visits_had_to_wait():
    full = SMALL | {"patients": 3000, "days": 3}
    tonight, following = (delivery.generate(night=night, **full) for night in (NIGHT, NEXT))
    before, after = (
        {row["patient_number"]: row for row in rows_of(files, "patients") if row["patient_number"]}
        for files in (tonight, following)
    )
    born = after.keys() - before.keys()
    changed = {number for number in after.keys() & before.keys() if after[number]["phone"] != before[number]["phone"]}
    assert 0 < len(born) < 20
    assert 0 < len(changed) < 40
    new_dobs = {after[number]["dob"] for number in born}
    assert new_dobs & {row["patient_dob"] for row in rows_of(tonight, "triage_visits")}


def test_the_files_go_into_the_input_under_their_names(bucket, settings):
    delivery.upload(NIGHT)
    keys = {
        found.key.removeprefix(settings.S3_INPUT_PREFIX) for found in sources.due_candidates(settings.S3_INPUT_PREFIX)
    }
    assert f"patients-{NIGHT}.csv" in keys
    assert f"kano/triage_visits-{NIGHT}.csv" in keys
    assert len(keys) == 8
