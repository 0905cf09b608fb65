"""Celery: whose request a task comes from, how long it took and how it ended, and which workers are alive.

The message carries the request's id and when it was queued beside the ids that the task is about, and nothing else.
"""

import time
from typing import Any

from celery import bootsteps, signals

from clinical import requests
from medilink.monitoring import traces
from medilink.monitoring.counts import counts, live
from medilink.requests import WELL_FORMED, request_id
from medilink.requests import task_id as own_id

QUEUED_AT = "medilink_queued_at"
REQUEST = "medilink_request_id"
SAYS_SO_EVERY = 10.0  # seconds
_begun: dict[str, float] = {}


@signals.before_task_publish.connect
def _note(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        headers[QUEUED_AT] = round(time.time(), 3)
        headers[REQUEST] = request_id()
        traces.hand_on(headers)


@signals.task_prerun.connect
def _begin(task_id: str, task: Any, **_: Any) -> None:
    asked_by = str(getattr(task.request, REQUEST, None) or "")
    requests.request_id.set(asked_by if WELL_FORMED.fullmatch(asked_by) and asked_by != "-" else "")
    own_id.set(task_id)
    _begun[task_id] = time.perf_counter()
    counts.add("medilink_tasks_total", (("outcome", "started"), ("task", task.name)))
    traces.begin_task(task_id, task)


@signals.task_postrun.connect
def _end(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    began = _begun.pop(task_id, None)
    if began is not None:
        counts.took("medilink_task_seconds", (("task", task.name),), time.perf_counter() - began)
    traces.end_task(task_id, state)
    counts.flush()
    requests.request_id.set("")
    own_id.set("")


def _count_outcome(outcome: str) -> Any:
    def count(sender: Any = None, **_: Any) -> None:
        counts.add("medilink_tasks_total", (("outcome", outcome), ("task", sender.name)))

    return count


_counters = {
    signals.task_success: _count_outcome("done"),
    signals.task_failure: _count_outcome("failed"),
    signals.task_retry: _count_outcome("retried"),
}
for _signal, _counter in _counters.items():
    _signal.connect(_counter)


class Alive(bootsteps.StartStopStep):
    """The worker's own loop says that it turns, again after each reconnect."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        live(parent.hostname)
        self._again = parent.timer.call_repeatedly(SAYS_SO_EVERY, live, (parent.hostname,))

    def stop(self, parent: Any) -> None:
        if again := getattr(self, "_again", None):
            again.cancel()
