"""What makes two rows probable duplicates: names, weights, blocks, and what a search keeps."""

from contextlib import closing
from datetime import date, timedelta

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from clinical.duplicates import blocking, names, places, scoring, search
from clinical.duplicates.names import Called, Level, compare, compare_people
from clinical.duplicates.places import At
from clinical.duplicates.scoring import Crowd, Person
from clinical.models import DuplicatePair, DuplicateSearch, Facility, Patient, Table
from clinical.tasks import find_duplicates
from tests import rows

BORN = date(1985, 3, 17)


# --- Names of people


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("Ngozi", "NGOZI", Level.SAME),
        ("Alhaji Musa", "Musa", Level.SAME),
        ("Dr. Mrs. Ngozi", "Ngozi", Level.SAME),
        ("Sa'adatu", "Saadatu", Level.SAME),
        ("Ọláyínká", "Olayinka", Level.SAME),
        ("Ɗanjuma", "Danjuma", Level.SAME),
        ("Okafor-Eze", "Eze Okafor", Level.SAME),
        ("Mohammed", "Muhammad", Level.VARIANT),
        ("Aisha", "Aishatu", Level.VARIANT),
        ("Yusuph", "Yusuf", Level.VARIANT),
        ("Abdul-Kadir", "Abdulkadir", Level.VARIANT),
        ("Chukuemeka", "Chukwuemeka", Level.VARIANT),
        ("Chinyere", "Chinyre", Level.CLOSE),
        ("Ngozi Mary", "Ngozi", Level.PART),
        ("Chukwuemeka", "Emeka", Level.SHORT),
        ("Oluwaseun", "Seun", Level.SHORT),
        ("A.", "Adaeze", Level.INITIAL),
        ("Eze", "Ezu", Level.NEAR),
        ("Hassan", "Hussaini", Level.DIFFERENT),
        ("Amina", "Aminu", Level.DIFFERENT),
        ("Taiwo", "Kehinde", Level.DIFFERENT),
        ("Chief", "Chief", Level.SAME),
        ("-", "-", Level.DIFFERENT),
    ],
)
def test_two_names_agree_as_far_as_their_bearers_may_be_one(one, other, level):
    assert compare(one, other) == level


PIECES = "a mo ham ed fa ti ma chu kwu e me ka o lu wa se un bel lo ngo zi ab dul okafor -"
SYLLABLES = st.sampled_from(PIECES.split())
WORDS = st.lists(SYLLABLES, min_size=1, max_size=4).map("".join) | st.text(max_size=8)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
PEOPLE = st.builds(Called, NAMES, NAMES)


@given(NAMES, NAMES)
def test_it_does_not_matter_which_of_two_names_comes_first(one, other):
    assert compare(one, other) == compare(other, one)


@given(PEOPLE, PEOPLE)
def test_it_does_not_matter_which_of_two_people_comes_first(one, other):
    assert compare_people(one, other) == compare_people(other, one)


@given(PEOPLE, PEOPLE)
def test_names_that_have_changed_places_on_both_sides_agree_as_they_did_before(one, other):
    straight, turned = compare_people(one, other), compare_people(Called(*one[::-1]), Called(*other[::-1]))
    assert sorted(straight[:2]) == sorted(turned[:2])


@given(NAMES, NAMES)
def test_a_person_is_known_by_crossed_names(first, last):
    agreement = compare_people(Called(first, last), Called(last, first))
    if names.fold(first) and names.fold(last):
        assert set(agreement[:2]) == {Level.SAME}


@given(NAMES)
def test_folding_a_folded_name_changes_nothing(name):
    words = names.fold(name)
    assert names.fold(" ".join(words)) == words


# --- Names of facilities


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("Gen. Hosp. Ikeja", "General Hospital", places.Level.VARIANT),
        ("St. Mary's Clinic", "Saint Marys Clinic", places.Level.VARIANT),
        ("Ikeja Primary Health Centre", "Ikeja PHC", places.Level.VARIANT),
        ("Hope Clinic II", "Hope Clinic 2", places.Level.VARIANT),
        ("Al-Noor Clinic", "Alnoor Clinic", places.Level.VARIANT),
        ("Ojodu Comp. Health Centre", "Comprehensive Health Center Ojodu", places.Level.VARIANT),
        ("Saint Nicholas Hospital", "St Nicolas Hospital", places.Level.CLOSE),
        ("Hope Clinic", "Hope Clinic Annex", places.Level.BRANCH),
        ("Hope Clinic II", "Hope Clinic III", places.Level.BRANCH),
        ("Hope Clinic Unit A", "Hope Clinic Unit B", places.Level.BRANCH),
        ("Hope Clinic", "Hope Pharmacy", places.Level.KIND),
        ("Hope General Hospital", "General Hospital", places.Level.NAMELESS),
        ("Hope Clinic", "Zion Clinic", places.Level.DIFFERENT),
    ],
)
def test_two_facilities_of_one_lga_are_told_apart_by_what_is_theirs(one, other, level):
    here = ("Ikeja", "LAGOS")
    assert places.compare(At(one, *here), At(other, *here)) == level
    assert places.compare(At(other, *here), At(one, *here)) == level


def test_a_compass_word_that_belongs_to_the_lga_makes_no_branch():
    one, other = At("Faith Clinic", "Enugu East", "ENUGU"), At("Faith Clinic Enugu East", "Enugu East", "ENUGU")
    assert places.compare(one, other) == places.Level.VARIANT


# --- Weights

CROWD = Crowd(250, 5000, {"ngozi": 60}, {"okafor": 90}, {"+2348031234567": 2, "+2348030000000": 40}, date(2026, 11, 20))


def person(**changed):
    known = {"id": 1, "called": Called("Ngozi", "Okafor"), "dob": BORN, "is_estimated": False, "sex": "F"}
    return Person(**known | {"phone": "+2348031234567", "number": None} | changed)


def score(**changed):
    return scoring.patients(person(), person(**changed), CROWD).score


@pytest.mark.parametrize(
    "changed",
    [
        {"called": Called("Okafor", "Ngozi")},
        {"called": Called("Ngosi", "Okafor")},
        {"called": Called("N.", "Okafor")},
        {"dob": BORN.replace(year=1958)},
        {"dob": BORN.replace(year=1984, month=1, day=1), "is_estimated": True},
        {"called": Called("Ngozi", "Bello")},
        {"phone": None},
        {"sex": "Unknown"},
    ],
    ids=str,
)
def test_the_same_person_registered_again_is_a_probable_duplicate(changed):
    assert score(**changed) > scoring.THRESHOLDS["patients"]


def test_day_and_month_that_have_changed_places_speak_for_one_person():
    one, other = person(dob=date(1985, 3, 7)), person(dob=date(1985, 7, 3), phone=None)
    assert scoring.patients(one, other, CROWD).score > scoring.THRESHOLDS["patients"]


@pytest.mark.parametrize(
    "changed",
    [
        {"called": Called("Kelechi", "Okafor")},
        {"dob": BORN - timedelta(days=25 * 365)},
        {"dob": BORN + timedelta(days=900), "called": Called("Chioma", "Okafor")},
        {"dob": date(1991, 11, 2), "phone": "+2348099999999"},
        {"sex": "M", "called": Called("Obinna", "Okafor")},
    ],
    ids=["a twin", "mother and daughter of one name", "a sister", "a namesake", "a twin brother"],
)
def test_who_only_looks_alike_is_not(changed):
    assert score(**changed) < scoring.THRESHOLDS["patients"]


def test_a_rare_name_says_more_than_a_frequent_one():
    crowd = Crowd(250, 5000, {"ngozi": 600}, {"okafor": 900}, {}, date(2026, 11, 20))
    slip = {"dob": BORN.replace(day=27), "phone": None}
    rare = {"called": Called("Zubaidat", "Kwairanga"), "phone": None}
    frequent = scoring.patients(person(phone=None), person(**slip), crowd)
    assert scoring.patients(person(**rare), person(**slip | rare), crowd).score > frequent.score


def test_a_phone_that_forty_patients_have_says_nothing():
    shared = scoring.patients(person(phone="+2348030000000"), person(phone="+2348030000000"), CROWD)
    (part,) = [part for part in shared.parts if part.field == "phone"]
    assert abs(part.weight) < 0.5


def test_an_estimated_birthday_says_less_than_a_known_one():
    guessed = date(1985, 1, 1)
    one, other = person(dob=guessed, is_estimated=True), person(dob=guessed, is_estimated=True)
    assert scoring.patients(one, other, CROWD).score < score()


DATES = st.dates(date(1950, 1, 1), date(2020, 1, 1))


@given(PEOPLE, PEOPLE, DATES, DATES, st.booleans())
def test_the_weights_are_symmetric_and_add_up(called, called_too, born, born_too, is_estimated):
    one, other = person(called=called, dob=born), person(called=called_too, dob=born_too, is_estimated=is_estimated)
    there, back = scoring.patients(one, other, CROWD), scoring.patients(other, one, CROWD)
    assert there == back
    assert there.score == pytest.approx(sum(part.weight for part in there.parts))


def test_the_evidence_names_no_value_of_a_person():
    said = str(scoring.patients(person(number="P7"), person(number="P7"), CROWD).evidence)
    assert not any(value in said for value in ("Ngozi", "Okafor", "1985", "8031234567", "P7"))


# --- Searching


def patient(at, first="Ngozi", last="Okafor", born=BORN, **changed):
    return rows.patient(at, first_name=first, last_name=last, dob=born, phone="+2348031234567", **changed)


@pytest.fixture
def here(db):
    return rows.facility()


def pairs():
    return [*DuplicatePair.objects.values_list("low_id", "high_id", "state")]


def test_a_pair_is_found_with_its_evidence(here):
    one, other = patient(here), patient(here, first="Okafor", last="Ngozi")
    done = search.search(Table.PATIENTS)
    assert pairs() == [(one.pk, other.pk, "open")]
    assert (done.is_full, done.rows, done.compared, done.found) == (True, 2, 1, 1)
    assert {part["field"] for part in DuplicatePair.objects.get().evidence} >= {"first name", "last name", "phone"}


def test_patients_of_two_facilities_are_no_pair(here):
    patient(here)
    patient(rows.facility(), first="Ngosi")
    assert search.search(Table.PATIENTS).blocked == 0


def test_deleted_patients_are_no_pair(here):
    patient(here)
    patient(here, first="Ngosi", deleted_at=rows.lagos(BORN))
    assert search.search(Table.PATIENTS).found == 0


def move_horizon(done):
    DuplicateSearch.objects.filter(pk=done.pk).update(horizon=done.started_at + timedelta(hours=1))


def test_a_row_that_has_changed_is_compared_with_all_others(here):
    patient(here)
    horizon = search.search(Table.PATIENTS).started_at + timedelta(hours=1)
    DuplicateSearch.objects.update(horizon=horizon)
    patient(here, first="Ngosi", updated_at=horizon)
    done = search.search(Table.PATIENTS)
    assert (done.rows, done.found) == (1, 1)


def test_rows_that_have_not_changed_are_not_compared_again(here):
    patient(here)
    patient(here, first="Ngosi")
    move_horizon(search.search(Table.PATIENTS))
    done = search.search(Table.PATIENTS)
    assert (done.is_full, done.rows, done.blocked) == (False, 0, 0)
    assert len(pairs()) == 1


def test_a_full_search_can_be_asked_for(here):
    patient(here)
    move_horizon(search.search(Table.PATIENTS))
    assert search.search(Table.PATIENTS, is_full=True).rows == 1


def test_other_rules_search_everything_again(here, monkeypatch):
    patient(here)
    search.search(Table.PATIENTS)
    monkeypatch.setattr(search, "VERSION", scoring.VERSION + 1)
    assert search.search(Table.PATIENTS).is_full


def test_a_pair_that_was_decided_does_not_come_back(here, alice):
    patient(here)
    patient(here, first="Ngosi")
    search.search(Table.PATIENTS)
    decided = {"state": "different", "decided_by": alice, "decided_at": rows.lagos(BORN)}
    DuplicatePair.objects.update(**decided)
    search.search(Table.PATIENTS, is_full=True)
    assert [state for *_, state in pairs()] == ["different"]


def test_an_open_pair_goes_when_its_rows_are_no_longer_alike(here):
    one = patient(here)
    patient(here, first="Ngosi")
    search.search(Table.PATIENTS)
    Patient.objects.filter(pk=one.pk).update(first_name="Obinna", sex="M", dob=date(1950, 6, 6))
    search.search(Table.PATIENTS)
    assert pairs() == []


def test_an_open_pair_goes_when_a_row_is_deleted(here):
    one = patient(here)
    patient(here, first="Ngosi")
    search.search(Table.PATIENTS)
    Patient.objects.filter(pk=one.pk).update(deleted_at=rows.lagos(BORN))
    search.search(Table.PATIENTS)
    assert pairs() == []


def test_a_block_that_is_too_large_is_compared_with_neighbours_only(here, monkeypatch):
    monkeypatch.setattr(blocking, "CAP", 10)
    monkeypatch.setattr(blocking, "NEIGHBOURS", 2)
    for number in range(30):
        rows.patient(here, first_name=f"Ngozi{number:02}", last_name="Okafor", dob=BORN, phone=None)
    done = search.search(Table.PATIENTS)
    assert done.blocked < 30 * 29 / 2
    assert done.capped["date of birth"] == 1


def test_facilities_of_one_state_are_compared(db):
    known = {"lga": "Ikeja", "lga_name": "Ikeja", "lat": "6.6", "lon": "3.35"}
    one = Facility.objects.create(name="Ikeja General Hospital", state="LAGOS", **known)
    other = Facility.objects.create(name="Gen. Hosp. Ikeja", state="LAGOS", **known)
    Facility.objects.create(name="General Hospital Ikeja Annex", state="LAGOS", **known)
    search.search(Table.FACILITIES)
    assert pairs() == [(one.pk, other.pk, "open")]


def test_names_that_hold_no_letter_and_phones_alone_break_no_search(here):
    rows.patient(here, first_name="-", last_name="\\", phone=None)
    rows.patient(here, first_name=".", last_name="محمد", phone=None, patient_number="7\\t8")
    assert search.search(Table.PATIENTS).rows == 2


@pytest.mark.django_db(transaction=True)
def test_a_second_search_leaves_early_while_one_is_at_work(here):
    patient(here)
    other = connection.copy()
    with closing(other), other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [search.LOCK])
        find_duplicates()
        assert not DuplicateSearch.objects.exists()
        with pytest.raises(search.AlreadyRunning):
            search.search_all()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [search.LOCK])
    find_duplicates()
    assert DuplicateSearch.objects.count() == 2
