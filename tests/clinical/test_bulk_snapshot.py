"""An export is as one snapshot would make it: while others write, and where one worker goes on behind another."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from django.db import connection, transaction

from clinical.fhir.bulk import claims, jobs, writing
from clinical.models import FhirExport, FhirExportPart, MedicalRecord, Patient, TermDecision, TriageVisit
from tests.callers import Caller
from tests.clinical.exporting import ask, export, fetch
from tests.clinical.test_lists import DAY
from tests.rows import facility, patient, record, visit

pytestmark = pytest.mark.django_db(transaction=True)
TYPES = {"_type": "Patient,Encounter,Condition"}


@pytest.fixture(autouse=True)
def _in_a_folder(settings, tmp_path, monkeypatch):
    settings.FHIR_EXPORT_FOLDER = str(tmp_path)
    monkeypatch.setattr(jobs, "_send", lambda _id: None)
    monkeypatch.setattr(writing, "ROWS", 10)
    monkeypatch.setattr(writing, "BATCH", 5)


@pytest.fixture
def steward():
    return Caller(("steward",))


@pytest.fixture
def people():
    """Sixty, each with a record and a visit."""
    at = facility()
    found = [patient(at) for _ in range(60)]
    for one in found:
        record(one, DAY, diagnosis="Malaria")
        visit(one, DAY, conditions=["Malaria", "Fever"])
    return found


@contextmanager
def writers(count=4):
    """Threads that insert, change, delete and take away, in transactions short and long, until the block ends."""
    is_over = threading.Event()
    threads = [threading.Thread(target=_write, args=(number, is_over)) for number in range(count)]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        is_over.set()
        for one in threads:
            one.join()


def _write(number, is_over):
    chance = random.Random(number)
    try:
        while not is_over.is_set():
            with transaction.atomic():
                for _ in range(chance.randrange(1, 4)):
                    _change(chance, number)
                    is_over.wait(chance.random() * (0.3 if number == 0 else 0.05))
    finally:
        connection.close()


def _change(chance, number):
    """Of a quarter of the patients, so that no two writers meet."""
    mine = [pk for pk in Patient.objects.values_list("pk", flat=True) if pk % 4 == number]
    deed = chance.randrange(5)
    if not mine or deed == 0:
        patient(Patient.objects.first().facility)
        return
    whose = Patient.objects.get(pk=chance.choice(mine))
    if deed == 1:
        visit(whose, DAY, conditions=["Fever"] * chance.randrange(1, 4))
    elif deed == 2:
        Patient.objects.filter(pk=whose.pk).update(phone=f"+23480{chance.randrange(10**7, 10**8)}")
    elif deed == 3:
        TriageVisit.objects.filter(patient=whose).update(conditions=["Cough"] * chance.randrange(4))
    else:
        MedicalRecord.objects.filter(patient=whose)[:1].get().delete() if whose.medicalrecords.exists() else None


def state(got, before=None):
    """What a consumer holds: id -> version."""
    held = dict(before or {})
    for url in got.deleted:
        held.pop(url, None)
    return held | {f"{one['resourceType']}/{one['id']}": one["meta"]["lastUpdated"] for one in got.resources}


def test_nothing_is_missed_and_nothing_repeated_while_others_write(steward, people, monkeypatch):
    monkeypatch.setattr(writing, "ROWS", 1_000)
    with writers():
        time.sleep(0.3)
        gots = [export(steward, query=TYPES)]
        for _ in range(3):
            time.sleep(0.3)
            gots.append(export(steward, query=TYPES | {"_since": gots[-1].at}))
    gots.append(export(steward, query=TYPES | {"_since": gots[-1].at}))
    held = {}
    for got in gots:
        held = state(got, held)
    assert held == state(export(steward, query=TYPES))
    versions = [one for got in gots for one in got.versions()]
    assert len(versions) == len(set(versions))
    assert sum(len(got.resources) for got in gots[1:]) > 10


def test_what_a_long_transaction_holds_back_comes_with_the_next(steward, people):
    has_written, may_end = threading.Event(), threading.Event()

    def write():
        with transaction.atomic():
            Patient.objects.filter(pk=people[0].pk).update(phone="+2348031234567")
            has_written.set()
            may_end.wait(30)
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    has_written.wait(30)
    later = patient(people[0].facility)
    first = export(steward, query=TYPES)
    may_end.set()
    thread.join()
    second = export(steward, query=TYPES | {"_since": first.at})
    assert str(later.pk) not in {one["id"] for one in first.of("Patient")}  # it is from behind the instant
    assert {one["id"] for one in second.of("Patient")} == {str(later.pk), str(people[0].pk)}


class Died(BaseException):
    """In place of a worker's death."""


def die_after(monkeypatch, parts):
    """The worker that writes this many parts writes no more."""
    add, left = claims.Claim.add, iter(range(parts))

    def counting(claim, **part):
        if next(left, None) is None:
            raise Died
        add(claim, **part)

    monkeypatch.setattr(claims.Claim, "add", counting)
    return add


def expire():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE fhir_exports SET lease_until = clock_timestamp() - interval '1 second'")


def test_a_second_worker_keeps_what_is_still_right_and_writes_the_rest(steward, people, monkeypatch):
    number = ask(steward, query=TYPES)
    with monkeypatch.context() as patched:
        die_after(patched, 9)
        with pytest.raises(Died):
            jobs.carry_out(number)
    assert jobs.carry_out(number) is False  # its lease is not over
    before = dict(FhirExportPart.objects.values_list("pk", "file"))
    Patient.objects.filter(pk=people[15].pk).update(phone="+2348031234567")
    Patient.objects.filter(pk=people[35].pk).update(deleted_at="2026-11-20T00:00:00Z")
    MedicalRecord.objects.filter(patient=people[5]).delete()
    expire()
    jobs.sweep()
    got = fetch(steward, number)
    assert state(got) == state(export(steward, query=TYPES))
    after = dict(FhirExportPart.objects.filter(export=number).values_list("pk", "file"))
    changed = [FhirExportPart.objects.get(pk=pk) for pk, file in before.items() if after[pk] != file]
    assert sorted((one.type, one.after_id) for one in changed) == sorted(
        [
            ("Patient", people[9].pk),
            ("Patient", people[29].pk),
            ("Encounter", 0),
        ]
    )
    assert len(before) == 9
    assert FhirExport.objects.get(pk=number).attempts == 2


def test_parts_are_made_anew_where_words_mean_something_else_by_now(steward, people, monkeypatch):
    number = ask(steward, query={"_type": "Condition"})
    with monkeypatch.context() as patched:
        die_after(patched, 3)
        with pytest.raises(Died):
            jobs.carry_out(number)
    before = dict(FhirExportPart.objects.values_list("pk", "file"))
    known = {"system": "http://hl7.org/fhir/sid/icd-10", "code": "R50.9", "display": "Fever, unspecified"}
    TermDecision.objects.create(
        kind="diagnosis", key="fever", text="Fever", reason="As all say.", decided_by=steward.user, **known
    )
    expire()
    jobs.sweep()
    after = dict(FhirExportPart.objects.values_list("pk", "file"))
    assert all(after[pk] != file for pk, file in before.items())
    fevers = [one for one in fetch(steward, number).of("Condition") if one["code"]["text"] == "Fever"]
    assert {one["code"]["coding"][0]["code"] for one in fevers} == {"R50.9"}


def test_a_worker_that_was_only_paused_writes_nothing_more(steward, people, monkeypatch):
    number = ask(steward, query=TYPES)
    late = claims.take(number)
    expire()
    jobs.sweep()
    parts = FhirExportPart.objects.filter(export=number).count()
    with pytest.raises(claims.ClaimLost):
        late.begin(FhirExport.objects.get(pk=number).transaction_at, [])
    late.close()
    assert FhirExportPart.objects.filter(export=number).count() == parts


WORKER = """
import os, signal, sys
import django
django.setup()
from clinical.fhir.bulk import claims, jobs, writing
from medilink import fhir
writing.ROWS, writing.BATCH = 10, 5
add, left = claims.Claim.add, iter(range(8))
def dying(claim, **part):
    add(claim, **part)
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
claims.Claim.add = dying
jobs.carry_out(int(sys.argv[1]))
"""


@pytest.mark.drill
def test_a_killed_worker_is_followed_by_another_while_others_write(steward, people, settings):
    number = ask(steward, query=TYPES)
    known = urlsplit(os.environ["DATABASE_URL"])
    environment = os.environ | {
        "DATABASE_URL": known._replace(path=f"/{connection.settings_dict['NAME']}").geturl(),
        "FHIR_EXPORT_FOLDER": settings.FHIR_EXPORT_FOLDER,
        "MEDILINK_EMBEDDED": "true",
    }
    with writers():
        done = subprocess.run([sys.executable, "-c", WORKER, str(number)], env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
        assert FhirExport.objects.get(pk=number).status == "running"
        time.sleep(0.5)
        expire()
        jobs.sweep()
        first = fetch(steward, number)
    second = export(steward, query=TYPES | {"_since": first.at})
    assert state(second, state(first)) == state(export(steward, query=TYPES))
    assert not first.versions() & second.versions()
