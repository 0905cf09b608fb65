"""Monitors of sources: what they say of a day, how seldom of a quiet source, and how surely of a changed one."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from django.core.management import call_command
from django.utils import timezone

from analytics.monitor_results import MonitorResult
from analytics.monitors import judgement, watch
from analytics.silence import watch as silence
from medilink import alerts
from tests.callers import Caller
from tests.ingestion import factories
from tests.rows import facility, patient, visits

TODAY = date(2026, 11, 20)
WEEKLY = np.array([1.2, 1.1, 1.0, 1.0, 0.9, 0.4, 0.3])
LEVELS = np.array([0.05, 0.15, 0.4, 0.3, 0.1])


def days(count):
    return [TODAY - timedelta(days=n) for n in range(count, 0, -1)]


# --- How seldom they cry for nothing, and how surely they see what is wrong


class Source:
    """An invented source: rows by weekday with the noise of counts and more, shares with the noise of samples."""

    def __init__(self, chance, mean, noise):
        self.chance, self.mean, self.noise = chance, mean, noise

    def rows(self, day, factor=1.0):
        mean = self.mean * WEEKLY[day.weekday()] * factor * self.chance.lognormal(0, self.noise)
        return int(self.chance.poisson(mean))

    def empty(self, rows, share=0.15):
        return self.chance.binomial(rows, np.clip(share + self.chance.normal(0, 0.01), 0, 1)) / rows

    def levels(self, rows, shares=LEVELS):
        drawn = self.chance.multinomial(rows, self.chance.dirichlet(shares * 400))
        return {str(n): count / rows for n, count in enumerate(drawn)}


def judged(source, factor=1.0, share=0.15, shares=LEVELS):
    """What the three kinds of monitors say of one day after eight weeks: volume, empty cells, levels."""
    history = {day: source.rows(day) for day in days(56)}
    band = judgement.volume(history, TODAY)
    volume = not band.low <= source.rows(TODAY, factor) <= band.high
    rows = [max(20, history[day]) for day in days(28)]
    today = max(20, source.rows(TODAY))
    band = judgement.share([source.empty(n) for n in rows], today)
    empty = not band.low <= source.empty(today, share) <= band.high
    centre, band = judgement.spread([(source.levels(n), n) for n in rows], today)
    mixture = judgement.distance(source.levels(today, shares), centre) > band.high
    return volume, empty, mixture


def alarms(times, **changed):
    """The share of days with an alarm, of each kind, over sources of every size."""
    chance = np.random.default_rng(7)
    said = [
        judged(Source(chance, mean, noise), **changed)
        for _ in range(times)
        for mean in (40, 300, 3_000)
        for noise in (0.05, 0.2)
    ]
    return np.mean(said, axis=0)


def test_of_a_quiet_source_there_is_less_than_one_alarm_in_a_hundred_days():
    rates = alarms(100)
    print("quiet", rates)  # the figures, with -s
    assert (rates < 0.01).all()


@pytest.mark.parametrize(
    ("changed", "at_least"),
    [
        ({"factor": 0.0}, (0.95, 0, 0)),
        ({"factor": 0.1}, (0.95, 0, 0)),
        ({"factor": 5}, (0.95, 0, 0)),
        ({"share": 0.6}, (0, 0.8, 0)),
        ({"share": 1.0}, (0, 0.99, 0)),
        ({"shares": LEVELS[::-1]}, (0, 0, 0.25)),
        ({"shares": np.array([0.9, 0.025, 0.025, 0.025, 0.025])}, (0, 0, 0.95)),
    ],
)
def test_of_a_source_that_changed_there_is_an_alarm(changed, at_least):
    rates = alarms(20, **changed)
    print(changed, rates)
    assert (rates >= at_least).all()


def test_one_bad_week_in_the_baseline_hides_no_bad_day():
    history = {day: 100 + day.day % 5 for day in days(56)} | dict.fromkeys(days(7), 0)
    assert judgement.volume(history, TODAY).low > 30


def test_a_weekend_without_files_is_usual_for_who_never_sends_any():
    saturday = date(2026, 11, 21)
    history = {
        saturday - timedelta(days=n): 0 if (saturday - timedelta(days=n)).weekday() > 4 else 90 for n in range(1, 57)
    }
    band = judgement.volume(history, saturday)
    assert (band.low, band.days) == (0, 8)
    assert judgement.hours([24, 24, 24, 24, 72] * 4).high == 84


# --- From the batches to the desk


def delivered(day, rows=50, source="kano/triage_visits.csv", **columns):
    at = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
    known = {"status": "loaded", "rows_read": rows, "unchanged": rows, "source": source, "dataset": "triage_visits"}
    known |= {"business_date": day, "last_modified": at, "started_at": at, "finished_at": at, "folder": "kano"}
    return factories.batch(**known | columns)


def verdicts(day=TODAY):
    return {one.measure: one.verdict for one in watch.watch(day)}


@pytest.mark.django_db
def test_a_day_like_every_other_is_in_order_and_half_a_day_is_not():
    for day in days(40):
        delivered(day, 50 + day.day % 7)
    delivered(TODAY, 52)
    assert verdicts() == {"volume": "in order", "freshness": "in order", "refused": "in order"}
    (stored,) = MonitorResult.objects.filter(measure="volume")
    assert 20 < stored.low < 52 < stored.high < 110
    tomorrow = TODAY + timedelta(days=1)
    delivered(tomorrow, 5)
    assert verdicts(tomorrow)["volume"] == "low"
    assert verdicts(tomorrow + timedelta(days=2))["freshness"] == "high"


@pytest.mark.django_db
def test_nothing_is_said_of_a_young_source_nor_where_a_file_waits():
    for day in days(6):
        delivered(day)
    assert set(verdicts().values()) == {"learning"}
    for day in days(40)[:34]:
        delivered(day)
    delivered(TODAY, 0, status="held", unchanged=0, reasons=["ROW_ERROR_RATIO"])
    assert verdicts()["volume"] == "not judged"


@pytest.mark.django_db
def test_empty_columns_and_mixtures_are_those_of_the_rows_that_were_loaded():
    whose = patient(facility(), sex="F", dob=TODAY - timedelta(days=11_000))
    for day in [*days(12), TODAY]:
        batch = delivered(day, 40, inserted=40, unchanged=0)
        is_odd = day == TODAY
        levels = [1] * 40 if is_odd else [2, 3, 4, 5] * 10
        texts = {"chief_complaint": None if is_odd else "cough", "time_is_estimated": True}
        visits(whose, day, levels, batch_id=batch.pk, **texts)
        found = {one.measure: one for one in watch.watch(day)}
    assert found["spread:triage_level"].shares == {"1": 1.0}
    assert found["spread:triage_level"].value == 1.0
    assert found["empty:chief_complaint"].value == 1.0
    assert found["spread:sex"].shares == {"F": 1.0}
    # Twelve days are known of it: it is still too young to be told of.
    assert found["spread:triage_level"].verdict == "learning"
    MonitorResult.objects.filter(day=TODAY).delete()
    delivered(TODAY - timedelta(days=20), 40)
    found = {one.measure: one.verdict for one in watch.watch(TODAY)}
    odd = {measure for measure, verdict in found.items() if verdict == "high"}
    assert odd == {"spread:triage_level", "empty:chief_complaint"}


@pytest.mark.django_db
def test_a_day_is_told_once_and_not_rewritten_after_a_later_one():
    for day in days(3):
        delivered(day)
    watch.watch(TODAY)
    watch.watch(TODAY)
    assert MonitorResult.objects.filter(measure="volume").count() == 1
    watch.watch(TODAY - timedelta(days=1))
    assert {*MonitorResult.objects.values_list("day", flat=True)} == {TODAY}


@pytest.mark.django_db
def test_the_command_names_what_is_unusual(capsys):
    for day in days(40):
        delivered(day)
    with pytest.raises(SystemExit) as end:
        call_command("watch_data", "--day", f"{TODAY}")
    assert end.value.code == 3
    assert "volume" in capsys.readouterr().out


def result(**columns):
    known = {"day": TODAY, "source": "kano/x.csv", "folder": "kano", "dataset": "patients", "measure": "volume"}
    return MonitorResult.objects.create(
        **known | {"value": 3, "among": 3, "low": 40, "high": 90, "verdict": "low"} | columns
    )


@pytest.mark.django_db
def test_a_source_is_one_cause_and_many_sources_are_one_too():
    result()
    result(measure="refused", verdict="high")
    (cause,) = alerts._monitors()
    assert (cause.key, cause.owner) == ("monitor:patients:kano/x.csv", "stewards")
    assert cause.what == "Source kano/x.csv: volume lower than usual, refused higher than usual"
    for n in range(12):
        result(source=f"{n}.csv")
    assert [cause.key for cause in alerts._monitors()] == ["monitors-many"]


@pytest.mark.django_db
def test_a_state_sees_the_monitors_of_its_own_folders(settings, django_user_model):
    settings.REQUIRE_TOTP = False
    result()
    result(source="lagos/y.csv", folder="lagos")
    factories.batch(folder="kano")
    factories.batch(folder="lagos")
    seen = []
    for scope in ({}, {"state": "KANO"}):
        steward = Caller(("steward", scope))
        django_user_model.objects.filter(pk=steward.user.pk).update(is_staff=True)
        text = steward.get("/admin/analytics/monitorresult/").content.decode()
        seen.append(("kano/x.csv" in text, "lagos/y.csv" in text))
        assert "40\N{EN DASH}90" in text
    assert seen == [(True, True), (True, False)]


@pytest.mark.django_db
def test_a_night_without_files_judges_yesterday(monkeypatch):
    watch.nightly()
    assert not MonitorResult.objects.exists()
    yesterday = silence.yesterday()
    delivered(yesterday - timedelta(days=1))
    watch.nightly()
    assert {*MonitorResult.objects.values_list("day", flat=True)} == {yesterday}
    assert yesterday < timezone.localdate()
