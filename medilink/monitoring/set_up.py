"""Begins to watch, once per process: Celery's tasks, the stages of loads; and Sentry and OpenTelemetry where wanted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from ingestion import stages
from medilink.celery import app
from medilink.monitoring import errors, traces
from medilink.monitoring.counts import counts
from medilink.monitoring.work import Alive


@contextmanager
def _timed(name: str, dataset: str, _batch: int) -> Iterator[None]:
    begun = time.perf_counter()
    try:
        yield
    finally:
        labels = (("dataset", dataset), ("stage", name))
        counts.took("medilink_stage_seconds", labels, time.perf_counter() - begun)


app.steps["consumer"].add(Alive)
stages.watchers.append(_timed)
if settings.SENTRY_DSN:
    errors.send_to(settings.SENTRY_DSN)
if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
    traces.send()
