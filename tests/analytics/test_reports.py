"""The nightly report: its figures against the API, once for each night, whom it reaches, and who may read it."""

import json
import socketserver
import threading
from collections import Counter
from datetime import datetime, time, timedelta

import psycopg2
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from analytics import marts, tasks
from analytics.facility_signals import FacilitySignal
from analytics.monitor_results import MonitorResult
from analytics.nightly_reports import NightlyReport, ReportAddressee, ReportMail
from analytics.report import facts, nightly, page, paper
from clinical.models import AuditEvent, Facility, Patient
from clinical.values import LAGOS
from ingestion.models import IngestRun, Kind
from medilink import alerts
from tests import rows
from tests.callers import Caller
from tests.ingestion.factories import batch

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def kept_country(django_db_setup, django_db_blocker):
    """Made once for all tests; what each of them changes is taken back."""
    with django_db_blocker.unblock(), transaction.atomic():
        today = timezone.localdate()
        rows.make_many(7, today)
        silent = rows.facility(name="Ọ̀ṣun Ìlú ɗan ₦5", state="KANO", lga="Dala", lga_name="Dala")
        few = rows.facility(state="KANO", lga="Tofa", lga_name="Tofa")
        rows.visits(rows.patient(few), today - timedelta(days=2), [1, 3, 3])
        counts = {"observed": 0, "expected_low": 3, "expected_high": 9, "baseline_days": 8, "rows_amiss": 40}
        days = {"began_on": today - timedelta(days=9), "last_on": today - timedelta(days=1)}
        FacilitySignal.objects.create(facility=silent, kind="no_file", recent=[], **days, **counts)
        run = IngestRun.objects.create(
            kind=Kind.NIGHTLY, night_on=today, status=IngestRun.State.DONE, finished_at=timezone.now()
        )
        batch(run=run, status="loaded", rows_read=100, inserted=90, updated=10, finished_at=timezone.now())
        marts.refresh(is_forced=True)
        yield today
        transaction.set_rollback(True)


@pytest.fixture
def tonight(kept_country):
    return kept_country


def nation(night):
    return facts.of(facts.Night(night))


def subscribe(email="ministry@example.org", **columns):
    return ReportAddressee.objects.create(email=email, **columns)


# --- What it says


@pytest.mark.parametrize("state", ["", "KANO"])
def test_visits_are_those_of_the_api(tonight, state):
    last = tonight - timedelta(days=1)
    found = facts.of(facts.Night(tonight), state)["figures"][0]
    analyst = Caller(("analyst",))
    for name, days in (("week", 7), ("month", 30)):
        query = {"state": state or "ALL", "date_from": last - timedelta(days=days - 1), "date_to": last}
        lines = analyst.rows("/api/analytics/triage-trends", query | {"per_page": 100})
        assert found[name] == sum(line["total_visits"] for line in lines)


def test_conditions_and_trust_are_those_of_the_api_as_analysts_see_it(tonight):
    told, month = nation(tonight), (tonight - timedelta(days=1)).replace(day=1)
    sums: dict[str, int] = {}
    query = {"month": f"{month:%Y-%m}", "per_page": 500}
    answer = Caller(("analyst",)).get("/api/analytics/condition-analysis", query).json()
    for line in answer["results"]:
        sums[line["condition"]] = sums.get(line["condition"], 0) + (line["occurrence_count"] or 0)
    assert [(one["condition"], one["now"]) for one in told["conditions"]] == [
        (name, count) for name, count in sorted(sums.items(), key=lambda one: (-one[1], one[0]))[:5] if count
    ]
    assert told["trust"]["suppressed_cells"] == answer["trust"]["suppressed_cells"]
    assert told["trust"]["reporting"] == answer["trust"]["reporting"]


def test_the_table_of_states_adds_up_to_the_nation(tonight):
    told = nation(tonight)
    assert sum(one["visits"] for one in told["places"]) == told["figures"][0]["week"]
    assert sum(one["facilities"] for one in told["places"]) == told["trust"]["reporting"]["facilities"]
    assert sum(one["reported"] for one in told["places"]) == told["trust"]["reporting"]["reported"]


def test_what_is_small_is_hidden_with_what_would_tell_it_by_subtraction(tonight):
    told = facts.of(facts.Night(tonight), "KANO")
    lines = Caller(("analyst",)).rows("/api/analytics/facility-performance", {"state": "KANO", "per_page": 100})
    names = dict(Facility.objects.values_list("pk", "lga_name"))
    visits, critical = Counter(), Counter()
    for line in lines:
        visits[names[line["facility_id"]]] += line["visits_30d"]
        critical[names[line["facility_id"]]] += line["critical_visits_30d"]
    assert visits["Tofa"] == 3
    hidden = {one["name"] for one in told["places"] if one["visits"] == "<8"}
    assert {one["name"]: one["visits"] for one in told["places"] if one["name"] not in hidden} == {
        lga: count for lga, count in visits.items() if lga not in hidden
    }
    assert {lga for lga, count in visits.items() if 0 < count < 8} < hidden
    rest = told["figures"][0]["month"] - sum(count for lga, count in visits.items() if lga not in hidden)
    assert rest - len(hidden) >= 7  # one of them has at least seven possible numbers beside the others
    unshared = {one["name"] for one in told["places"] if one["critical_pct"] == "<8"}
    assert unshared >= hidden | {lga for lga, count in critical.items() if 0 < count < 8}
    assert len(unshared) > 1


def test_no_share_of_a_state_follows_from_the_nations(tonight):
    quiet = rows.facility(state="YOBE", lga="Damaturu")
    rows.visits(rows.patient(quiet), tonight - timedelta(days=2), [1, 3, 3, 3, 3, 3, 3, 3, 3])
    marts.refresh(is_forced=True)
    hidden = [one["name"] for one in nation(tonight)["places"] if one["critical_pct"] == "<8"]
    assert "Yobe" in hidden
    assert len(hidden) > 1


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "The night worked."),
        ({"status": "broken_off"}, "The run broke off"),
        ({"status": "running", "finished_at": None}, "was not finished"),
    ],
)
def test_the_verdict_says_how_the_night_went(tonight, columns, words):
    IngestRun.objects.filter(night_on=tonight).update(**columns)
    assert words in nation(tonight)["verdict"]["words"]


def test_a_night_without_a_run_says_so(tonight):
    assert "no run" in nation(tonight - timedelta(days=1))["verdict"]["words"]


def test_a_stopped_file_makes_the_night_bad(tonight):
    batch(run=IngestRun.objects.get(night_on=tonight), status="held", reasons=["ROW_ERROR_RATIO"])
    told = nation(tonight)
    assert told["verdict"]["level"] == "bad"
    assert told["delivered"]["stopped"] == 1


def test_it_says_which_sources_were_unlike_themselves(tonight):
    known = {"day": tonight, "dataset": "patients", "among": 100, "low": 80, "high": 120, "verdict": "in order"}
    for source, folder, changed in (
        ("kano/a.csv", "kano", {"measure": "volume", "value": 100}),
        ("kano/b.csv", "kano", {"measure": "volume", "value": 40, "verdict": "low"}),
        ("lagos/c.csv", "lagos", {"measure": "empty:sex", "value": 0.5, "low": 0, "high": 0.01, "verdict": "high"}),
        ("lagos/d.csv", "lagos", {"measure": "volume", "value": 9, "verdict": "learning"}),
    ):
        MonitorResult.objects.create(source=source, folder=folder, **known | changed)
    said = "2 of 3 measures of what sources sent are unlike the usual, at 2 sources; the worst: empty: sex, higher than"
    assert any(told.startswith(said) for told in nation(tonight)["quality"])
    batch(folder="kano")
    of_kano = facts.of(facts.Night(tonight), "KANO")["quality"]
    assert any("1 of 2 measures" in told and told.endswith("of kano/b.csv.") for told in of_kano)
    assert not any("measures" in told for told in nation(tonight - timedelta(days=1))["quality"])


def test_no_person_is_in_it(tonight):
    (report, *_) = nightly.make(tonight, [""])
    people = Patient.objects.values_list("last_name", "phone")[:200]
    said = report.html + json.dumps(report.facts)
    assert not [name for person in people for name in person if name and len(name) > 4 and name in said]


def test_page_and_paper_keep_every_letter_of_our_languages(tonight):
    told = facts.of(facts.Night(tonight), "KANO")
    assert told["silent"]["named"][0]["name"] == "Ọ̀ṣun Ìlú ɗan ₦5"
    assert "Ọ̀ṣun Ìlú ɗan ₦5" in page.html(told)
    pdf = paper.pdf(told)
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") == 1
    assert b"/FontFile2" in pdf
    assert pdf == paper.pdf(told)


# --- Once for each night


def test_each_place_has_one_report_however_often_it_is_made(tonight):
    made = nightly.make(tonight)
    assert {report.state for report in made} >= {"", "KANO"}
    assert nightly.make(tonight) == []
    assert NightlyReport.objects.filter(night=tonight).count() == len(made)


def test_of_two_at_once_one_makes_it(tonight):
    options = connection.get_connection_params()
    known = {name: options[name] for name in ("dbname", "user", "host", "port") if options.get(name)}
    other = psycopg2.connect(**known)
    try:
        other.cursor().execute("SELECT pg_advisory_lock(%s)", [nightly.LOCK])
        with pytest.raises(nightly.AlreadyReporting):
            nightly.make(tonight)
        tasks.nightly_reports()
        assert not NightlyReport.objects.exists()
    finally:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [nightly.LOCK])
        other.close()


def test_nothing_is_due_where_no_night_has_ever_been_run(tonight):
    IngestRun.objects.all().delete()
    assert nightly.due(datetime.combine(tonight, time(9), LAGOS)) == []


def test_a_night_is_due_when_its_figures_are_there_and_at_the_latest_at_eight(tonight):
    early, late = (datetime.combine(tonight, time(hour), LAGOS) for hour in (3, 9))
    assert nightly.due(early) == [tonight]
    IngestRun.objects.update(finished_at=None)
    assert nightly.due(early) == []
    assert nightly.due(late) == [tonight]


def test_missed_nights_are_caught_up_and_no_more_than_a_week_of_them(tonight):
    late = datetime.combine(tonight, time(9), LAGOS)
    nightly.make(tonight - timedelta(days=3), [""])
    assert nightly.due(late) == [tonight - timedelta(days=back) for back in (2, 1, 0)]
    NightlyReport.objects.update(night=tonight - timedelta(days=30))
    assert len(nightly.due(late)) == nightly.CATCH_UP + 1


# --- Mail


def test_a_report_is_mailed_once_to_who_asked_for_its_place(tonight, mailoutbox):
    subscribe()
    subscribe("kano@example.org", state="KANO")
    subscribe("no-more@example.org", is_active=False)
    nightly.run()
    nightly.run()
    assert sorted(mail.to[0] for mail in mailoutbox) == ["kano@example.org", "ministry@example.org"]
    mail = next(mail for mail in mailoutbox if mail.to == ["kano@example.org"])
    ((name, content, kind),) = mail.attachments
    report = NightlyReport.objects.get(night=tonight, state="KANO")
    assert (name, content, kind) == (f"medilink-kano-{tonight}.pdf", bytes(report.pdf), "application/pdf")
    assert report.facts["verdict"]["words"] in mail.body
    assert report.sent_at


def test_what_could_not_be_sent_is_tried_again_and_told(tonight, settings, mailoutbox):
    subscribe()
    nightly.make(tonight, [""])
    mail_works = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", 1
    assert nightly.send() == (0, 1)
    assert nightly.send() == (0, 1)
    assert ReportMail.objects.get().error in ("ConnectionRefusedError", "SMTPServerDisconnected")
    (cause,) = [cause for cause in alerts.causes(timezone.now()) if cause.key.startswith("report-unsent")]
    assert "example.org" not in cause.what
    settings.EMAIL_BACKEND = mail_works
    assert nightly.send() == (1, 0)
    assert not [cause for cause in alerts.causes(timezone.now()) if cause.key.startswith("report-unsent")]


def test_a_mail_server_takes_it(tonight, settings):
    received = []

    class Session(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 here\r\n")
            is_data, lines = False, []
            for line in self.rfile:
                if is_data and line == b".\r\n":
                    is_data = False
                    received.append(b"".join(lines))
                elif is_data:
                    lines.append(line)
                    continue
                is_data = line.upper().startswith(b"DATA")
                self.wfile.write(b"354 go on\r\n" if is_data else b"250 good\r\n")
                if line.upper().startswith(b"QUIT"):
                    return

    with socketserver.TCPServer(("127.0.0.1", 0), Session) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        subscribe()
        nightly.make(tonight, [""])
        assert nightly.send() == (1, 0)
        server.shutdown()
        thread.join()
    assert b"application/pdf" in received[0]


def test_sent_again_it_goes_to_who_asks_for_it_now(tonight, mailoutbox):
    first = subscribe()
    (report,) = nightly.make(tonight, [""])
    nightly.send()
    ReportAddressee.objects.filter(pk=first.pk).update(is_active=False)
    subscribe("other@example.org")
    tasks.send_report(report.pk)
    assert [mail.to for mail in mailoutbox] == [["ministry@example.org"], ["other@example.org"]]


# --- Who reads it


def test_the_api_gives_a_report_as_json_page_and_paper(tonight):
    (report,) = nightly.make(tonight, ["KANO"])
    clerk, path = Caller(("clerk", {"state": "KANO"})), f"/api/analytics/reports/{report.pk}"
    assert [row["id"] for row in clerk.rows("/api/analytics/reports")] == [report.pk]
    assert clerk.get(path).json()["facts"] == report.facts
    assert clerk.get(path, {"format": "pdf"}).content == bytes(report.pdf)
    page = clerk.get(path, {"format": "html"})
    assert page["Content-Security-Policy"].partition("'nonce-")[2].partition("'")[0] in page.content.decode()
    assert AuditEvent.objects.filter(table="nightly_reports", action="export", object_id=report.pk).count() == 2


def test_another_states_report_is_not_there(tonight):
    made = {report.state: report.pk for report in nightly.make(tonight, ["", "KANO", "LAGOS"])}
    steward = Caller(("steward", {"state": "KANO"}))
    steward.user.is_staff = True
    steward.user.save()
    for state, pk in made.items():
        status = 200 if state == "KANO" else 404
        assert steward.get(f"/api/analytics/reports/{pk}").status_code == status
        for kind in ("html", "pdf"):
            assert steward.get(f"/admin/analytics/nightlyreport/{pk}/{kind}").status_code == status


def test_a_state_steward_adds_addressees_of_that_state_alone(tonight, settings):
    settings.REQUIRE_TOTP = False
    steward = Caller(("steward", {"state": "KANO"}))
    steward.user.is_staff = True
    steward.user.save()
    for state, is_added in (("KANO", True), ("LAGOS", False), ("", False)):
        form = {"email": "somebody@example.org", "state": state, "is_active": "on"}
        steward.client.post("/admin/analytics/reportaddressee/add/", form)
        assert ReportAddressee.objects.filter(state=state).exists() is is_added
    line = AuditEvent.objects.get(table="report_addressees", action="create")
    assert "example.org" not in json.dumps(line.details)


def test_the_command_writes_the_files_and_says_all_in_json(tonight, tmp_path, capsys):
    call_command("nightly_report", "--state", "Kano", "--to", f"{tmp_path}", "--json")
    told = json.loads(capsys.readouterr().out)
    report = NightlyReport.objects.get()
    assert (told["id"], told["place"]) == (report.pk, "Kano")
    assert (tmp_path / report.file_name).read_bytes() == bytes(report.pdf)
    assert (tmp_path / report.file_name).with_suffix(".html").read_text() == report.html
    noted = AuditEvent.objects.get(action="export", table="nightly_reports")
    assert (noted.rows, noted.details["command"]) == (1, "nightly_report")


def test_without_marts_there_is_nothing_to_report(db):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM mart_states")
    assert nightly.make(timezone.localdate()) == []
