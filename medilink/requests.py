"""Every request has an id: in its answer, in the log lines that it causes, in the audit."""

import logging
import re
from collections.abc import Callable
from uuid import uuid4

from django.http import HttpRequest, HttpResponseBase

from clinical import requests

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
        try:
            response = get_response(request)
        finally:
            requests.request_id.reset(token)
        response.headers["X-Request-ID"] = name
        return response

    return answer


class RequestFilter(logging.Filter):
    """Gives every log line the request's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id()
        return True
