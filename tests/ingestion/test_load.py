"""Who a row is and what it changes: each dataset's identity, versions, people before files, and doubt."""

import csv
import io
import itertools
from datetime import UTC, date, datetime

import pytest
from django.utils import timezone

from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from ingestion.datasets import COLUMNS, Dataset
from ingestion.models import IngestBatch, RejectedRow, Rule
from tests.deliveries import counts, deliver, night

pytestmark = pytest.mark.django_db
NUMBERS = itertools.count(1)
CLINIC = {"name": "Ikeja Clinic", "state": "LAGOS", "lga": "Ikeja", "type": "Clinic"}
NGOZI = {"facility_name": "Ikeja Clinic", "first_name": "Ngozi", "last_name": "Okafor", "sex": "F", "dob": "1975-12-31"}
OF_NGOZI = {"facility_name": "Ikeja Clinic", "patient_first_name": "Ngozi", "patient_last_name": "Okafor"}
RECORD = {**OF_NGOZI, "record_type": "Lab", "notes": "Hb 11"}
VISIT = {**OF_NGOZI, "triage_level": "3", "chief_complaint": "Cough"}
FACILITIES, PATIENTS, RECORDS, VISITS = Dataset


def file_of(dataset, rows):
    named = {column for row in rows for column in row}
    header = [*COLUMNS[dataset].required, *(c for c in COLUMNS[dataset].optional if c in named)]
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def load(dataset, *rows, day=20, folder=""):
    """The batch of a delivery of these rows of the named day of November; each call is another object."""
    name = f"{folder}{dataset}-2026-11-{day:02}_{next(NUMBERS)}.csv"
    deliver(name, file_of(dataset, rows))
    night()
    batch = IngestBatch.objects.get(object_key__endswith=name, parent=None)
    assert batch.status == "archived", batch.reasons
    return batch


def reasons(batch):
    return [*batch.rejected_rows.order_by("line").values_list("reasons", flat=True)]


@pytest.fixture
def clinic(bucket):
    load(FACILITIES, CLINIC, day=1)
    return Facility.objects.get()


@pytest.fixture
def ngozi(clinic):
    load(PATIENTS, NGOZI, day=1)
    return Patient.objects.get()


# --- Facilities


def test_a_facility_is_its_name_state_and_lga_in_any_spelling(clinic):
    again = {"name": "IKEJA  clinic", "state": "Lagos State", "lga": "ikeja lga", "type": "Hospital"}
    assert counts(load(FACILITIES, again, day=2)) == (1, 0, 1, 0, 0, 0)
    clinic.refresh_from_db()
    assert (clinic.name, clinic.lga, clinic.type) == ("Ikeja Clinic", "Ikeja", "Hospital")


@pytest.mark.parametrize("other", [{"name": "Ikeja Clinic 2"}, {"state": "OYO"}, {"lga": "Agege"}])
def test_another_name_state_or_lga_is_another_facility(clinic, other):
    assert counts(load(FACILITIES, CLINIC | other, day=2))[1] == 1


def test_a_row_without_lga_is_the_one_stored_facility_of_its_name(clinic):
    batch = load(FACILITIES, CLINIC | {"lga": "", "type": "Hospital"}, day=2)
    assert (counts(batch), batch.warnings) == ((1, 0, 1, 0, 0, 0), {"LGA_MISSING": 1})
    assert Facility.objects.get().lga == "Ikeja"


def test_a_row_without_lga_is_new_where_nobody_has_its_name(bucket):
    batch = load(FACILITIES, CLINIC | {"lga": ""})
    assert (counts(batch), Facility.objects.get().lga) == ((1, 1, 0, 0, 0, 0), "")
    assert counts(load(FACILITIES, CLINIC | {"lga": "", "type": "Hospital"}, day=21)) == (1, 0, 1, 0, 0, 0)


def test_a_row_without_lga_is_refused_where_the_table_has_two_of_its_name(clinic):
    load(FACILITIES, CLINIC | {"lga": "Agege"}, day=2)
    assert reasons(load(FACILITIES, CLINIC | {"lga": ""}, day=3)) == [["REQUIRED_MISSING:lga"]]


def test_a_row_without_lga_is_refused_where_its_file_names_one(bucket):
    batch = load(FACILITIES, CLINIC, CLINIC | {"lga": ""})
    assert (counts(batch)[1], reasons(batch)) == (1, [["REQUIRED_MISSING:lga"]])


def test_a_row_without_lga_still_finds_a_facility_by_the_name_it_had(clinic):
    Facility.objects.update(name="Ikeja General")
    assert counts(load(FACILITIES, CLINIC | {"lga": ""}, day=2)) == (1, 0, 0, 1, 0, 0)
    load(FACILITIES, CLINIC | {"name": "Ikeja General", "lga": "Agege"}, day=3)
    assert counts(load(FACILITIES, CLINIC | {"lga": "", "type": "x"}, day=4)) == (1, 0, 1, 0, 0, 0)


def test_facilities_over_two_kilometres_apart_are_not_one(bucket):
    near, far = {"lat": "6.60", "lon": "3.35"}, {"lat": "6.62", "lon": "3.35"}
    batch = load(FACILITIES, CLINIC | near, CLINIC | far)
    assert reasons(batch) == [["DUP_IN_FILE_CONFLICT"]] * 2


def test_of_rows_about_one_facility_the_last_wins(bucket):
    near = {"lat": "6.6000", "lon": "3.35"}, {"lat": "6.6100", "lon": "3.35", "type": "Hospital"}
    assert counts(load(FACILITIES, *(CLINIC | point for point in near))) == (2, 1, 0, 0, 1, 0)
    assert Facility.objects.get().type == "Hospital"


def test_identical_rows_collapse(bucket):
    assert counts(load(FACILITIES, CLINIC, CLINIC, CLINIC)) == (3, 1, 0, 0, 2, 0)


def test_an_empty_cell_never_erases(clinic):
    assert counts(load(FACILITIES, CLINIC | {"type": "", "level": "Primary"}, day=2)) == (1, 0, 1, 0, 0, 0)
    clinic.refresh_from_db()
    assert (clinic.type, clinic.level) == ("Clinic", "Primary")


# --- Which facility a child row means


def test_a_facility_that_is_not_there_is_not_found(clinic):
    assert reasons(load(PATIENTS, NGOZI | {"facility_name": "Ikeja"})) == [["FACILITY_NOT_FOUND"]]


@pytest.mark.parametrize(
    ("cells", "folder", "found"),
    [
        ({}, "", None),
        ({"facility_state": "lagos state"}, "", "LAGOS"),
        ({"facility_lga": "Dala"}, "", "KANO"),
        ({}, "kano/", "KANO"),
        ({}, "north/Kano State/2026/", "KANO"),
    ],
)
def test_a_name_that_two_facilities_bear_is_narrowed_by_cells_and_folder(clinic, cells, folder, found):
    load(FACILITIES, CLINIC | {"state": "KANO", "lga": "Dala"}, day=2)
    batch = load(PATIENTS, NGOZI | cells, folder=folder)
    assert reasons(batch) == ([] if found else [["FACILITY_AMBIGUOUS"]])
    assert [*Patient.objects.values_list("facility__state", flat=True)] == ([found] if found else [])


def test_a_folder_and_a_cell_that_disagree_mean_no_facility(clinic):
    batch = load(PATIENTS, NGOZI | {"facility_state": "LAGOS"}, folder="kano/")
    assert reasons(batch) == [["FACILITY_NOT_FOUND"]]


@pytest.mark.parametrize("name", ["Ikeja Clinic", "the clinic"])
def test_a_decision_for_a_source_says_which_facility_a_name_means(clinic, name):
    load(FACILITIES, CLINIC | {"lga": "Agege"}, day=2)
    first = load(PATIENTS, NGOZI | {"facility_name": name})
    assert first.rejected == 1
    Rule.objects.create(about="facility", source=first.source, text=name.upper(), facility=clinic)
    load(PATIENTS, NGOZI | {"facility_name": name, "first_name": "Ada"})
    assert Patient.objects.get(first_name="Ada").facility == clinic


def test_a_decision_for_one_source_says_nothing_of_another(clinic):
    Rule.objects.create(about="facility", source="other/patients-*.csv", text="the clinic", facility=clinic)
    assert reasons(load(PATIENTS, NGOZI | {"facility_name": "the clinic"})) == [["FACILITY_NOT_FOUND"]]


def test_a_decision_overrides_no_state_that_a_row_states(clinic):
    source = load(PATIENTS, NGOZI).source
    Rule.objects.create(about="facility", source=source, text="the clinic", facility=clinic)
    batch = load(PATIENTS, NGOZI | {"facility_name": "the clinic", "facility_state": "OYO"})
    assert reasons(batch) == [["FACILITY_NOT_FOUND"]]


def test_a_renamed_facility_is_found_by_its_old_name(ngozi):
    Facility.objects.update(name="Ikeja General")
    assert counts(load(FACILITIES, CLINIC | {"level": "Primary"}, day=2)) == (1, 0, 1, 0, 0, 0)
    assert counts(load(RECORDS, RECORD))[1] == 1


# --- Patients


def test_a_patient_is_facility_names_and_dob_in_any_case(ngozi):
    batch = load(PATIENTS, NGOZI | {"first_name": "NGOZI", "phone": "08031234567"}, day=2)
    assert (counts(batch), Patient.objects.get().first_name) == ((1, 0, 1, 0, 0, 0), "Ngozi")


@pytest.mark.parametrize("other", [{"dob": "1975-12-30"}, {"last_name": "Okafo"}])
def test_another_name_or_dob_is_another_patient(ngozi, other):
    assert counts(load(PATIENTS, NGOZI | other, day=2))[1] == 1


def test_sex_is_filled_from_unknown_and_never_emptied(clinic):
    load(PATIENTS, NGOZI | {"sex": ""}, day=1)
    assert counts(load(PATIENTS, NGOZI, day=2)) == (1, 0, 1, 0, 0, 0)
    assert counts(load(PATIENTS, NGOZI | {"sex": "u", "phone": ""}, day=3)) == (1, 0, 0, 1, 0, 0)
    assert Patient.objects.get().sex == "F"


def test_another_known_sex_is_a_conflict(ngozi):
    assert reasons(load(PATIENTS, NGOZI | {"sex": "M"}, day=2)) == [["IDENTITY_CONFLICT:sex"]]


def test_patients_of_differing_known_sex_in_one_file_are_all_refused(clinic):
    batch = load(PATIENTS, NGOZI, NGOZI | {"sex": "M"}, NGOZI | {"sex": ""})
    assert reasons(batch) == [["DUP_IN_FILE_CONFLICT"]] * 3


def test_an_unknown_sex_contradicts_nobody(clinic):
    assert counts(load(PATIENTS, NGOZI | {"sex": ""}, NGOZI)) == (2, 1, 0, 0, 1, 0)


def test_an_old_and_a_new_name_of_one_patient_in_one_file_are_one(ngozi):
    Patient.objects.update(first_name="Ngo")
    batch = load(PATIENTS, NGOZI, NGOZI | {"first_name": "Ngo", "phone": "08031234567"}, day=2)
    assert (counts(batch), Patient.objects.get().phone) == ((2, 0, 1, 0, 1, 0), "+2348031234567")


# --- Whose an event is


def test_a_patient_that_is_not_there_is_not_found(ngozi):
    assert reasons(load(RECORDS, RECORD | {"patient_first_name": "Uche"})) == [["PATIENT_NOT_FOUND"]]


def test_a_dob_must_equal_where_it_is_given(ngozi):
    batch = load(RECORDS, RECORD | {"patient_dob": "1975-12-31"}, RECORD | {"patient_dob": "1975-12-30"})
    assert (counts(batch)[1], reasons(batch)) == (1, [["PATIENT_NOT_FOUND"]])


@pytest.mark.parametrize(
    ("cells", "born"),
    [
        ({}, None),
        ({"patient_dob": "1980-01-01"}, 1980),
        ({"patient_phone": "0803 123 4567"}, 1975),
        ({"patient_phone": "08039999999"}, None),
    ],
)
def test_among_namesakes_dob_and_phone_choose(clinic, cells, born):
    load(PATIENTS, NGOZI | {"phone": "08031234567"}, NGOZI | {"dob": "1980-01-01"}, day=1)
    batch = load(RECORDS, RECORD | cells)
    assert reasons(batch) == ([] if born else [["PATIENT_AMBIGUOUS"]])
    assert [r.patient.dob.year for r in MedicalRecord.objects.all()] == ([born] if born else [])


def test_a_phone_chooses_nobody_where_namesakes_share_it(clinic):
    phone = {"phone": "08031234567"}
    load(PATIENTS, NGOZI | phone, NGOZI | phone | {"dob": "1980-01-01"}, day=1)
    assert reasons(load(RECORDS, RECORD | {"patient_phone": "08031234567"})) == [["PATIENT_AMBIGUOUS"]]


def test_another_phone_is_no_reason_where_only_one_has_the_name(ngozi):
    assert counts(load(RECORDS, RECORD | {"patient_phone": "08039999999"}))[1] == 1


def test_a_name_is_in_doubt_at_the_facility_of_an_open_refused_row_only(ngozi):
    load(FACILITIES, CLINIC | {"name": "Agege Clinic", "lga": "Agege"}, day=1)
    load(PATIENTS, NGOZI | {"facility_name": "Agege Clinic", "dob": "31.12.1975"}, day=1)
    assert counts(load(RECORDS, RECORD))[1] == 1
    load(PATIENTS, NGOZI | {"dob": "31.12.1975"}, day=2)
    assert reasons(load(VISITS, VISIT)) == [["PATIENT_AMBIGUOUS"]]
    RejectedRow.objects.filter(dataset=PATIENTS).update(state="dismissed", settled_at=timezone.now())
    assert counts(load(VISITS, VISIT | {"triage_level": "2"}, day=21))[1] == 1


def test_a_patient_who_has_moved_is_found_by_the_old_facility_and_the_event_is_at_the_new_one(ngozi):
    load(FACILITIES, CLINIC | {"name": "Agege Clinic", "lga": "Agege"}, day=1)
    agege = Facility.objects.get(lga="Agege")
    Patient.objects.update(facility=agege)
    load(RECORDS, RECORD, RECORD | {"facility_name": "Agege Clinic", "record_id": "7"})
    assert {r.facility for r in MedicalRecord.objects.all()} == {agege}
    assert counts(load(PATIENTS, NGOZI | {"phone": "08031234567"}, day=2)) == (1, 0, 1, 0, 0, 0)


def test_nobody_is_treated_before_birth(ngozi):
    Patient.objects.update(dob=date(2026, 11, 10))
    batch = load(VISITS, VISIT | {"visited_at": "2026-11-09T23:59"}, VISIT | {"visited_at": "2026-11-10T00:00"})
    assert (counts(batch)[1], reasons(batch)) == (1, [["RANGE:visited_at"]])


# --- Events without ids


def test_a_second_file_of_the_day_adds_only_what_is_new(ngozi):
    load(VISITS, VISIT, VISIT)
    batch = load(VISITS, VISIT | {"chief_complaint": "Fever"}, VISIT, VISIT, VISIT)
    assert counts(batch) == (4, 2, 0, 2, 0, 0)
    assert [*TriageVisit.objects.filter(chief_complaint="Cough").values_list("ordinal", flat=True)] == [1, 2, 3]


@pytest.mark.parametrize(("day", "cells"), [(21, {}), (20, {"visited_at": "2026-11-19"})])
def test_the_same_words_on_another_day_are_another_visit(ngozi, day, cells):
    load(VISITS, VISIT)
    assert counts(load(VISITS, VISIT | cells, VISIT | {"chief_complaint": "x"}, day=day)) == (2, 2, 0, 0, 0, 0)


def test_a_time_of_its_own_is_the_day_of_an_event_whatever_file_it_is_in(ngozi):
    load(VISITS, VISIT | {"visited_at": "2026-11-18T23:30Z"})
    visit = TriageVisit.objects.get()
    assert (visit.event_on, visit.time_is_estimated) == (date(2026, 11, 19), False)
    later = load(VISITS, VISIT | {"visited_at": "2026-11-19T00:30"}, VISIT | {"visited_at": "2026-11-19"}, day=21)
    assert counts(later) == (2, 1, 0, 1, 0, 0)


def test_an_event_without_a_time_gets_midnight_of_its_day(ngozi):
    load(RECORDS, RECORD)
    record = MedicalRecord.objects.get()
    assert (record.recorded_at, record.time_is_estimated) == (datetime(2026, 11, 19, 23, tzinfo=UTC), True)


def test_rows_that_name_one_patient_in_two_ways_are_one_event(ngozi):
    assert counts(load(RECORDS, RECORD, RECORD | {"patient_dob": "1975-12-31"})) == (2, 1, 0, 0, 1, 0)


# --- Events with ids


def test_a_later_version_of_an_id_updates_its_event(ngozi):
    load(RECORDS, RECORD | {"record_id": "7"})
    batch = load(RECORDS, RECORD | {"record_id": "7", "notes": "Hb 12", "recorded_at": "2026-11-19"}, day=21)
    record = MedicalRecord.objects.get()
    assert (counts(batch), record.data["notes"]) == ((1, 0, 1, 0, 0, 0), "Hb 12")
    assert (record.event_on, record.time_is_estimated) == (date(2026, 11, 19), False)


def test_an_id_that_says_nothing_new_is_unchanged_and_an_empty_cell_erases_nothing(ngozi):
    load(VISITS, VISIT | {"visit_id": "7", "conditions": "Asthma"})
    batch = load(VISITS, VISIT | {"visit_id": "7"}, VISIT | {"visit_id": "8"}, day=21)
    assert counts(batch) == (2, 1, 0, 1, 0, 0)
    assert TriageVisit.objects.get(visit_id="7").conditions == ["Asthma"]


def test_an_id_is_of_its_facility(ngozi):
    load(FACILITIES, CLINIC | {"name": "Agege Clinic", "lga": "Agege"}, day=1)
    load(PATIENTS, NGOZI | {"facility_name": "Agege Clinic"}, day=1)
    batch = load(VISITS, VISIT | {"visit_id": "7"}, VISIT | {"visit_id": "7", "facility_name": "Agege Clinic"})
    assert counts(batch) == (2, 2, 0, 0, 0, 0)


def test_a_known_id_with_another_patient_is_a_conflict(ngozi):
    load(PATIENTS, NGOZI | {"first_name": "Ada"}, day=1)
    load(VISITS, VISIT | {"visit_id": "7"})
    batch = load(VISITS, VISIT | {"visit_id": "7", "patient_first_name": "Ada"})
    assert reasons(batch) == [["IDENTITY_CONFLICT:patient"]]


def test_of_an_id_that_stands_twice_in_a_file_the_last_line_wins(ngozi):
    batch = load(VISITS, VISIT | {"visit_id": "7"}, VISIT | {"visit_id": "7", "triage_level": "1"})
    assert (counts(batch), TriageVisit.objects.get().triage_level) == ((2, 1, 0, 0, 1, 0), 1)


def test_an_id_with_two_patients_in_a_file_is_refused_whole(ngozi):
    load(PATIENTS, NGOZI | {"first_name": "Ada"}, day=1)
    batch = load(VISITS, VISIT | {"visit_id": "7"}, VISIT | {"visit_id": "7", "patient_first_name": "Ada"})
    assert reasons(batch) == [["DUP_IN_FILE_CONFLICT"]] * 2


def test_an_event_without_an_id_gets_the_one_that_comes_later(ngozi):
    load(VISITS, VISIT)
    assert counts(load(VISITS, VISIT | {"visit_id": "7"})) == (1, 0, 1, 0, 0, 0)
    assert counts(load(VISITS, VISIT, VISIT | {"triage_level": "1"})) == (2, 1, 0, 1, 0, 0)
    assert TriageVisit.objects.get(triage_level=3).visit_id == "7"


def test_an_event_without_an_id_gets_one_id_where_two_rows_would_give_it_theirs(ngozi):
    load(VISITS, VISIT)
    batch = load(VISITS, VISIT | {"visit_id": "7"}, VISIT | {"visit_id": "8", "facility_state": "LAGOS"})
    assert counts(batch) == (2, 1, 1, 0, 0, 0)
    assert {*TriageVisit.objects.values_list("visit_id", flat=True)} == {"7", "8"}


# --- Versions


def test_an_older_version_fills_only_what_no_newer_one_filled(clinic):
    load(PATIENTS, NGOZI | {"phone": "08031234567"}, day=10)
    old = NGOZI | {"phone": "08037654321", "patient_number": "P-1"}
    assert counts(load(PATIENTS, old, day=9)) == (1, 0, 1, 0, 0, 0)
    patient = Patient.objects.get()
    assert (patient.phone, patient.patient_number) == ("+2348031234567", "P-1")


@pytest.mark.parametrize(("late", "level"), [(9, 3), (11, 1)])
def test_a_newer_delivery_that_repeats_an_event_protects_it_from_an_older_one(ngozi, late, level):
    load(VISITS, VISIT | {"visit_id": "7"}, day=8)
    load(VISITS, VISIT | {"visit_id": "7"}, VISIT | {"visit_id": "8"}, day=10)
    batch = load(VISITS, VISIT | {"visit_id": "7", "triage_level": "1"}, day=late)
    assert TriageVisit.objects.get(visit_id="7").triage_level == level
    assert counts(batch) == (1, 0, int(level == 1), int(level == 3), 0, 0)


def test_an_older_delivery_may_still_bring_what_is_new(ngozi):
    load(PATIENTS, NGOZI | {"first_name": "Ada"}, day=10)
    assert counts(load(PATIENTS, NGOZI | {"first_name": "Uche"}, day=9)) == (1, 1, 0, 0, 0, 0)


def test_of_two_files_of_one_day_the_later_one_is_newer(clinic):
    for level in ("Primary", "Secondary", "Tertiary"):
        load(FACILITIES, CLINIC | {"level": level}, day=10)
    assert Facility.objects.get().level == "Tertiary"


# --- People before files


def test_a_person_keeps_the_last_word_until_the_source_says_something_new(clinic):
    Facility.objects.update(type="Health Post")
    assert counts(load(FACILITIES, CLINIC, CLINIC | {"lga": "Agege"}, day=2)) == (2, 1, 0, 1, 0, 0)
    load(FACILITIES, CLINIC | {"type": "Hospital"}, day=3)
    clinic.refresh_from_db()
    assert (clinic.type, clinic.delivered, clinic.overridden) == ("Hospital", {}, {"type": "Health Post"})


def test_what_a_person_has_emptied_stays_empty(clinic):
    Facility.objects.update(type=None)
    assert counts(load(FACILITIES, CLINIC, CLINIC | {"lga": "Agege"}, day=2)) == (2, 1, 0, 1, 0, 0)
    clinic.refresh_from_db()
    assert clinic.type is None


def test_a_sex_that_a_person_corrected_is_no_conflict_while_the_source_repeats_itself(ngozi):
    Patient.objects.update(sex="M")
    assert counts(load(PATIENTS, NGOZI | {"phone": "08031234567"}, day=2)) == (1, 0, 1, 0, 0, 0)
    assert Patient.objects.get().sex == "M"


def test_a_row_that_a_person_entered_first_meets_the_delivered_one(clinic):
    Patient.objects.create(facility=clinic, first_name="Ngozi", last_name="OKAFOR", dob=date(1975, 12, 31), sex="F")
    assert counts(load(PATIENTS, NGOZI | {"phone": "08031234567"})) == (1, 0, 1, 0, 0, 0)


# --- What stewards have deleted


@pytest.mark.parametrize(
    ("dataset", "model", "row"),
    [
        (FACILITIES, Facility, CLINIC | {"level": "Primary"}),
        (PATIENTS, Patient, NGOZI | {"phone": "08031234567"}),
        (RECORDS, MedicalRecord, RECORD),
        (VISITS, TriageVisit, VISIT | {"visit_id": "7", "triage_level": "1"}),
    ],
)
def test_a_deleted_row_is_unchanged_when_it_is_delivered_again(ngozi, dataset, model, row):
    load(RECORDS, RECORD)
    load(VISITS, VISIT | {"visit_id": "7"})
    model.objects.update(deleted_at=timezone.now())
    before = model.objects.values().get()
    new = {"name": "n", "first_name": "n", "notes": "n", "chief_complaint": "n", "visit_id": "8"}
    columns = COLUMNS[dataset].all
    batch = load(dataset, row, row | {column: cell for column, cell in new.items() if column in columns})
    assert (counts(batch), batch.warnings) == ((2, 1, 0, 1, 0, 0), {"DELETED_BY_STEWARD": 1})
    assert model.objects.values().get(pk=before["id"]) == before


def test_nobody_is_found_by_the_name_of_a_deleted_patient_or_facility(ngozi):
    Patient.objects.update(deleted_at=timezone.now())
    assert reasons(load(RECORDS, RECORD)) == [["PATIENT_NOT_FOUND"]]
    Facility.objects.update(deleted_at=timezone.now())
    assert reasons(load(VISITS, VISIT)) == [["FACILITY_NOT_FOUND"]]


def test_a_deleted_patient_leaves_no_doubt_about_a_namesake(ngozi):
    load(PATIENTS, NGOZI | {"dob": "1980-01-01"}, day=2)
    Patient.objects.filter(dob="1980-01-01").update(deleted_at=timezone.now())
    load(RECORDS, RECORD)
    assert MedicalRecord.objects.get().patient == ngozi


# --- Refused rows


def test_a_refused_row_keeps_its_cells_as_they_were_delivered(ngozi):
    cells = {"notes": ' \\u0000 \x00 \\N,"\r\n', "patient_first_name": "Uche "}
    load(RECORDS, RECORD | cells)
    row = RejectedRow.objects.get()
    assert row.raw["notes"] == cells["notes"].replace("\x00", "\u2400")
    assert (row.raw["patient_first_name"], row.facility, row.line) == ("Uche ", ngozi.facility, 2)
