"""What is stored is what was delivered, read anew; and what is not so is found."""

import random
from collections import Counter
from datetime import date

import pytest

from clinical.models import AuditEvent, MedicalRecord, Patient, Revision, TriageVisit
from ingestion import derivation, rulemaking, stewards
from ingestion.models import IngestBatch, RejectedRow
from ingestion.reverting import MODELS
from ingestion.rulemaking import Proposal
from medilink import delivery
from tests.callers import Caller
from tests.deliveries import deliver, deliver_all, last_batch, night
from tests.rows import past_all_triggers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bucket")]
NIGHT = date(2026, 11, 24)


def test_thousands_of_rows_of_two_nights_are_what_their_files_say(alice):
    rulemaking.save(Proposal("diagnosis", "Malaria", value="Plasmodium malaria"), by=alice)
    for day in (NIGHT, date(2026, 11, 25)):
        for name, body in delivery.generate(night=day, seed=7, facilities=60, patients=4000, days=60).items():
            deliver(name, body)
        night()
    looked_at = Counter()
    for batch in IngestBatch.objects.loaded().filter(inserted__gt=0):
        lines = [*MODELS[batch.kind_of_rows].objects.filter(batch_id=batch.pk).values_list("line", flat=True)]
        chosen = random.Random(1).sample(lines, min(2000, len(lines)))
        assert derivation.unexplained(batch, chosen) == {}
        looked_at[batch.dataset] += len(chosen)
    assert len(looked_at) == 4
    assert looked_at.total() > 3000
    assert MedicalRecord.objects.filter(data__diagnosis="Plasmodium malaria").exists()


@pytest.fixture
def loaded():
    deliver_all()
    night()
    return last_batch("patients")


def unexplained(row):
    return derivation.unexplained(IngestBatch.objects.get(pk=row.batch_id), [row.line])


def test_what_people_and_later_files_have_changed_is_explained(loaded):
    musa = Patient.objects.get(first_name="Musa")
    Caller(("steward",)).send("patch", f"/api/patients/{musa.pk}", {"last_name": "Danjuma", "phone": "08031234567"})
    deliver(
        "patients-2026-11-21.csv",
        "facility_name,first_name,last_name,sex,dob,phone,patient_number\n"
        "Kuje General Hospital,Musa,Bello,M,1988-05-05,,N-1\n",
    )
    night()
    musa.refresh_from_db()
    assert (musa.last_name, musa.patient_number) == ("Danjuma", "N-1")
    assert unexplained(musa) == {}
    assert AuditEvent.objects.filter(action="update").exists()


def test_a_replayed_row_is_explained_by_its_corrections(loaded, alice):
    deliver(
        "triage_visits-2026-11-21.csv",
        "facility_name,patient_first_name,patient_last_name,triage_level,"
        "chief_complaint,vital_signs,conditions,recommendations\nIkeja Clinic,Ngozi,Okafor,9,Rash,,a;b,\n",
    )
    night()
    stewards.correct(RejectedRow.objects.all(), {"triage_level": "2"}, by=alice)
    stewards.replay(RejectedRow.objects.all(), by=alice)
    visit = TriageVisit.objects.get(chief_complaint="Rash")
    assert visit.batch_id != last_batch("triage_visits").parent_id
    assert unexplained(visit) == {}


def test_what_was_changed_past_the_record_is_found(loaded):
    musa = Patient.objects.get(first_name="Musa")
    Patient.objects.filter(pk=musa.pk).update(dob="1988-05-06")
    assert unexplained(musa) == {}
    with past_all_triggers():
        Revision.objects.all().delete()
    assert unexplained(musa) == {musa.line: {"dob": ("1988-05-05", "1988-05-06")}}
