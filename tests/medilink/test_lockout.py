"""Who fails to log in too often has to wait, wherever and however they try; nobody learns who exists."""

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import close_old_connections, connection
from django.test import Client
from django.utils import timezone

from clinical import lockout
from clinical.models import LoginFailures, Membership, User

PASSWORD = "not-a-secret-of-anybody"


@pytest.fixture(autouse=True)
def quick(request, settings):
    """What is tried here is the count, not the hash; but for the one test of time."""
    if "drill" not in request.keywords:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def clerk(db):
    user = User.objects.create_user("clerk", password=PASSWORD)
    Membership.objects.create(user=user, role="steward")
    return user


def log_in(client, name="clerk", password=PASSWORD, **headers):
    body = json.dumps({"username": name, "password": password})
    return client.post("/api/auth/token", body, content_type="application/json", headers=headers)


def statuses(client, times, name="clerk", password="wrong"):
    return [log_in(client, name, password).status_code for _ in range(times)]


def test_five_failures_lock_a_name_for_a_while_and_nobody_else(client, clerk):
    User.objects.create_user("other", password=PASSWORD)
    with time_machine.travel(timezone.now()) as clock:
        assert statuses(client, 6) == [401] * 5 + [429]
        locked = log_in(client)
        assert locked.status_code == 429
        assert 0 < int(locked["Retry-After"]) <= 900
        assert log_in(client, "other").status_code == 200
        clock.shift(timedelta(minutes=15, seconds=1))
        assert log_in(client).status_code == 200


def test_who_tries_on_makes_nobodys_wait_longer(client, clerk):
    with time_machine.travel(timezone.now()) as clock:
        statuses(client, 5)
        clock.shift(timedelta(minutes=14))
        assert statuses(client, 10) == [429] * 10
        clock.shift(timedelta(minutes=1, seconds=1))
        assert log_in(client).status_code == 200


def test_a_name_that_nobody_has_is_locked_just_the_same(client, db):
    assert statuses(client, 6, "nobody") == [401] * 5 + [429]


def test_capitals_give_no_more_tries(client, clerk):
    assert [log_in(client, name, "wrong").status_code for name in ("clerk", "CLERK") * 3] == [401] * 5 + [429]


def test_a_log_in_that_goes_well_forgets_the_failures_of_the_name(client, clerk):
    assert statuses(client, 4) == [401] * 4
    assert log_in(client).status_code == 200
    assert statuses(client, 4) == [401] * 4


def test_a_clinic_behind_one_address_is_not_shut_out_by_one_person(client, clerk, settings):
    settings.THROTTLE_LOGIN, settings.NUM_PROXIES = "2/15min", 1
    clinic, other = {"X-Forwarded-For": "10.0.0.1, 41.58.0.7"}, {"X-Forwarded-For": "41.58.0.7, 41.58.0.8"}
    assert [log_in(client, "one", "wrong", **clinic).status_code for _ in range(30)] == [401] * 2 + [429] * 28
    assert log_in(client, **clinic).status_code == 200
    for number in range(2 * lockout.AN_ADDRESS_HAS - 2):
        assert log_in(client, f"guess-{number}", "wrong", **clinic).status_code == 401
    assert log_in(client, **clinic).status_code == 429
    assert log_in(client, **other).status_code == 200


def test_a_forged_header_gives_an_address_no_more_tries(client, clerk, settings):
    settings.THROTTLE_LOGIN = "1/15min"
    for number in range(lockout.AN_ADDRESS_HAS):
        forged = {"X-Forwarded-For": f"10.0.0.{number}"}
        assert log_in(client, f"guess-{number}", "wrong", **forged).status_code == 401
    assert log_in(client, **{"X-Forwarded-For": "10.1.1.1"}).status_code == 429


def test_the_log_in_of_the_desk_counts_as_well_and_says_how_long_to_wait(client, clerk):
    User.objects.filter(pk=clerk.pk).update(is_staff=True)
    for _ in range(5):
        assert client.post("/admin/login/", {"username": "clerk", "password": "wrong"}).status_code == 200
    assert log_in(client).status_code == 429
    page = client.post("/admin/login/", {"username": "clerk", "password": PASSWORD})
    assert page.status_code == 429
    assert 0 < int(page["Retry-After"]) <= 901
    assert "try again in 15 minutes" in page.content.decode()


def test_without_redis_the_count_goes_on(client, clerk, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert statuses(client, 6) == [401] * 5 + [429]


def test_neither_names_nor_passwords_are_kept(client, clerk):
    log_in(client, "Zainab-Canary", "wrong-canary")
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(f::text || encode(who, 'escape'), ' ') FROM login_failures f")
        kept = cursor.fetchone()[0]
    assert LoginFailures.objects.count() == 2
    assert "anary" not in kept


def test_a_superuser_can_unlock_a_name(client, clerk):
    statuses(client, 5)
    assert lockout.locked(["clerk", "other"]) == {"clerk"}
    call_command("unlock", "clerk")
    assert lockout.locked(["clerk"]) == set()
    assert log_in(client).status_code == 200


def test_a_name_that_nobody_has_cannot_be_unlocked(db):
    with pytest.raises(CommandError) as refused:
        call_command("unlock", "nobody")
    assert refused.value.returncode == 2


def test_the_limit_can_be_turned_off(client, clerk, settings):
    settings.THROTTLE_LOGIN = "off"
    assert statuses(client, 7) == [401] * 7
    assert not LoginFailures.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_fifty_tries_at_once_are_five():
    User.objects.create_user("clerk", password=PASSWORD)

    def attempt(_):
        try:
            return log_in(Client(), password="wrong").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(25) as pool:
        answers = [*pool.map(attempt, range(50))]
    close_old_connections()
    assert (answers.count(401), answers.count(429)) == (5, 45)


@pytest.mark.drill
@pytest.mark.django_db
def test_every_failure_takes_the_same_time(client, settings):
    settings.THROTTLE_LOGIN = "off"
    User.objects.create_user("known", password=PASSWORD)
    User.objects.create_user("gone", password=PASSWORD, is_active=False)
    User.objects.create_user("program")
    tries = {"known": "wrong", "gone": PASSWORD, "program": "wrong", "nobody": "wrong"}
    taken = {name: [] for name in tries}
    bodies = set()
    for _ in range(200):  # in turns, so that a busy moment meets all
        for name, password in tries.items():
            begun = time.perf_counter()
            answer = log_in(client, name, password)
            taken[name].append(time.perf_counter() - begun)
            bodies.add((answer.status_code, answer.content))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    assert len(bodies) == 1
    assert max(medians.values()) < 1.2 * min(medians.values()), medians
