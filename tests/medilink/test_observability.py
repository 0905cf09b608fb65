"""What Sentry and a collector of OpenTelemetry are sent: where and what kind, and nothing of a patient.

Both in a process of its own, as they are set up once for the life of a process.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.urls import resolve

from medilink.monitoring import errors, traces, web
from tests.medilink.sinks import sink

NEEDS_EXTRA = pytest.mark.skipif(
    not (find_spec("sentry_sdk") and find_spec("opentelemetry")), reason="the extra `observability` is not installed"
)
CANARY = "Zainab-Canary"
BEGIN = f"""
import logging, os
import django
from django.conf import settings
django.setup()
settings.THROTTLE_USER = "off"
from django.test import Client
from django.db import DatabaseError, IntegrityError, connection
from medilink import health
canary = {CANARY!r}
client = Client(raise_request_exception=False, HTTP_HOST="127.0.0.1")
"""
FAIL = """
def fail(request):
    first_name = canary
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0, %s", [first_name])
    except DatabaseError as error:
        raise ValueError(canary) from error
health._database_answers = lambda: fail(None)
"""
ASK = """
asked = client.get("/health?name=" + canary, headers={"X-Request-ID": "asked-17", "User-Agent": canary})
assert asked.status_code == 500
"""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"MEDILINK_REVISION": "abc123", "NO_PROXY": "127.0.0.1"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


WORK = """
from ingestion import stages
from medilink import alerts
from medilink.tasks import tell
alerts.tell = lambda: None
tell.apply()
try:
    with stages.stage(stages.MERGING, "patients", 17):
        raise ValueError(canary)
except ValueError:
    pass
logging.getLogger("x").error("Batch %s broke off", 17)
import atexit
atexit._run_exitfuncs()
"""


@pytest.fixture(scope="module")
def sent():
    """What both are sent by a process in which a request, a stage and a task went as they may."""
    with sink() as (of_sentry, events), sink() as (of_collector, spans):
        dsn, endpoint = f"http://key@127.0.0.1:{of_sentry}/1", f"http://127.0.0.1:{of_collector}"
        ended = run(BEGIN + FAIL + ASK + WORK, SENTRY_DSN=dsn, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert ended.returncode == 0, ended.stderr
    return events, spans


@NEEDS_EXTRA
def test_the_last_words_of_a_process_are_sent_before_it_ends():
    with sink() as (port, events):
        code = "import django, logging; django.setup(); logging.getLogger('x').error('It broke off')"
        assert run(code, SENTRY_DSN=f"http://key@127.0.0.1:{port}/1").returncode == 0
    assert [b"It broke off" in body for _, body in events] == [True]


@NEEDS_EXTRA
def test_nobody_is_sent_a_word_of_a_patient_or_of_a_caller(sent):
    for received in sent:
        assert received
        assert CANARY.encode() not in b"".join(body for _, body in received)


@NEEDS_EXTRA
def test_sentry_is_told_of_an_error_its_kind_and_its_place(sent):
    events = [json.loads(body.splitlines()[2]) for _, body in sent[0]]
    crash = next(event for event in events if "exception" in event)
    (error,) = crash["exception"]["values"]
    assert error["type"].startswith("ValueError from django.db.utils.DataError from psycopg2.errors.DivisionByZero")
    assert crash["tags"] == {"request_id": "asked-17", "sqlstate": "22012"}
    assert {frame["filename"] for frame in error["stacktrace"]["frames"]} >= {"medilink/health.py"}
    assert (crash["message"], crash["release"]) == ("500 GET health", "abc123")
    plain = next(event for event in events if "exception" not in event)
    assert plain["message"] == "Batch 17 broke off"
    for event in events:
        assert event.keys().isdisjoint(
            {"request", "user", "breadcrumbs", "contexts", "modules", "extra", "server_name"}
        )


@NEEDS_EXTRA
def test_a_collector_is_told_routes_tasks_and_stages(sent):
    assert {path for path, _ in sent[1]} == {"/v1/traces"}
    spans = {name: values for _, body in sent[1] for name, values in told_spans(body).items()}
    assert spans["GET health"] == {
        "http.request.method": "GET",
        "http.route": "health",
        "http.response.status_code": 500,
    }
    assert spans["medilink.tasks.tell"]["celery.state"] == "SUCCESS"
    assert spans["merging"] == {"medilink.dataset": "patients", "medilink.batch_id": 17}


def told_spans(body):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    asked = ExportTraceServiceRequest.FromString(body)
    found = {}
    for resource in asked.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                values = {one.key: one.value for one in span.attributes}
                found[span.name] = {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}
    return found


def test_a_missing_package_stops_the_start_with_the_reason(monkeypatch):
    for package in ("sentry_sdk", "opentelemetry"):
        for known in [name for name in sys.modules if name.startswith(package)]:
            monkeypatch.delitem(sys.modules, known)
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImproperlyConfigured, match=r"SENTRY_DSN is set, but .* extra `observability`"):
        errors.send_to("http://key@127.0.0.1:1/1")
    with pytest.raises(ImproperlyConfigured, match=r"OTEL_EXPORTER_OTLP_ENDPOINT is set, but .* extra `observability`"):
        traces.send()


@NEEDS_EXTRA
def test_a_probe_is_not_told_of_and_leaves_nothing_behind_in_its_thread(monkeypatch, rf):
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    told, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(told))
    monkeypatch.setattr(traces, "_tracer", provider.get_tracer("test"))

    def answer(request):
        request.resolver_match = resolve(request.path)
        return HttpResponse()

    for path in ("/livez", "/health"):
        web.watched(answer)(rf.get(path))
    assert [span.name for span in told.get_finished_spans()] == ["GET health"]
    assert trace.get_current_span() is trace.INVALID_SPAN
