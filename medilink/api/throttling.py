"""How often somebody may ask: counted in Redis, one window after the other.

One INCR per request, so that parallel requests cannot slip through. Without Redis nobody is refused.
"""

import hashlib
import logging
import time
from functools import cache
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from clinical.lockout import rate
from clinical.requests import client_address

if TYPE_CHECKING:  # it reads the settings that name this module
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)
PATIENCE = 0.25  # seconds for Redis to answer
REST = 5.0  # seconds without asking a Redis that did not answer


@cache
def _redis() -> "redis.Redis":
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)


_silent_until = 0.0


def _count(what: str, who: str, period: int, add: int) -> tuple[int, float]:
    """The count in the present window after `add`, and the seconds until the next; zero where Redis is away."""
    global _silent_until
    now = time.time()
    left = period - now % period
    if time.monotonic() < _silent_until:
        return 0, left
    digest = hashlib.sha256(f"{settings.SECRET_KEY}{who}".encode()).hexdigest()[:24]
    key = f"medilink:{what}:{digest}:{int(now // period)}"
    try:
        steps = _redis().pipeline(transaction=False)
        steps.incrby(key, add)
        steps.expire(key, period + 60)
        return int(steps.execute()[0]), left
    except redis.RedisError as error:
        _silent_until = time.monotonic() + REST
        logger.warning("Requests are not counted: %s", type(error).__name__)
        return 0, left


class PerUser(BaseThrottle):
    def allow_request(self, request: Request, view: "APIView") -> bool:
        limit = rate("THROTTLE_USER")
        if limit is None:
            return True
        who = f"user {request.user.pk}" if request.user and request.user.pk else client_address.get()
        count, self.left = _count("asked", who, limit[1], 1)
        return count <= limit[0]

    def wait(self) -> float:
        return self.left
