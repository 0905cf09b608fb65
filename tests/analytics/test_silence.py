"""The silent-facility watch: what is said of a facility on a day, what is kept, and who sees it."""

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from django.core.management import call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import silence
from analytics.facility_signals import BatchShare, FacilitySignal, WatchedDay
from analytics.silence import facts, score, watch, year
from analytics.silence.calendar import easter, is_holiday
from analytics.silence.facts import Delivery
from analytics.silence.judgement import COMPARABLE, WINDOW, Came, Facts, Verdict, judge
from clinical.models import AuditEvent, Facility, Merge
from ingestion.models import IngestBatch
from tests.callers import Caller
from tests.ingestion import factories
from tests.rows import facility, lagos, patient, visits

DAY = date(2026, 11, 20)  # a Friday, eight weeks after the last public holiday but one
DAYS = [DAY - timedelta(days=back) for back in range(WINDOW, -1, -1)]
BEGUN = datetime(2020, 1, 1, tzinfo=UTC)  # before the rows of any test are written, whatever day it is
EVEN = [20, 24, 18, 22, 21, 19, 23]


def told(rows, came=None, waits=None, days=DAYS, others=0):
    """The facts of one facility that has a file of its own, `others` being in it too."""
    rows = np.array([rows], np.int64)
    came = np.array([came], np.int64) if came is not None else np.full(rows.shape, Came.ROWS)
    waits = np.array([waits]) if waits is not None else np.zeros(rows.shape, bool)
    return Facts(days, rows, rows + others, came, waits)


def usual(last=None, per_day=EVEN, weekends=True):
    """Twelve weeks as they always are, and the day."""
    rows = [per_day[n % len(per_day)] if weekends or day.weekday() < 5 else 0 for n, day in enumerate(DAYS)]
    return rows if last is None else [*rows[:-1], last]


def verdict(known):
    return Verdict(judge(known).verdict[0])


def came_with(last):
    return [*[Came.ROWS] * WINDOW, last]


# --- What is said of one facility


def test_a_usual_day_is_in_order():
    assert verdict(told(usual())) == Verdict.IN_ORDER


@pytest.mark.parametrize(
    ("came", "said"),
    [
        (Came.NOTHING, Verdict.NO_FILE),
        (Came.EMPTY, Verdict.EMPTY_FILE),
        (Came.SAME, Verdict.SAME_FILE),
        (Came.ROWS, Verdict.VOLUME_LOW),
    ],
)
def test_a_day_without_rows_is_told_by_what_came(came, said):
    assert verdict(told(usual(0), came_with(came))) == said


def test_far_too_many_rows_are_told():
    assert verdict(told(usual(90))) == Verdict.VOLUME_HIGH
    assert verdict(told(usual(30))) == Verdict.IN_ORDER


def test_a_file_that_waits_for_a_steward_is_no_silence():
    waits = [False] * WINDOW + [True]
    assert verdict(told(usual(0), came_with(Came.NOTHING), waits)) == Verdict.STOPPED
    assert verdict(told(usual(3), None, waits)) == Verdict.STOPPED


def test_who_never_sends_at_weekends_is_not_silent_at_weekends():
    sunday = date(2026, 11, 22)
    days = [sunday - timedelta(days=back) for back in range(WINDOW, -1, -1)]
    rows = [20 if day.weekday() < 5 else 0 for day in days]
    alone = [Came.ROWS if day.weekday() < 5 else Came.NOTHING for day in days]
    assert verdict(told(rows, alone, days=days)) == Verdict.NOT_DUE
    in_a_state_file = [*[Came.ROWS] * WINDOW, Came.NOTHING]  # others work on Sundays, and this time no file came
    assert verdict(told(rows, in_a_state_file, days=days, others=100)) == Verdict.NOT_DUE


def test_a_new_facility_is_too_new_to_judge_for_four_weeks():
    for weeks, said in ((COMPARABLE - 1, Verdict.TOO_NEW), (COMPARABLE, Verdict.NO_FILE)):
        first = WINDOW - 7 * weeks
        rows = [0] * first + [20] * (WINDOW - first) + [0]
        came = [Came.ROWS if n else Came.NOTHING for n in rows]
        assert verdict(told(rows, came)) == said


def test_nothing_is_said_of_a_public_holiday():
    holiday = date(2026, 10, 1)
    days = [holiday - timedelta(days=back) for back in range(WINDOW, -1, -1)]
    assert verdict(told(usual(0), came_with(Came.NOTHING), days=days)) == Verdict.HOLIDAY


def test_a_small_clinic_is_quiet_for_days_before_it_is_told():
    assert verdict(told(usual(0, [2, 1, 3]))) == Verdict.IN_ORDER
    rows = usual(per_day=[2, 1, 3])
    rows[-8:] = [0] * 8
    judged = judge(told(rows))
    assert judged.verdict[0] == Verdict.VOLUME_LOW
    assert judged.over_days[0] > 1
    assert judged.observed[0] == 0


def test_an_empty_file_of_a_small_clinic_may_be_chance():
    came = came_with(Came.EMPTY)
    assert verdict(told(usual(0, [2, 1, 3]), came)) == Verdict.IN_ORDER
    assert verdict(told(usual(0, [2, 1, 3]), came, others=50)) == Verdict.EMPTY_FILE


def test_an_incident_is_no_baseline_for_the_next():
    """Without the mask four bad Fridays of eight would halve what is expected, and the fifth would pass."""
    rows, came = usual(), came_with(Came.ROWS)
    for back in (7, 14, 21, 28):
        rows[-1 - back], came[-1 - back] = 0, Came.EMPTY
    judged = judge(told([*rows[:-1], 4], came))
    assert judged.verdict[0] == Verdict.VOLUME_LOW
    assert judged.baseline_days[0] == 4


def test_since_when_it_is_silent_is_told_across_a_weekend():
    monday = date(2026, 11, 23)
    days = [monday - timedelta(days=back) for back in range(WINDOW, -1, -1)]
    came = [Came.ROWS if day.weekday() < 5 else Came.NOTHING for day in days]
    came[-5:] = [Came.NOTHING] * 5  # since Thursday
    rows = [20 if one == Came.ROWS else 0 for one in came]
    judged = judge(told(rows, came, days=days))
    assert days[judged.began[0]] == date(2026, 11, 19)
    assert round(judged.amiss[0]) == 60


def test_a_volume_that_stays_off_becomes_the_usual_one():
    rows = usual(per_day=[40])
    rows[-64:] = [15] * 64
    assert verdict(told(rows)) == Verdict.IN_ORDER


def test_most_facilities_quiet_on_one_day_are_a_cause_that_they_share():
    rows = np.array([usual(2) for _ in range(30)] + [usual() for _ in range(10)])
    known = Facts(DAYS, rows, rows, np.full(rows.shape, Came.ROWS), np.zeros(rows.shape, bool))
    assert set(judge(known).verdict[:30]) == {Verdict.TOGETHER}
    known.came[:30, -1], known.rows[:30, -1] = Came.NOTHING, 0
    assert set(judge(known).verdict[:30]) == {Verdict.NO_FILE}  # a night without files is never excused


# --- What no day may do


COUNTS = st.lists(st.integers(0, 60), min_size=WINDOW + 1, max_size=WINDOW + 1)


@settings(max_examples=30, deadline=None)
@given(COUNTS, st.lists(st.sampled_from(Came), min_size=WINDOW + 1, max_size=WINDOW + 1), st.integers(0, 500))
def test_a_day_never_measures_itself(rows, came, other):
    """Whatever its own count and file are, what is expected of the day is the same."""
    bare = [n if one == Came.ROWS else 0 for n, one in zip(rows, came, strict=True)]
    expected = _baseline(told(bare, came))
    for last in (Came.ROWS, Came.NOTHING, Came.EMPTY):
        changed = [*bare[:-1], other if last == Came.ROWS else 0]
        assert _baseline(told(changed, [*came[:-1], last])) == expected


def _baseline(known):
    """(rows, days) that the last day is measured by."""
    judged = judge(known)
    return judged.usual[0], judged.baseline_days[0]


@settings(max_examples=10, deadline=None)
@given(COUNTS, st.integers(1, 50))
def test_judging_twice_is_judging_once_and_no_line_changes_another(rows, n):
    alone = judge(told(rows))
    beside = np.array([rows, usual(n)])
    both = Facts(DAYS, beside, beside, np.full(beside.shape, Came.ROWS), np.zeros(beside.shape, bool))
    for name in ("verdict", "expected", "low", "high", "began", "amiss"):
        assert getattr(judge(both), name)[0] == getattr(alone, name)[0] == getattr(judge(told(rows)), name)[0]


def test_holidays_are_known_as_far_as_they_can_be():
    assert [easter(y) for y in (2024, 2025, 2026, 2038)] == [
        *(date(2024, 3, 31), date(2025, 4, 20), date(2026, 4, 5), date(2038, 4, 25))
    ]
    assert is_holiday(date(2026, 4, 3))
    assert is_holiday(date(2026, 10, 1))
    assert not is_holiday(date(2026, 3, 20))  # Eid al-Fitr: the moon decides


def test_the_invented_year_is_the_same_for_a_seed_and_the_watch_is_right_in_it():
    invented = year.invent(5, facilities=60, length=150)
    assert (invented.facts.rows == year.invent(5, facilities=60, length=150).facts.rows).all()
    scored = score.score(invented, score.verdicts(invented), sizes=(score.SMALL, np.inf))
    lines = {line.kind: line for line in scored.lines}
    for kind in ("NO_FILE", "EMPTY_FILE", "SAME_FILE"):
        assert lines[kind].precision >= 0.95
        assert lines[kind].recall >= 0.95
    assert lines["VOLUME_LOW"].precision >= 0.8  # a few incidents in so small a year
    assert lines["VOLUME_LOW"].recall >= 0.8


# --- What a source delivered


def delivery(back, **changed):
    known = {"source": "s", "business_date": DAY - timedelta(days=back), "status": "archived", "reasons": []}
    known |= {"rows_read": 9, "inserted": 9, "updated": 0, "sha256": f"{back}"}
    return Delivery(**known | changed)


@pytest.mark.parametrize(
    ("changed", "came", "waits"),
    [
        ({}, Came.ROWS, False),
        ({"rows_read": 0, "inserted": 0}, Came.EMPTY, False),
        ({"status": "rejected", "reasons": ["EMPTY_FILE"], "rows_read": 0, "inserted": 0}, Came.EMPTY, False),
        ({"status": "held", "reasons": ["SAME_CONTENT_NEW_DATE"], "sha256": "1", "inserted": 0}, Came.SAME, False),
        ({"sha256": "1", "inserted": 0}, Came.SAME, False),  # of a source that sends everything again
        ({"sha256": "1"}, Came.ROWS, False),  # released as new events
        ({"inserted": 0}, Came.ROWS, False),  # other bytes, and nothing new in them
        ({"status": "held", "reasons": ["ROW_ERROR_RATIO"], "inserted": 0}, Came.NOTHING, True),
        ({"status": "rejected", "reasons": ["NOT_CSV"], "inserted": 0}, Came.NOTHING, True),
        ({"status": "discovered", "reasons": ["WAITS_FOR_PATIENTS"], "inserted": 0}, Came.NOTHING, True),
        ({"status": "discarded", "reasons": ["OBJECT_OVERWRITTEN"], "inserted": 0}, Came.NOTHING, False),
        ({"status": "duplicate", "inserted": 0}, Came.ROWS, False),
    ],
)
def test_what_a_source_delivered_is_told_from_its_batches(changed, came, waits):
    found = facts.by_source([delivery(1), delivery(0, **changed)], DAYS)
    assert found["s"][0][-1] == came
    assert found["s"][1][-1] == waits


# --- From the tables to the desk


@pytest.fixture
def quiet(db, time_machine_at):
    """Six weeks of two facilities in one file; on the last day the second one is missing in it."""
    loud, silent = (
        facility(name="Loud Clinic"),
        facility(name="Quiet Clinic", state="KANO", lga="Dala", lga_name="Dala"),
    )
    deliver_weeks([(patient(loud), 20), (patient(silent), 15)])
    batch = loaded(DAY)
    visits(patient(loud), DAY, [3] * 20, batch_id=batch.pk)
    return silent


@pytest.fixture
def time_machine_at(time_machine):
    time_machine.move_to(lagos(DAY + timedelta(days=1), 3), tick=True)


def deliver_weeks(senders, weeks=6):
    for back in range(1, 7 * weeks):
        day = DAY - timedelta(days=back)
        batch = loaded(day)
        for sender, count in senders:
            visits(sender, day, [3] * count, batch_id=batch.pk)


def loaded(day, **changed):
    known = {"dataset": "triage_visits", "source": "triage_visits-*.csv", "business_date": day, "status": "archived"}
    counts = {"rows_read": 35, "inserted": 35, "sha256": f"{day}"}
    return factories.batch(**known | counts | {"started_at": BEGUN} | changed)


def test_a_facility_that_is_missing_in_its_file_is_found_once(quiet):
    for _ in range(2):
        watch.nightly()
    signal = FacilitySignal.objects.get()
    assert (signal.facility, signal.kind, signal.state) == (quiet, "volume_low", "open")
    assert (signal.began_on, signal.last_on, signal.observed) == (DAY, DAY, 0)
    assert signal.expected_low < 15 < signal.expected_high
    assert signal.recent[-3:] == [15, 15, 0]
    assert signal.last_rows_on == DAY - timedelta(days=1)
    watched = WatchedDay.objects.get()
    assert (watched.day, watched.in_order, watched.silent) == (DAY, 1, 1)


def test_a_file_that_comes_late_ends_it_and_its_absence_reopens_it(quiet):
    watch.watch(DAY)
    late = loaded(DAY, source="late-*.csv")
    visits(patient(quiet), DAY, [3] * 15, batch_id=late.pk)
    watch.watch(DAY)
    assert FacilitySignal.objects.get().state == "over"
    BatchShare.objects.filter(batch=late).update(facilities=[], rows=[])
    watch.watch(DAY)
    assert FacilitySignal.objects.get().state == "open"


def test_no_file_at_all_is_told_of_each_facility(quiet):
    watch.watch(DAY)
    watch.watch(DAY + timedelta(days=1))
    kinds = dict(FacilitySignal.objects.unsettled().values_list("facility__name", "kind"))
    assert kinds == {"Loud Clinic": "no_file", "Quiet Clinic": "no_file"}
    assert FacilitySignal.objects.get(facility=quiet).began_on == DAY  # it was silent before


def test_an_older_day_is_judged_and_not_stored(quiet):
    watch.watch(DAY)
    before = [*FacilitySignal.objects.values()]
    assert not watch.watch(DAY - timedelta(days=3)).is_stored
    assert [*FacilitySignal.objects.values()] == before
    assert WatchedDay.objects.count() == 1


def test_nights_that_were_missed_are_judged_afterwards(quiet):
    watch.watch(DAY - timedelta(days=3))
    watch.nightly()
    assert WatchedDay.objects.count() == 4


def test_a_later_version_of_an_event_takes_nothing_from_the_day_that_brought_it(quiet):
    watch.watch(DAY - timedelta(days=1))
    later = loaded(DAY, object_key="later")
    quiet.triagevisits.update(batch_id=later.pk)
    found = watch.watch(DAY)
    assert [signal.kind for signal in found.signals] == ["volume_high"]


def test_what_a_steward_has_reverted_never_came(quiet):
    IngestBatch.objects.filter(business_date=DAY).update(reverted_at=lagos(DAY))
    assert {signal.kind for signal in watch.watch(DAY).signals} == {"no_file"}


def test_a_merged_facility_counts_as_its_survivor(quiet):
    survivor = Facility.objects.get(name="Loud Clinic")
    deed = AuditEvent.objects.create(action="merge", table="facilities")
    Merge.objects.create(table="facilities", survivor_id=survivor.pk, merged_id=quiet.pk, event=deed)
    watch.watch(DAY)
    assert WatchedDay.objects.get().facilities == 1
    assert watch.watch(DAY - timedelta(days=1)).day.in_order == 1


def test_a_deleted_facility_is_not_watched(quiet):
    Facility.objects.filter(pk=quiet.pk).update(deleted_at=lagos(DAY))
    assert watch.watch(DAY).signals == []


def test_what_is_muted_stays_muted_until_its_day_is_over(quiet, alice):
    watch.watch(DAY)
    signals = FacilitySignal.objects.all()
    with pytest.raises(silence.NotPossible):
        silence.mute(signals, until=DAY, reason="Closed", today=DAY + timedelta(days=1), by=alice)
    until = DAY + timedelta(days=1)
    assert silence.mute(signals, until=until, reason="Closed for repair", today=until, by=alice) == 1
    watch.watch(DAY)
    assert FacilitySignal.objects.get().state == "muted"
    watch.watch(until)
    assert FacilitySignal.objects.get(facility=quiet).state == "open"


def test_the_overview_takes_two_queries_and_shows_a_steward_their_own_state(quiet, django_assert_num_queries):
    watch.watch(DAY)
    kano, lagos_steward = Caller(("steward", {"state": "KANO"})), Caller(("steward", {"state": "LAGOS"}))
    _ = kano.user.access
    with django_assert_num_queries(2):
        seen = silence.overview(kano.user)
    assert (seen.day, seen.open, dict(seen.by_kind)) == (DAY, 1, {"volume_low": 1})
    assert [signal.facility for signal in seen.worst] == [quiet]
    assert silence.overview(lagos_steward.user).open == 0


def test_the_overview_of_a_country_that_was_never_watched_is_empty(alice):
    seen = silence.overview(alice)
    assert (seen.day, seen.open, seen.worst) == (None, 0, [])


def test_the_list_shows_what_is_open_with_a_chart_and_counts_it_in_the_navigation(quiet, desk):
    watch.watch(DAY)
    text = page(desk)
    assert "Quiet Clinic" in text
    assert "Too few rows" in text
    assert text.count('class="desk-spark"') == 1
    assert "1 in order, 1 silent" in text
    groups = desk.get("/admin/").context["sidebar_navigation"]
    badges = {entry["title"]: entry.get("badge") for group in groups for entry in group["items"]}
    assert badges["Silent facilities"] == "1"
    assert "Quiet Clinic" not in page(desk, {"state": "LAGOS"})
    assert "Quiet Clinic" in page(desk, {"state": "KANO", "kind__exact": "volume_low"})
    assert "Quiet Clinic" not in page(desk, {"shown": "over"})


def test_a_steward_mutes_with_a_reason_and_opens_again(quiet, desk):
    watch.watch(DAY)
    assert "Name no patient" in act(desk, "mute")
    assert "This day has passed" in act(desk, "mute", decided="yes", until=f"{DAY}", reason="Closed")
    assert "1 muted until" in act(desk, "mute", decided="yes", until="2026-12-24", reason="Closed for repair")
    assert "Quiet Clinic" not in page(desk)
    muted = page(desk, {"shown": "muted"})
    assert "muted until 24 Dec by alice: Closed for repair" in muted
    assert "1 open again" in act(desk, "unmute")
    assert FacilitySignal.objects.get().state == "open"
    lines = AuditEvent.objects.filter(table="facility_signals").exclude(action="list").order_by("id")
    assert [*lines.values_list("action", "actor__username")] == [("mute", "alice"), ("unmute", "alice")]


def test_a_steward_of_another_state_sees_none_of_it(quiet):
    watch.watch(DAY)
    steward = Caller(("steward", {"state": "LAGOS"}))
    steward.user.is_staff = True
    steward.user.save()
    assert "Quiet Clinic" not in page(steward.client)
    signal = FacilitySignal.objects.get()
    assert steward.client.get(f"/admin/analytics/facilitysignal/{signal.pk}/change/").status_code == 302


@pytest.mark.parametrize("name", ["watchedday", "batchshare", "facilitysignal"])
def test_each_page_opens(quiet, desk, name):
    watch.watch(DAY)
    model = {"watchedday": WatchedDay, "batchshare": BatchShare, "facilitysignal": FacilitySignal}[name]
    assert desk.get(f"/admin/analytics/{name}/").status_code == 200
    one = model.objects.first()
    assert desk.get(f"/admin/analytics/{name}/{one.pk}/change/").status_code == 200


def page(client, query=None):
    response = client.get("/admin/analytics/facilitysignal/", query or {})
    assert response.status_code == 200
    return response.content.decode()


def act(client, action, **answer):
    chosen = {"action": action, "_selected_action": [FacilitySignal.objects.get().pk], "index": "0"}
    shown = "?shown=muted" if action == "unmute" else ""
    response = client.post(f"/admin/analytics/facilitysignal/{shown}", chosen | answer, follow=True)
    return response.content.decode()


def command(capsys, name="silent_facilities", *args):
    with pytest.raises(SystemExit) as ended:
        call_command(name, *args)
    return ended.value.code, capsys.readouterr()


def test_the_command_names_the_silent_and_says_so_by_its_exit_code(quiet, capsys):
    code, said = command(capsys)
    assert code == 3
    assert "Quiet Clinic" in said.out
    code, said = command(capsys, "silent_facilities", "--json")
    line, totals = map(json.loads, said.out.splitlines())
    assert (line["facility"], line["kind"], line["is_muted"]) == ("Quiet Clinic", "volume_low", False)
    assert totals["totals"]["silent"] == 1
    assert command(capsys, "silent_facilities", "--day", f"{DAY - timedelta(days=2)}")[0] == 0


def test_the_command_refuses_a_day_that_has_not_come(quiet, capsys):
    assert command(capsys, "silent_facilities", "--day", "2031-01-01")[0] == 2


def test_the_score_is_printed_without_a_database(capsys):
    call_command("score_silence", "--facilities", "25", "--days", "60", "--seed", "3", "--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["kind"] for line in lines if "kind" in line} >= {"NO_FILE", "VOLUME_HIGH"}
    assert all("too_new_pct" in line for line in lines if "kind" not in line)


def test_batches_that_are_counted_are_not_counted_again(quiet):
    watch.watch(DAY)
    counted = BatchShare.objects.count()
    assert counted == IngestBatch.objects.count()
    FacilitySignal.objects.all().delete()
    quiet.triagevisits.all().update(batch_id=None)
    watch.watch(DAY)
    assert BatchShare.objects.count() == counted
    assert FacilitySignal.objects.get().expected_high > 15
