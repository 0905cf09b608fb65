"""Tokens of programs: as narrow as they were asked for, never wider than their user."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from clinical import logins
from clinical.access import Grant, Role, narrowed
from clinical.models import Facility, Membership, ProgramToken, User
from medilink import alerts

pytestmark = pytest.mark.django_db


def issue(name, *options):
    out = StringIO()
    call_command("issue_token", name, *options, stdout=out)
    return out.getvalue().splitlines()[-1]


def ask(token, method="get", path="/api/facilities", **headers):
    return getattr(Client(), method)(path, headers={"Authorization": f"Bearer {token}"} | headers)


def seen(token):
    return {row["id"] for row in ask(token).json()["results"]}


@pytest.fixture
def places():
    """Of two facilities of Kano, in two LGAs, and one of Lagos."""
    return [
        Facility.objects.create(name="A", state="KANO", lga="Dala"),
        Facility.objects.create(name="B", state="KANO", lga="Gwale"),
        Facility.objects.create(name="C", state="LAGOS", lga="Ikeja"),
    ]


def user(*pairs, **options):
    made = User.objects.create_user("app", **options)
    for role, *scope in pairs:
        Membership.objects.create(user=made, role=role, **(scope[0] if scope else {}))
    return made


@pytest.mark.parametrize(
    ("scope", "asked", "left"),
    [
        ({}, [], [0, 1, 2]),
        ({}, ["--state", "KANO"], [0, 1]),
        ({}, ["--lga", "KANO/Dala"], [0]),
        ({}, ["--facility", 2], [2]),
        ({"state": "KANO"}, ["--state", "KANO"], [0, 1]),
        ({"state": "KANO"}, ["--state", "LAGOS"], []),
        ({"state": "KANO"}, ["--lga", "KANO/Dala"], [0]),
        ({"state": "KANO"}, ["--facility", 1], [1]),
        ({"state": "KANO"}, ["--facility", 2], []),
        ({"state": "KANO", "lga": "Dala"}, ["--state", "KANO"], [0]),
        ({"state": "KANO", "lga": "Dala"}, ["--lga", "KANO/Gwale"], []),
        ({"state": "KANO", "lga": "Dala"}, ["--facility", 0], [0]),
        ({"state": "KANO", "lga": "Dala"}, ["--facility", 1], []),
        ({"facility": 0}, ["--state", "KANO"], [0]),
        ({"facility": 0}, ["--state", "LAGOS"], []),
        ({"facility": 0}, ["--lga", "KANO/Dala"], [0]),
        ({"facility": 0}, ["--lga", "KANO/Gwale"], []),
        ({"facility": 0}, ["--facility", 0], [0]),
        ({"facility": 0}, ["--facility", 1], []),
    ],
)
def test_what_token_and_user_both_allow_counts(places, scope, asked, left):
    user(("steward", scope | ({"facility": places[scope["facility"]]} if "facility" in scope else {})))
    if "--facility" in asked:
        asked = ["--facility", str(places[asked[1]].pk)]
    token = issue("app", *asked)
    answer = ask(token)
    assert answer.status_code == (200 if left else 403)
    assert {row["id"] for row in answer.json().get("results", [])} == {places[number].pk for number in left}


def test_a_token_is_of_one_role_alone(places):
    user(("clinician",), ("auditor",))
    token = issue("app", "--role", "auditor")
    assert ask(token, path="/api/audit-events").status_code == 200
    assert ask(token, path="/api/patients").status_code == 403


def test_a_superusers_token_can_be_narrowed_to_any_role_and_is_then_no_superusers(places):
    user(is_superuser=True)
    narrow, wide = issue("app", "--role", "clerk", "--state", "KANO"), issue("app")
    assert seen(narrow) == {places[0].pk, places[1].pk}
    assert ask(narrow, path="/api/audit-events").status_code == 403
    assert ask(narrow, path="/api/medical-records").status_code == 403
    assert ask(wide, path="/api/audit-events").status_code == 200


def test_a_token_for_reading_writes_nothing(places):
    user(("steward",))
    token = issue("app", "--read-only")
    assert seen(token) == {place.pk for place in places}
    assert ask(token, "delete", f"/api/facilities/{places[0].pk}").status_code == 403
    assert ask(token, "post", "/api/patients/search").status_code != 403
    assert ask(token, "post", "/api/batches").status_code == 403


def test_a_facility_that_moves_out_of_the_users_state_is_out_of_the_tokens_reach(places):
    user(("steward", {"state": "KANO"}))
    token = issue("app", "--facility", str(places[0].pk))
    assert seen(token) == {places[0].pk}
    Facility.objects.filter(pk=places[0].pk).update(state="LAGOS", lga="Ikeja")
    assert ask(token).status_code == 403


def test_a_role_that_the_user_loses_is_lost_to_the_token(places):
    user(("steward",))
    token = issue("app", "--role", "steward")
    Membership.objects.update(role="analyst")
    assert ask(token).status_code == 403


def test_a_token_comes_from_where_it_may(settings):
    settings.NUM_PROXIES = 1
    user(("steward",))
    token = issue("app", "--from", "41.58.0.0/24", "--from", "2001:db8::/32")
    for address, status in [("41.58.0.7", 200), ("2001:db8::5", 200), ("41.58.1.7", 401), ("41.58.0.7, 10.0.0.1", 401)]:
        assert ask(token, **{"X-Forwarded-For": address}).status_code == status


def test_the_last_use_is_noted_once_an_hour(django_assert_num_queries):
    user(("steward",))
    token = issue("app")
    ask(token)
    first = ProgramToken.objects.get().last_used_at
    assert timezone.now() - first < timedelta(minutes=1)
    ask(token)
    assert ProgramToken.objects.get().last_used_at == first
    ProgramToken.objects.update(last_used_at=first - timedelta(hours=2))
    ask(token)
    assert ProgramToken.objects.get().last_used_at > first


@pytest.mark.parametrize(
    "options", [["--role", "auditor"], ["--from", "somewhere"], ["--from", "41.58.0.7/24"], ["--state", "Atlantis"]]
)
def test_a_token_that_makes_no_sense_is_not_made(options):
    user(("steward",))
    with pytest.raises(CommandError) as refused:
        issue("app", *options)
    assert refused.value.returncode == 2
    assert not ProgramToken.objects.exists()


def test_stewards_hear_of_a_token_two_weeks_before_it_ends():
    user(("service",))
    logins.issue_token("app", 13)
    logins.issue_token("app", 15)
    logins.revoke(
        ProgramToken.objects.filter(
            pk=ProgramToken.objects.create(
                user=User.objects.get(), digest=b"x", expires_at=timezone.now() + timedelta(days=1)
            ).pk
        )
    )
    told = [cause for cause in alerts.causes(timezone.now()) if cause.key.startswith("token-ends")]
    first = ProgramToken.objects.earliest("id")
    assert [cause.key for cause in told] == [f"token-ends:{first.pk}"]
    assert "app" in told[0].what


KANO, DALA = Grant(Role.CLERK, "KANO"), Grant(Role.CLERK, "KANO", "dala")
CLINIC = Grant(Role.CLERK, "KANO", "dala", 7)


@pytest.mark.parametrize(
    ("pair", "limit", "left"),
    [
        (KANO, ("", "KANO", "dala", None), (DALA,)),
        (DALA, ("", "KANO", "", None), (DALA,)),
        (KANO, ("", "KANO", "dala", 7), (Grant(Role.CLERK, facility_id=7),)),
        (CLINIC, ("", "KANO", "dala", None), (Grant(Role.CLERK, facility_id=7),)),
        (CLINIC, ("", "", "", None), (Grant(Role.CLERK, facility_id=7),)),
        (CLINIC, ("", "KANO", "gwale", 8), ()),
        (KANO, ("steward", "", "", None), ()),
        (Grant(Role.CLERK, "", "", 7), ("", "LAGOS", "", None), ()),
        (Grant(Role.CLERK, "KANO", "", 7), ("", "KANO", "dala", None), ()),
    ],
)
def test_places_meet_where_one_lies_in_the_other(pair, limit, left):
    assert narrowed([pair], *limit, is_read_only=False).grants == left
