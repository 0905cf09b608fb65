"""The desk's first page: the verdict on last night, what waits, how fresh the marts are; and whose figures it tells."""

from datetime import timedelta

import pytest
from django.utils import timezone

from analytics import marts
from analytics.facility_signals import FacilitySignal
from analytics.history import CheckRun
from clinical.models import Membership, User
from ingestion.models import IngestBatch, IngestRun, RejectedRow
from medilink.models import Alert
from tests import rows
from tests.ingestion import factories

pytestmark = pytest.mark.django_db


def night(status="done", **columns):
    """The run of this night, an hour ago."""
    now = timezone.now()
    known = {"night_on": timezone.localdate(), "started_at": now - timedelta(hours=1), "finished_at": now}
    return IngestRun.objects.create(kind="nightly", status=status, **known | columns)


def loaded(run, rejected=0, **columns):
    counts = {"rows_read": 1000, "inserted": 1000 - rejected, "rejected": rejected}
    return factories.batch(run=run, kind="nightly", status="archived", finished_at=timezone.now(), **counts | columns)


def refused(batch, reason="DATE_AMBIGUOUS:dob", **columns):
    known = {"raw": {"sex": "F"}, "reasons": [reason], "dataset": "patients", "source": "*/patients.csv", "line": 2}
    return RejectedRow.objects.create(batch=batch, ordinal=next(factories.NUMBERS), **known | columns)


def section(client, name):
    sections = dict(client.get("/admin/").context["sections"])
    return sections[f"medilink/{name}.html"]


def text(client):
    return client.get("/admin/").content.decode()


@pytest.fixture
def of_kano(client):
    steward = User.objects.create_user("kano", is_staff=True)
    Membership.objects.create(user=steward, role="steward", state="KANO")
    client.force_login(steward)
    return client


# --- Last night


def test_before_the_first_night_it_says_where_files_go(desk, settings):
    assert f"s3://{settings.S3_BUCKET_NAME}/{settings.S3_INPUT_PREFIX}" in text(desk)
    assert section(desk, "last_night")["nights"] == []
    assert "Nothing waits for you." in text(desk)
    assert "The data checks have not run yet." in text(desk)


@pytest.mark.parametrize(
    ("status", "rejected", "colour", "words"),
    [
        ("done", 0, "success", "Last night worked."),
        ("some_rows_refused", 9, "success", "Last night worked."),
        ("some_rows_refused", 10, "warning", "Last night worked, but more rows were refused than we promise."),
        ("broken_off", 0, "danger", "The run broke off; what it had not loaded is still due."),
        ("running", 0, "info", "The run of this night is still at work."),
        ("queued", 0, "info", "The run of this night waits for a worker."),
    ],
)
def test_the_verdict_is_told_in_words_and_colour(desk, status, rejected, colour, words):
    loaded(night(status), rejected)
    told = section(desk, "last_night")
    assert (told["colour"], told["words"]) == (colour, words)


def test_stopped_files_are_counted_and_linked(desk):
    run = night("some_files_stopped")
    loaded(run)
    held = factories.batch(run=run, status="held", reasons=["OVERLAP_SUSPECT"])
    told = section(desk, "last_night")
    assert told["words"] == "1 of 2 files was stopped and waits for a decision."
    listed = desk.get(told["stopped_batches"]).context["cl"].result_list
    assert [batch.pk for batch in listed] == [held.pk]


def test_a_night_without_files_worked(desk):
    night()
    assert section(desk, "last_night")["words"] == "Last night worked; there was nothing new to load."


def test_a_night_without_a_run_is_told_once_it_is_over(desk, time_machine):
    night(night_on=timezone.localdate() - timedelta(days=1))
    time_machine.move_to(timezone.localtime().replace(hour=4, minute=59), tick=False)
    assert "worked" in section(desk, "last_night")["words"]
    time_machine.move_to(timezone.localtime().replace(hour=5, minute=0), tick=False)
    assert section(desk, "last_night")["words"].startswith("There was no run last night")


def test_the_chart_has_two_weeks_with_what_the_watch_has_loaded(desk):
    loaded(night(), 20)
    loaded(IngestRun.objects.create(kind="nightly"))
    loaded(IngestRun.objects.create(kind="manual"))
    nights = section(desk, "last_night")["nights"]
    assert len(nights) == 14
    assert [(one.files, one.loaded, one.rejected) for one in nights[-2:]] == [(0, 0, 0), (2, 1980, 20)]
    assert nights[-1].is_over_promise


# --- What waits


def test_what_waits_is_told_with_its_evidence(desk):
    evidence = {"rows_read": 1000, "refused_for_own_content": 12, "overlap_pct": 83.1}
    batch = factories.batch(status="held", reasons=["OVERLAP_SUSPECT"], evidence=evidence)
    for reason in ("DATE_AMBIGUOUS:dob", "DATE_AMBIGUOUS:recorded_at", "LENGTH:lga"):
        refused(batch, reason)
    refused(batch, state="dismissed", settled_at=timezone.now())
    told = section(desk, "waiting")
    (stopped,) = told["stopped"]
    assert stopped["evidence"] == (
        "12 of 1,000 rows would be refused; 83.1 % of its events are stored under an earlier day."
    )
    assert [(one["why"].code, one["count"]) for one in told["reasons"]] == [("DATE_AMBIGUOUS", "2"), ("LENGTH", "1")]
    assert told["rows_count"] == "3"
    listed = desk.get(told["reasons"][0]["link"]).context["cl"]
    assert listed.result_count == 2


def test_open_alerts_are_shown_but_not_those_that_the_batches_tell(desk):
    Alert.objects.create(cause="no-good-run", what="No run went well", link="/admin/")
    Alert.objects.create(cause="batch-held:7", what="Batch 7 is held", link="/admin/")
    Alert.objects.create(cause="mart-failed:x", what="Over", link="/admin/", closed_at=timezone.now())
    assert [alert.what for alert in section(desk, "waiting")["alerts"]] == ["No run went well"]


# --- Silent facilities


def silent(at, rows_amiss, **columns):
    known = {"began_on": timezone.localdate(), "last_on": timezone.localdate(), "observed": 0, "expected_low": 20}
    known |= {"expected_high": 40, "baseline_days": 8, "recent": [None] * 28, "kind": "no_file"}
    return FacilitySignal.objects.create(facility=at, rows_amiss=rows_amiss, **known | columns)


def test_silent_facilities_are_told_the_worst_first_and_by_scope(of_kano):
    mine = [silent(rows.facility(state="KANO"), amiss).pk for amiss in (10, 30)]
    silent(rows.facility(state="LAGOS"), 99)
    silent(rows.facility(state="KANO"), 50, state="over", over_on=timezone.localdate())
    told = section(of_kano, "silence")
    assert [signal.pk for signal in told["signals"]] == mine[::-1]
    assert told["count"] == "2"
    assert "0 rows where 20 to 40 were to be expected." in text(of_kano)


def test_a_watch_that_has_not_begun_does_not_say_that_all_is_well(desk):
    assert "No day was watched yet" in text(desk)


# --- The marts


def test_each_mart_tells_its_age_and_the_checks_their_verdict(desk):
    marts.refresh()
    CheckRun.objects.create(started_at=timezone.now(), passed=60, failed=2)
    told = section(desk, "freshness")
    assert {one["words"] for one in told["marts"]} == {"fresh"}
    assert "<strong>2 failed</strong>" in text(desk)


# --- Whose figures


def test_a_steward_of_a_state_sees_the_figures_of_that_state(of_kano):
    run = night("some_files_stopped")
    loaded(run, folder="kano")
    loaded(run, folder="lagos")
    factories.batch(run=run, status="held", folder="lagos", reasons=["OVERLAP_SUSPECT"])
    refused(IngestBatch.objects.first(), facility=rows.facility(state="LAGOS"))
    told = section(of_kano, "last_night")
    assert told["words"] == "Last night worked."
    assert told["sums"]["rows_read"] == 1000
    assert told["nights"][-1].loaded == 1000
    assert not section(of_kano, "waiting")["has_any"]


def test_who_has_no_role_is_told_so(client):
    client.force_login(User.objects.create_user("bob", is_staff=True))
    assert "Your account has no role" in text(client)


def test_it_takes_a_bounded_number_of_queries(of_kano, django_assert_max_num_queries):
    run = night()
    for _ in range(30):
        refused(loaded(run, 1, folder="kano"))
        factories.batch(run=run, status="held", folder="kano", reasons=["OVERLAP_SUSPECT"])
    with django_assert_max_num_queries(28):
        of_kano.get("/admin/")


def test_a_log_in_leads_to_it(client, alice):
    form = {"username": "alice", "password": "not-a-secret-of-anybody"}
    assert client.post("/admin/login/", form)["Location"] == "/admin/"
