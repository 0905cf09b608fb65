"""Log-in by name and password, by tokens of programs, and what ends them."""

import hashlib
import json
from datetime import timedelta
from io import StringIO

import jwt
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from clinical.access import Grant
from clinical.models import Login, Membership, ProgramToken, User
from medilink.api import throttling
from tests.rows import facility

pytestmark = pytest.mark.django_db
PASSWORD = "not-a-secret-of-anybody"


@pytest.fixture(autouse=True)
def uncounted():
    """Counts of earlier tests are none of ours."""
    throttling._redis().flushdb()


@pytest.fixture
def clerk():
    user = User.objects.create_user("clerk", password=PASSWORD)
    Membership.objects.create(user=user, role="steward")
    return user


def post(client, path, **body):
    return client.post(f"/api/auth/{path}", json.dumps(body), content_type="application/json")


def log_in(client, name="clerk", password=PASSWORD):
    return post(client, "token", username=name, password=password)


def ask(client, token):
    return client.get("/api/patients", headers={"Authorization": f"Bearer {token}"}).status_code


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_name_and_a_password_give_tokens(client, clerk, slash):
    answer = post(client, f"token{slash}", username="clerk", password=PASSWORD)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 900)
    assert ask(client, answer.json()["access"]) == 200


@pytest.mark.parametrize(("name", "password"), [("clerk", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD)])
def test_a_log_in_that_fails_does_not_say_why(client, clerk, name, password):
    User.objects.create_user("gone", password=PASSWORD, is_active=False)
    answer = log_in(client, name, password)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "authentication_failed"
    assert answer.json()["errors"][0]["detail"].startswith("The name or the password is wrong")


@pytest.mark.parametrize(
    "body", [{}, {"username": "clerk"}, {"username": "clerk", "password": PASSWORD, "pin": "1"}, {"username": None}]
)
def test_a_log_in_of_another_shape_is_refused(client, body):
    assert post(client, "token", **body).status_code == 400


def test_an_access_token_ends_after_a_quarter_of_an_hour(client, clerk):
    token = log_in(client).json()["access"]
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert ask(client, token) == 401


def test_a_refresh_token_is_good_for_one_use(client, clerk):
    first = log_in(client).json()["refresh"]
    second = post(client, "refresh", refresh=first)
    assert ask(client, second.json()["access"]) == 200
    third = post(client, "refresh", refresh=second.json()["refresh"])
    assert ask(client, third.json()["access"]) == 200


def test_a_refresh_token_that_is_used_again_ends_the_log_in_for_the_thief_and_the_robbed(client, clerk):
    other = log_in(client).json()
    first = log_in(client).json()["refresh"]
    second = post(client, "refresh", refresh=first).json()
    assert post(client, "refresh", refresh=first).status_code == 401
    assert post(client, "refresh", refresh=second["refresh"]).status_code == 401
    assert ask(client, second["access"]) == 401
    assert ask(client, other["access"]) == 200


def test_a_refresh_token_of_another_log_in_ends_nobody_elses(client, clerk):
    mine, login = log_in(client).json(), Login.objects.get()
    forged = jwt.encode({"token_type": "refresh", "login": login.pk, "key": "x", "exp": 2**33}, "k" * 50)
    assert post(client, "refresh", refresh=forged).status_code == 401
    assert ask(client, mine["access"]) == 200


def test_a_refresh_token_is_no_access_token(client, clerk):
    assert ask(client, log_in(client).json()["refresh"]) == 401


def test_who_logs_out_ends_the_access_token_too(client, clerk):
    tokens = log_in(client).json()
    assert post(client, "revoke", refresh=tokens["refresh"]).status_code == 204
    assert ask(client, tokens["access"]) == 401
    assert post(client, "refresh", refresh=tokens["refresh"]).status_code == 401
    assert post(client, "revoke", refresh=tokens["refresh"]).status_code == 401


def test_a_disabled_user_is_refused_at_the_next_request(client, clerk):
    tokens = log_in(client).json()
    User.objects.filter(pk=clerk.pk).update(is_active=False)
    assert ask(client, tokens["access"]) == 401
    assert post(client, "refresh", refresh=tokens["refresh"]).status_code == 401


# pragma: allowlist nextline secret
@pytest.mark.parametrize("token", ["", "x", "ml_unknown", "a.b.c", "é", "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoxfQ."])
def test_what_is_no_token_is_refused(client, token):
    assert ask(client, token) == 401


def test_more_requests_than_allowed_are_told_to_wait(client, clerk, settings):
    settings.THROTTLE_USER = "3/min"
    token = log_in(client).json()["access"]
    with time_machine.travel(timezone.now().replace(second=1)):
        assert [ask(client, token) for _ in range(4)] == [200, 200, 200, 429]
        refused = client.get("/api/patients", headers={"Authorization": f"Bearer {token}"})
        assert 0 < int(refused["Retry-After"]) <= 60
    settings.THROTTLE_USER = "off"
    assert ask(client, log_in(client).json()["access"]) == 200


def test_without_redis_nobody_is_refused(client, clerk, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    throttling._redis.cache_clear()
    try:
        assert log_in(client).status_code == 200
    finally:
        throttling._redis.cache_clear()
        throttling._silent_until = 0.0


# --- Commands


def run(*words, **options):
    out = StringIO()
    call_command(*words, stdout=out, **options)
    return out.getvalue()


def test_a_program_logs_in_with_the_token_that_is_printed_last(client):
    run("create_user", "app", "--role", "service")
    token = run("issue_token", "app", "--days", "1").splitlines()[-1]
    assert ask(client, token) == 200
    assert bytes(ProgramToken.objects.get().digest) == hashlib.sha256(token.encode()).digest()
    with time_machine.travel(timezone.now() + timedelta(days=2), tick=False):
        ProgramToken.objects.update(expires_at=timezone.now() - timedelta(days=3))
    assert ask(client, token) == 401


def test_a_bearer_is_the_user_with_its_name_and_powers(client, alice):
    token = run("issue_token", "alice").splitlines()[-1]
    page = client.get("/api/patients", headers={"Authorization": f"Bearer {token}", "Accept": "text/html"})
    assert "alice" in page.content.decode()
    assert (
        client.delete(f"/api/facilities/{facility().pk}", headers={"Authorization": f"Bearer {token}"}).status_code
        == 204
    )


@pytest.mark.parametrize("by_name", [True, False])
def test_a_revoked_token_is_refused_at_the_next_request(client, by_name):
    run("create_user", "app", "--role", "service")
    one, other = (run("issue_token", "app").splitlines()[-1] for _ in range(2))
    assert (
        run("revoke_token", "app" if by_name else one)
        == f"{2 if by_name else 1} token{'s' if by_name else ''} ended.\n"
    )
    assert (ask(client, one), ask(client, other)) == (401, 401 if by_name else 200)


def test_a_user_gets_a_pair_with_each_call(monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO(f"{PASSWORD}\n"))
    clinic = facility()
    run("create_user", "ada", "--role", "steward", "--state", "kano state", "--password-stdin")
    run("create_user", "ada", "--role", "clinician", "--lga", "KANO/dala lga")
    run("create_user", "ada", "--role", "clinician", "--lga", "Kano/Dala")
    run("create_user", "ada", "--role", "clerk", "--facility", str(clinic.pk))
    run("create_user", "ada", "--role", "analyst")
    ada = User.objects.get(username="ada")
    assert ada.check_password(PASSWORD)
    assert ada.is_staff
    assert ada.access.grants == (
        Grant("steward", "KANO"),
        Grant("clinician", "KANO", "dala"),
        Grant("clerk", facility_id=clinic.pk),
        Grant("analyst"),
    )


@pytest.mark.parametrize(
    "words",
    [
        ["create_user", "x", "--role", "clerk", "--state", "Atlantis"],
        ["create_user", "x", "--role", "clerk", "--lga", "Dala"],
        ["create_user", "x", "--role", "clerk", "--lga", "KANO/Atlantis"],
        ["create_user", "x", "--role", "clerk", "--facility", "987654"],
        ["issue_token", "nobody"],
        ["issue_token", "nobody", "--days", "0"],
        ["revoke_token", "nobody"],
    ],
)
def test_what_cannot_be_done_ends_with_2_and_says_why(words):
    with pytest.raises(CommandError) as refused:
        run(*words)
    assert refused.value.returncode == 2
    assert not User.objects.exists()


def test_a_weak_password_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO("short\n"))
    with pytest.raises(CommandError):
        run("create_user", "ada", "--role", "clerk", "--password-stdin")
    assert not User.objects.exists()
