"""Every request has an id, in its answer, in the log lines that it causes, in the audit; and comes from an address."""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import ip_address
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from clinical import requests

task_id: ContextVar[str] = ContextVar("task_id", default="")  # of Celery's task that is at work
WELL_FORMED = re.compile(r"[A-Za-z0-9-]{1,36}")


def request_id() -> str:
    """Of the request that is being answered; a dash outside of one."""
    return requests.request_id.get() or "-"


def identified(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware; takes over a well-formed X-Request-ID of the caller."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        name = given if WELL_FORMED.fullmatch(given) else str(uuid4())
        token = requests.request_id.set(name)
        of_address = requests.client_address.set(address(request))
        try:
            response = get_response(request)
        finally:
            requests.client_address.reset(of_address)
            requests.request_id.reset(token)
        response.headers["X-Request-ID"] = name
        return response

    return answer


def address(request: HttpRequest | None) -> str:
    """Of the caller: what the outermost of our own proxies has seen. What the caller itself has written counts nothing.

    Each proxy adds the address that it sees at the end of the header, so only the last NUM_PROXIES are to be believed.
    """
    if request is None:
        return ""
    direct = _plain(str(request.META.get("REMOTE_ADDR", "")))
    if not settings.NUM_PROXIES:
        return direct
    seen = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[-settings.NUM_PROXIES :]
    return _plain(seen[0]) or direct


WITH_PORT = re.compile(r"([0-9.]+):[0-9]+|\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?")  # as some proxies write it


@lru_cache(maxsize=4096)
def _plain(written: str) -> str:
    """The address alone, without port and zone; empty for what is none, as of a socket of this machine."""
    host = written.strip().partition("%")[0]
    if parts := WITH_PORT.fullmatch(host):
        host = parts[1] or parts[2]
    try:
        one = ip_address(host)
        return str(getattr(one, "ipv4_mapped", None) or one)
    except ValueError:
        return ""


class RequestFilter(logging.Filter):
    """Gives every log line the request's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id()
        return True
