"""The commands as scripts see them: exit codes, JSON lines with exactly the fixed fields, and history loaded again."""

import gzip
import json
import threading
from datetime import date

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from clinical.models import Facility, Patient, TriageVisit
from ingestion import runs
from ingestion.models import IngestBatch, IngestRun, RejectedRow, Source
from tests.deliveries import (
    FACILITIES,
    FILES,
    PATIENTS,
    RECORDS,
    VISITS,
    deliver,
    deliver_all,
    digest,
    empty_tables,
    night,
)

pytestmark = pytest.mark.django_db
INPUT = "medical_records/input/"
ARCHIVE = "medical_records/archive/"
COUNTS = ["read", "inserted", "updated", "unchanged", "collapsed", "rejected", "blank"]
FIELDS = ["batch_id", "key", "dataset", "status", "reasons", "warnings", "counts", "seconds"]
LATIN = PATIENTS.replace("Amina", "Aminé").encode("latin-1")


@pytest.fixture
def command(capsys):
    """Runs a command as its process would end: its exit code, the JSON lines it wrote, and its last words."""

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            call_command(*map(str, words))
        out, err = capsys.readouterr()
        lines = [json.loads(line) for line in out.splitlines()] if "--json" in words else out
        return ended.value.code, lines, err

    return run


def batch_of(name):
    return IngestBatch.objects.filter(object_key=INPUT + name, parent=None).latest("id")


def totals(**given):
    return dict.fromkeys(COUNTS, 0) | given


# --- ingest


def test_ingest_tells_each_batch_in_a_json_line_with_exactly_the_fixed_fields(bucket, command):
    deliver("facilities-2026-11-20.csv", FACILITIES + "\n,,,,,\nKuje General Hospital,FCT,Kuje,,,Hospital\n")
    code, (line, last), err = command("ingest", "--json")
    batch = IngestBatch.objects.get()
    assert (code, err, list(line), list(line["counts"])) == (3, "", FIELDS, COUNTS)
    assert isinstance(line.pop("seconds"), float)
    assert line == {
        "batch_id": batch.pk,
        "key": f"{INPUT}facilities-2026-11-20.csv",
        "dataset": "facilities",
        "status": "archived",
        "reasons": [],
        "warnings": {},
        "counts": totals(read=6, inserted=4, collapsed=1, rejected=1, blank=1),
    }
    assert last == {"totals": line["counts"], "batches": 1}


def test_the_totals_are_the_sums_of_all_batches(bucket, command):
    deliver_all()
    code, lines, _ = command("ingest", "--json")
    assert (code, [line["dataset"] for line in lines[:2]]) == (0, ["facilities", "patients"])
    assert lines[-1] == {"totals": totals(read=12, inserted=12), "batches": 4}


@pytest.mark.parametrize(
    ("name", "body", "code", "status", "reasons"),
    [
        ("patients.csv", LATIN, 1, "rejected", ["ENCODING_INVALID:90"]),
        ("patients.csv", PATIENTS, 0, "archived", []),  # rows that wait for their facilities
        ("facilities.csv", "name,state,lga,lat,lon,type\nA,Mars,B,,,\n", 3, "archived", []),
        ("holiday.csv", "a,b\n", 1, "rejected", ["UNKNOWN_DATASET"]),
    ],
)
def test_the_exit_code_of_ingest_says_what_became_of_the_files(bucket, command, name, body, code, status, reasons):
    deliver(name, body)
    found, (line, _), _ = command("ingest", "--json")
    assert (found, line["status"]) == (code, status)
    assert [reason.partition(":")[0] for reason in line["reasons"]] == [r.partition(":")[0] for r in reasons]


def test_ingest_says_so_when_nothing_is_due(bucket, command):
    assert command("ingest", "--json") == (0, [{"totals": totals(), "batches": 0}], "")


def test_ingest_loads_only_the_keys_it_is_given(bucket, command):
    deliver_all()
    keys = [f"{INPUT}{dataset}-2026-11-20.csv" for dataset in ("facilities", "patients")]
    _, lines, _ = command("ingest", f"--key={keys[0]}", f"--key={keys[1]}", "--json")
    assert [line.get("key") for line in lines[:-1]] == keys
    assert IngestBatch.objects.count() == 2


def test_ingest_loads_only_what_lies_under_the_prefix_it_is_given(bucket, command):
    deliver("a/facilities.csv", FACILITIES)
    deliver("b/facilities.csv", FACILITIES)
    _, lines, _ = command("ingest", f"--prefix={INPUT}b/", "--json")
    assert [line.get("key") for line in lines[:-1]] == [f"{INPUT}b/facilities.csv"]


def test_a_given_business_date_is_the_day_of_the_events(bucket, command):
    for dataset, text in FILES.items():
        deliver(f"{dataset}-2026-11-20.csv", text)
    command("ingest", "--business-date=2026-11-05", "--json")
    assert {*TriageVisit.objects.values_list("event_on", flat=True)} == {date(2026, 11, 5)}


def test_a_dry_ingest_tells_the_same_and_writes_nothing(s3, command):
    deliver_all()
    deliver("north/patients-2026-11-21.csv", PATIENTS.replace("1990-01-01", "soon"))
    dry_code, dry, _ = command("ingest", "--dry-run", "--json")
    assert not (IngestBatch.objects.exists())
    assert not (IngestRun.objects.exists())
    assert not (Patient.objects.exists())
    assert len(s3.keys(INPUT)) == len(s3.keys()) == 5
    code, lines, _ = command("ingest", "--json")
    assert (dry_code, dry[-1]) == (code, lines[-1])
    assert [line["counts"] for line in dry[:-1]] == [line["counts"] for line in lines[:-1]]


def test_people_are_told_what_to_do_about_a_file_that_did_not_load(bucket, command):
    deliver("patients.csv", LATIN)
    code, out, _ = command("ingest")
    assert code == 1
    assert "rejected" in out
    assert "ENCODING_INVALID" in out
    assert "UTF-8" in out


@pytest.mark.django_db(transaction=True)
def test_ingest_is_turned_away_while_another_run_is_at_work(bucket, command):
    is_at_work, is_seen = threading.Event(), threading.Event()

    def work():
        def find(_run):
            is_at_work.set()
            is_seen.wait(60)
            return []

        night(find=find)
        connection.close()

    other = threading.Thread(target=work)
    other.start()
    assert is_at_work.wait(60)
    code, lines, err = command("ingest", "--json")
    is_seen.set()
    other.join()
    assert (code, lines) == (75, [])
    assert "Another run" in err


def test_ingest_says_which_service_is_away(bucket, settings, command):
    settings.S3_ENDPOINT_URL = "http://127.0.0.1:9"
    code, lines, err = command("ingest", "--json")
    assert (code, lines) == (69, [])
    assert "S3" in err
    assert IngestRun.objects.get().status == "broken_off"


@pytest.mark.parametrize(
    "words", [["--business-date=yesterday"], ["--prefix=a", "--key=b"], ["--fast"], ["--business-date=20/11/2026"]]
)
def test_words_that_ingest_does_not_know_are_refused(words):
    with pytest.raises(CommandError) as refused:
        call_command("ingest", *words)
    assert refused.value.returncode in (1, 2)


# --- backfill


def test_the_archive_alone_brings_every_row_back(s3, command):
    deliver_all()
    deliver("patients-2026-11-21.csv", PATIENTS.replace("07021000001", "07021000009"))
    deliver("medical_records-2026-11-19.csv.gz", gzip.compress(RECORDS.replace("Malaria", "Typhoid").encode()))
    night()
    before, archived = digest(), s3.keys(ARCHIVE)
    empty_tables()
    assert digest() != before
    code, lines, _ = command("backfill", "--archive", "--json")
    assert (code, lines[-1]["batches"], digest()) == (0, 6, before)
    assert (s3.keys(ARCHIVE), s3.keys()) == (archived, archived)
    assert {batch.kind for batch in IngestBatch.objects.all()} == {"backfill"}


def test_a_backfill_of_what_is_loaded_changes_nothing(s3, command):
    deliver_all()
    night()
    before = digest()
    code, lines, _ = command("backfill", "--archive", "--json")
    assert (code, {line["status"] for line in lines[:-1]}, digest()) == (0, {"duplicate"}, before)
    assert command("backfill", "--archive", "--json")[1] == [{"totals": totals(), "batches": 0}]


def test_a_backfill_takes_the_days_between_two_dates_both_included(s3, command):
    for day in range(18, 23):
        deliver(f"facilities-2026-11-{day}.csv", FACILITIES.replace("Ikeja Clinic", f"Ikeja Clinic {day}"))
    night()
    empty_tables()
    command("backfill", "--archive", "--from=2026-11-19", "--to=2026-11-21", "--json")
    assert [day.day for day in IngestBatch.objects.order_by("id").values_list("business_date", flat=True)] == [
        19,
        20,
        21,
    ]


def test_the_predecessors_archive_loads_by_its_folders_dates(s3, command):
    s3.put(f"{ARCHIVE}2026-11-05/facilities.csv", FACILITIES.encode())
    s3.put(f"{ARCHIVE}2026-11-06/patients.csv", PATIENTS.encode())
    assert command("backfill", "--archive", "--json")[0] == 0
    assert [day.day for day in IngestBatch.objects.order_by("id").values_list("business_date", flat=True)] == [5, 6]
    assert Patient.objects.count() == 3


@pytest.fixture
def folder(tmp_path):
    for dataset, text in FILES.items():
        (tmp_path / "2026-11-20").mkdir(exist_ok=True)
        (tmp_path / "2026-11-20" / f"{dataset}.csv").write_text(text)
    (tmp_path / "README.txt").write_text("not ours")
    return tmp_path


def test_local_files_load_by_the_dates_of_their_folders_and_stay(bucket, folder, command):
    code, lines, _ = command("backfill", "--local", folder, "--json")
    assert (code, lines[-1]) == (0, {"totals": totals(read=12, inserted=12), "batches": 4})
    assert {*TriageVisit.objects.values_list("event_on", flat=True)} == {date(2026, 11, 20)}
    assert len([*folder.rglob("*.csv")]) == 4
    assert command("backfill", "--local", folder, "--json")[1][-1]["batches"] == 0


def test_local_files_without_a_date_are_refused_until_one_is_given(bucket, tmp_path, command):
    (tmp_path / "facilities.csv").write_text(FACILITIES)
    code, lines, err = command("backfill", "--local", tmp_path, "--json")
    assert (code, lines) == (2, [])
    assert "--business-date" in err
    assert not Facility.objects.exists()
    assert IngestRun.objects.get().status == "broken_off"
    assert command("backfill", "--local", tmp_path, "--business-date=2026-11-02", "--json")[0] == 0
    assert IngestBatch.objects.get().business_date == date(2026, 11, 2)


def test_a_dry_backfill_writes_nothing_even_when_it_is_refused(bucket, folder, command):
    assert command("backfill", "--local", folder, "--dry-run", "--json")[1][-1]["totals"]["inserted"] == 12
    (folder / "patients.csv").write_text(PATIENTS)
    assert command("backfill", "--local", folder, "--dry-run", "--json")[0] == 2
    assert not (IngestBatch.objects.exists())
    assert not (IngestRun.objects.exists())
    assert not (Facility.objects.exists())


def test_a_folder_that_is_none_is_refused(bucket, tmp_path, command):
    assert command("backfill", "--local", tmp_path / "absent", "--json")[0] == 2


def test_a_backfill_older_than_what_is_loaded_overwrites_nothing(bucket, tmp_path, command):
    deliver_all()
    night()
    (tmp_path / "patients_2026-11-01.csv").write_text(PATIENTS.replace("07021000001", "07021000009"))
    _, (line, _), _ = command("backfill", "--local", tmp_path, "--json")
    assert line["counts"] == totals(read=3, unchanged=3)
    assert Patient.objects.get(first_name="Amina").phone == "+2347021000001"


# --- batch


@pytest.fixture
def held(bucket):
    deliver_all("-2026-11-20.csv")
    night()
    deliver("triage_visits-2026-11-21.csv", VISITS)
    night()
    return batch_of("triage_visits-2026-11-21.csv")


def test_a_release_loads_the_batch_at_once_and_nothing_else(held, command):
    deliver("facilities-2026-11-22.csv", FACILITIES + "Wuse Clinic,FCT,Abuja Municipal,,,Clinic\n")
    code, (line, last), _ = command("batch", "release", held.pk, "--as", "new_events", "--remember", "--json")
    assert (code, line["batch_id"], line["status"], last["batches"]) == (0, held.pk, "archived", 1)
    assert (TriageVisit.objects.count(), Facility.objects.count()) == (4, 4)
    assert Source.objects.get().delivers == "append"


def test_a_discarded_batch_is_put_away_at_once(held, s3, command):
    code, lines, _ = command("batch", "discard", held.pk, "--reason", "sent twice", "--json")
    held.refresh_from_db()
    assert (code, lines[-1]["batches"]) == (0, 0)
    assert (held.status, held.settled_why, s3.get(held.archive_key)) == ("discarded", "sent twice", VISITS.encode())


def test_a_retry_tells_what_became_of_the_batch(bucket, command):
    deliver("patients.csv", LATIN)
    night()
    code, (line, _), _ = command("batch", "retry", batch_of("patients.csv").pk, "--json")
    assert (code, line["status"]) == (1, "rejected")


@pytest.mark.parametrize(
    "answer", [["release", "0", "--as", "loaded"], ["discard", "0", "--reason", "x"], ["retry", "0"]]
)
def test_an_unknown_batch_is_refused(bucket, command, answer):
    code, lines, err = command("batch", *answer, "--json")
    assert (code, lines, err) == (2, [], "There is no batch 0.\n")


def test_an_answer_that_does_not_fit_the_state_is_refused(held, command):
    code, _, err = command("batch", "retry", held.pk, "--json")
    assert (code, "held" in err) == (2, True)
    held.refresh_from_db()
    assert held.status == "held"


# --- replay


@pytest.fixture
def refused(bucket):
    """One row to correct, one that waits for a facility."""
    header = PATIENTS.splitlines()[0]
    rows = ["Kuje General Hospital,Uche,Eze,M,05/06/1999,", "New Clinic,Ada,Obi,F,1990-01-01,"]
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", "\n".join([header, *rows]))
    night()
    return batch_of("patients-2026-11-20.csv")


def test_a_replay_tells_what_landed(refused, command):
    for row in RejectedRow.objects.filter(line=2):
        row.corrections = {"dob": "1999-06-05"}
        row.save()
    code, (line, last), _ = command("replay", f"--batch={refused.pk}", "--json")
    assert (code, list(line), line["key"]) == (0, FIELDS, refused.object_key)
    assert last == {"totals": totals(read=2, inserted=1, rejected=1), "batches": 1}
    assert Patient.objects.get().first_name == "Uche"


def test_a_replay_ends_with_3_where_rows_are_refused_for_their_own_content(refused, command):
    assert command("replay", "--json")[0] == 3
    assert RejectedRow.objects.filter(state="open").count() == 2


@pytest.mark.parametrize(
    ("words", "read"),
    [(["--reason=DATE_AMBIGUOUS"], 1), (["--reason=DATE_AMBIGUOUS:dob"], 1), (["--reason=ENUM"], 0)],
)
def test_a_replay_takes_only_the_rows_it_is_told(refused, command, words, read):
    _, lines, _ = command("replay", *words, "--json")
    assert lines[-1]["totals"]["read"] == read


def test_a_replay_of_an_unknown_batch_is_refused_and_tries_no_other(refused, command):
    assert command("replay", "--batch=0", "--json") == (2, [], "There is no batch 0.\n")
    assert not IngestBatch.objects.filter(kind="replay").exists()


def test_a_replay_that_finds_no_row_is_done(bucket, command):
    assert command("replay", "--json") == (runs.DONE, [{"totals": totals(), "batches": 0}], "")
