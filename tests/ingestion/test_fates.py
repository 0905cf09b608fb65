"""What became of each line of a file: one fate, and together they are the batch's counts."""

from datetime import date

import pytest

from clinical.models import MedicalRecord, Patient
from ingestion import fates, reverting, rulemaking, stewards
from ingestion.fates import Fate
from ingestion.models import IngestBatch, RejectedRow
from ingestion.rulemaking import Proposal
from medilink import delivery
from tests.deliveries import FACILITIES, counts, deliver, deliver_all, last_batch, night

# Each load is a transaction of its own, because their order is what tells a refusal from a row that was parked later.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("bucket")]
PATIENTS = "facility_name,first_name,last_name,sex,dob,phone\n"
MESSY = (
    "\n" + PATIENTS + "Kuje General Hospital,Amina,Bello,F,1990-01-01,07021000001\n"  # 3: as it is stored
    "\n"
    'Kuje General Hospital,"Zainab\nHauwa",Umar,F,1991-02-03,\n'  # 5 and 6: new
    "Kuje General Hospital,Musa,Bello,M,1988-05-05,08031234567\n"  # 7: with a phone now
    "Kuje General Hospital,Halima,Sani,F,1992-02-03,\n"  # 8: repeated below
    "Kuje General Hospital,Halima,SANI,F,1992-02-03,08031234568\n"
    "Kuje General Hospital,Sani,Umar,woman,1990-01-01,\n"  # 10: by a rule
    "Kuje General Hospital,Ladi,Umar,F,31/12/1990,\n"  # 11: refused
    "Nowhere,Ladi,Umar,F,1990-12-31,\n"  # 12: refused
    "Kuje General Hospital,Ladi\n"  # 13: refused
    "\n"
)
EVENTS = (
    "facility_name,patient_first_name,patient_last_name,record_type,diagnosis,treatment,medications,notes,"
    "record_id,patient_dob\n"
)


def told(batch: IngestBatch, lines) -> list[str]:
    return [fates.of_line(batch, line).fate.value for line in lines]


def add_up(batch: IngestBatch) -> bool:
    found = fates.counts(batch)
    refused = found[Fate.REFUSED] + found[Fate.PARKED]
    names = (Fate.INSERTED, Fate.UPDATED, Fate.UNCHANGED, Fate.COLLAPSED)
    return (found.total(), *(found[name] for name in names), refused) == counts(batch)


@pytest.fixture
def messy(alice) -> IngestBatch:
    """Loaded upon a first night, with a rule."""
    deliver_all()
    night()
    rulemaking.save(Proposal("sex", "woman", value="F"), by=alice)
    deliver("patients-2026-11-21.csv", MESSY)
    night()
    return last_batch("patients")


def test_each_line_has_one_fate(messy):
    assert counts(messy) == (9, 3, 1, 1, 1, 3)
    assert told(messy, range(17)) == [
        *("no_line", "blank", "header", "unchanged", "blank", "inserted", "inserted", "updated", "collapsed"),
        *("inserted", "inserted", "refused", "refused", "refused", "blank", "no_line", "no_line"),
    ]
    assert add_up(messy)


def test_a_line_tells_the_row_and_its_cells(messy):
    amina, halima = Patient.objects.get(first_name="Amina"), Patient.objects.get(first_name="Halima")
    met, inside, repeated = (fates.of_line(messy, line) for line in (3, 6, 8))
    assert met.row_id == amina.pk
    assert (inside.line, inside.raw["first_name"]) == (5, "Zainab\nHauwa")
    assert (repeated.row_id, repeated.other_line) == (halima.pk, 9)
    assert fates.of_line(messy, 12).refused.reasons == ["FACILITY_NOT_FOUND"]


def test_looking_leaves_nothing_behind(messy):
    before = [*Patient.objects.order_by("id").values()]
    fates.counts(messy)
    assert [*Patient.objects.order_by("id").values()] == before
    assert last_batch("patients") == messy


def test_a_row_that_is_refused_again_is_the_one_that_was_refused_before(messy, alice):
    deliver("patients-2026-11-22.csv", MESSY + "\n\n")
    night()
    again = last_batch("patients")
    assert counts(again) == (9, 0, 0, 5, 1, 3)
    first = RejectedRow.objects.get(line=12)
    assert fates.of_line(again, 12).refused == first
    assert add_up(again)
    stewards.correct(RejectedRow.objects.filter(pk=first.pk), {"facility_name": "Ikeja Clinic"}, by=alice)
    stewards.replay(RejectedRow.objects.all(), by=alice)
    first.refresh_from_db()
    assert fates.of_line(again, 12).row_id == first.became_id
    deliver("patients-2026-11-23.csv", MESSY + "\n")
    night()
    third = last_batch("patients")
    assert counts(third) == (9, 0, 0, 6, 1, 2)
    assert told(third, [11, 12]) == ["refused", "unchanged"]
    assert all(map(add_up, (messy, again, third)))


def test_a_line_still_tells_that_it_was_refused_when_its_facility_has_come(messy):
    deliver("patients-2026-11-22.csv", MESSY + "\n\n")
    night()
    again = last_batch("patients")
    deliver("facilities-2026-11-23.csv", FACILITIES + "Nowhere,KANO,Dala,,,Clinic\n")
    night()
    assert told(again, [12]) == ["refused"]
    assert fates.of_line(again, 12).refused.state == "replayed"
    assert all(map(add_up, (messy, again)))


def test_a_line_that_a_rule_let_in_was_parked_when_the_rule_was_taken_back(messy, alice):
    rulemaking.take_back(rulemaking.Rule.objects.get(), why="wrong", by=alice)
    parked = fates.of_line(messy, 10)
    assert (parked.fate, parked.refused.state) == (Fate.PARKED, "open")


def test_events_with_and_without_ids(messy):
    amina = "Kuje General Hospital,Amina,Bello,Consultation"
    first = EVENTS + (
        f"{amina},Malaria,Rest,Artemether,,,\n"  # 2 and 3: stored twice
        f"{amina},Malaria,Rest,Artemether,,,\n"
        f"{amina},Typhoid,,,,R-1,\n"  # 4: repeated in the next line
        f"{amina},Ulcer,,,,R-1,\n"
        f"{amina},Cough,,,,,\n"  # 6: in other cells below
        f"{amina},Cough,,,,,1990-01-01\n"
        "Kuje General Hospital,Nobody,Bello,Consultation,Cough,,,,,\n"
    )
    deliver("medical_records-b-2026-11-20.csv", first)
    night()
    batch = last_batch("medical_records")
    assert counts(batch) == (7, 2, 0, 2, 2, 1)
    fated = ["unchanged", "unchanged", "collapsed", "inserted", "inserted", "collapsed", "refused"]
    assert told(batch, range(2, 9)) == fated
    assert [fates.of_line(batch, line).other_line for line in (4, 7)] == [5, 6]
    assert add_up(batch)
    deliver("medical_records-2026-11-21.csv", EVENTS + f"{amina},Typhoid,Rest,,,R-1,\n{amina},Ulcer,,,,R-2,\n")
    night()
    latest = last_batch("medical_records")
    assert told(latest, [2, 3]) == ["updated", "inserted"]
    assert fates.of_line(latest, 2).row_id == MedicalRecord.objects.get(record_id="R-1").pk
    assert told(batch, range(2, 9)) == fated
    assert add_up(batch)


def test_the_fates_of_three_generated_nights_add_up():
    """With people who register, typing errors that are corrected days later, rows refused again, repeated events."""
    for day in (date(2026, 11, 24), date(2026, 11, 25), date(2026, 11, 26)):
        for name, body in delivery.generate(night=day, seed=7, facilities=120, patients=900, days=60).items():
            deliver(name, body)
        night()
    batches = IngestBatch.objects.loaded().filter(parent=None)
    assert batches.count() >= 12
    assert [batch.object_key for batch in batches if not add_up(batch)] == []


def test_what_was_not_loaded_says_so(messy):
    deliver("patients-2026-11-22.csv", MESSY)
    night()
    assert last_batch("patients").status == "duplicate"
    assert told(last_batch("patients"), [2, 3]) == ["header", "not_loaded"]
    deliver("facilities-2026-11-22.csv", "name;state\nx;y\n")
    night()
    assert told(last_batch("facilities"), [1, 2, 9]) == ["not_loaded"] * 3


def test_what_was_taken_back_says_so(messy, alice):
    reverting.revert(messy, reason="wrong", by=alice)
    messy.refresh_from_db()
    assert told(messy, [2, 5, 11, 99]) == ["header", "reverted", "reverted", "no_line"]


def test_without_the_file_a_line_is_told_as_far_as_it_is_stored(messy, s3):
    s3.delete(messy.archive_key)
    assert told(messy, [5, 11, 3]) == ["inserted", "refused", "unknown"]
