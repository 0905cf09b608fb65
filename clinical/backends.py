"""Who is let in by name and password, and what a role means in the admin: Django's permissions, for stewards."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from clinical import factors, lockout
from clinical.access import READ, UPDATE, Role
from clinical.models import User

APPS = frozenset({"clinical", "ingestion", "analytics", "medilink"})
FOR_SUPERUSERS = frozenset(
    {
        *("user", "group", "membership", "programtoken", "idempotencykey", "auditevent"),
        *("login", "loginfailures", "secondfactor", "recoverycode"),
        *("smartclient", "smarttoken", "fhirexport", "fhirexportpart"),
    }
)
# What holds for the whole country.
SCHEDULE = frozenset({"django_celery_beat.view_periodictask", "django_celery_beat.change_periodictask"})
NATIONAL = SCHEDULE | {"ingestion.add_source", "ingestion.change_source", "analytics.change_dataowner"}


AUDIT = "clinical.view_auditevent"


class RoleBackend(ModelBackend):
    """A steward sees, adds and changes what the desk shows; which rows is a matter of scope, not of permission.

    A national auditor reads who did what.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        """Raises lockout.Locked. Django lets a wrong name, a wrong password and a disabled user take the same time."""
        if username is None or password is None:
            return None
        lockout.take_a_try(username)
        user: User | None = super().authenticate(request, username, password)
        if user is None:
            return None
        if factors.is_set(user):  # only both together are a log-in that went well
            lockout.give_back(username)
        else:
            lockout.forgive(username)
        return user

    def has_perm(self, user_obj: User | AnonymousUser, perm: str, obj: Any = None) -> bool:
        if super().has_perm(user_obj, perm, obj) or (_is_steward(user_obj, perm) and _is_of_the_desk(perm)):
            return True
        return perm == AUDIT and _may_audit(user_obj)

    def has_module_perms(self, user_obj: User | AnonymousUser, app_label: str) -> bool:
        is_of_the_desk = app_label in APPS or app_label == "django_celery_beat"
        if super().has_module_perms(user_obj, app_label) or (_is_steward(user_obj) and is_of_the_desk):
            return True
        return app_label == "clinical" and _may_audit(user_obj)


def _is_steward(user: User | AnonymousUser, perm: str = "") -> bool:
    """Of the nation, for what holds for all of it."""
    if not (isinstance(user, User) and user.is_active and Role.STEWARD in user.access.roles):
        return False
    return perm not in NATIONAL or user.access.scope(UPDATE, "deliveries").is_national


def _may_audit(user: User | AnonymousUser) -> bool:
    """Of the nation: a line of the audit does not know where its row is."""
    return isinstance(user, User) and user.is_active and user.access.scope(READ, "audit").is_national


def _is_of_the_desk(perm: str) -> bool:
    app, _, name = perm.partition(".")
    action, _, model = name.partition("_")
    return perm in SCHEDULE or (app in APPS and action in ("view", "add", "change") and model not in FOR_SUPERUSERS)
