"""Duplicates are found as well as is promised, and measuring leaves nothing behind."""

import json

import pytest
from django.core.management import call_command
from django.db import connection

from clinical.duplicates import search
from clinical.models import DuplicatePair, DuplicateSearch, Facility, Patient, Table
from medilink import measuring
from medilink.branches import Places
from medilink.management.commands.measure_duplicates import SEED
from medilink.twins import Crowd
from tests import rows

pytestmark = pytest.mark.django_db


def test_few_are_missed_and_few_are_wrong():
    patients, facilities = measuring.measure(seed=SEED, patients=6_000, facilities=3_000)
    for measured in (patients, facilities):
        assert measured.precision >= 0.97, measured.in_error
        assert measured.recall >= 0.92, measuring.by_kind(measured)
    assert all(found for found, _ in measuring.by_kind(patients).values())


def test_no_invented_row_stays_and_no_real_one_is_looked_at():
    rows.patient()
    rows.patient(Facility.objects.get(), first_name="Ngosi", last_name=Patient.objects.get().last_name)
    patients, _ = measuring.measure(seed=1, patients=300, facilities=100)
    assert patients.search.rows == patients.rows
    assert Patient.objects.count() == 2
    assert not DuplicatePair.objects.exists()
    assert not DuplicateSearch.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s)", [measuring.SCHEMA])
        assert cursor.fetchone() == (None,)
    assert search.search(Table.PATIENTS).rows == 2


def test_a_seed_gives_the_same_crowd_each_time():
    assert [*Crowd(3, 500, ["KANO", "LAGOS"]).rows()] == [*Crowd(3, 500, ["KANO", "LAGOS"]).rows()]
    assert Places(3, 500).rows() == Places(3, 500).rows()
    assert [*Crowd(3, 500, ["KANO"]).rows()] != [*Crowd(4, 500, ["KANO"]).rows()]


def test_the_command_prints_a_line_for_each_table(capsys):
    call_command("measure_duplicates", "--patients", "500", "--facilities", "300", "--json")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["table"] for line in told] == ["patients", "facilities"]
    assert told[0]["by_kind"]["title"][1] > 0


def test_the_command_prints_a_table_by_kind_of_dirt(capsys):
    call_command("measure_duplicates", "--patients", "500", "--facilities", "300")
    assert "kind of dirt" in capsys.readouterr().out
