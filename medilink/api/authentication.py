"""How a caller proves who they are: a JWT or a program's token in `Authorization: Bearer`, or the browser's session.

Every request asks the database once for the user and what they may do now, so that a disabled user, a changed role or
a revoked token counts at once.
"""

from typing import Any

from django.db import InterfaceError, OperationalError, connection
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from clinical import factors, logins, row_security, sessions
from clinical.access import EVERYTHING, Access, Grant, Role, narrowed
from clinical.api import statements
from clinical.models import User
from clinical.requests import client_address
from clinical.smart import PREFIX as SMART_PREFIX
from clinical.smart import scopes
from medilink.api import signing

FACTOR_OWED = "This account needs a second factor now: log in again, with its code."
REFUSAL = "The token is unknown, expired or revoked; log in again."

# One row per membership; a user without any has one row of nulls. The snapshot tells clinical/api/counting.py for free
# whether anything at all has been written since a count was taken.
_USER = """
SELECT pg_current_snapshot()::text, u.id, u.is_superuser, u.username, u.is_staff, u.is_active,
       m.role, m.state, m.lga_key, m.facility_id{more}
FROM {by} JOIN clinical_user u ON u.id = {by_user} LEFT JOIN memberships m ON m.user_id = u.id{places}
WHERE u.is_active AND {known}
"""
BY_LOGIN = _USER.format(
    by="logins l",
    by_user="l.user_id",
    more=""", l.verified_at IS NOT NULL,
       EXISTS (SELECT FROM second_factors f WHERE f.user_id = u.id AND f.confirmed_at IS NOT NULL)""",
    places="",
    known="l.id = %s AND l.ended_at IS NULL",
)
# A token may be narrower than its user: then the place of a facility, the token's or a pair's, decides what is left.
BY_TOKEN = _USER.format(
    by="program_tokens t",
    by_user="t.user_id",
    more=""", coalesce(b.state, m.state), coalesce(b.lga_key, m.lga_key),
       t.id, t.is_read_only, t.networks, coalesce(t.last_used_at < now() - interval '1 hour', true),
       t.role, coalesce(a.state, t.state), coalesce(a.lga_key, t.lga_key), t.facility_id""",
    places="""
    LEFT JOIN LATERAL place_of_facility(t.facility_id) a ON t.facility_id IS NOT NULL
    LEFT JOIN LATERAL place_of_facility(m.facility_id) b ON m.facility_id IS NOT NULL AND t.state <> ''""",
    known="t.digest = %s AND t.revoked_at IS NULL AND t.expires_at > now()",
)
BY_CLIENT = _USER.format(
    by="smart_tokens t JOIN smart_clients c ON c.id = t.client_id AND c.ended_at IS NULL",
    by_user="c.user_id",
    more=", c.id, t.scopes",
    places="",
    known="t.digest = %s AND t.expires_at > now()",
)
OF_CLIENTS = "/fhir"  # what a SMART client's token opens, and nothing else


class Bearer(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, str] | None:
        kind, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        token = token.strip()
        if token.startswith(SMART_PREFIX):
            found = _of_client(token) if request.path_info.startswith(OF_CLIENTS) else None
        else:
            found = _of_program(token) if token.startswith(logins.PREFIX) else _of_app(token)
        if found is None:
            raise AuthenticationFailed(REFUSAL)
        return found

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class BrowserSession(SessionAuthentication):
    """Django's own: whoever writes must show the CSRF token."""


FIELDS = ("id", "is_superuser", "username", "is_staff", "is_active")  # in the order of the model


def _of_app(token: str) -> tuple[User, str] | None:
    """The user, and the snapshot in which this was so."""
    try:
        login_id = signing.opened(signing.ACCESS, token).login_id
    except signing.NotSigned:
        return None
    rows = _asked_first(BY_LOGIN, login_id)
    if not rows:
        return None
    user = _user(rows)
    user.access = EVERYTHING if user.is_superuser else Access(_pairs(rows))
    is_verified, has_factor = rows[0][10:]
    if not is_verified and (has_factor or factors.is_required(user)):  # as factors.is_owed, in the same query
        row_security.stand_for(None)
        raise AuthenticationFailed(FACTOR_OWED, code="otp_required")
    return user, rows[0][0]


def _of_program(token: str) -> tuple[User, str] | None:
    rows = _asked_first(BY_TOKEN, sessions.digest_of(token))
    if not rows:
        return None
    token_id, is_read_only, networks, is_news, role, *place = rows[0][12:]
    if networks and not logins.is_from(client_address.get(), networks):
        return None
    user = _user(rows)
    pairs = [Grant(Role(row[6]), row[10], row[11], row[9]) for row in rows if row[6]]
    if user.is_superuser:
        pairs = [Grant(Role(role))] if role else [*EVERYTHING.grants]
    user.access = narrowed(pairs, role, *place, is_read_only=is_read_only)
    user.is_superuser = user.is_superuser and user.access == EVERYTHING
    user.via_token = token_id
    if is_news:
        logins.note_use(token_id)
    return user, rows[0][0]


def _of_client(token: str) -> tuple[User, str] | None:
    rows = _asked_first(BY_CLIENT, sessions.digest_of(token))
    if not rows:
        return None
    user = _user(rows)
    user.access = Access(_pairs(rows), is_read_only=True)
    user.via_client, texts = rows[0][10:]
    user.fhir_scopes = scopes.read(texts)
    return user, rows[0][0]


def _pairs(rows: list[Any]) -> tuple[Grant, ...]:
    return tuple(Grant(Role(row[6]), row[7], row[8], row[9]) for row in rows if row[6])


def _user(rows: list[Any]) -> User:
    """From now on this request's statements stand for them."""
    user = User.from_db("default", FIELDS, rows[0][1:6])
    row_security.stand_for(user.pk)
    return user


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
