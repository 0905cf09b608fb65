"""How often somebody may ask, and how often fail to log in: counted in Redis, one window after the other.

One INCR per request, so that parallel requests cannot slip through. Without Redis each process counts for itself, so
that nobody is refused who would not be, and no number of requests is let through by its absence.
"""

import hashlib
import logging
import re
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import redis
from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:  # it reads the settings that name this module
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)
SECONDS = {"s": 1, "sec": 1, "min": 60, "hour": 3600, "day": 86400}
RATE = re.compile(r"([0-9]+)/([0-9]*)(s|sec|min|hour|day)")
PATIENCE = 0.25  # seconds for Redis to answer
REST = 5.0  # seconds without asking a Redis that did not answer
MOST_KEYS = 10_000  # counted here; then those whose window is over go
AN_ADDRESS_HAS = 10  # accounts; a whole clinic may come from one


def rate(name: str) -> tuple[int, int] | None:
    """(how many, in how many seconds) of a setting such as `600/min` or `5/15min`; None where it is off."""
    text = getattr(settings, name)
    if text == "off":
        return None
    parts = RATE.fullmatch(text)
    if parts is None:
        raise ImproperlyConfigured(f"{name} is {text!r}; write it as 600/min or 5/15min, or off.")
    return int(parts[1]), int(parts[2] or 1) * SECONDS[parts[3]]


@cache
def _redis() -> "redis.Redis":
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)


_silent_until = 0.0


def _count(what: str, who: str, period: int, add: int) -> tuple[int, float]:
    """The count in the present window after `add`, and the seconds until the next."""
    global _silent_until
    now = time.time()
    left = period - now % period
    digest = hashlib.sha256(f"{settings.SECRET_KEY}{who}".encode()).hexdigest()[:24]
    key = f"medilink:{what}:{digest}:{int(now // period)}"
    if time.monotonic() < _silent_until:
        return _here.count(key, add, now + left), left
    try:
        steps = _redis().pipeline(transaction=False)
        steps.incrby(key, add)
        steps.expire(key, period + 60)
        return int(steps.execute()[0]), left
    except redis.RedisError as error:
        _silent_until = time.monotonic() + REST
        logger.warning("Each process counts requests for itself: %s", type(error).__name__)
        return _here.count(key, add, now + left), left


class Here:
    """The counts of this process, for while Redis is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}

    def count(self, key: str, add: int, ends_at: float) -> int:
        with self._lock:
            if len(self._counts) > MOST_KEYS:
                now = time.time()
                self._counts = {one: kept for one, kept in self._counts.items() if kept[1] > now}
            count = self._counts.get(key, (0, 0.0))[0] + add
            self._counts[key] = count, ends_at
            return count


_here = Here()


class PerUser(BaseThrottle):
    def allow_request(self, request: Request, view: "APIView") -> bool:
        self.left = asked_too_often(request, request.user.pk if request.user else None)
        return not self.left

    def wait(self) -> float:
        return self.left


def asked_too_often(request: "HttpRequest | Request", user_id: int | None) -> float:
    """Counts one more request of the user, or of the address of who is unknown; the seconds to wait, 0 for none."""
    limit = rate("THROTTLE_USER")
    if limit is None:
        return 0
    count, left = _count("asked", f"user {user_id}" if user_id else address(request), limit[1], 1)
    return left if count > limit[0] else 0


def count_patients(user_id: int, rows: int) -> None:
    """settings.PATIENTS_COUNTER"""
    limit = rate("THROTTLE_PATIENTS")
    if limit is None:
        return
    count, left = _count("shown", f"user {user_id}", limit[1], rows)
    if count > limit[0]:
        raise Throttled(left, "You have been shown more rows of patients than one person reads.")


def address(request: "HttpRequest | Request | None") -> str:
    """Of the caller: behind a proxy that we trust with the scheme, what it has written last."""
    if request is None:
        return ""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.SECURE_PROXY_SSL_HEADER else ""
    return forwarded.rpartition(",")[2].strip() or str(request.META.get("REMOTE_ADDR", ""))


# --- Failed log-ins, those of the admin among them


def seconds_locked(request: "HttpRequest | Request | None", username: str) -> float:
    """How long this account, or this address, has to wait; 0 where it may try."""
    limit = rate("THROTTLE_LOGIN")
    if limit is None:
        return 0
    for who, most in ((f"name {username.casefold()}", limit[0]), (address(request), limit[0] * AN_ADDRESS_HAS)):
        count, left = _count("failed", who, limit[1], 0)
        if count >= most:
            return left
    return 0


@receiver(user_login_failed)
def _note_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    limit = rate("THROTTLE_LOGIN")
    if limit is not None:
        for who in (f"name {str(credentials.get('username', '')).casefold()}", address(request)):
            _count("failed", who, limit[1], 1)


class LockOut:
    """The first of AUTHENTICATION_BACKENDS: ends the matter for who has failed too often, and knows no user."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> None:
        if username and seconds_locked(request, username):
            raise PermissionDenied
