"""Who is told what, once per cause, and what the metrics say."""

import json
import threading
from datetime import UTC, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg2
import pytest
from django.db import connection

from analytics import checks, marts, publications
from analytics.checks.catalogue import BY_NAME
from analytics.checks.check import Check, Owner, Severity
from analytics.history import DataOwner, MartState
from analytics.publications import Publication
from ingestion.models import IngestBatch, IngestRun, Kind, RejectedRow
from medilink import alerts
from medilink.models import Alert
from tests.callers import Caller
from tests.ingestion import factories

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def by_mail(settings):
    settings.ALERT_EMAIL = ["stewards@example.org"]
    marts.refresh()


@pytest.fixture
def hook(settings):
    """What a webhook has received; `status` is what it answers."""

    class Hook(BaseHTTPRequestHandler):
        received: list = []
        status = 200

        def do_POST(self):
            Hook.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(Hook.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:{server.server_port}/hook"
    yield Hook
    server.shutdown()
    thread.join()
    server.server_close()


def held(**columns):
    return factories.batch(status="held", reasons=["ROW_ERROR_RATIO"], finished_at=NOW, held_key="k", **columns)


def a_run(**columns):
    return IngestRun.objects.create(kind=Kind.NIGHTLY, **columns)


def published(at):
    counts = {"rows": 1, "changed": 1, "batches": 1, "digest": "0"}
    for mart in publications.MARTS:
        Publication.objects.create(day=at.date(), mart=mart, as_of=at, published_at=at, **counts)


def open_causes():
    return sorted(Alert.objects.filter(closed_at=None).values_list("cause", flat=True))


def test_one_mail_tells_of_all_that_is_new_and_another_of_what_is_over(mailoutbox):
    one, other = held(), held()
    assert alerts.tell(NOW) == (2, 0)
    (mail,) = mailoutbox
    assert mail.subject == "Medilink: 2 new problems"
    assert f"Batch {one.pk} (patients) is held: ROW_ERROR_RATIO" in mail.body
    assert f"/admin/ingestion/ingestbatch/{one.pk}/change/" in mail.body
    assert alerts.tell(NOW) == (0, 0)
    IngestBatch.objects.filter(pk=one.pk).update(status="discarded", archived_at=NOW)
    assert alerts.tell(NOW) == (0, 1)
    assert mailoutbox[1].subject == "Medilink: 1 over"
    assert len(mailoutbox) == 2
    assert open_causes() == [f"batch-held:{other.pk}"]


def test_a_cause_that_comes_back_is_told_again(mailoutbox):
    batch = held()
    for status in ("held", "discovered", "held"):
        IngestBatch.objects.filter(pk=batch.pk).update(status=status)
        alerts.tell(NOW)
    assert [mail.subject for mail in mailoutbox] == [
        "Medilink: 1 new problem",
        "Medilink: 1 over",
        "Medilink: 1 new problem",
    ]


NIGHT = datetime(2026, 11, 20, 22, tzinfo=UTC)  # 23:00 in Lagos


@pytest.fixture
def quiet(settings):
    settings.ALERT_QUIET_HOURS = (time(21), time(6))


@pytest.mark.usefixtures("quiet")
def test_what_can_wait_is_told_in_one_message_when_quiet_hours_end(mailoutbox):
    stays, goes = held(), held()
    assert alerts.tell(NIGHT) == (0, 0)
    alerts.tell(NIGHT)
    IngestBatch.objects.filter(pk=goes.pk).update(status="discarded", archived_at=NOW)
    alerts.tell(NIGHT + timedelta(hours=3))
    assert mailoutbox == []
    alerts.tell(NIGHT + timedelta(hours=8))
    alerts.tell(NIGHT + timedelta(hours=9))
    (mail,) = mailoutbox
    assert mail.subject == "Medilink: 1 new problem, 1 came and went in quiet hours"
    assert f"Batch {stays.pk} (patients) is held" in mail.body
    assert f"Came and went: Batch {goes.pk}" in mail.body


@pytest.mark.usefixtures("quiet")
def test_what_is_critical_wakes_people(mailoutbox):
    held()
    a_run(status="done", finished_at=NIGHT - timedelta(hours=27))
    assert alerts.tell(NIGHT)[0] >= 1
    assert "No run went well" in mailoutbox[0].body
    assert "is held" not in mailoutbox[0].body


@pytest.mark.parametrize(
    ("hours", "at", "is_quiet"),
    [
        ("21-6", 20, True),  # in UTC: an hour earlier than in Lagos
        ("21-6", 19, False),
        ("21-6", 4, True),
        ("21-6", 5, False),
        ("9-17", 8, True),
        ("9-17", 16, False),
        ("", 2, False),
    ],
)
def test_quiet_hours_are_those_of_lagos_and_may_go_over_midnight(settings, hours, at, is_quiet):
    settings.ALERT_QUIET_HOURS = tuple(time(int(hour)) for hour in hours.split("-")) if hours else None
    assert alerts.is_quiet(NOW.replace(hour=at)) == is_quiet


def test_who_owns_the_data_is_told_and_others_are_not(mailoutbox, monkeypatch):
    DataOwner.objects.filter(name="developers").update(emails=["dev@example.org"])
    known = {"owner": Owner.DEVELOPERS, "severity": Severity.CRITICAL}
    monkeypatch.setattr(checks, "CHECKS", (Check("planted", "x", "range", "SELECT 1 AS n", "why", **known),))
    monkeypatch.setitem(BY_NAME, "planted", checks.CHECKS[0])
    checks.run()
    held()
    alerts.tell(NOW)
    told = {mail.to[0]: mail.body for mail in mailoutbox}
    assert {*told} == {"dev@example.org", "stewards@example.org"}
    assert "The data check planted fails: 1 rows. why" in told["dev@example.org"]
    assert "planted" not in told["stewards@example.org"]
    assert Alert.objects.get(cause="check-failed:planted").is_critical


def test_a_run_of_a_few_checks_ends_no_alert_of_another(monkeypatch):
    broken = Check("planted", "x", "range", "SELECT 1 AS n", "why")
    monkeypatch.setattr(checks, "CHECKS", (checks.CHECKS[0], broken, checks.CHECKS[-1]))
    checks.run()
    checks.run([checks.CHECKS[-1].name])
    assert [cause.key for cause in alerts.causes(NOW)] == ["check-failed:planted"]


def test_a_check_that_only_warns_wakes_nobody(monkeypatch):
    known = {"severity": Severity.WARNING}
    monkeypatch.setattr(checks, "CHECKS", (Check("planted", "x", "range", "SELECT 1 AS n", "why", **known),))
    assert checks.run().warned == 1
    assert [*alerts.causes(NOW)] == []


def test_the_webhook_gets_the_same_in_json(hook):
    batch = held()
    alerts.tell(NOW)
    (message,) = hook.received
    assert message["text"].startswith("Medilink: 1 new problem")
    assert message["opened"][0]["cause"] == f"batch-held:{batch.pk}"
    assert message["closed"] == []


def test_what_could_not_be_sent_is_sent_the_next_time(hook, settings):
    settings.ALERT_EMAIL = []
    hook.status = 500
    held()
    alerts.tell(NOW)
    hook.status = 200
    alerts.tell(NOW)
    alerts.tell(NOW)
    assert len(hook.received) == 2
    assert Alert.objects.get().told_opened_at is not None


def test_without_a_channel_the_alert_is_there_all_the_same(settings, mailoutbox):
    settings.ALERT_EMAIL = []
    held()
    alerts.tell(NOW)
    assert Alert.objects.get().told_opened_at is None
    assert mailoutbox == []


def test_two_processes_at_once_send_one_message(mailoutbox):
    options = connection.get_connection_params()
    other = psycopg2.connect(
        **{name: options[name] for name in ("dbname", "user", "host", "port") if options.get(name)}
    )
    try:
        other.cursor().execute("SELECT pg_advisory_xact_lock(%s)", [alerts.LOCK])
        held()
        assert alerts.tell(NOW) == (0, 0)
    finally:
        other.rollback()  # which the server has done when it answers; of a closing it hears later
        other.close()
    assert alerts.tell(NOW) == (1, 0)
    assert len(mailoutbox) == 1


@pytest.mark.parametrize(
    ("arrange", "cause"),
    [
        (lambda: factories.batch(status="rejected", reasons=["NOT_CSV"], held_key="k"), "batch-rejected"),
        (lambda: factories.batch(status="failed", reasons=["ATTEMPTS"], held_key="k"), "batch-failed"),
        (lambda: a_run(night_on=NOW.date(), status="running", started_at=NOW), "night-unfinished"),
        (lambda: a_run(night_on=NOW.date(), status="broken_off", finished_at=NOW), "night-unfinished"),
        (lambda: a_run(status="done", finished_at=NOW - timedelta(hours=27)), "no-good-run"),
        (
            lambda: a_run(night_on=NOW.date(), status="done", finished_at=NOW - timedelta(hours=2)),
            f"not-published:{NOW.date()}",
        ),
        (lambda: MartState.objects.filter(mart="dim_patients").update(has_failed=True), "mart-failed:dim_patients"),
        (
            lambda: factories.batch(status="loaded", finished_at=NOW - timedelta(hours=2)),
            "pending:archived",
        ),
        (
            lambda: factories.batch(status="held", reasons=["X"], finished_at=NOW - timedelta(hours=2)),
            "pending:put safe",
        ),
    ],
)
def test_each_kind_of_trouble_is_a_cause(arrange, cause):
    arrange()
    assert any(found.key.startswith(cause) for found in alerts.causes(NOW))


def test_nothing_is_wrong_where_nothing_is():
    a_run(status="some_rows_refused", finished_at=NOW - timedelta(hours=3), night_on=NOW.date())
    published(NOW)
    early = NOW.replace(hour=2)
    a_run(status="running", night_on=NOW.date() + timedelta(days=1))
    assert [*alerts.causes(NOW), *alerts.causes(early)] == []


def test_failing_checks_are_a_cause(monkeypatch):
    defect = checks.CHECKS[0].__class__("planted", "x", "range", "SELECT 1 AS n", "why")
    monkeypatch.setattr(checks, "CHECKS", (defect,))
    checks.run()
    assert [cause.key for cause in alerts.causes(NOW)] == ["check-failed:planted"]


def test_no_patient_is_in_a_message_or_a_metric(mailoutbox, hook):
    batch = held()
    RejectedRow.objects.create(
        batch=batch, line=2, reasons=["ENUM:sex"], raw={"first_name": "Zainab Canary"}, dataset="patients", source="s"
    )
    alerts.tell(NOW)
    metrics = Caller(("steward",)).get("/metrics").content.decode()
    assert "Canary" not in mailoutbox[0].body + json.dumps(hook.received) + metrics


# --- Metrics


def test_metrics_count_batches_rows_and_marts():
    factories.batch(status="loaded", rows_read=3, inserted=2, rejected=1, started_at=NOW, finished_at=NOW)
    held()
    text = Caller(("service",)).get("/metrics").content.decode()
    assert 'medilink_batches{dataset="patients",status="held"} 1\n' in text
    assert 'medilink_stopped_batches{reason="ROW_ERROR_RATIO"} 1\n' in text
    assert 'medilink_rows_total{dataset="patients",outcome="inserted"} 2\n' in text
    assert 'medilink_load_seconds_count{dataset="patients"} 1\n' in text
    assert 'medilink_mart_failed{mart="dim_patients"} 0\n' in text
    assert 'medilink_queue_length{queue="celery"}' in text


@pytest.mark.parametrize(("role", "status"), [("auditor", 200), ("steward", 200), ("analyst", 403), ("clerk", 403)])
def test_metrics_are_for_who_looks_after_deliveries(role, status):
    assert Caller((role,)).get("/metrics").status_code == status


def test_open_alerts_stand_first_on_the_page(desk):
    batch = held()
    alerts.tell(NOW)
    page = desk.get("/admin/medilink/alert/").content.decode()
    assert f"Batch {batch.pk} (patients) is held" in page


def test_a_steward_of_a_state_sees_alerts_of_its_files_and_of_the_site():
    ours, others = held(folder="kano"), held(folder="lagos")
    for cause in ("no-good-run", "token-ends:7", "enumeration:3", "pending:archived", "check-failed:x"):
        Alert.objects.create(cause=cause, what=cause, link="/")
    alerts.tell(NOW)
    seen = {}
    for scope in ({}, {"state": "KANO"}):
        user = Caller(("steward", scope)).user
        seen[bool(scope)] = {*Alert.objects.open().visible_to(user).values_list("cause", flat=True)}
    assert {f"batch-held:{ours.pk}", f"batch-held:{others.pk}"} <= seen[False]
    assert {cause for cause in seen[True] if not cause.startswith("mart-failed")} == {
        f"batch-held:{ours.pk}",
        *(seen[False] & {"no-good-run"}),
    }
