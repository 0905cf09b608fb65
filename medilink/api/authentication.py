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
from django.db import connection
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from clinical.access import EVERYTHING, Access, Grant, Role
from clinical.models import User

REFUSAL = "The token is unknown, expired or revoked; log in again."
PROGRAM = "ml_"  # how the tokens of `issue_token` begin

# One row per membership; a user without any has one row of nulls.
_USER = """
SELECT u.id, u.username, u.is_superuser, u.is_staff, m.role, m.state, m.lga_key, m.facility_id
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
            user = _user(BY_TOKEN, hashlib.sha256(token.encode()).digest())
        else:
            user = _user(BY_ID, _subject(token))
        if user is None:
            raise AuthenticationFailed(REFUSAL)
        return user, kind

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
    claims = jwt.decode(token, settings.SECRET_KEY, algorithms=["HS256"], options={"require": ["exp"]})
    if claims["token_type"] != "access":  # noqa: S105  # the kind of a token
        raise jwt.InvalidTokenError
    return int(claims["user_id"]), float(claims["exp"])


FIELDS = ("id", "username", "is_superuser", "is_staff", "is_active")


def _user(query: str, key: Any) -> User | None:
    with connection.cursor() as cursor:
        cursor.execute(query, [key])
        rows = cursor.fetchall()
    if not rows:
        return None
    user = User.from_db("default", FIELDS, (*rows[0][:4], True))
    grants = tuple(
        Grant(Role(role), *place)
        for *_, role, state, lga, facility in rows
        if role
        for place in [(state, lga, facility)]
    )
    user.access = EVERYTHING if user.is_superuser else Access(grants)
    return user
