"""`manage.py check --deploy` looks whether anybody can log in by what everybody knows."""

from typing import Any

from django.contrib.auth.hashers import check_password
from django.core.checks import CheckMessage, Error, Info, Tags, register
from django.db import DatabaseError

from clinical.models import User

MADE_BY_THE_DEMO = "demo-program"
NAMES = ("steward", "admin", "administrator", "root", "demo", "test", "medilink", MADE_BY_THE_DEMO)
PASSWORDS = ("admin", "password", "changeme", "medilink", "steward", "demo", "secret", "123456789012", "password1234")


@register(Tags.security, deploy=True)
def look(app_configs: Any, **_: Any) -> list[CheckMessage]:
    try:
        known = [*User.objects.filter(username__in=NAMES, is_active=True)]
    except DatabaseError:
        return [Info("The accounts could not be looked at: no database, or not migrated.", id="medilink.I001")]
    found: list[CheckMessage] = [
        Error(f"The password of {user.username} is one that everybody tries.", id="medilink.E001")
        for user in known
        if any(check_password(password, user.password) for password in {*PASSWORDS, user.username})
    ]
    if any(user.username == MADE_BY_THE_DEMO for user in known):
        found.append(Error("The demo has made accounts in this database; disable them.", id="medilink.E002"))
    return found
