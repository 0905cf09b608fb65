"""How often somebody may ask: counted in Redis, one window after the other.

One INCR per request, so that parallel requests cannot slip through. Without Redis each process counts for itself, so
that nobody is refused who would not be, and no number of requests is let through by its absence.
"""

import hashlib
import logging
import threading
import time
from functools import cache
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from clinical.lockout import rate
from clinical.requests import client_address

if TYPE_CHECKING:  # it reads the settings that name this module
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)
PATIENCE = 0.25  # seconds for Redis to answer
REST = 5.0  # seconds without asking a Redis that did not answer
MOST_KEYS = 10_000  # counted here; then those whose window is over go


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
        count = int(_redis().incrby(key, add))
        if count == add:  # the first of its window; looking on with 0 may do it again
            _redis().expire(key, period + 60)
        return count, left
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
        self.left = asked_too_often(request.user.pk if request.user else None)
        return not self.left

    def wait(self) -> float:
        return self.left


def asked_too_often(user_id: int | None) -> float:
    """Counts one more request of the user, or of the address of who is unknown; the seconds to wait, 0 for none."""
    limit = rate("THROTTLE_USER")
    if limit is None:
        return 0
    count, left = _count("asked", f"user {user_id}" if user_id else client_address.get(), limit[1], 1)
    return left if count > limit[0] else 0


def count_patients(user_id: int, rows: int) -> None:
    """settings.PATIENTS_COUNTER"""
    limit = rate("THROTTLE_PATIENTS")
    if limit is None:
        return
    count, left = _count("shown", f"user {user_id}", limit[1], rows)
    if count > limit[0]:
        raise Throttled(left, "You have been shown more rows of patients than one person reads.")
