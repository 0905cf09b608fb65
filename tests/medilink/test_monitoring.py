"""What /metrics prints, what the rules and the dashboard make of it, and what all of it costs and never tells."""

import json
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
import yaml
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from prometheus_client.parser import text_string_to_metric_families

from clinical.models import AuditSeal
from ingestion import stages
from ingestion.models import IngestRun, RejectedRow
from medilink.models import Alert, Backup
from medilink.monitoring import counts, parts, web, work
from medilink.monitoring.families import FAMILIES, OWNER
from medilink.tasks import tell
from tests.callers import Caller
from tests.ingestion import factories

pytestmark = pytest.mark.django_db
FOLDER = Path(web.__file__).parent
RULES = [
    rule for group in yaml.safe_load((FOLDER / "alert_rules.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((FOLDER / "grafana_dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
WITH_A_REPLICA = {"medilink_replica_lag_seconds"}  # absent here


def scraped(caller=None):
    return (caller or Caller(("service",))).get("/metrics").content.decode()


def samples(text):
    """(name, labels) → value, as Prometheus' own parser reads it."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


@pytest.fixture(scope="module")
def full(django_db_setup, django_db_blocker):
    """What is scraped from a house in which everything has happened."""
    with django_db_blocker.unblock(), transaction.atomic():
        _let_everything_happen()
        text = scraped()
        transaction.set_rollback(True)
    return text


def _let_everything_happen():
    now = timezone.now()
    night = {"kind": "nightly", "started_at": now - timedelta(minutes=20), "finished_at": now}
    run = IngestRun.objects.create(night_on=timezone.localdate(), status="done", **night)
    took = {"started_at": now - timedelta(seconds=4), "finished_at": now}
    batch = factories.batch(status="loaded", run=run, rows_read=100, inserted=98, rejected=2, **took)
    factories.batch(status="held", reasons=["ROW_ERROR_RATIO"], finished_at=now - timedelta(hours=2))
    row = {"raw": {"first_name": "Zainab Canary"}, "dataset": "patients", "source": "s"}
    RejectedRow.objects.create(batch=batch, line=2, reasons=["ENUM:sex", "DATE:dob"], **row)
    Backup.objects.create(place="p", started_at=now, finished_at=now)
    Alert.objects.create(cause="batch-held:1", what="Batch 1 is held", link="/")
    sealed = {"table": "revisions", "month": now.date(), "cluster": 1, "above_id": 0, "from_xid": 1, "to_xid": 2}
    AuditSeal.objects.create(**sealed, ids="{[7,8)}", rows=1, content=b"c" * 32, before=b"b" * 32, digest=b"d" * 32)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO mart_refreshes (mart, started_at, finished_at, status, why, error) VALUES"
            " ('dim_patients', now(), now(), 'done', 'first', '')"
        )
        cursor.execute(
            "INSERT INTO mart_states (mart, as_of, snapshot, system, lagos_day, reads, rows, has_failed)"
            " VALUES ('dim_patients', now(), '1:1:', 1, now(), '{patients}', 9, false)"
            " ON CONFLICT DO NOTHING"
        )
    crontab = IntervalSchedule.objects.create(every=5, period="minutes")
    PeriodicTask.objects.create(name="of a test", task="t", interval=crontab, last_run_at=now)
    Client().get("/health")
    with stages.stage(stages.READING, "patients", 1):
        pass
    tell.apply()
    counts.live("worker@here")


def test_everything_that_is_promised_is_printed_and_nothing_else(full):
    found = samples(full)
    assert {OWNER[name] for name, _ in found} == {*FAMILIES} - WITH_A_REPLICA
    assert all(value >= 0 for value in found.values())
    assert "Canary" not in full


def test_each_metric_says_what_it_is_before_its_first_sample(full):
    families = {family.name: family for family in text_string_to_metric_families(full)}
    for name in FAMILIES.keys() - WITH_A_REPLICA:
        kind, said = FAMILIES[name]
        family = families[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (kind, said)
    assert full.count("# TYPE") == full.count("# HELP") == len(families)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is missing: apt-get install prometheus")
def test_prometheus_own_tool_reads_it(full):
    told = subprocess.run(["promtool", "check", "metrics"], input=full, capture_output=True, text=True, check=False)
    # It would have `_total` and the like for counters alone; of a gauge's name it only complains.
    assert told.returncode in (0, 3), told.stderr
    assert "error" not in told.stderr.lower()


def used(query):
    return {*re.findall(r"\bmedilink_\w+", query)}


def test_rules_and_panels_speak_of_metrics_that_are_printed(full):
    printed = {name for name, _ in samples(full)} | WITH_A_REPLICA
    for query in [rule["expr"] for rule in RULES] + QUERIES:
        assert used(query) <= printed, query
        assert used(query) or "up{" in query


def test_every_rule_says_how_urgent_it_is_and_where_to_read_on():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"RUNBOOK.md#{rule['alert'].lower()}"


def test_every_panel_has_its_place_and_a_query_for_the_chosen_source():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]} == {"${datasource}"}
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Is last night well?", "Loading", "Refused", "Marts", "API", "Workers & broker", "Database"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is missing: apt-get install prometheus")
def test_every_query_of_the_dashboard_is_one(tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    for file in (tmp_path / "rules.yml", FOLDER / "alert_rules.yml"):
        told = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
    config = ["promtool", "check", "config", "--syntax-only", FOLDER / "prometheus.yml"]
    assert subprocess.run(config, capture_output=True, check=False).returncode == 0


# --- What never comes into it


def test_no_word_of_a_caller_becomes_a_label(kept):
    caller, stranger = Caller(("steward",)), Caller()
    for path in ("/Zainab-Canary", "/api/patients/Canary", "/api/patients?name=Canary", "/admin/Canary/"):
        caller.get(path)
        stranger.client.generic("CANARY", path)
    assert "canary" not in scraped().lower()


def test_labels_are_of_closed_lists(kept):
    routes, steward, stranger = set(), Caller(("steward",)), Caller()
    for path in range(20):
        steward.get(f"/api/patients/{path}")
        stranger.get(f"/nothing/{path}")
    for (name, labels), _ in samples(scraped()).items():
        if name == "medilink_http_requests_total":
            routes.add(dict(labels)["route"])
            assert dict(labels)["method"] in {*web.METHODS, "other"}
            assert dict(labels)["status"] in {"2xx", "3xx", "4xx", "5xx"}
    assert routes == {"api/patients/<pk>", "none"}


@pytest.mark.parametrize(
    ("route", "readable"),
    [
        (r"api/patients/(?P<pk>[^/.]+)/?$", "api/patients/<pk>"),
        (r"^api/analytics/facility-stats/?$", "api/analytics/facility-stats"),
        ("admin/clinical/patient/<path:object_id>/change/", "admin/clinical/patient/<object_id>/change/"),
        ("", "/"),
    ],
)
def test_a_route_is_told_readably(route, readable):
    assert web._readable(route) == readable


# --- What is away


def test_a_message_says_how_long_it_waits(kept):
    tell.apply_async()
    message = json.loads(kept.lindex("celery", -1))
    message["headers"][work.QUEUED_AT] -= 100
    kept.delete("celery")
    kept.rpush("celery", json.dumps(message))
    assert 100 <= parts._waiting(kept.lindex("celery", -1)) < 200
    assert [parts._waiting(one) for one in (None, b"{", b"[]", b'{"headers": {}}')] == [0] * 4
    kept.delete("celery")


def test_a_broker_that_is_away_leaves_the_rest(kept, settings):
    caller = Caller(("service",))
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.THROTTLE_USER = "off"
    found = samples(scraped(caller))
    assert found["medilink_broker_up", frozenset()] == 0
    assert "medilink_database_bytes" in {name for name, _ in found}


@pytest.mark.parametrize("query", ["SELECT nonsense", "SELECT pg_sleep(5)"])
def test_a_part_that_fails_or_is_slow_leaves_the_rest(kept, monkeypatch, query):
    monkeypatch.setattr(parts, "REFUSED", query)
    monkeypatch.setattr(parts, "PATIENCE_MS", 50)
    found = samples(scraped())
    assert found["medilink_scrape_errors", frozenset({("part", "refused")})] == 1
    assert found["medilink_scrape_errors", frozenset({("part", "batches")})] == 0
    assert {"medilink_database_bytes", "medilink_broker_up"} <= {name for name, _ in found}


def test_what_took_long_is_not_asked_again_at_once(kept, monkeypatch):
    monkeypatch.setattr(parts, "LONG", 0)
    key = parts._key("refused")
    try:
        before = scraped()
        batch = factories.batch(status="loaded", rows_read=1, rejected=1, finished_at=datetime(2026, 1, 1, tzinfo=UTC))
        RejectedRow.objects.create(batch=batch, line=2, reasons=["ENUM:sex"], dataset="patients", source="s")
        assert "medilink_open_rejected_rows" not in before + scraped()
        assert 0 < kept.ttl(key) <= parts.REMEMBERED_FOR
        kept.delete(key)
        assert 'medilink_open_rejected_rows{reason="ENUM"} 1' in scraped()
    finally:
        kept.delete(*map(parts._key, parts.REMEMBERED))


def test_a_replica_that_was_promoted_is_an_error_and_no_figure(kept, monkeypatch):
    monkeypatch.setattr(parts, "REPLICA", "default")
    found = samples(scraped())
    assert ("medilink_replica_lag_seconds", frozenset()) not in found
    assert found["medilink_scrape_errors", frozenset({("part", "replica")})] == 1


def test_a_replica_that_is_connected_to_as_somebody_else_costs_its_own_figure_alone(kept, monkeypatch):
    def refused():
        raise ImproperlyConfigured("a user whom no policy binds")
        yield

    monkeypatch.setitem(parts.PARTS, "replica", refused)
    found = samples(scraped())
    assert found["medilink_scrape_errors", frozenset({("part", "replica")})] == 1
    assert found["medilink_broker_up", frozenset()] == 1


def test_figures_of_the_country_are_for_who_sees_the_country():
    assert Caller(("steward", {"state": "KANO"})).get("/metrics").status_code == 403


# --- Probes


def test_a_probe_asks_the_database_little_and_the_broker_nothing(
    client, settings, monkeypatch, django_assert_num_queries
):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(redis.Redis, "execute_command", None)
    with django_assert_num_queries(2):
        assert client.get("/readyz").status_code == 200
    monkeypatch.setattr(CursorWrapper, "execute", None)
    assert client.get("/livez").status_code == 200


# --- The rules, each as it should and as it should not


MART = 'medilink_mart_{}{{mart="dim_patients"}}'
LE = 'medilink_http_request_seconds_bucket{{route="api/patients",le="{}"}}'
FAILED = 'medilink_tasks_total{outcome="failed",task="medilink.tasks.tell"}'
ROWS = 'medilink_last_night_rows{{outcome="{}"}}'
STATUS = 'medilink_http_requests_total{{route="r",method="GET",status="{}"}}'
QUEUE = 'medilink_queue_length{queue="celery"}'
HOUR = 3600
# The rule, when it looks, what is so then (in Prometheus' notation), whether it should fire.
CASES = [
    ("MedilinkDown", "10m", {'up{job="medilink"}': "0x200"}, True),
    ("MedilinkDown", "10m", {}, True),
    ("MedilinkDown", "10m", {'up{job="medilink"}': "1x200"}, False),
    ("MedilinkNoGoodRun", "10m", {"medilink_last_good_run_age_seconds": f"{27 * HOUR}x200"}, True),
    ("MedilinkNoGoodRun", "10m", {"medilink_last_good_run_age_seconds": f"{25 * HOUR}x200"}, False),
    ("MedilinkNightUnfinished", "4h10m", {"medilink_tonight_finished": "0x2000"}, True),
    ("MedilinkNightUnfinished", "3h50m", {"medilink_tonight_finished": "0x2000"}, False),
    ("MedilinkNightUnfinished", "23h10m", {"medilink_tonight_finished": "0x2000"}, False),
    ("MedilinkNightUnfinished", "4h10m", {"medilink_tonight_finished": "1x2000"}, False),
    ("MedilinkRefusedShare", "10m", {ROWS.format("rejected"): "2x200", ROWS.format("inserted"): "98x200"}, True),
    ("MedilinkRefusedShare", "10m", {ROWS.format("rejected"): "1x200", ROWS.format("inserted"): "199x200"}, False),
    ("MedilinkRefusedShare", "10m", {ROWS.format("rejected"): "0x200", ROWS.format("inserted"): "0x200"}, False),
    ("MedilinkBatchesStopped", "10m", {'medilink_batches{dataset="patients",status="held"}': "1x200"}, True),
    ("MedilinkBatchesStopped", "10m", {'medilink_batches{dataset="patients",status="archived"}': "9x200"}, False),
    ("MedilinkObjectsWaiting", "10m", {'medilink_objects_waiting{what="archive"}': "1x200"}, True),
    ("MedilinkObjectsWaiting", "10m", {'medilink_objects_waiting{what="archive"}': "0x200"}, False),
    ("MedilinkNoWorker", "10m", {"medilink_workers_alive": "0x200"}, True),
    ("MedilinkNoWorker", "10m", {"medilink_workers_alive": "2x200"}, False),
    ("MedilinkBeatSilent", "10m", {"medilink_beat_age_seconds": "1300x200"}, True),
    ("MedilinkBeatSilent", "10m", {"medilink_beat_age_seconds": "400x200"}, False),
    ("MedilinkBrokerDown", "10m", {"medilink_broker_up": "0x200"}, True),
    ("MedilinkBrokerDown", "10m", {"medilink_broker_up": "1x200"}, False),
    ("MedilinkBrokerFull", "10m", {"medilink_broker_bytes": "90x200", "medilink_broker_max_bytes": "100x200"}, True),
    ("MedilinkBrokerFull", "10m", {"medilink_broker_bytes": "90x200", "medilink_broker_max_bytes": "0x200"}, False),
    ("MedilinkQueueGrowing", "60m", {QUEUE: "0+10x200"}, True),
    ("MedilinkQueueGrowing", "60m", {QUEUE: "900-5x170"}, False),
    ("MedilinkQueueWaits", "10m", {'medilink_queue_oldest_seconds{queue="celery"}': "2000x200"}, True),
    ("MedilinkQueueWaits", "10m", {'medilink_queue_oldest_seconds{queue="celery"}': "900x200"}, False),
    ("MedilinkTaskFailed", "90m", {FAILED: "0x80 1x200"}, True),
    ("MedilinkTaskFailed", "90m", {FAILED: "_x80 1x200"}, True),
    ("MedilinkTaskFailed", "90m", {FAILED: "5x400"}, False),
    ("MedilinkMessagesRefused", "60m", {"medilink_refused_messages_total": "0x50 1x200"}, True),
    ("MedilinkMessagesRefused", "60m", {"medilink_refused_messages_total": "7x400"}, False),
    ("MedilinkMartFailed", "10m", {MART.format("failed"): "1x200"}, True),
    ("MedilinkMartFailed", "10m", {MART.format("failed"): "0x200"}, False),
    ("MedilinkMartOld", "30m", {MART.format("stale"): "1x200", MART.format("age_seconds"): "8000x200"}, True),
    ("MedilinkMartOld", "30m", {MART.format("stale"): "0x200", MART.format("age_seconds"): "8000x200"}, False),
    ("MedilinkMartOld", "30m", {MART.format("stale"): "1x200", MART.format("age_seconds"): "600x200"}, False),
    (
        "MedilinkSlow",
        "40m",
        {LE.format("0.5"): "0+90x200", LE.format("1"): "0+100x200", LE.format("+Inf"): "0+100x200"},
        True,
    ),
    (
        "MedilinkSlow",
        "40m",
        {LE.format("0.5"): "0+99x200", LE.format("1"): "0+100x200", LE.format("+Inf"): "0+100x200"},
        False,
    ),
    ("MedilinkServerErrors", "40m", {STATUS.format("2xx"): "0+98x200", STATUS.format("5xx"): "0+2x200"}, True),
    ("MedilinkServerErrors", "40m", {STATUS.format("2xx"): "0+999x200", STATUS.format("5xx"): "0+1x200"}, False),
    ("MedilinkReplicaLag", "10m", {"medilink_replica_lag_seconds": "90x200"}, True),
    ("MedilinkReplicaLag", "10m", {"medilink_replica_lag_seconds": "2x200"}, False),
    ("MedilinkNoBackup", "10m", {"medilink_last_backup_age_seconds": f"{27 * HOUR}x200"}, True),
    ("MedilinkNoBackup", "10m", {"medilink_last_backup_age_seconds": f"{20 * HOUR}x200"}, False),
    ("MedilinkAuditUnsealed", "10m", {"medilink_audit_seal_age_seconds": f"{27 * HOUR}x200"}, True),
    ("MedilinkAuditUnsealed", "10m", {"medilink_audit_seal_age_seconds": "60x200"}, False),
    ("MedilinkMigrationsPending", "20m", {"medilink_migrations_pending": "1x200"}, True),
    ("MedilinkMigrationsPending", "5m", {"medilink_migrations_pending": "1x200"}, False),
    (
        *("MedilinkConnections", "10m"),
        {'medilink_database_connections{role="w"}': "90x200", "medilink_database_max_connections": "100x200"},
        True,
    ),
    (
        *("MedilinkConnections", "10m"),
        {'medilink_database_connections{role="w"}': "9x200", "medilink_database_max_connections": "100x200"},
        False,
    ),
    ("MedilinkScrapeErrors", "20m", {'medilink_scrape_errors{part="marts"}': "1x200"}, True),
    ("MedilinkScrapeErrors", "20m", {'medilink_scrape_errors{part="marts"}': "0x200"}, False),
]


def test_each_rule_is_tried_in_both_ways():
    for rule in RULES:
        assert {fires for name, _, _, fires in CASES if name == rule["alert"]} == {True, False}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is missing: apt-get install prometheus")
def test_each_rule_fires_when_it_should_and_not_when_it_should_not(tmp_path):
    groups, asked = defaultdict(lambda: {"interval": "1m", "input_series": [], "promql_expr_test": []}), Counter()
    for name, at, series, fires in CASES:
        group = groups[asked[name]]  # the first case of each rule, the second of each: starting a test takes its time
        asked[name] += 1
        query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
        found = [{"labels": "{}", "value": 1}] if fires else []
        group["input_series"] += [{"series": one, "values": values} for one, values in series.items()]
        group["promql_expr_test"].append({"expr": query, "eval_time": at, "exp_samples": found})
    file = {"rule_files": [str(FOLDER / "alert_rules.yml")], "evaluation_interval": "1m", "tests": [*groups.values()]}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(file))
    told = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "tests.yml"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
