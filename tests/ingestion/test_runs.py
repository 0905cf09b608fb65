"""One run and its neighbours: order, one at a time, what waits for whom, what is overwritten."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from clinical.models import Facility, Patient, TriageVisit
from ingestion import keeping, runs, stewards, tasks
from ingestion.discovery import discover
from ingestion.models import IngestBatch, IngestRun, Kind, Status
from tests.deliveries import FACILITIES, FILES, PATIENTS, RECORDS, VISITS, deliver, deliver_all, last_batch, night
from tests.lab.store import Fault

pytestmark = pytest.mark.django_db
INPUT = "medical_records/input/"
LATIN = PATIENTS.replace("Amina", "Aminé").encode("latin-1")  # no UTF-8: the file is refused


def statuses(outcome):
    return {report.batch.object_key.removeprefix(INPUT): report.batch.status for report in outcome.reports}


def batch_of(name):
    return IngestBatch.objects.filter(object_key=INPUT + name).latest("id")


# --- The order


def test_facilities_load_before_patients_and_patients_before_events(bucket):
    names = ["z/facilities-2026-11-20.csv", "patients-2026-11-20.csv", "triage_visits-2026-11-19.csv"]
    names.append("a/medical_records-2026-11-20.csv")
    for name in reversed(names):
        deliver(name, FILES[name.rpartition("/")[2].partition("-")[0]])
    assert [*statuses(night())] == names


def test_deliveries_of_one_dataset_load_by_business_date_whatever_was_uploaded_first(bucket):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    for day, phone in ((22, "07021000009"), (21, "07021000008")):
        deliver(f"patients-2026-11-{day}.csv", PATIENTS.replace("07021000001", phone))
    outcome = night()
    assert [report.batch.business_date.day for report in outcome.reports] == [20, 21, 22]
    assert Patient.objects.get(first_name="Amina").phone == "+2347021000009"


def test_every_file_of_a_dataset_loads_when_many_states_deliver_one(bucket):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    header, *people = PATIENTS.splitlines()
    for number, person in enumerate(people):
        deliver(f"state{number}/patients-2026-11-20.csv", f"{header}\n{person}\n")
    assert len(night().reports) == 4
    assert Patient.objects.count() == 3


# --- Runs follow each other


def test_a_second_run_finds_nothing_to_do(bucket):
    deliver_all()
    night()
    again = night()
    assert (again.reports, again.exit_code()) == ([], runs.DONE)


def test_only_the_named_prefix_or_keys_are_loaded_when_a_run_names_some(bucket):
    deliver("a/facilities-2026-11-20.csv", FACILITIES)
    deliver("b/facilities-2026-11-21.csv", FACILITIES + "Wuse Clinic,FCT,Abuja Municipal,,,Clinic\n")
    deliver("b/patients-2026-11-21.csv", PATIENTS)
    runs.carry_out(runs.request(Kind.MANUAL, keys=[f"{INPUT}b/facilities-2026-11-21.csv"]))
    assert [*IngestBatch.objects.values_list("object_key", flat=True)] == [f"{INPUT}b/facilities-2026-11-21.csv"]
    runs.carry_out(runs.request(Kind.MANUAL, prefix=f"{INPUT}a/"))
    assert batch_of("a/facilities-2026-11-20.csv").status == Status.ARCHIVED
    assert not Patient.objects.exists()


def test_an_unknown_name_is_told_once_and_stays_in_the_input(s3):
    deliver("holiday.jpg", b"\xff\xd8\xff")
    first, second = night(), night()
    assert [report.batch.reasons for report in first.reports] == [["UNKNOWN_DATASET"]]
    assert (first.exit_code(), second.reports, second.exit_code()) == (runs.STOPPED_SOME, [], runs.DONE)
    assert s3.keys() == [f"{INPUT}holiday.jpg"]


@pytest.mark.django_db(transaction=True)
def test_a_second_run_is_turned_away_while_one_is_at_work(bucket):
    deliver_all()
    met = []

    def elsewhere(prefix):
        try:
            met.append(len(runs.carry_out(runs.request(Kind.MANUAL, prefix=prefix)).reports))
        except runs.AlreadyRunning:
            met.append("turned away")
        finally:
            connection.close()

    def find(run):
        for prefix in ("", "another/"):
            thread = threading.Thread(target=elsewhere, args=[prefix])
            thread.start()
            thread.join()
        return runs.in_input()(run)

    assert len(night(find=find).reports) == 4
    assert met == ["turned away", 0]
    assert [*IngestRun.objects.order_by("id").values_list("status", flat=True)] == ["done", "broken_off", "done"]
    assert night().exit_code() == runs.DONE  # the lock is gone


def test_a_run_that_breaks_off_says_so_and_leaves_the_lock(s3, faults):
    deliver_all()
    faults.bad = lambda _method, _path: Fault(status=403, code="AccessDenied")
    run = runs.request(Kind.MANUAL)
    with pytest.raises(runs.sources.StorageError):
        runs.carry_out(run)
    run.refresh_from_db()
    assert (run.status, bool(run.error), run.finished_at is not None) == ("broken_off", True, True)
    faults.stop()
    assert night().exit_code() == runs.DONE
    assert TriageVisit.objects.count() == 2


def test_a_run_that_breaks_off_in_an_unexpected_way_says_so_without_words_of_the_error(bucket):
    def find(_run):
        raise ValueError("Amina Bello")

    run = runs.request(Kind.MANUAL)
    with pytest.raises(ValueError, match="Amina"):
        runs.carry_out(run, find=find)
    run.refresh_from_db()
    assert run.status == "broken_off"
    assert "ValueError" in run.error
    assert "Amina" not in run.error


def test_what_is_delivered_while_a_run_is_at_work_is_for_the_next_one(bucket):
    """Its patients may belong to a group that is over."""
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("a/triage_visits-2026-11-20.csv", VISITS)

    def watch(report):
        if report.batch.dataset == "facilities":
            deliver("b/patients-2026-11-20.csv", PATIENTS)
            deliver("b/triage_visits-2026-11-20.csv", VISITS + VISITS.splitlines()[-1].replace("Cough", "Fever") + "\n")
            discover(INPUT, run=None, kind="nightly")  # as the sweep does

    told = [report.batch.object_key.removeprefix(INPUT) for report in night(watch=watch).reports]
    assert told == ["facilities-2026-11-20.csv", "a/triage_visits-2026-11-20.csv"]
    assert night().exit_code() == runs.DONE
    assert TriageVisit.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_message_that_comes_twice_leaves_the_run_alone_that_is_at_work(bucket):
    run = runs.request(Kind.MANUAL)
    seen = []

    def again():
        try:
            tasks.ingest(run.pk)
        finally:
            connection.close()

    def find(_run):
        thread = threading.Thread(target=again)
        thread.start()
        thread.join()
        seen.append(IngestRun.objects.get().status)
        return []

    runs.carry_out(run, find=find)
    assert (seen, IngestRun.objects.get().status) == (["running"], "done")


# --- Exit codes, and what a run's row says


@pytest.mark.parametrize(
    ("patients", "code", "status"),
    [
        (PATIENTS, runs.DONE, "done"),
        (PATIENTS.replace("Ikeja Clinic", "Nowhere"), runs.DONE, "done"),  # rows that wait are no refusals
        (PATIENTS.replace("1988-05-05", "05/05/1988"), runs.REFUSED_SOME, "some_rows_refused"),
        (LATIN, runs.STOPPED_SOME, "some_files_stopped"),
        (PATIENTS.splitlines()[0], runs.DONE, "done"),
    ],
)
def test_the_exit_code_says_what_became_of_the_files_of_this_run(bucket, patients, code, status):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", patients)
    run = runs.request(Kind.MANUAL)
    outcome = runs.carry_out(run)
    run.refresh_from_db()
    assert (outcome.exit_code(), run.status) == (code, status)
    assert run.finished_at >= run.started_at
    assert {report.batch.run for report in outcome.reports} == {run}


def test_the_exit_code_of_the_next_run_is_its_own(bucket):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", LATIN)
    assert night().exit_code() == runs.STOPPED_SOME
    deliver("b/facilities-2026-11-20.csv", FACILITIES)
    assert night().exit_code() == runs.DONE


def test_a_header_without_rows_is_loaded_with_a_warning(bucket):
    deliver("facilities-2026-11-20.csv", FACILITIES.splitlines()[0])
    night()
    batch = last_batch("facilities")
    assert (batch.status, batch.warnings) == (Status.ARCHIVED, {"EMPTY_DATA": 1})


# --- Events wait for their patients


@pytest.fixture
def waiting(bucket):
    """The patients file of north is refused and its visits wait; those of south do not."""
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("south/patients-2026-11-20.csv", PATIENTS)
    deliver("south/medical_records-2026-11-20.csv", RECORDS)
    deliver("north/patients.csv", LATIN)
    deliver("north/triage_visits.csv", VISITS)
    return night()


def test_events_wait_while_the_patients_of_their_folder_are_stopped(waiting, s3):
    assert statuses(waiting) == {
        "facilities-2026-11-20.csv": "archived",
        "south/patients-2026-11-20.csv": "archived",
        "north/patients.csv": "rejected",
        "south/medical_records-2026-11-20.csv": "archived",
    }
    visits = batch_of("north/triage_visits.csv")
    assert (visits.status, visits.reasons) == (Status.DISCOVERED, ["WAITS_FOR_PATIENTS"])
    assert s3.get(visits.held_key) == VISITS.encode()  # the app will overwrite them
    assert not s3.keys(INPUT)


def test_events_that_only_wait_are_no_reason_for_alarm(waiting):
    again = night()
    assert (again.reports, again.exit_code()) == ([], runs.DONE)
    assert not TriageVisit.objects.exists()


def test_waiting_events_load_when_a_later_delivery_of_the_patients_loads(waiting):
    deliver("north/patients.csv", PATIENTS + "Ikeja Clinic,Uche,Eze,M,1999-09-09,\n")
    assert statuses(night())["north/triage_visits.csv"] == "archived"
    assert TriageVisit.objects.count() == 2
    assert batch_of("north/triage_visits.csv").reasons == []


def test_waiting_events_load_when_the_later_delivery_of_the_patients_says_nothing_new(waiting):
    deliver("north/patients.csv", PATIENTS)
    assert statuses(night()) == {"north/patients.csv": "duplicate", "north/triage_visits.csv": "archived"}


def test_waiting_events_go_on_waiting_when_the_later_delivery_is_stopped_too(waiting):
    deliver("north/patients.csv", LATIN + b"\n")
    assert statuses(night()) == {"north/patients.csv": "rejected"}


def test_waiting_events_load_when_the_patients_are_discarded(waiting):
    stewards.discard(batch_of("north/patients.csv"), reason="sent by mistake", by=None)
    assert statuses(night()) == {"north/triage_visits.csv": "archived"}


def test_waiting_events_load_when_they_have_waited_long_enough(waiting):
    IngestBatch.objects.update(discovered_at=F("discovered_at") - timedelta(days=1))
    assert statuses(night())["north/triage_visits.csv"] == "archived"


def test_nothing_waits_when_waiting_is_switched_off(settings, bucket):
    settings.INGEST_PARENT_WAIT = timedelta(0)
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("north/patients.csv", LATIN)
    deliver("north/triage_visits.csv", VISITS)
    assert statuses(night())["north/triage_visits.csv"] == "archived"


def test_events_of_a_dry_run_wait_too_and_stay_where_they_are(s3):
    deliver("north/patients.csv", LATIN)
    deliver("north/triage_visits.csv", VISITS)
    assert statuses(night(is_dry=True)) == {"north/patients.csv": "rejected"}
    assert s3.keys() == [f"{INPUT}north/patients.csv", f"{INPUT}north/triage_visits.csv"]
    assert not IngestBatch.objects.exists()


# --- Overwritten while it is loaded


def test_an_object_overwritten_before_it_is_read_is_never_mixed_and_the_newer_one_loads_in_the_same_run(s3, faults):
    deliver("facilities.csv", FACILITIES)
    newer = FACILITIES + "Wuse Clinic,FCT,Abuja Municipal,,,Clinic\n"
    versions = iter([newer.encode()])

    def overwrite():
        for body in versions:
            s3.put(f"{INPUT}facilities.csv", body)

    faults.bad = lambda method, path: (
        Fault(first=overwrite) if (method, "facilities.csv" in path) == ("GET", True) else None
    )
    assert [report.batch.status for report in night().reports] == ["discarded", "archived"]
    assert [*IngestBatch.objects.order_by("id").values_list("reasons", flat=True)] == [["OBJECT_OVERWRITTEN"], []]
    assert Facility.objects.count() == 5


def test_an_object_overwritten_after_it_was_read_is_archived_as_it_was_read_and_the_newer_one_is_due(s3, faults):
    deliver("facilities.csv", FACILITIES)
    newer = FACILITIES + "Wuse Clinic,FCT,Abuja Municipal,,,Clinic\n"
    bodies = iter([newer.encode()])

    def overwrite():
        for body in bodies:
            s3.put(f"{INPUT}facilities.csv", body)

    faults.bad = lambda method, path: Fault(first=overwrite) if (method, "archive" in path) == ("PUT", True) else None
    night()
    first = last_batch("facilities")
    assert s3.get(first.archive_key) == FACILITIES.encode()
    assert s3.get(f"{INPUT}facilities.csv") == newer.encode()
    faults.stop()
    night()
    assert s3.get(last_batch("facilities").archive_key) == newer.encode()
    assert Facility.objects.count() == 5


def test_the_archive_gets_what_an_earlier_run_could_not_put_there(s3, faults):
    deliver("facilities.csv", FACILITIES)
    faults.bad = lambda _method, path: Fault(status=403, code="AccessDenied") if "archive" in path else None
    assert night().exit_code() == runs.DONE
    assert last_batch("facilities").status == Status.LOADED
    faults.stop()
    night()
    assert last_batch("facilities").status == Status.ARCHIVED
    assert not keeping.pending().exists()
