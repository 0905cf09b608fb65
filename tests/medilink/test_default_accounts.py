"""No account of the demo, and no password that everybody tries, in production."""

from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from clinical import lockout, sessions
from clinical.models import Login, LoginFailures, User
from medilink import purge
from medilink.default_accounts import look

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.mark.parametrize(
    ("account", "found"),
    [
        ({"username": "admin", "password": "admin"}, ["medilink.E001"]),
        ({"username": "steward", "password": "changeme"}, ["medilink.E001"]),
        ({"username": "steward", "password": "not-a-secret-of-anybody"}, []),
        ({"username": "admin", "password": "admin", "is_active": False}, []),
        ({"username": "demo-program"}, ["medilink.E002"]),
    ],
)
def test_an_account_that_everybody_knows_is_found(account, found):
    User.objects.create_user(**account)
    assert [message.id for message in look(None)] == found


def test_a_superuser_is_made_by_a_command_with_a_good_password(monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO("not-a-secret-of-anybody\n"))
    call_command("create_user", "ada", "--superuser", "--password-stdin", stdout=StringIO())
    ada = User.objects.get()
    assert (ada.is_superuser, ada.is_staff, ada.check_password("not-a-secret-of-anybody")) == (True, True, True)


@pytest.mark.parametrize("password", ["short", "password1234", "123456789012"])
def test_djangos_own_command_takes_no_weak_password_either(monkeypatch, password):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    with pytest.raises(CommandError):
        call_command("createsuperuser", username="ada", email="a@example.org", interactive=False)
    assert not User.objects.exists()


def test_a_role_or_the_superusers_part_must_be_named():
    with pytest.raises(CommandError):
        call_command("create_user", "ada")


def test_old_log_ins_are_forgotten_and_those_alive_stay():
    ada = User.objects.create_user("ada")
    with time_machine.travel(timezone.now() - timedelta(days=91)):
        lockout.take_a_try("ada")
        sessions.begin(ada, "browser", is_verified=True)
    alive = sessions.begin(ada, "app", is_verified=True, key="k")
    lockout.take_a_try("bob")
    purge.purge()
    assert [*Login.objects.values_list("pk", flat=True)] == [alive.pk]
    assert LoginFailures.objects.count() == 1
