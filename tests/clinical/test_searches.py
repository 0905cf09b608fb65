"""What is typed into a search box stands in no address."""

import pytest
from django.contrib import admin
from django.urls import get_resolver

from clinical import searches
from clinical.searches import Searched
from tests import rows
from tests.callers import Caller

pytestmark = pytest.mark.django_db
PATIENTS = "/admin/clinical/patient/"
ABOUT_PEOPLE = ("name", "phone", "dob", "birth", "q", "search", "term")


def found(response):
    return [row.pk for row in response.context["cl"].result_list]


def test_a_search_is_posted_and_named_by_a_word_that_means_nothing(desk):
    wanted = rows.patient(first_name="Zainab", last_name="Canary")
    rows.patient()
    answer = desk.post(f"{PATIENTS}?sex__exact=F&p=3", {"q": "zainab"})
    address = answer["Location"]
    assert address.startswith(f"{PATIENTS}?sex__exact=F&find=")
    assert "ainab" not in address
    for _ in range(2):  # a refresh shows the same
        page = desk.get(address)
        assert found(page) == [wanted.pk]
        text = page.content.decode()
        assert 'value="zainab"' in text
        assert "=zainab" not in text  # no link of the page holds it
        assert "find=" in text  # and those that go on keep it


def test_an_empty_search_shows_all(desk):
    both = {rows.patient().pk, rows.patient(first_name="Zainab").pk}
    address = desk.post(PATIENTS, {"q": "zainab"})["Location"]
    assert desk.post(address, {"q": " "})["Location"] == PATIENTS
    assert {*found(desk.get(PATIENTS))} == both


def test_a_search_is_its_users_own_and_ends_with_the_session(desk, client, alice):
    address = desk.post(PATIENTS, {"q": "zainab"})["Location"]
    client.logout()
    client.force_login(alice)
    page = client.get(address, follow=True)
    assert page.redirect_chain == [(PATIENTS, 302)]
    assert "That search is over" in page.content.decode()


def test_only_the_latest_searches_are_kept(desk):
    for number in range(searches.MOST + 5):
        desk.post(PATIENTS, {"q": f"number {number}"})
    kept = desk.session[searches.KEPT]
    assert len(kept) == searches.MOST
    assert [*kept.values()][-1] == f"number {searches.MOST + 4}"


def test_a_search_in_an_address_is_not_carried_out(desk):
    rows.patient(first_name="Zainab")
    page = desk.get(f"{PATIENTS}?q=zainab", follow=True)
    assert page.redirect_chain == [(PATIENTS, 302)]
    assert "type it into the box" in page.content.decode()


def test_every_list_of_the_desk_that_finds_people_is_asked_so(desk):
    asked_by_address = {
        model._meta.label
        for model, one in admin.site._registry.items()
        if one.search_fields and not isinstance(one, Searched)
    }
    assert asked_by_address <= {"auth.Group", "django_celery_beat.PeriodicTask"}


def test_nobody_is_found_by_what_autocompletes(desk):
    visit = rows.visit(rows.patient(first_name="Zainab"), rows.date(2026, 11, 20))
    answer = desk.get(
        "/admin/autocomplete/",
        {"term": "Zainab", "app_label": "clinical", "model_name": "triagevisit", "field_name": "patient"},
    )
    assert visit
    assert answer.status_code in (200, 403)
    assert answer.status_code == 403 or answer.json()["results"] == []


def test_no_parameter_of_the_api_takes_what_tells_a_person():
    get_resolver()
    described = Caller(("steward",)).get("/api/schema", {"format": "json"}, Accept="application/json").json()
    told = {
        (path, one["name"])
        for path, methods in described["paths"].items()
        for operation in methods.values()
        for one in operation.get("parameters", ())
        if one["in"] in ("query", "path")
    }
    about_people = {(path, name) for path, name in told if any(part in ABOUT_PEOPLE for part in name.split("_"))}
    # A birthday alone, as an end of a range, is nobody's; facilities are no people.
    assert {(path, name) for path, name in about_people if name not in ("dob_after", "dob_before")} == {
        ("/api/facilities", "search")
    }
