"""To an OpenTelemetry collector, where OTEL_EXPORTER_OTLP_ENDPOINT is set: spans of requests, tasks and stages.

A span has a route's template, a task's name, a batch's number; no path, no statement, no argument, no error's words.
"""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

_tracer: Any = None
_tasks: dict[str, Any] = {}


def send() -> None:
    global _tracer
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ImproperlyConfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: install the extra "
            "`observability`, or unset it."
        ) from None
    from ingestion import stages

    told = {"service.name": "medilink", "deployment.environment.name": settings.ENVIRONMENT}
    if settings.REVISION:
        told["service.version"] = settings.REVISION
    provider = TracerProvider(resource=Resource.create(told))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("medilink")
    stages.watchers.append(_stage)


def _silent(_method: str, _route: str | None, _status: int) -> None:
    return


def begin_request(request: HttpRequest) -> Callable[[str, str | None, int], None]:
    """What to call in any case, once it is known what became of the request; with no route it is not told of."""
    if _tracer is None:
        return _silent
    from opentelemetry import context, trace
    from opentelemetry.propagate import extract

    span = _tracer.start_span("request", context=_from(extract, request), kind=trace.SpanKind.SERVER)
    token = context.attach(trace.set_span_in_context(span))

    def end(method: str, route: str | None, status: int) -> None:
        context.detach(token)
        if route is None:
            return
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
        if status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        span.end()

    return end


def _from(extract: Any, request: HttpRequest) -> Any:
    """The caller's trace; its baggage may say anything and is not taken along."""
    return extract({"traceparent": request.META.get("HTTP_TRACEPARENT", "")})


def hand_on(headers: MutableMapping[str, Any]) -> None:
    """Into a message, which trace the task belongs to."""
    if _tracer is None:
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    TraceContextTextMapPropagator().inject(headers)


def begin_task(task_id: str, task: Any) -> None:
    if _tracer is None:
        return
    from opentelemetry import context, trace
    from opentelemetry.propagate import extract

    parent = extract({"traceparent": getattr(task.request, "traceparent", None) or ""})
    attributes = {"messaging.system": "redis", "celery.task": task.name, "celery.task_id": task_id}
    span = _tracer.start_span(task.name, context=parent, kind=trace.SpanKind.CONSUMER, attributes=attributes)
    _tasks[task_id] = span, context.attach(trace.set_span_in_context(span))


def end_task(task_id: str, state: str | None) -> None:
    if task_id not in _tasks:
        return
    from opentelemetry import context, trace

    span, token = _tasks.pop(task_id)
    context.detach(token)
    span.set_attribute("celery.state", str(state))
    if state == "FAILURE":
        span.set_status(trace.StatusCode.ERROR)
    span.end()


@contextmanager
def _stage(name: str, dataset: str, batch: int) -> Iterator[None]:
    attributes = {"medilink.dataset": dataset, "medilink.batch_id": batch}
    with _tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ):
        yield
