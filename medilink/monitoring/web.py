"""Middleware, outermost: each request is counted by its route's template, method and kind of status, and timed."""

import re
import time
from collections.abc import Callable
from functools import lru_cache

from django.http import HttpRequest, HttpResponseBase

from medilink.monitoring import traces
from medilink.monitoring.counts import counts

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_ROUTE = "none"
NOT_WATCHED = {"livez", "readyz", "metrics"}  # what watches us


def watched(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    def answer(request: HttpRequest) -> HttpResponseBase:
        counts.enter()
        begun = time.perf_counter()
        status, ended = 500, traces.begin_request(request)
        try:
            response = get_response(request)
            status = response.status_code
            return response
        finally:
            counts.leave()
            where = template(request)
            method = str(request.method) if request.method in METHODS else "other"
            if where in NOT_WATCHED:
                ended(method, None, status)
            else:
                _count(method, where, status, time.perf_counter() - begun)
                ended(method, where, status)

    return answer


def _count(method: str, where: str, status: int, seconds: float) -> None:
    counts.add("medilink_http_requests_total", (("method", method), ("route", where), ("status", f"{status // 100}xx")))
    counts.observe("medilink_http_request_seconds", (("route", where),), seconds)


def template(request: HttpRequest) -> str:
    """What the addresses of one view have in common; what nothing is there for is one, too."""
    match = request.resolver_match
    return _readable(match.route) if match else NO_ROUTE


@lru_cache(maxsize=2048)
def _readable(route: str) -> str:
    plain = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"<\1>", route)
    plain = re.sub(r"<\w+:(\w+)>", r"<\1>", plain)
    return re.sub(r"[\^$\\]|\\Z|/\?|\(\?:[^)]*\)\?", "", plain) or "/"
