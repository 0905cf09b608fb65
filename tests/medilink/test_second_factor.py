"""The second factor: how it is set up, asked for, lost and reset."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from clinical import factors
from clinical.models import AuditEvent, Login, Membership, RecoveryCode, SecondFactor, User

pytestmark = pytest.mark.django_db
PASSWORD = "not-a-secret-of-anybody"


@pytest.fixture(autouse=True)
def required(settings):
    settings.REQUIRE_TOTP = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(required):
    user = User.objects.create_user("ada", password=PASSWORD, is_staff=True)
    Membership.objects.create(user=user, role="steward")
    return user


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now().replace(second=5)) as moving:
        yield moving


def with_factor(user):
    secret = factors.begin(user)
    codes = factors.confirm(user, factors.code_now(secret))
    return secret, codes


def browser(user="ada"):
    client = Client()
    client.post("/admin/login/?next=/admin/", {"username": user, "password": PASSWORD})
    return client


def give(client, code):
    return client.post("/admin/second-factor/", {"code": code})


def is_in(client):
    return client.get("/admin/").status_code == 200


def app(**more):
    body = json.dumps({"username": "ada", "password": PASSWORD} | more)
    return Client().post("/api/auth/token", body, content_type="application/json")


def test_the_codes_are_those_of_the_standard():
    secret = b"12345678901234567890"  # RFC 6238, appendix B, cut to six digits
    assert [factors.code_at(secret, at // 30) for at in (59, 1111111109, 20000000000)] == ["287082", "081804", "353130"]


def test_a_password_alone_opens_nothing(ada):
    client = browser()
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/admin/second-factor/?next=%2Fadmin%2F"
    assert client.get("/admin/account/").status_code == 302
    assert client.get("/api/facilities").status_code == 401
    assert client.get("/admin/first-password/").status_code == 302


def test_who_has_none_sets_one_up_and_is_shown_recovery_codes_once(ada, clock):
    client = browser()
    page = client.get("/admin/second-factor/").content.decode()
    assert "<svg" in page
    secret = re.search(r"secret=([A-Z2-7]+)", page)[1]
    assert give(client, "000000").status_code == 200
    shown = give(client, factors.code_now(secret)).content.decode()
    assert len(re.findall(r"<code>[a-z2-9]{5}-[a-z2-9]{5}</code>", shown)) == 10
    assert is_in(client)
    assert secret not in client.get("/admin/account/").content.decode()
    assert client.get("/admin/second-factor/").status_code == 302


def test_the_code_of_now_lets_in_and_the_session_gets_another_key(ada, clock):
    secret, _ = with_factor(ada)
    clock.shift(30)
    client = browser()
    before = client.session.session_key
    assert give(client, factors.code_now(secret))["Location"] == "/admin/"
    assert is_in(client)
    assert client.session.session_key != before


def test_a_code_is_taken_once(ada, clock):
    secret, _ = with_factor(ada)
    clock.shift(30)
    code = factors.code_now(secret)
    assert give(browser(), code).status_code == 302
    assert "used already" in give(browser(), code).content.decode()
    clock.shift(30)
    assert give(browser(), factors.code_now(secret)).status_code == 302


@pytest.mark.parametrize(("shift", "is_taken"), [(-30, True), (0, True), (30, True), (-90, False), (90, False)])
def test_the_clock_of_a_phone_may_be_half_a_minute_off(ada, clock, shift, is_taken):
    secret, _ = with_factor(ada)
    clock.shift(300)
    with time_machine.travel(timezone.now() + timedelta(seconds=shift)):
        code = factors.code_now(secret)
    assert factors.check(ada, code) is is_taken


def test_a_recovery_code_lets_in_once(ada):
    _, codes = with_factor(ada)
    assert give(browser(), codes[0].upper()).status_code == 302
    assert give(browser(), codes[0]).status_code == 200
    assert RecoveryCode.objects.filter(user=ada).count() == 9


def test_wrong_codes_lock_like_wrong_passwords(ada, clock):
    secret, _ = with_factor(ada)
    clock.shift(30)
    client = browser()
    assert [give(client, "000000").status_code for _ in range(6)] == [200] * 5 + [429]
    locked = give(client, factors.code_now(secret))
    assert locked.status_code == 429
    assert locked["Retry-After"]
    assert app().status_code == 429


def test_a_right_password_in_between_gives_no_more_codes_to_guess(ada):
    with_factor(ada)
    answers = [app(otp="000000").status_code for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2


def test_an_app_sends_the_code_with_the_password(ada, clock):
    secret, codes = with_factor(ada)
    clock.shift(30)
    missing = app()
    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (401, "otp_required")
    assert app(otp="000000").json()["errors"][0]["code"] == "authentication_failed"
    assert app(otp=factors.code_now(secret)).status_code == 200
    assert app(otp=codes[1]).status_code == 200


def test_a_steward_without_a_second_factor_gets_no_tokens_and_a_clinician_does(ada):
    assert app().json()["errors"][0]["code"] == "otp_required"
    User.objects.filter(pk=ada.pk).update(is_staff=False)
    Membership.objects.update(role="clinician")
    assert app().status_code == 200


def test_who_has_one_is_asked_for_it_even_where_none_is_required(ada, clock, settings):
    settings.REQUIRE_TOTP = False
    assert is_in(browser())
    with_factor(ada)
    assert not is_in(browser())
    assert app().json()["errors"][0]["code"] == "otp_required"


def test_neither_the_secret_nor_a_recovery_code_can_be_read_from_the_database(ada):
    secret, codes = with_factor(ada)
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM second_factors")
        kept = bytes(cursor.fetchone()[0])
        cursor.execute("SELECT string_agg(encode(digest, 'escape'), ' ') FROM recovery_codes")
        digests = cursor.fetchone()[0]
    assert factors.b32decode(secret) not in kept
    assert not any(code.replace("-", "") in digests for code in codes)


def test_a_secret_that_is_put_in_another_users_row_opens_nothing(ada):
    secret, _ = with_factor(ada)
    bob = User.objects.create_user("bob")
    SecondFactor.objects.create(user=bob, secret=SecondFactor.objects.get().secret, confirmed_at=timezone.now())
    with pytest.raises(Exception, match="not in its place"):
        factors.check(bob, factors.code_now(secret))


def test_a_reset_logs_out_and_lets_another_one_be_set_up(ada):
    client = browser()
    _, codes = with_factor(ada)
    give(client, codes[0])
    call_command("reset_totp", "ada")
    assert not is_in(client)
    assert not Login.objects.filter(ended_at=None).exists()
    assert not RecoveryCode.objects.exists()
    assert AuditEvent.objects.filter(action="reset factor", object_id=ada.pk).exists()
    assert "Set up a second factor" in browser().get("/admin/second-factor/").content.decode()


def test_new_recovery_codes_are_given_for_a_code_and_void_the_old_ones(ada, clock, settings):
    secret, old = with_factor(ada)
    client = browser()
    give(client, old[0])
    assert "wrong" in client.post("/admin/account/second-factor/", {"code": "000000"}).content.decode()
    clock.shift(60)
    shown = client.post("/admin/account/second-factor/", {"code": factors.code_now(secret)}).content.decode()
    assert shown.count("<code>") == 10
    assert old[1] not in shown
    assert not factors.check(ada, old[1])


def test_who_is_not_let_in_yet_can_log_out(ada):
    client = browser()
    client.post("/admin/logout/")
    assert client.get("/admin/second-factor/")["Location"] == "/admin/login/"


def test_a_next_page_of_another_site_is_not_gone_to(ada):
    _, codes = with_factor(ada)
    client = browser()
    answer = client.post("/admin/second-factor/?next=https://evil.example/", {"code": codes[0]})
    assert answer["Location"] == "/admin/"


@pytest.mark.django_db(transaction=True)
def test_of_ten_requests_with_one_code_one_is_let_in(settings):
    settings.THROTTLE_LOGIN = "off"
    ada = User.objects.create_user("ada", password=PASSWORD)
    secret, _ = with_factor(ada)
    with time_machine.travel(timezone.now() + timedelta(seconds=60), tick=False):
        code = factors.code_now(secret)

        def attempt(_):
            try:
                return factors.check(ada, code)
            finally:
                connection.close()

        with ThreadPoolExecutor(10) as pool:
            taken = [*pool.map(attempt, range(10))]
    assert taken.count(True) == 1


# --- Who is given more while they are logged in


def a_clerk():
    user = User.objects.create_user("ada", password=PASSWORD)
    Membership.objects.create(user=user, role="clerk")
    return user


def becomes_steward(user):
    Membership.objects.create(user=user, role="steward")


def becomes_staff(user):
    User.objects.filter(pk=user.pk).update(is_staff=True)


def becomes_superuser(user):
    User.objects.filter(pk=user.pk).update(is_superuser=True, is_staff=True)


def sets_a_factor(user):
    with_factor(user)


MORE = pytest.mark.parametrize("become", [becomes_steward, becomes_staff, becomes_superuser, sets_a_factor])


@MORE
def test_a_browser_owes_the_second_factor_from_the_next_request_on(required, become):
    ada = a_clerk()
    client = browser()
    assert client.get("/api/patients").status_code == 200
    become(ada)
    assert client.get("/api/patients").status_code == 401
    assert client.get("/admin/account/").status_code == 302
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/admin/second-factor/?next=%2Fadmin%2F"


@MORE
def test_an_app_owes_the_second_factor_from_the_next_request_on(required, become):
    ada = a_clerk()
    tokens = app(otp="1").json()  # a code of nothing proves nothing
    assert bearer(tokens).status_code == 200
    become(ada)
    for refused in (bearer(tokens), refreshed(tokens)):
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (401, "otp_required")


def bearer(tokens):
    return Client().get("/api/patients", headers={"Authorization": f"Bearer {tokens['access']}"})


def refreshed(tokens):
    return Client().post("/api/auth/refresh", {"refresh": tokens["refresh"]}, content_type="application/json")


def test_a_log_in_with_the_second_factor_goes_on_when_its_user_becomes_a_steward(required, clock):
    ada = a_clerk()
    _, codes = with_factor(ada)
    client = browser()
    give(client, codes[0])
    tokens = app(otp=codes[1]).json()
    becomes_steward(ada)
    assert client.get("/api/patients").status_code == 200
    assert bearer(tokens).status_code == 200
    assert refreshed(tokens).status_code == 200


def test_who_sets_up_a_second_factor_of_their_own_will_is_not_asked_for_it_again_at_once(required, clock):
    ada = a_clerk()
    client, other = browser(), browser()
    secret = re.search(r"secret=([A-Z2-7]+)", client.get("/admin/account/second-factor/").content.decode())[1]
    client.post("/admin/account/second-factor/", {"code": factors.code_now(secret)})
    assert factors.is_set(ada)
    assert client.get("/admin/account/").status_code == 200
    assert other.get("/admin/account/").status_code == 302
