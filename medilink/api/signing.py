"""Signed tokens of apps (JWT): an access token for a quarter of an hour, a refresh token for one use.

The first key signs; those before it still open, so that a change of SECRET_KEY logs nobody out.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

import jwt
from django.conf import settings

from clinical.sessions import REFRESHED_WITHIN

ACCESS, REFRESH = "access", "refresh"
LIFETIME = {ACCESS: timedelta(minutes=15), REFRESH: REFRESHED_WITHIN}
OPTIONS: Any = {"require": ["exp"], "verify_exp": False, "verify_iat": False}  # when it ends is looked at below


class NotSigned(Exception):
    """It is no token of this kind, or it has ended."""


@dataclass(frozen=True)
class Claims:
    login_id: int
    ends_at: float
    key: str  # of a refresh token


def signed(kind: str, login_id: int, key: str = "") -> str:
    now = time.time()
    claims: dict[str, Any] = {"token_type": kind, "login": login_id, "iat": int(now)}
    claims["exp"] = int(now + LIFETIME[kind].total_seconds())
    return jwt.encode(claims | ({"key": key} if key else {}), settings.SECRET_KEY, algorithm="HS256")


def opened(kind: str, token: str) -> Claims:
    try:
        claims = _claims(kind, token, (settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS)))
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, UnicodeError) as error:
        raise NotSigned from error
    if claims.ends_at <= time.time():
        raise NotSigned
    return claims


@lru_cache(maxsize=1024)
def _claims(kind: str, token: str, keys: tuple[str, ...]) -> Claims:
    """A signature that was right stays right; only time is looked at anew."""
    claims = _verified(token, keys)
    if claims["token_type"] != kind:
        raise jwt.InvalidTokenError
    return Claims(int(claims["login"]), float(claims["exp"]), str(claims.get("key", "")))


def _verified(token: str, keys: tuple[str, ...]) -> dict[str, Any]:
    for key in keys[:-1]:
        try:
            return jwt.decode(token, key, algorithms=["HS256"], options=OPTIONS)
        except jwt.InvalidSignatureError:
            continue
    return jwt.decode(token, keys[-1], algorithms=["HS256"], options=OPTIONS)
