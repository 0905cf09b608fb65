"""How a caller proves who they are: a JWT or a program's token in `Authorization: Bearer`, or the browser's session.

Every request asks the database once for the user and what they may do now, so that a disabled user, a changed role or
a revoked token counts at once.
"""

import hashlib
import time
from functools import lru_cache
from typing import Any

import jwt
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from clinical import row_security
from clinical.access import EVERYTHING, Access, Grant, Role
from clinical.api import statements
from clinical.models import User

REFUSAL = "The token is unknown, expired or revoked; log in again."
PROGRAM = "ml_"  # how the tokens of `issue_token` begin

# One row per membership; a user without any has one row of nulls. The snapshot tells clinical/api/counting.py for free
# whether anything at all has been written since a count was taken.
_USER = """
SELECT pg_current_snapshot()::text,
       u.id, u.is_superuser, u.username, u.is_staff, m.role, m.state, m.lga_key, m.facility_id
FROM clinical_user u LEFT JOIN memberships m ON m.user_id = u.id
WHERE u.is_active AND u.id = {}
"""
BY_ID = _USER.format("%s")
BY_TOKEN = _USER.format(
    "(SELECT user_id FROM program_tokens WHERE digest = %s AND revoked_at IS NULL AND expires_at > now())"
)


class Bearer(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, str] | None:
        kind, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        token = token.strip()
        if token.startswith(PROGRAM):
            found = _user(BY_TOKEN, hashlib.sha256(token.encode()).digest())
        else:
            found = _user(BY_ID, _subject(token))
        if found is None:
            raise AuthenticationFailed(REFUSAL)
        return found

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class BrowserSession(SessionAuthentication):
    """Django's own: whoever writes must show the CSRF token."""


def _subject(token: str) -> int:
    try:
        subject, expires_at = _claims(token)
    except (jwt.InvalidTokenError, KeyError, ValueError, UnicodeError) as error:
        raise AuthenticationFailed(REFUSAL) from error
    if expires_at <= time.time():
        raise AuthenticationFailed(REFUSAL)
    return subject


@lru_cache(maxsize=1024)
def _claims(token: str) -> tuple[int, float]:
    """Whose token it is and when it ends. A signature that was right stays right; only time is looked at anew."""
    claims = jwt.decode(token, settings.SECRET_KEY, algorithms=["HS256"], options=OPTIONS)
    if claims["token_type"] != "access":  # noqa: S105  # the kind of a token
        raise jwt.InvalidTokenError
    return int(claims["user_id"]), float(claims["exp"])


OPTIONS: Any = {"require": ["exp"], "verify_iat": False}  # the clocks of two servers may differ
FIELDS = ("id", "is_superuser", "username", "is_staff", "is_active")  # in the order of the model


def _user(query: str, key: Any) -> tuple[User, str] | None:
    """The user, and the snapshot in which this was so."""
    rows = _asked_first(query, key)
    if not rows:
        return None
    snapshot, *fields = rows[0][:5]
    user = User.from_db("default", FIELDS, (*fields, True))
    grants = tuple(Grant(Role(row[5]), *row[6:]) for row in rows if row[5])
    user.access = EVERYTHING if user.is_superuser else Access(grants)
    row_security.stand_for(user.pk)
    return user, snapshot


def _asked_first(query: str, key: Any) -> list[Any]:
    """The request's first query; so it finds out what Django would ask `SELECT 1` for: whether there is a connection.

    A connection that the server has ended meanwhile is replaced, once.
    """
    connection.health_check_done = True  # type: ignore[attr-defined]  # Django's own, which the stubs lack
    try:
        return statements.fetch(query, [key])
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        connection.close()
        return statements.fetch(query, [key])
