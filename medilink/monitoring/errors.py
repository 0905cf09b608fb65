"""To Sentry, where SENTRY_DSN is set: what our own log says of an error, and nothing else.

Sentry's integrations would send locals, requests and statements, and with them patients. None is on: each event is made
here, of the same parts as a line of the log, and what is in none of them is cut off again before it is sent.
"""

import atexit
import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from medilink.logs import facts, of_error

SENT = {
    *("event_id", "timestamp", "level", "logger", "message", "exception", "tags"),
    *("platform", "release", "environment"),
}
LAST = 2.0  # seconds for what is not sent yet when a process ends: often why it ends
FROM_SENTRY = ("sentry_sdk", "urllib3")  # its own trouble is no event


def send_to(dsn: str) -> None:
    try:
        import sentry_sdk
    except ImportError:
        raise ImproperlyConfigured(
            "SENTRY_DSN is set, but sentry-sdk is not installed: install the extra `observability`, or unset it."
        ) from None
    sentry_sdk.init(
        dsn=dsn,
        release=settings.REVISION or None,
        environment=settings.ENVIRONMENT,
        default_integrations=False,
        auto_enabling_integrations=False,
        max_breadcrumbs=0,
        include_local_variables=False,
        include_source_context=False,
        send_default_pii=False,
        auto_session_tracking=False,
        send_client_reports=False,
        server_name="",
        before_send=cut,
    )
    atexit.register(sentry_sdk.flush, LAST)
    logging.getLogger().addHandler(ToSentry(sentry_sdk.capture_event))


def cut(event: Any, _hint: Any) -> Any:
    return {name: value for name, value in event.items() if name in SENT}


class ToSentry(logging.Handler):
    """What is logged as an error."""

    def __init__(self, capture: Any) -> None:
        super().__init__(logging.ERROR)
        self._capture = capture

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(FROM_SENTRY):
            return
        try:
            self._capture(as_event(record))
        except Exception:
            self.handleError(record)


def as_event(record: logging.LogRecord) -> dict[str, Any]:
    line = facts(record)
    event = {
        "level": line["level"].lower(),
        "logger": line["logger"],
        "message": line["message"],
        "platform": "python",
        "tags": {name: str(line[name]) for name in ("request_id", "task_id", "run_id", "batch_id") if line.get(name)},
    }
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        told = of_error(error)
        frames = [_frame(place) for place in told["at"]]
        event["exception"] = {"values": [{"type": told["error"], "value": "", "stacktrace": {"frames": frames}}]}
        if "sqlstate" in told:
            event["tags"]["sqlstate"] = told["sqlstate"]
    return event


def _frame(place: str) -> dict[str, Any]:
    """`clinical/api/lists.py:17 cut`"""
    file, _, rest = place.partition(":")
    line, _, function = rest.partition(" ")
    return {"filename": file, "lineno": int(line), "function": function, "in_app": True}
