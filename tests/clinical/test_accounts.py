"""The desk's pages on users and tokens, which are for superusers."""

import pytest
from django.test import Client

from clinical import factors, lockout, logins, sessions
from clinical.models import AuditEvent, Membership, ProgramToken, Revision, User

pytestmark = pytest.mark.django_db
PASSWORD = "not-a-secret-of-anybody"


@pytest.fixture(autouse=True)
def quick(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def bob(quick):
    user = User.objects.create_user("bob", password=PASSWORD)
    Membership.objects.create(user=user, role="clinician", state="KANO")
    return user


def page(user, rest="change/"):
    return f"/admin/clinical/user/{user.pk}/{rest}"


def actions_on(user):
    """Besides that the account was written."""
    noted = AuditEvent.objects.filter(table="clinical_user", object_id=user.pk)
    return [*noted.exclude(action__in=["create", "update"]).values_list("action", flat=True)]


def test_the_list_says_what_each_may_do_and_what_is_open(desk, bob):
    sessions.begin(bob, "app", is_verified=False, key="k")
    logins.issue_token("bob", 1)
    factors.confirm(bob, factors.code_now(factors.begin(bob)))
    for _ in range(5):
        lockout.take_a_try("bob")
    row = {user.username: user for user in desk.get("/admin/clinical/user/").context["cl"].result_list}["bob"]
    assert (row.logins_count, row.tokens_count, row.has_second_factor, row.is_locked) == (1, 1, True, True)
    shown = desk.get("/admin/clinical/user/").content.decode()
    assert "clinician (KANO)" in shown
    assert "locked" in shown


def test_the_list_asks_the_database_no_more_for_more_users(desk, bob, django_assert_max_num_queries):
    desk.get("/admin/clinical/user/")
    for number in range(20):
        Membership.objects.create(user=User.objects.create_user(f"user-{number}"), role="clerk", state="LAGOS")
    with django_assert_max_num_queries(16):
        assert desk.get("/admin/clinical/user/").status_code == 200


@pytest.mark.parametrize(("value", "found"), [("clinician", ["bob"]), ("superuser", ["alice"]), ("none", ["carl"])])
def test_users_are_found_by_their_role(desk, bob, value, found):
    User.objects.create_user("carl")
    listed = desk.get("/admin/clinical/user/", {"role": value}).context["cl"].result_list
    assert [user.username for user in listed] == found


def test_disabling_asks_for_a_reason_and_ends_everything(desk, bob):
    token = logins.issue_token("bob", 1)
    assert "required" in desk.post(page(bob, "disable/"), {"reason": ""}).content.decode()
    assert desk.post(page(bob, "disable/"), {"reason": "left the service"}).status_code == 302
    bob.refresh_from_db()
    assert not bob.is_active
    assert Client().get("/api/facilities", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    event = AuditEvent.objects.get(action="disable")
    assert (event.object_id, event.details["reason"]) == (bob.pk, "left the service")


@pytest.mark.parametrize(
    ("deed", "action"),
    [("unlock", "unlock"), ("end-sessions", "end sessions"), ("reset-factor", "reset factor"), ("enable", "enable")],
)
def test_what_a_superuser_does_to_an_account_is_asked_once_more_and_noted(desk, bob, deed, action):
    assert "Leave it" in desk.get(page(bob, f"{deed}/")).content.decode()
    assert actions_on(bob) == []
    assert desk.post(page(bob, f"{deed}/"), {"sure": "yes"}).status_code == 302
    assert actions_on(bob) == [action]


def test_the_page_offers_what_is_possible(desk, alice, bob):
    def offered(user):
        return [name for name, _ in desk.get(page(user)).context["deeds"]]

    assert offered(bob) == ["disable"]
    assert offered(alice) == ["end-sessions"]  # the last superuser
    logins.issue_token("bob", 1)
    factors.confirm(bob, factors.code_now(factors.begin(bob)))
    assert offered(bob) == ["end-sessions", "reset-factor", "disable"]
    logins.disable(bob, by=alice, reason="left")
    assert offered(bob) == ["reset-factor", "enable"]


def test_the_last_superuser_is_neither_disabled_nor_made_less(desk, alice):
    desk.post(page(alice, "disable/"), {"reason": "x"})
    body = {"username": "alice", "is_staff": "on", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    refused = desk.post(page(alice), body)
    assert "last superuser" in refused.content.decode()
    alice.refresh_from_db()
    assert (alice.is_active, alice.is_superuser) == (True, True)


def test_a_pair_that_is_given_is_told_with_who_gave_it(desk, alice, bob):
    pair = bob.memberships.get()
    body = {"username": "bob", "memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "1"}
    row = {"memberships-0-id": pair.pk, "memberships-0-user": bob.pk, "memberships-0-role": "steward"}
    assert desk.post(page(bob), body | row | {"memberships-0-state": "KANO"}).status_code == 302
    told = Revision.objects.filter(table="memberships", object_id=pair.pk).latest("id")
    assert (told.was, told.became, told.event.actor) == ({"role": "clinician"}, {"role": "steward"}, alice)


def test_a_password_that_a_superuser_sets_is_a_first_one(desk, bob):
    new = "somebody-elses-choice"
    assert desk.post(page(bob, "password/"), {"password1": new, "password2": new}).status_code == 302
    bob.refresh_from_db()
    assert (bob.check_password(new), bob.must_change_password) == (True, True)
    assert actions_on(bob) == ["change password"]


def test_a_new_user_chooses_another_password_at_the_first_log_in(desk):
    new = {"username": "eve", "password1": "somebody-elses-choice", "password2": "somebody-elses-choice"}
    assert desk.post("/admin/clinical/user/add/", new).status_code == 302
    assert User.objects.get(username="eve").must_change_password


def test_ones_own_password_is_changed_where_the_present_one_is_asked_for(desk, alice):
    assert desk.get(page(alice, "password/"))["Location"] == "/admin/password_change/"


def test_nobody_is_deleted(desk, bob):
    assert desk.post(page(bob, "delete/"), {"post": "yes"}).status_code == 403


def test_tokens_are_listed_with_what_they_allow_and_can_be_ended(desk, bob):
    logins.issue_token("bob", 30, state="KANO", is_read_only=True, networks=["41.58.0.0/24"])
    logins.issue_token("bob", 30)
    shown = desk.get("/admin/clinical/programtoken/").content.decode()
    assert "KANO, reading only, 41.58.0.0/24" in shown
    assert "all that its user may do" in shown
    one = ProgramToken.objects.earliest("id")
    desk.post("/admin/clinical/programtoken/", {"action": "revoke", "_selected_action": [one.pk]})
    assert [logins.state_of(token) for token in ProgramToken.objects.order_by("id")] == ["ended", "alive"]
    assert AuditEvent.objects.filter(action="revoke token", object_id=one.pk).exists()


@pytest.mark.parametrize("path", ["user/", "programtoken/", "user/1/disable/", "user/1/unlock/"])
def test_stewards_have_no_part_in_it(client, bob, path):
    Membership.objects.update(role="steward")
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=bob.pk))
    assert client.get(f"/admin/clinical/{path}").status_code in (403, 404)


def test_what_nobody_can_do_is_not_there(desk, bob):
    assert desk.get(page(bob, "explode/")).status_code == 404
