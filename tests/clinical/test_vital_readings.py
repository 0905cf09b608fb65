"""Vital signs beside their visits: read from the database, once, again where anything has changed."""

import json
from contextlib import closing
from datetime import date
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from clinical import vital_readings
from clinical.models import TriageVisit, VisitScore, VitalReading, VitalSign
from clinical.tasks import read_all_vitals, read_vitals
from tests.rows import patient, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
TEXT = "BP: 90/60, HR: 128, RR: 26, Temp: 39.4, SpO2: 91% on 2L O2, AVPU: A, fasting"


def values(one):
    return [(sign.code, str(sign.value or sign.coded)) for sign in one.vital_values.order_by("position")]


def test_a_pass_keeps_values_leftover_and_scores():
    one = visit(patient(), DAY, vital_signs=TEXT)
    done = vital_readings.read_due()
    assert (done.visits, done.values, done.scores) == (1, 9, 4)
    assert values(one)[:3] == [("8480-6", "90.00"), ("8462-4", "60.00"), ("8867-4", "128.00")]
    assert one.vital_reading.leftover == "fasting"
    news = VisitScore.objects.get(visit=one, score="NEWS2")
    assert (news.minimum, news.maximum, news.missing) == (15, 15, [])
    assert news.reds == ["respiration", "saturation", "systolic"]


def test_a_second_pass_finds_nothing():
    visit(patient(), DAY, vital_signs=TEXT)
    vital_readings.read_due()
    assert vital_readings.read_due().visits == 0
    assert VitalReading.objects.count() == 1


def test_a_visit_without_words_is_not_read():
    visit(patient(), DAY, vital_signs=None)
    assert vital_readings.read_due().visits == 0


def test_what_was_read_goes_with_its_words():
    one = visit(patient(), DAY, vital_signs=TEXT)
    vital_readings.read_due()
    TriageVisit.objects.filter(pk=one.pk).update(vital_signs=None)
    assert not VitalReading.objects.exists()
    assert not VitalSign.objects.exists()
    assert not VisitScore.objects.exists()


def test_what_was_read_stays_where_something_else_changes():
    one = visit(patient(), DAY, vital_signs=TEXT)
    vital_readings.read_due()
    TriageVisit.objects.filter(pk=one.pk).update(triage_level=1)
    assert VitalReading.objects.count() == 1


def test_a_new_birthday_is_a_new_age():
    whose = patient(dob=date(1990, 1, 1))
    one = visit(whose, DAY, vital_signs=TEXT)
    vital_readings.read_due()
    whose.dob = date(2020, 1, 1)
    whose.save()
    assert not VitalReading.objects.exists()
    vital_readings.read_due()
    assert not one.scores.filter(score="NEWS2").exists()


def test_a_visit_that_is_removed_takes_its_values_along():
    one = visit(patient(), DAY, vital_signs=TEXT)
    vital_readings.read_due()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM triage_visits WHERE id = %s", [one.pk])
    assert not VitalSign.objects.exists()


def test_a_new_version_reads_again(monkeypatch):
    visit(patient(), DAY, vital_signs=TEXT)
    vital_readings.read_due()
    monkeypatch.setattr(vital_readings, "VERSION", 2)
    assert vital_readings.read_due().visits == 1
    assert VitalReading.objects.get().parser_version == 2


def test_texts_of_any_kind_are_kept_as_they_are():
    text = "BP\t120/80\\ \n\r HR: 80 \\N é"
    one = visit(patient(), DAY, vital_signs=text)
    vital_readings.read_due()
    assert one.vital_values.first().written == "BP\t120/80"
    assert one.vital_reading.leftover == "\\\n\\N é"


def test_the_command_reads_what_is_due_and_with_all_everything():
    visit(patient(), DAY, vital_signs=TEXT)
    counts = []
    for options in ((), (), ("--all",)):
        out = StringIO()
        call_command("read_vitals", "--json", *options, stdout=out)
        counts.append(json.loads(out.getvalue())["visits"])
    assert counts == [1, 0, 1]


def test_two_batches_are_both_read(monkeypatch):
    monkeypatch.setattr(vital_readings, "AT_ONCE", 2)
    whose = patient()
    for number in range(5):
        visit(whose, DAY, vital_signs=f"HR {80 + number}")
    assert vital_readings.read_due().visits == 5
    assert VitalSign.objects.count() == 5


def test_nothing_is_looked_for_where_nothing_was_written():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM row_changes")
    assert vital_readings.read_changed() is None
    visit(patient(), DAY, vital_signs=TEXT)
    assert vital_readings.read_changed().visits == 1


# --- Beside others


@pytest.mark.django_db(transaction=True)
def test_a_second_pass_leaves_while_one_is_at_work():
    visit(patient(), DAY, vital_signs=TEXT)
    other = connection.copy()
    with closing(other), other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [vital_readings.LOCK])
        read_vitals()
        read_all_vitals()
        assert not VitalReading.objects.exists()
        with pytest.raises(vital_readings.AlreadyReading):
            vital_readings.read_due()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [vital_readings.LOCK])
    read_vitals()
    assert VitalReading.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_visit_that_is_being_written_waits_for_the_next_pass():
    one, other_visit = (visit(patient(), DAY, vital_signs=TEXT) for _ in range(2))
    other = connection.copy()
    with closing(other):
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("UPDATE triage_visits SET vital_signs = 'HR 61' WHERE id = %s", [one.pk])
            assert vital_readings.read_due().visits == 1
            assert VitalReading.objects.get().pk == other_visit.pk
        other.commit()
    assert vital_readings.read_due().visits == 1
    assert values(one) == [("8867-4", "61.00")]
