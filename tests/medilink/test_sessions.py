"""How long a browser stays logged in, and what ends it."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from clinical import logins, sessions
from clinical.models import AuditEvent, Login, Membership, ProgramToken, User
from medilink.api import signing

pytestmark = pytest.mark.django_db
PASSWORD = "not-a-secret-of-anybody"
OTHER = "nor-is-this-one-of-anybody"


@pytest.fixture(autouse=True)
def quick(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(quick):
    user = User.objects.create_user("ada", password=PASSWORD, is_staff=True)
    Membership.objects.create(user=user, role="steward")
    return user


def browser(user="ada", password=PASSWORD):
    client = Client()
    client.post("/admin/login/?next=/admin/account/", {"username": user, "password": password})
    return client


def app(user="ada", password=PASSWORD):
    body = json.dumps({"username": user, "password": password})
    return Client().post("/api/auth/token", body, content_type="application/json").json()


def is_in(client):
    return client.get("/admin/account/").status_code == 200


def bearer(token):
    return Client().get("/api/facilities", headers={"Authorization": f"Bearer {token}"}).status_code


def refreshed(tokens):
    body = json.dumps({"refresh": tokens["refresh"]})
    return Client().post("/api/auth/refresh", body, content_type="application/json").status_code


def test_a_browser_without_a_page_for_a_quarter_of_an_hour_is_logged_out(ada):
    with time_machine.travel(timezone.now()) as clock:
        client = browser()
        for _ in range(3):
            clock.shift(timedelta(minutes=14))
            assert is_in(client)
        clock.shift(timedelta(minutes=16))
        assert not is_in(client)
        assert client.get("/api/facilities").status_code == 401


def test_nobody_stays_longer_than_twelve_hours(ada):
    with time_machine.travel(timezone.now()) as clock:
        client = browser()
        for _ in range(51):
            clock.shift(timedelta(minutes=14))
            assert client.get("/api/facilities").status_code == 200
        clock.shift(timedelta(minutes=7))
        assert client.get("/api/facilities").status_code == 401


def test_a_session_gets_another_key_at_the_log_in(ada):
    client = Client()
    client.get("/admin/login/")
    session = client.session
    session["before"] = 1
    session.save()
    before = session.session_key
    client.cookies["sessionid"] = before
    client.post("/admin/login/", {"username": "ada", "password": PASSWORD})
    assert client.session.session_key != before
    assert not Session.objects.filter(session_key=before).exists()


def test_a_log_out_ends_the_session_on_the_server(ada):
    client = browser()
    stolen = client.cookies["sessionid"].value
    client.post("/admin/logout/")
    thief = Client()
    thief.cookies["sessionid"] = stolen
    assert not is_in(thief)
    assert not sessions.of_user(ada).exists()


def test_a_fourth_browser_logs_the_oldest_out(ada):
    clients = [browser() for _ in range(4)]
    assert [is_in(client) for client in clients] == [False, True, True, True]


def test_a_new_password_ends_all_other_log_ins_and_no_token_of_a_program(ada):
    here, there, tokens, program = browser(), browser(), app(), logins.issue_token("ada", 1)
    new = {"old_password": PASSWORD, "new_password1": OTHER, "new_password2": OTHER}
    assert here.post("/admin/password_change/", new)["Location"] == "/admin/account/"
    assert (is_in(here), is_in(there)) == (True, False)
    assert (bearer(tokens["access"]), refreshed(tokens)) == (401, 401)
    assert bearer(program) == 200
    assert is_in(browser(password=OTHER))


@pytest.mark.parametrize(
    "end",
    [
        lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
        lambda user: logins.disable(user, by=None, reason="left"),
        lambda user: call_command("end_sessions", user.username),
    ],
    ids=["raw update", "disable", "end_sessions"],
)
def test_everything_ends_at_once(ada, end):
    client, tokens, program = browser(), app(), logins.issue_token("ada", 1)
    end(ada)
    assert not is_in(client)
    assert (bearer(tokens["access"]), refreshed(tokens), bearer(program)) == (401, 401, 401)


def test_who_is_enabled_again_logs_in_anew(ada):
    client, tokens, program = browser(), app(), logins.issue_token("ada", 1)
    logins.disable(ada, by=None, reason="on leave")
    logins.enable(ada, by=None)
    assert not is_in(client)
    assert (bearer(tokens["access"]), refreshed(tokens), bearer(program)) == (401, 401, 401)
    assert is_in(browser())
    deeds = AuditEvent.objects.filter(table="clinical_user", object_id=ada.pk, action__in=["enable", "disable"])
    assert [*deeds.values_list("action", flat=True)] == ["enable", "disable"]


def test_one_ends_ones_own_log_ins_and_nobody_elses(ada):
    User.objects.create_user("bob", password=PASSWORD)
    here, there, bobs = browser(), browser(), browser("bob")
    of_bob = Login.objects.get(user__username="bob")
    here.post("/admin/account/end-login/", {"login": of_bob.pk})
    assert is_in(bobs)
    here.post("/admin/account/end-login/", {"login": Login.objects.filter(user=ada).latest("-id").pk})
    assert is_in(here)
    here.post("/admin/account/end-login/")
    assert (is_in(here), is_in(there)) == (True, False)


def test_a_new_secret_key_logs_nobody_out_and_the_end_of_the_old_one_does(ada, settings):
    client, tokens = browser(), app()
    former = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 25 + "e" * 25 + "w", [former]
    assert is_in(client)
    assert bearer(tokens["access"]) == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert not is_in(client)
    assert bearer(tokens["access"]) == 401
    assert refreshed(tokens) == 401


def test_a_token_that_another_key_has_signed_is_none(ada, settings):
    login = sessions.begin(ada, "app", is_verified=False, key="k")
    token = signing.signed("access", login.pk)
    assert bearer(token) == 200
    settings.SECRET_KEY = "another-" * 8
    assert bearer(token) == 401


def test_to_know_a_bearer_is_one_query(ada, django_assert_num_queries):
    headers = {"Authorization": f"Bearer {app()['access']}"}
    assert bearer(headers["Authorization"][7:]) == 200
    with django_assert_num_queries(1):
        assert Client().get("/", headers=headers).status_code == 200


def test_a_password_that_somebody_else_has_chosen_lets_in_to_choose_another_and_no_further(ada):
    User.objects.filter(pk=ada.pk).update(must_change_password=True)
    client = browser()
    assert client.get("/admin/")["Location"].startswith("/admin/login/")
    assert client.get("/api/facilities").status_code == 401
    assert client.get("/admin/login/?next=/admin/account/")["Location"] == (
        "/admin/first-password/?next=%2Fadmin%2Faccount%2F"
    )
    body = json.dumps({"username": "ada", "password": PASSWORD})
    refused = Client().post("/api/auth/token", body, content_type="application/json")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (401, "password_change_required")
    same = client.post("/admin/first-password/", {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert "choose another" in same.content.decode()
    weak = client.post("/admin/first-password/", {"new_password1": "short", "new_password2": "short"})
    assert "at least 12" in weak.content.decode()
    client.post("/admin/first-password/", {"new_password1": OTHER, "new_password2": OTHER})
    assert is_in(client)
    assert app(password=OTHER)["access"]


def test_who_may_not_enter_the_desk_still_has_an_account(quick):
    User.objects.create_user("clinician", password=PASSWORD)
    client = browser("clinician")
    assert is_in(client)
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/admin/account/"
    assert client.get("/admin/")["Location"].startswith("/admin/login/")


def test_the_last_superuser_stays_one(quick):
    one = User.objects.create_superuser("one", password=PASSWORD)
    with pytest.raises(logins.Refused):
        logins.disable(one, by=None, reason="left")
    for change in ({"is_active": False}, {"is_superuser": False}):
        with pytest.raises(IntegrityError, match="last superuser"), transaction.atomic():
            User.objects.filter(pk=one.pk).update(**change)
    User.objects.create_superuser("two", password=PASSWORD)
    with pytest.raises(IntegrityError, match="last superuser"), transaction.atomic():
        User.objects.update(is_active=False)
    logins.disable(one, by=None, reason="left")
    assert [*User.objects.filter(is_active=True).values_list("username", flat=True)] == ["two"]


def test_old_cookies_without_a_log_in_are_worth_nothing(ada):
    client = browser()
    Login.objects.all().delete()
    assert not is_in(client)
    assert ProgramToken.objects.count() == 0
