"""The story of one batch: what is a repetition, what is held what breaks off, and who may publish."""

import gzip
import hashlib
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now

from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from ingestion import claims, keeping, pipeline, runs
from ingestion.discovery import discover
from ingestion.models import AuditLog, IngestBatch, RejectedRow, Source, Status
from tests.deliveries import FACILITIES, PATIENTS, RECORDS, VISITS, counts, deliver, deliver_all, digest, night
from tests.ingestion import factories
from tests.lab.store import Fault

pytestmark = pytest.mark.django_db
INPUT = "medical_records/input/"
HEADER = PATIENTS.splitlines()[0]
VISIT = "Kuje General Hospital,Amina,Bello,3,Fever on day {},,,"
AMINA = HEADER + "\nKuje General Hospital,Amina,Bello,F,1990-01-01,{}\n"


def batch_of(name):
    return IngestBatch.objects.filter(object_key=INPUT + name).latest("id")


def load(name, text):
    """The batch of this one delivery, after its night."""
    deliver(name, text)
    night()
    return batch_of(name)


def visits(numbers):
    return "\n".join([VISITS.splitlines()[0], *(VISIT.format(number) for number in numbers)]) + "\n"


@pytest.fixture
def parents(s3):
    deliver("facilities-2026-11-01.csv", FACILITIES)
    deliver("patients-2026-11-01.csv", PATIENTS)
    night()


# --- The same content again


@pytest.mark.parametrize("dataset", ["facilities", "patients"])
def test_the_same_list_on_another_day_is_a_duplicate_and_is_archived(parents, s3, dataset):
    text = {"facilities": FACILITIES, "patients": PATIENTS}[dataset]
    batch = load(f"{dataset}-2026-11-02.csv", text)
    assert (batch.status, batch.reasons, counts(batch)) == ("duplicate", [], (0, 0, 0, 0, 0, 0))
    assert batch.duplicate_of == batch_of(f"{dataset}-2026-11-01.csv")
    assert s3.get(batch.archive_key) == text.encode()
    assert not s3.keys(INPUT)


def test_the_same_events_of_the_same_day_are_a_duplicate_from_wherever_they_come(parents):
    load("triage_visits-2026-11-03.csv", VISITS)
    batch = load("b/triage_visits-2026-11-03.csv", VISITS)
    assert (batch.status, TriageVisit.objects.count()) == ("duplicate", 2)


def test_the_same_events_with_an_earlier_date_are_events_of_their_own(parents):
    load("triage_visits-2026-11-03.csv", VISITS)
    batch = load("triage_visits-2026-11-02.csv", VISITS)
    assert (counts(batch), TriageVisit.objects.count()) == ((2, 2, 0, 0, 0, 0), 4)


def test_the_same_events_with_a_later_date_are_held_until_somebody_says_what_they_are(parents, s3):
    first = load("triage_visits-2026-11-03.csv", VISITS)
    batch = load("triage_visits-2026-11-04.csv", VISITS)
    assert (batch.status, batch.reasons) == ("held", ["SAME_CONTENT_NEW_DATE"])
    assert batch.evidence == {"same_content_as_batch": first.pk, "of": "2026-11-03"}
    assert (TriageVisit.objects.count(), s3.get(batch.held_key)) == (2, VISITS.encode())


def test_the_same_records_compressed_are_the_same_content(parents):
    load("medical_records-2026-11-03.csv", RECORDS)
    batch = load("medical_records-2026-11-03.csv.gz", gzip.compress(RECORDS.encode()))
    assert batch.status == "duplicate"
    assert batch.sha256 == hashlib.sha256(RECORDS.encode()).hexdigest()


@pytest.mark.parametrize(("delivers", "events"), [("append", 4), ("snapshot", 2)])
def test_a_source_whose_answer_is_known_is_not_asked_again(parents, delivers, events):
    Source.objects.create(source="triage_visits-*.csv", delivers=delivers)
    load("triage_visits-2026-11-03.csv", VISITS)
    batch = load("triage_visits-2026-11-04.csv", VISITS)
    assert (batch.status, batch.inserted + batch.unchanged) == ("archived", 2)
    assert TriageVisit.objects.count() == events


def test_an_empty_file_is_never_a_repetition(parents):
    load("triage_visits-2026-11-03.csv", visits([]))
    assert load("triage_visits-2026-11-04.csv", visits([])).status == "archived"


def test_content_that_returns_is_news_when_its_source_said_something_else_in_between(parents):
    statuses = []
    for day, phone in ((2, "07021000009"), (3, "07021000001"), (4, "07021000009"), (5, "07021000009")):
        statuses.append(load(f"patients-2026-11-0{day}.csv", AMINA.format(phone)).status)
    assert statuses == ["archived", "archived", "archived", "duplicate"]
    assert Patient.objects.get(first_name="Amina").phone == "+2347021000009"


def test_old_content_that_comes_late_is_no_return(parents):
    load("patients-2026-11-02.csv", AMINA.format("07021000009"))
    load("patients-2026-11-05.csv", AMINA.format("07021000001"))
    assert load("patients-2026-11-03.csv", AMINA.format("07021000009")).status == "duplicate"
    assert Patient.objects.get(first_name="Amina").phone == "+2347021000001"


# --- Held as a whole


def test_events_that_are_stored_under_an_earlier_day_are_held_with_their_share(parents):
    load("triage_visits-2026-11-03.csv", visits(range(24)))
    batch = load("triage_visits-2026-11-04.csv", visits(range(25)))
    assert (batch.status, batch.reasons, counts(batch)) == ("held", ["OVERLAP_SUSPECT"], (0, 0, 0, 0, 0, 0))
    assert (batch.evidence["rows_read"], batch.evidence["overlap_pct"]) == (25, 96.0)
    assert TriageVisit.objects.count() == 24


@pytest.mark.parametrize(
    ("second", "why"),
    [(range(4, 29), "80 % and not more"), (range(15), "too few to tell"), (range(100, 125), "all new")],
)
def test_events_of_another_day_load_when_they_are_no_repetition(parents, second, why):
    load("triage_visits-2026-11-03.csv", visits(range(24)))
    batch = load("triage_visits-2026-11-04.csv", visits(second))
    assert (batch.status, batch.inserted) == ("archived", len(second)), why


def test_events_that_repeat_many_earlier_deliveries_a_little_are_not_held(parents):
    for day in (3, 4, 5):
        load(f"triage_visits-2026-11-0{day}.csv", visits(range(day * 10, day * 10 + 10)))
    assert load("triage_visits-2026-11-06.csv", visits(range(30, 60))).status == "archived"


def people(good, bad):
    rows = [f"Kuje General Hospital,First{n},Last{n},F,1990-01-01," for n in range(good)]
    rows += [f"Kuje General Hospital,First{n},Last{n},F,01/02/1990," for n in range(good, good + bad)]
    return "\n".join([HEADER, *rows]) + "\n"


def test_a_file_is_held_and_nothing_of_it_loads_when_too_many_of_its_rows_are_refused(parents, s3):
    batch = load("patients-2026-11-02.csv", people(good=170, bad=20))
    assert (batch.status, batch.reasons) == ("held", ["ROW_ERROR_RATIO"])
    assert (Patient.objects.count(), RejectedRow.objects.count(), counts(batch)) == (3, 0, (0, 0, 0, 0, 0, 0))
    assert batch.evidence["reasons"] == {"DATE_AMBIGUOUS:dob": 20}
    assert (batch.evidence["refused_for_own_content"], batch.evidence["rows_read"]) == (20, 190)
    assert batch.evidence["first_lines"][0] == 172
    assert s3.keys("medical_records/held/") == [batch.held_key]


@pytest.mark.parametrize(("good", "bad"), [(0, 19), (180, 20)])
def test_the_good_rows_load_when_few_are_refused(parents, good, bad):
    batch = load("patients-2026-11-02.csv", people(good=good, bad=bad))
    assert (batch.status, counts(batch)) == ("archived", (good + bad, good, 0, 0, 0, bad))
    assert RejectedRow.objects.filter(batch=batch).count() == bad


def test_rows_that_wait_for_parents_hold_no_file(s3):
    batch = load("patients-2026-11-02.csv", people(good=30, bad=0))
    assert counts(batch) == (30, 0, 0, 0, 0, 30)


# --- Refused as a whole


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (PATIENTS.encode("utf-16"), "ENCODING_INVALID:0"),
        (b"", "EMPTY_FILE"),
        (b"%PDF-1.7", "NOT_CSV"),
        (PATIENTS.replace(",", ";").encode(), "HEADER_MISSING"),
        (PATIENTS.replace("sex,", "").encode(), "HEADER_MISSING_COLUMN:sex"),
        (PATIENTS.encode() + b'Ikeja Clinic,"Uche', "QUOTE_UNBALANCED:5"),
    ],
)
def test_a_refused_file_loads_nothing_and_its_bytes_are_put_safe(parents, s3, body, reason):
    batch = load("patients-2026-11-02.csv", body)
    assert (batch.status, batch.reasons, counts(batch)) == ("rejected", [reason], (0, 0, 0, 0, 0, 0))
    assert (s3.keys(INPUT), s3.get(batch.held_key)) == ([], body)


# --- Breaking off


@pytest.fixture
def poison(parents):
    """A patient whom the database will not have, for a reason that no check of ours knows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION no_thanks() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'Poison Pill is in %', NEW.first_name; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER no_thanks BEFORE INSERT ON patients FOR EACH ROW WHEN (NEW.first_name = 'Poison')"
            " EXECUTE FUNCTION no_thanks()"
        )
    return HEADER + "\nIkeja Clinic,Uche,Eze,M,1999-09-09,\nIkeja Clinic,Poison,Pill,M,1999-09-09,\n"


def test_a_file_that_breaks_its_load_three_times_has_failed_while_the_others_go_on(poison, s3, caplog):
    deliver("a/patients-2026-11-02.csv", poison)
    deliver("b/patients-2026-11-02.csv", PATIENTS + "Ikeja Clinic,Uche,Eze,M,1999-09-09,\n")
    assert night().exit_code() == runs.STOPPED_SOME
    failed, loaded = batch_of("a/patients-2026-11-02.csv"), batch_of("b/patients-2026-11-02.csv")
    assert (failed.status, failed.attempts, counts(failed)) == ("failed", 3, (0, 0, 0, 0, 0, 0))
    assert failed.reasons[0].startswith("INTERNAL_ERROR:")
    assert (loaded.status, Patient.objects.count()) == ("archived", 4)
    assert s3.get(failed.held_key) == poison.encode()
    assert "Poison" not in caplog.text


def test_a_failed_file_is_left_alone_by_the_night_and_taken_along_when_a_person_starts_a_run(poison):
    load("patients-2026-11-02.csv", poison)
    assert runs.carry_out(runs.request("nightly")).reports == []
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER no_thanks ON patients")
    night()
    batch = batch_of("patients-2026-11-02.csv")
    assert (batch.status, batch.attempts, batch.reasons) == ("archived", 1, [])


def test_a_batch_is_due_again_without_an_attempt_less_when_the_store_is_away(parents, faults):
    deliver("patients-2026-11-02.csv", AMINA.format("07021000009"))
    faults.bad = lambda _method, path: Fault(status=403, code="AccessDenied") if "/patients-" in path else None
    with pytest.raises(runs.sources.StorageError):
        night()
    batch = batch_of("patients-2026-11-02.csv")
    assert (batch.status, batch.attempts) == ("discovered", 0)


def test_very_long_cells_are_a_matter_of_their_rows(parents):
    names = [hashlib.sha512(str(n).encode()).hexdigest() * 40 for n in range(3)]
    rows = [f"{names[0]},{names[1]},{names[2]},F,1990-01-01,", "Ikeja Clinic,Uche,Eze,M,1999-09-09,"]
    batch = load("patients-2026-11-02.csv", "\n".join([HEADER, *rows]))
    assert counts(batch) == (2, 1, 0, 0, 0, 1)
    row = RejectedRow.objects.get()
    assert sorted(row.reasons) == ["LENGTH:facility_name", "LENGTH:first_name", "LENGTH:last_name"]
    assert row.raw["first_name"] == names[1]


# --- Claims


def elsewhere(act):
    """On a connection of its own that is closed afterwards: another worker, who dies when it has acted."""
    results = []

    def work():
        try:
            results.append(act())
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return results[0]


def dead(batch):
    """Waits until the server has noticed that the holder of the claim is gone."""
    holder = IngestBatch.objects.get(pk=batch.pk).holder_pid
    with connection.cursor() as cursor:
        for _ in range(10_000):
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [holder])
            if cursor.fetchone() == (0,):
                return
    raise AssertionError("the server has not noticed")


@pytest.mark.django_db(transaction=True)
def test_one_of_eight_who_claim_a_batch_at_once_gets_it(bucket):
    batch = factories.batch()
    barrier, won = threading.Barrier(8), []

    def claim():
        barrier.wait()
        won.append(claims.take(batch.pk))
        barrier.wait()  # nobody dies before all have tried
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [claim.attempt for claim in won if claim] == [1]
    assert len(won) == 8


@pytest.mark.django_db(transaction=True)
def test_a_worker_whose_connection_is_gone_is_replaced_at_once(bucket):
    batch = factories.batch()
    assert elsewhere(lambda: claims.take(batch.pk)).attempt == 1
    dead(batch)
    assert claims.take(batch.pk).attempt == 2
    assert claims.take(batch.pk) is None  # this one is alive


def test_a_silent_worker_is_replaced_when_its_lease_is_over(bucket):
    batch = factories.batch()
    claims.take(batch.pk)
    IngestBatch.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert claims.take(batch.pk).attempt == 2


def test_a_batch_whose_three_workers_died_has_failed_and_is_put_safe(s3):
    deliver("facilities.csv", FACILITIES)
    (batch,) = discover(INPUT, run=None, kind="nightly")
    for _ in range(3):
        claims.take(batch.pk)
        IngestBatch.objects.update(lease_until=Now() - timedelta(seconds=1))
    outcome = runs.carry_out(runs.request("nightly"))
    assert [report.batch.reasons for report in outcome.reports] == [["ATTEMPTS_EXHAUSTED"]]
    assert outcome.exit_code() == runs.STOPPED_SOME
    keeping.keep_pending()
    batch.refresh_from_db()
    assert s3.get(batch.held_key) == FACILITIES.encode()


def test_a_late_worker_can_neither_settle_nor_give_back(bucket):
    batch = factories.batch()
    late = claims.take(batch.pk)
    IngestBatch.objects.update(lease_until=Now() - timedelta(seconds=1))
    claims.take(batch.pk)
    with pytest.raises(claims.ClaimLost):
        claims.settle(late, Status.LOADED)
    claims.give_back(late, counts=True)
    batch.refresh_from_db()
    assert (batch.status, batch.attempts) == ("loading", 2)


@pytest.mark.django_db(transaction=True)
def test_a_late_worker_publishes_nothing_and_moves_nothing(s3, faults):
    deliver("facilities.csv", FACILITIES)
    (batch,) = discover(INPUT, run=None, kind="nightly")

    def overtake():
        IngestBatch.objects.update(lease_until=Now() - timedelta(seconds=1))
        claims.take(batch.pk)
        connection.close()

    faults.bad = lambda method, _path: Fault(first=overtake) if method == "GET" else None
    with pytest.raises(OperationalError):  # its session was ended by the one who took over
        pipeline.ingest(batch.pk)
    connection.close()
    batch.refresh_from_db()
    assert (batch.status, batch.attempts, Facility.objects.count()) == ("loading", 2, 0)
    assert s3.keys() == [f"{INPUT}facilities.csv"]


@pytest.mark.django_db(transaction=True)
def test_two_workers_of_one_batch_load_it_once(s3):
    deliver_all()
    batches = discover(INPUT, run=None, kind="nightly")
    threads = [threading.Thread(target=_ingest_all, args=[batches]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {*IngestBatch.objects.values_list("attempts", flat=True)} == {1}
    night()
    assert (Facility.objects.count(), Patient.objects.count(), MedicalRecord.objects.count()) == (4, 3, 3)


def _ingest_all(batches):
    for batch in batches:
        pipeline.ingest(batch.pk)
    connection.close()


# --- The audit log of SQL users


def test_the_audit_log_has_one_row_per_batch(parents):
    load("patients-2026-11-02.csv", people(good=1, bad=1))
    load("patients-2026-11-03.csv", b"")
    deliver("holiday.jpg", b"\xff\xd8\xff")
    night()
    before = digest()
    found = {log.batch_id: log for log in AuditLog.objects.all()}
    assert sorted(found) == sorted(IngestBatch.objects.values_list("pk", flat=True))
    refused, loaded = found[batch_of("patients-2026-11-03.csv").pk], found[batch_of("patients-2026-11-02.csv").pk]
    assert (refused.table_name, refused.error_message) == ("patients", "EMPTY_FILE")
    assert (loaded.records_processed, loaded.records_inserted, loaded.records_failed) == (2, 1, 1)
    assert (loaded.records_updated, loaded.error_message) == (0, None)
    assert loaded.completed_at >= loaded.started_at
    assert digest() == before
