"""What a key says: tables of keys, and of what they are taken for."""

from datetime import UTC, date, datetime

import pytest

from ingestion import objects

PREFIX = "medical_records/input/"
LAST_MODIFIED = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
DAY = date(2026, 11, 22)
SHA256 = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("patients.csv", "patients"),
        ("Patients.CSV", "patients"),
        ("PATIENTS.csv.GZ", "patients"),
        ("patients_2026-11-22.csv", "patients"),
        ("patientsandmore.csv", "patients"),
        ("facilities (1).csv", "facilities"),
        ("medical_records-kano.csv.gz", "medical_records"),
        ("triage_visits.2026.csv", "triage_visits"),
        ("triage_visits\nnext.csv", "triage_visits"),
        ("patients.csv.csv", "patients"),
        ("old_patients.csv", None),
        (" patients.csv", None),
        ("patient.csv", None),
        ("patient\u017f.csv", None),
        ("patients", None),
        ("patients.csv.zip", None),
        ("patients.xlsx", None),
        ("patients.csv ", None),
        ("patients.csv.bak", None),
        ("medical-records.csv", None),
        ("patients.gz", None),
        (".csv", None),
    ],
)
def test_the_dataset_is_told_by_the_start_and_the_suffix_of_the_file_name(name, dataset):
    assert objects.dataset_of(f"{PREFIX}kano/{name}") == dataset


def test_a_folder_named_like_a_dataset_says_nothing():
    assert objects.dataset_of(f"{PREFIX}patients/export.csv") is None


@pytest.mark.parametrize(
    ("below", "day"),
    [
        ("patients_2026-11-20.csv", date(2026, 11, 20)),
        ("patients_20261120.csv", date(2026, 11, 20)),
        ("patients20261120.csv", date(2026, 11, 20)),
        ("patients_2026-11-20_to_2026-11-21.csv", date(2026, 11, 21)),
        ("patients_2026-11-21_2026-13-01.csv", date(2026, 11, 21)),
        ("patients_20261120T0130.csv", date(2026, 11, 20)),
        ("patients_2000-01-01.csv", date(2000, 1, 1)),
        ("patients_2026-11-23.csv", date(2026, 11, 23)),
        ("2026-11-19/patients_2026-11-20.csv", date(2026, 11, 20)),
        ("2026-11-18/2026-11-19/patients.csv", date(2026, 11, 19)),
        ("2026-11-19/kano/patients.csv", date(2026, 11, 19)),
        ("20261119/patients.csv", date(2026, 11, 19)),
        ("2026-11-19/2027-01-01/patients.csv", date(2026, 11, 19)),
        # What is no date, or none that a delivery can have, leaves it to LastModified.
        ("patients.csv", DAY),
        ("patients_2026-11-24.csv", DAY),
        ("patients_1999-12-31.csv", DAY),
        ("patients_2026-02-30.csv", DAY),
        ("patients_120261120.csv", DAY),
        ("patients_202611201.csv", DAY),
        ("patients_08031234567.csv", DAY),
        ("patients_2026-1-20.csv", DAY),
        ("patients_22-11-2026.csv", DAY),
        ("patients_\u0662\u0660\u0662\u0666-11-20.csv", DAY),
        ("export-2026-11-19/patients.csv", DAY),
    ],
)
def test_the_business_date_is_the_last_valid_date_of_the_name_else_of_the_nearest_folder(below, day):
    assert objects.business_date(PREFIX + below, PREFIX, LAST_MODIFIED) == day


def test_folders_above_the_input_prefix_say_no_date():
    prefix = "2026-11-01/input/"
    assert objects.business_date(f"{prefix}patients.csv", prefix, LAST_MODIFIED) == DAY


@pytest.mark.parametrize(
    ("last_modified", "day"),
    [
        (datetime(2026, 11, 22, 22, 59, 59, tzinfo=UTC), date(2026, 11, 22)),
        (datetime(2026, 11, 22, 23, 0, 0, tzinfo=UTC), date(2026, 11, 23)),
    ],
)
def test_the_date_of_last_modified_is_the_one_in_lagos(last_modified, day):
    assert objects.business_date(f"{PREFIX}patients.csv", PREFIX, last_modified) == day


@pytest.mark.parametrize(
    ("below", "source"),
    [
        ("kano/triage_visits-2026-11-22.csv", "kano/triage_visits-*.csv"),
        ("kano/triage_visits-2026-11-22_0130.csv", "kano/triage_visits-*.csv"),
        ("kano/triage_visits-20261122T013000.csv", "kano/triage_visits-*.csv"),
        ("kano/2026-11-22/triage_visits.csv", "kano/*/triage_visits.csv"),
        ("2026/11/22/patients.csv", "*/*/*/patients.csv"),
        ("patients (2).csv", "patients (*).csv"),
        ("Kano/Patients.csv.gz", "Kano/Patients.csv.gz"),
        ("/patients.csv", "patients.csv"),
    ],
)
def test_every_nights_file_of_one_sender_has_one_source(below, source):
    assert objects.source_of(PREFIX + below, PREFIX) == source


@pytest.mark.parametrize(
    ("below", "folder"),
    [("patients.csv", ""), ("Kano/2026-11-22/patients.csv", "Kano/2026-11-22"), ("//Kano//patients.csv", "Kano")],
)
def test_the_folder_is_what_lies_between_prefix_and_name(below, folder):
    assert objects.folder_of(PREFIX + below, PREFIX) == folder


def test_safe_copies_stand_under_their_business_date():
    key = f"{PREFIX}../Kano/patients 100%.csv.gz"
    assert objects.archive_key("archive/", DAY, key) == "archive/2026-11-22/patients 100%.csv.gz"
    assert objects.held_key("held/", DAY, 17, key) == "held/2026-11-22/17/patients 100%.csv.gz"


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("patients.csv", "patients__0123456789ab.csv"),
        ("patients.CSV.GZ", "patients__0123456789ab.CSV.GZ"),
        ("patients.csv.csv", "patients.csv__0123456789ab.csv"),
    ],
)
def test_the_other_name_carries_the_hash_before_the_suffix(name, other):
    assert objects.alternative_key(f"archive/2026-11-22/{name}", SHA256) == f"archive/2026-11-22/{other}"


def test_a_name_too_long_for_the_copys_folder_is_cut_between_characters():
    key = objects.archive_key("archive/", DAY, "patients" + "\u1ecd" * 400 + ".csv.gz")
    other = objects.alternative_key(key, SHA256)
    assert key.startswith("archive/2026-11-22/patients\u1ecd")
    assert key.endswith("\u1ecd.csv.gz")
    assert other.endswith("\u1ecd__0123456789ab.csv.gz")
    assert 1020 < len(key.encode()) <= 1024
    assert len(other.encode()) <= 1024
