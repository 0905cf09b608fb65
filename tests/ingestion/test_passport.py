"""The passport of a row: from which file and line it comes, by whom and by what it was changed; in the API."""

import pytest

from clinical import merging
from clinical.models import AuditEvent, Patient, TriageVisit
from ingestion import passport, rulemaking, stewards
from ingestion.models import RejectedRow
from ingestion.rulemaking import Proposal
from tests.callers import Caller
from tests.deliveries import PATIENTS, deliver, last_batch, night
from tests.rows import patient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("a_night")]
VISITS = (
    "facility_name,patient_first_name,patient_last_name,triage_level,chief_complaint,vital_signs,conditions,"
    "recommendations\n"
)


@pytest.fixture
def musa(a_night):
    """A patient of a first night."""
    return Patient.objects.get(first_name="Musa")


@pytest.fixture
def steward():
    return Caller(("steward",))


def read(caller, row, path="patients"):
    response = caller.get(f"/api/{path}/{row.pk}/passport")
    assert response.status_code == 200, response.content
    return response.json()


def cells(told):
    return {cell["column"]: (cell["raw"], cell["corrected"], cell["stored"]) for cell in told["cells"]}


def test_a_row_tells_its_file_its_line_and_its_cells(musa, steward):
    told = read(steward, musa)
    batch = last_batch("patients")
    delivery = told["delivery"]
    assert (delivery["batch_id"], delivery["line"], delivery["business_date"]) == (batch.pk, 3, "2026-11-20")
    assert delivery["object_key"].endswith("input/patients-2026-11-20.csv")
    assert delivery["bytes_are_at"] == batch.archive_key
    assert (delivery["sha256"], delivery["etag"]) == (batch.sha256, batch.etag)
    assert cells(told)["facility_name"] == ("Kuje General Hospital", None, "Kuje General Hospital")
    assert cells(told)["phone"] == ("", None, None)


def test_it_tells_what_later_files_and_people_have_changed(musa, steward):
    deliver("patients-2026-11-21.csv", PATIENTS.replace("1988-05-05,", "1988-05-05,08031234567"))
    night()
    deliver("patients-2026-11-22.csv", PATIENTS + "\n")
    night()
    steward.send("patch", f"/api/patients/{musa.pk}", {"patient_number": "N-1"})
    told = read(steward, musa)
    assert [later["changed"] for later in told["later_deliveries"]] == [["phone"], []]
    by_hand, by_file = told["changes"]
    assert (by_hand["who"], by_hand["action"]) == (steward.user.username, "update")
    assert {"name": "patient_number", "was": None, "became": "N-1"} in by_hand["columns"]
    assert by_file["columns"] == [{"name": "phone", "was": None, "became": "+2348031234567"}]
    assert by_file["batch_id"] == told["later_deliveries"][0]["batch_id"]


def test_a_replayed_row_tells_its_correction_and_who_made_it(musa, steward, alice):
    deliver("triage_visits-2026-11-21.csv", VISITS + "Kuje General Hospital,Musa,Bello,9,Rash,,,\n")
    night()
    stewards.correct(RejectedRow.objects.all(), {"triage_level": "2"}, by=alice)
    stewards.replay(RejectedRow.objects.all(), by=alice)
    visit = TriageVisit.objects.get(chief_complaint="Rash")
    told = read(steward, visit, "triage-visits")
    assert told["delivery"]["batch_id"] == RejectedRow.objects.get().batch_id
    assert told["delivery"]["replay_batch_id"] == visit.batch_id
    assert told["rejected_row_id"] == RejectedRow.objects.get().pk
    assert cells(told)["triage_level"] == ("9", "2", 2)
    correction = told["corrections"][-1]
    assert (correction["who"], correction["action"]) == ("alice", "correct")
    assert {"name": "corrections: triage_level", "was": None, "became": "2"} in correction["columns"]


def test_it_tells_the_rule_by_which_a_cell_was_read(musa, steward, alice):
    rulemaking.save(Proposal("sex", "woman", value="F", why="As they write it."), by=alice)
    deliver("patients-2026-11-21.csv", PATIENTS.splitlines()[0] + "\nIkeja Clinic,Ladi,Umar,Woman,1990-01-01,\n")
    night()
    told = read(steward, Patient.objects.get(first_name="Ladi"))
    assert cells(told)["sex"] == ("Woman", None, "F")
    [rule] = told["rules"]
    assert (rule["text"], rule["meaning"], rule["decided_by"], rule["version"]) == ("woman", "F", "alice", 1)
    assert rule["why"] == "As they write it."


def test_a_merged_patients_event_keeps_its_origin(musa, steward, alice):
    visit = TriageVisit.objects.get(patient=musa)
    before = read(steward, visit, "triage-visits")
    twin = patient(musa.facility, first_name="Mussa", last_name="Bello")
    merge = merging.merge_patients(twin, musa, by=alice)
    after = read(steward, visit, "triage-visits")
    assert after["delivery"] == before["delivery"]
    assert cells(after)["patient_first_name"] == ("Musa", None, "Mussa")
    assert after["changes"][0]["action"] == "merge"
    assert read(steward, musa)["delivery"]["line"] == 3
    assert read(steward, twin)["merges"][0]["merge_id"] == merge.pk


def test_a_row_of_no_file_says_so(steward):
    told = read(steward, patient())
    assert (told["delivery"], told["cells"], told["why_no_cells"]) == (None, [], passport.BY_A_PERSON)


def test_without_the_file_all_else_is_told(musa, steward, s3):
    s3.delete(last_batch("patients").archive_key)
    told = read(steward, musa)
    assert (told["cells"], told["why_no_cells"]) == ([], passport.NOT_READABLE)
    assert told["delivery"]["line"] == 3


def test_what_became_of_a_line(musa, steward):
    batch = last_batch("patients")
    told = steward.get(f"/api/batches/{batch.pk}/lines/3").json()
    assert (told["fate"], told["table"], told["row_id"]) == ("inserted", "patients", musa.pk)
    assert told["cells"]["first_name"] == "Musa"
    assert steward.get(f"/api/batches/{batch.pk}/lines/9").json()["fate"] == "no_line"
    for line in ("0", "x", "-1"):
        assert steward.get(f"/api/batches/{batch.pk}/lines/{line}").status_code == 404


def test_reading_is_written_down(musa, steward):
    read(steward, musa)
    steward.get(f"/api/batches/{last_batch('patients').pk}/lines/3")
    events = AuditEvent.objects.filter(action="passport").order_by("id")
    assert [(event.table, event.object_id, event.patient_ids, event.details) for event in events] == [
        ("patients", musa.pk, [musa.pk], {}),
        ("ingest_batches", last_batch("patients").pk, [musa.pk], {"line": 3}),
    ]


@pytest.mark.parametrize("role", ["clinician", "clerk", "analyst", "auditor", "service"])
def test_nobody_but_stewards_may_read_it(musa, role):
    caller = Caller((role,))
    for path in (f"patients/{musa.pk}/passport", f"batches/{last_batch('patients').pk}/lines/3"):
        assert caller.get(f"/api/{path}").status_code == 403


def test_what_is_out_of_scope_is_not_there(musa):
    """A steward of Lagos may know a batch by one of its rows, and sees of it no more than that."""
    lagos = Caller(("steward", {"state": "LAGOS"}))
    ngozi, batch = Patient.objects.get(first_name="Ngozi"), last_batch("patients")
    assert lagos.get(f"/api/patients/{musa.pk}/passport").status_code == 404
    assert lagos.get(f"/api/patients/{ngozi.pk}/passport").status_code == 200
    assert lagos.get(f"/api/batches/{batch.pk}/lines/3").status_code == 404
    deliver("patients-2026-11-21.csv", PATIENTS + "Ikeja Clinic,Ladi,Umar,Woman,1990-01-01,\n")
    night()
    batch = last_batch("patients")
    assert [lagos.get(f"/api/batches/{batch.pk}/lines/{line}").status_code for line in (3, 4, 5)] == [404, 200, 200]
