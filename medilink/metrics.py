"""/metrics: how the house is doing, in Prometheus' text format. Counts and codes only."""

from collections.abc import Iterator
from typing import Any

import redis
from django.db import connection
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from analytics import marts
from clinical.access import READ
from medilink.broker import REFUSED as REFUSED_MESSAGES
from medilink.broker import counters
from medilink.models import Alert, Backup

Sample = tuple[str, dict[str, str], float]

BATCHES = """
SELECT 'medilink_batches', json_build_object('dataset', coalesce(dataset, ''), 'status', status), count(*)
FROM ingest_batches GROUP BY dataset, status
"""
STOPPED = """
SELECT 'medilink_stopped_batches', json_build_object('reason', split_part(reason, ':', 1)), count(*)
FROM ingest_batches, unnest(reasons) AS reason WHERE status IN ('rejected', 'held', 'failed')
GROUP BY split_part(reason, ':', 1)
"""
ROWS = """
SELECT 'medilink_rows_total', json_build_object('dataset', dataset, 'outcome', outcome), sum(n)
FROM ingest_batches, LATERAL (VALUES ('inserted', inserted), ('updated', updated), ('unchanged', unchanged),
    ('collapsed', collapsed), ('rejected', rejected)) AS counts (outcome, n)
WHERE status IN ('loaded', 'archived') GROUP BY dataset, outcome
"""
REFUSED = """
SELECT 'medilink_open_rejected_rows', json_build_object('reason', split_part(reason, ':', 1)), count(*)
FROM rejected_rows, unnest(reasons) AS reason WHERE state = 'open' GROUP BY split_part(reason, ':', 1)
"""
SECONDS = """
SELECT name, json_build_object('dataset', dataset), value FROM (
    SELECT dataset, count(*) AS n, sum(extract(epoch FROM finished_at - started_at)) AS total
    FROM ingest_batches WHERE status IN ('loaded', 'archived') AND started_at IS NOT NULL AND finished_at IS NOT NULL
    GROUP BY dataset
) AS loads, LATERAL (VALUES ('medilink_load_seconds_sum', total), ('medilink_load_seconds_count', n)) AS v (name, value)
"""
LAST_GOOD = """
SELECT 'medilink_last_good_run_age_seconds', '{}'::json, extract(epoch FROM now() - max(finished_at))
FROM ingest_runs WHERE status IN ('done', 'some_rows_refused') HAVING max(finished_at) IS NOT NULL
"""


class MayMeasure(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        return bool(user and user.is_authenticated and user.access.may(READ, "deliveries"))


@extend_schema(exclude=True)
class Metrics(APIView):
    permission_classes = (MayMeasure,)

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse("".join(map(_line, _samples())), content_type="text/plain; version=0.0.4; charset=utf-8")


def _line(sample: Sample) -> str:
    name, labels, value = sample
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in sorted(labels.items()))
    return f"{name}{{{told}}} {float(value):g}\n" if told else f"{name} {float(value):g}\n"


def _escaped(text: str) -> str:
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _samples() -> Iterator[Sample]:
    with connection.cursor() as cursor:
        for query in (BATCHES, STOPPED, ROWS, REFUSED, SECONDS, LAST_GOOD):
            cursor.execute(query)
            yield from cursor.fetchall()
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    for state in marts.states().values():
        yield "medilink_mart_age_seconds", {"mart": state.mart}, (now - state.as_of).total_seconds()
        yield "medilink_mart_stale", {"mart": state.mart}, float(state.is_stale)
        yield "medilink_mart_failed", {"mart": state.mart}, float(state.has_failed)
    if last := Backup.last_good():
        yield "medilink_last_backup_age_seconds", {}, (now - last).total_seconds()
    yield "medilink_open_alerts", {}, Alert.objects.open().count()
    yield from _queue()


def _queue() -> Iterator[Sample]:
    """Absent while the broker is away, which is what an absent series says."""
    try:
        kept = counters()
        yield "medilink_queue_length", {"queue": "celery"}, float(kept.llen("celery"))
        yield "medilink_refused_messages_total", {}, float(kept.get(REFUSED_MESSAGES) or 0)
    except redis.RedisError:
        return
