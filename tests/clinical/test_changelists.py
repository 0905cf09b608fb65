"""Long lists of the desk, with a limit of a few rows in place of ten thousand."""

from datetime import date, timedelta

import pytest
from django.db import OperationalError
from psycopg2.errors import QueryCanceled

from clinical import changelists, finding
from clinical.models import Facility, Membership, Patient, User
from tests import rows

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
PATIENTS, VISITS, RECORDS = "/admin/clinical/patient/", "/admin/clinical/triagevisit/", "/admin/clinical/medicalrecord/"


@pytest.fixture
def is_long(monkeypatch):
    """Three rows are many, and the pages have two."""
    monkeypatch.setattr(changelists, "EXACT_UP_TO", 3)
    monkeypatch.setattr(changelists.Listed, "list_per_page", 2)


def opened(desk, address, query=None):
    """What is searched for is posted, as the box does."""
    if "q" in (query or {}):
        return desk.post(address, query, follow=True)
    return desk.get(address, query or {}, follow=True)


def listed(desk, address, query=None):
    response = opened(desk, address, query)
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


def told(desk, address, query=None):
    return " ".join(map(str, opened(desk, address, query).context["messages"]))


def people(count, **columns):
    at = rows.facility()
    return [rows.patient(at, first_name=f"Name {count - n}", **columns) for n in range(count)]


def test_a_short_list_is_counted_and_sorted_by_any_column(desk, is_long):
    _, second, third = people(3)
    cl = desk.get(PATIENTS, {"o": "2"}).context["cl"]
    assert [row.pk for row in cl.result_list] == [third.pk, second.pk]
    assert cl.paginator.in_words == "3"
    assert listed(desk, PATIENTS, {"o": "-2", "p": "2"}) == [third.pk]


def test_a_long_list_is_estimated_and_keeps_its_order(desk, is_long):
    found = [patient.pk for patient in people(5)]
    cl = desk.get(PATIENTS).context["cl"]
    assert cl.paginator.in_words.startswith("about ")
    assert [row.pk for row in cl.result_list] == found[:-3:-1]
    assert listed(desk, PATIENTS, {"o": "2"}) == found[:-3:-1]
    assert "Only lists of up to 3 rows are sorted so" in told(desk, PATIENTS, {"o": "2"})


@pytest.mark.parametrize("gathered", [0, 1_000_000])
def test_pages_of_a_long_list_follow_one_another_either_way(desk, is_long, monkeypatch, gathered):
    monkeypatch.setattr(changelists.Pages, "gathered", gathered)
    found = [row.pk for row in [rows.visit(rows.patient(), DAY) for _ in range(5)]]
    assert listed(desk, VISITS) + listed(desk, VISITS, {"p": "2"}) == found[:0:-1]
    assert listed(desk, VISITS, {"o": "1"}) + listed(desk, VISITS, {"o": "1", "p": "2"}) == found[:4]


def test_pages_end_where_a_walk_would_take_too_long(desk, is_long, monkeypatch):
    monkeypatch.setattr(changelists, "DEEPEST", 2)
    people(5)
    response = desk.get(PATIENTS)
    assert response.context["cl"].paginator.num_pages == 1
    assert "Filters, or the other order, show the rest." in response.content.decode()
    assert desk.get(PATIENTS, {"p": "2"}).status_code == 302


def test_days_of_a_filter_are_lagos_days_and_both_included(desk):
    visits = [
        rows.visit(rows.patient(), DAY, visited_at=rows.lagos(DAY + timedelta(days=days), hour, minute))
        for days, hour, minute in ((-1, 23, 59), (0, 0, 0), (1, 23, 59), (2, 0, 0))
    ]
    query = {"visited_at_from": "2026-11-20", "visited_at_to": "2026-11-21"}
    assert listed(desk, VISITS, query) == [visits[2].pk, visits[1].pk]


@pytest.mark.parametrize("typed", ["okafor ngo", "0803 123 4567", "H-17", "{pk}"])
def test_a_patient_is_found_by_names_phone_number_or_id(desk, typed):
    wanted = rows.patient(first_name="Ngozi", last_name="Okafor", phone="+2348031234567", patient_number="H-17")
    rows.patient(first_name="Amina", last_name="Bello")
    assert listed(desk, PATIENTS, {"q": typed.format(pk=wanted.pk)}) == [wanted.pk]


def test_a_name_of_two_letters_is_asked_for_again(desk):
    people(1)
    assert listed(desk, PATIENTS, {"q": "na"}) == []
    assert "Type 3 letters of a name at least." in told(desk, PATIENTS, {"q": "na"})


@pytest.mark.parametrize("typed", ["okafor", "V-9", "{pk}"])
def test_a_visit_is_found_by_its_patient_or_its_id_anywhere(desk, typed):
    wanted = rows.visit(rows.patient(first_name="Ngozi", last_name="Okafor"), DAY, visit_id="V-9")
    rows.visit(rows.patient(first_name="Amina", last_name="Bello"), DAY)
    assert listed(desk, VISITS, {"q": typed.format(pk=wanted.pk)}) == [wanted.pk]


def test_events_of_very_many_patients_are_said_to_be_of_some(desk, monkeypatch):
    monkeypatch.setattr(finding, "PATIENTS", 1)
    records = [rows.record(patient, DAY) for patient in people(2)]
    assert len(listed(desk, RECORDS, {"q": "name"})) == len(records) - 1
    assert "these are the events of 1 of them" in told(desk, RECORDS, {"q": "name"})


def test_a_steward_of_a_state_filters_by_that_state_and_sees_no_other(client):
    steward = User.objects.create_user("kano", is_staff=True)
    Membership.objects.create(user=steward, role="steward", state="KANO")
    client.force_login(steward)
    mine, _ = (rows.visit(rows.patient(rows.facility(state=state)), DAY) for state in ("KANO", "LAGOS"))
    assert listed(client, VISITS) == [mine.pk]
    assert listed(client, VISITS, {"facility__state__exact": "KANO"}) == [mine.pk]
    assert listed(client, VISITS, {"facility__state__exact": "LAGOS"}) == []


def test_all_rows_of_a_long_list_are_not_changed_at_once(desk, is_long, monkeypatch):
    monkeypatch.setattr(changelists.Listed, "most_at_once", 3)
    found = people(4)
    form = {"action": "mark_deleted", "select_across": "1", "index": "0", "_selected_action": [found[0].pk]}
    assert "Not more than 3 rows at once" in " ".join(
        map(str, desk.post(PATIENTS, form, follow=True).context["messages"])
    )
    assert Patient.objects.present().count() == 4
    desk.post(desk.post(PATIENTS, {"q": f"{found[0].pk}"})["Location"], form)
    assert Patient.objects.present().count() == 3
    assert 'class="question' not in desk.get(PATIENTS).content.decode()


def test_what_takes_too_long_is_broken_off_in_words(desk, monkeypatch):
    plain = changelists.List.get_results

    def slow(self, request):
        if self.query:
            raise OperationalError from QueryCanceled()
        plain(self, request)

    monkeypatch.setattr(changelists.List, "get_results", slow)
    assert "That would have taken too long" in told(desk, PATIENTS, {"q": "name"})


def test_a_facility_is_offered_by_its_name_and_not_as_a_list_of_all(desk):
    at = rows.facility(name="Ikeja General")
    page = desk.get(f"{PATIENTS}add/").content.decode()
    assert "Ikeja General" not in page
    query = {"app_label": "clinical", "model_name": "patient", "field_name": "facility", "term": "ikeja g"}
    assert [one["id"] for one in desk.get("/admin/autocomplete/", query).json()["results"]] == [str(at.pk)]
    assert Facility.objects.count() == 1
