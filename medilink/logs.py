"""One line of JSON for each thing that is logged, whatever stands in it; errors by kind and place, not by their words.

What an error says may hold a patient's data: a database quotes the row, a parser the text, Celery a task's arguments.
So there stand its class, its SQLSTATE and where our code was; of a library's message only what is fixed.
"""

import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from ingestion import stages
from medilink.requests import request_id, task_id

PROJECT = Path(__file__).resolve().parent.parent
PLACES = 5  # of our own, innermost last
# Of what Celery puts into a line about a task; the rest are arguments, results and tracebacks.
OF_TASKS = {"id", "name", "runtime", "description", "hostname"}


class Line(logging.Formatter):
    """A record as one line in ASCII: no text in it can begin another line or colour a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        line = facts(record)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line |= of_error(error)
        return json.dumps(line)


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """What is told of any record: when, by whom, for which request, at which work, and what may be said of it."""
    return {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "level": record.levelname,
        "logger": record.name,
        "request_id": request_id(),
        **_work(),
        "message": _message(record),
    }


def _work() -> dict[str, Any]:
    """What a worker is at; nothing of it stands in a request's lines."""
    found = {"task_id": task_id.get(), "run_id": stages.run_id.get(), "batch_id": stages.batch_id.get()}
    return {name: value for name, value in found.items() if value}


def of_error(error: BaseException) -> dict[str, Any]:
    """Its class and those of what caused it, PostgreSQL's code, and our own lines that it came through."""
    chain = [*_chain(error)]
    codes = [code for one in chain if (code := getattr(one, "pgcode", None))]
    told: dict[str, Any] = {"error": " from ".join(_class(one) for one in chain)}
    if codes:
        told["sqlstate"] = codes[0]
    return told | {"at": [*_places(error.__traceback__)][-PLACES:]}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _class(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _places(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        path = Path(code.co_filename)
        if path.is_relative_to(PROJECT) and ".venv" not in path.parts:
            yield f"{path.relative_to(PROJECT)}:{traceback.tb_lineno} {code.co_name}"
        traceback = traceback.tb_next


def _message(record: logging.LogRecord) -> str:
    """The record's message without what an error, a path or a task's arguments say."""
    request = getattr(record, "request", None)
    if record.name.startswith("django.request") and request is not None:
        match = getattr(request, "resolver_match", None)
        status = getattr(record, "status_code", "")
        return f"{status} {request.method} {match.route if match else 'no route'}".strip()
    if record.name.startswith("django.security") or isinstance(record.msg, BaseException):
        return record.name.rpartition(".")[2]
    args = record.args
    if record.name.startswith("celery") and isinstance(args, Mapping):
        args = {name: value if name in OF_TASKS else "-" for name, value in args.items()}
    elif isinstance(args, tuple):
        args = tuple(_class(one) if isinstance(one, BaseException) else one for one in args)
    try:
        text = str(record.msg) % args if args else str(record.msg)
    except (TypeError, ValueError, KeyError):
        text = str(record.msg)
    for error in _chain(record.exc_info[1]) if record.exc_info else ():
        if said := str(error).strip():
            text = text.replace(said, _class(error)).replace(repr(error), _class(error))
    return text


def catch_last_words() -> None:
    """What ends a process or a thread is logged like all the rest, instead of printed with all that it says."""
    sys.excepthook = lambda kind, error, _traceback: _say(kind, error)
    threading.excepthook = lambda ended: _say(ended.exc_type, ended.exc_value)


def _say(kind: type[BaseException], error: BaseException | None) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt | SystemExit):
        logging.getLogger("medilink").critical("Ended by an error", exc_info=error)
