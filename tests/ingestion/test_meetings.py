"""What only shows when two things meet: a revert and other files, a merge and a rule, an undo and later visits."""

from datetime import date

import pytest

from clinical import actions, merging
from clinical.duplicates import decisions
from clinical.models import AuditEvent, DuplicatePair, Facility, Patient, User
from ingestion import reverting, rulemaking, stewards
from ingestion.models import RejectedRow
from tests import rows
from tests.deliveries import FACILITIES, PATIENTS, VISITS, counts, deliver, deliver_all, last_batch, night

pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.django_db]
HEADER = VISITS.split("\n")[0]


def first_two(first="Aminat"):
    kuje = Facility.objects.get(name="Kuje General Hospital")
    amina = Patient.objects.get(first_name="Amina")
    return amina, rows.patient(kuje, first_name=first, last_name="Bello", dob=date(1991, 1, 1))


def test_a_visit_that_a_later_day_s_file_repeats_is_not_taken_back(alice):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", PATIENTS)
    h = HEADER + ",visited_at\n"
    a = "Kuje General Hospital,Musa,Bello,2,Pain,,,,2026-11-19T10:00:00\n"
    b = "Ikeja Clinic,Ngozi,Okafor,4,Cough,,,,2026-11-20T10:00:00\n"
    deliver("triage_visits-2026-11-20.csv", h + a)
    night()
    one = last_batch("triage_visits")
    deliver("triage_visits-2026-11-21.csv", h + a + b)
    night()
    two = last_batch("triage_visits")
    assert two.unchanged == 1
    assert two.inserted == 1
    with pytest.raises(reverting.Obstructed):
        reverting.revert(one, reason="x", by=alice)


def test_facilities_are_taken_back_from_under_refused_rows(alice):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("triage_visits-2026-11-20.csv", VISITS)
    night()
    assert RejectedRow.objects.filter(facility__isnull=False).exists()
    reverting.revert(last_batch("facilities"), reason="x", by=alice)
    assert not Facility.objects.exists()
    assert RejectedRow.objects.filter(facility=None, state="open").count() == 2


def test_facilities_are_taken_back_with_the_question_whether_they_are_one(alice):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    night()
    a, b = Facility.objects.all()[:2]
    decisions.propose(a, b)
    reverting.revert(last_batch("facilities"), reason="x", by=alice)
    assert not Facility.objects.exists()
    assert not DuplicatePair.objects.exists()


def test_two_identical_visits_go_back_when_a_merge_is_undone(alice):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", PATIENTS)
    night()
    amina, other = first_two()
    m = merging.merge_patients(amina, other, by=alice)
    row = "Kuje General Hospital,Aminat,Bello,2,Fever,,,\n"
    deliver("triage_visits-2026-11-21.csv", HEADER + "\n" + row + row)
    night()
    assert amina.triagevisits.count() == 2
    merging.unmerge(m, by=alice)
    assert other.triagevisits.count() == 2


def test_a_file_that_was_held_and_loaded_later_stands_against_a_revert(alice):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    night()
    bad = "".join(f"Kuje General Hospital,A{n},B,F,x,\n" for n in range(30))
    deliver("patients-2026-11-20.csv", PATIENTS + bad)
    night()
    held = last_batch("patients")
    assert held.status == "held"
    deliver("patients-2026-11-21.csv", PATIENTS + "Kuje General Hospital,New,One,F,1990-01-01,\n")
    night()
    later = last_batch("patients")
    assert later.inserted == 4
    stewards.release(held, release_as="loaded", by=alice)
    night()
    held.refresh_from_db()
    assert held.unchanged >= 3, counts(held)
    with pytest.raises(reverting.Obstructed):
        reverting.revert(later, reason="x", by=alice)


def test_the_list_of_duplicates_opens_after_a_revert(desk, alice):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", PATIENTS)
    night()
    a, b = Patient.objects.filter(facility__name__startswith="Kuje")
    decisions.propose(a, b)
    reverting.revert(last_batch("patients"), reason="x", by=alice)
    assert desk.get("/admin/clinical/duplicatepair/").status_code == 200


def test_a_state_s_steward_takes_back_no_file_of_the_nation(client):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", PATIENTS + "Health Post,X,Y,F,bad,,\n".replace(",,\n", ",\n"))
    night()
    RejectedRow.objects.update(facility=Facility.objects.get(state="KANO"))
    u = User.objects.create_user("kano", is_staff=True)
    u.memberships.create(role="steward", state="KANO")
    client.force_login(u)
    batch = last_batch("patients")
    client.post(f"/admin/ingestion/ingestbatch/{batch.pk}/revert/", {"reason": "mine"})
    batch.refresh_from_db()
    assert batch.reverted_at is None, f"patients left: {Patient.objects.count()}"


def test_who_may_read_elsewhere_decides_nothing_there(client):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", PATIENTS)
    night()
    u = User.objects.create_user("kano", is_staff=True)
    u.memberships.create(role="steward", state="KANO")
    u.memberships.create(role="auditor")
    client.force_login(u)
    batch = last_batch("patients")
    client.post(f"/admin/ingestion/ingestbatch/{batch.pk}/revert/", {"reason": "mine"})
    batch.refresh_from_db()
    assert batch.reverted_at is None, f"patients left: {Patient.objects.count()}"


def test_undoing_a_restoration_leaves_no_visits_under_a_deleted_patient(alice):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", PATIENTS)
    night()
    musa = Patient.objects.filter(first_name="Musa")
    actions.mark_deleted(musa, by=alice)
    actions.restore(musa, by=alice)
    deliver("triage_visits-2026-11-21.csv", VISITS)
    night()
    assert musa.get().triagevisits.count() == 1
    with pytest.raises(actions.NotPossible):
        actions.undo_deed(AuditEvent.objects.get(action="restore"), by=alice)
    assert musa.get().deleted_at is None


def test_who_came_by_a_rule_about_a_merged_facility_goes_back_with_it(alice):
    deliver_all()
    night()
    kuje = Facility.objects.get(name="Kuje General Hospital")
    ikeja = Facility.objects.get(name="Ikeja Clinic")
    rulemaking.save(rulemaking.Proposal("facility", "Ikeja Clnc", facility=ikeja), by=alice)
    m = merging.merge_facilities(kuje, ikeja, by=alice)
    deliver(
        "patients-2026-11-21.csv",
        "facility_name,first_name,last_name,sex,dob,phone\nIkeja Clnc,New,One,F,1990-01-01,\n",
    )
    night()
    assert Patient.objects.get(first_name="New").facility_id == kuje.pk
    merging.unmerge(m, by=alice)
    assert Patient.objects.get(first_name="New").facility_id == ikeja.pk


def test_patients_are_not_unmerged_inside_a_merged_facility(alice):
    deliver_all()
    night()
    ikeja = Facility.objects.get(name="Ikeja Clinic")
    kuje = Facility.objects.get(name="Kuje General Hospital")
    ngozi = Patient.objects.get(first_name="Ngozi")
    other = rows.patient(ikeja, first_name="Ngozika", last_name="Okafor", dob=date(1975, 12, 31))
    m = merging.merge_patients(ngozi, other, by=alice)
    merging.merge_facilities(kuje, ikeja, by=alice)
    with pytest.raises(merging.NotPossible):
        merging.unmerge(m, by=alice)


def test_a_rule_by_which_a_row_came_and_was_changed_later_is_taken_back(alice):
    deliver_all()
    night()
    kuje = Facility.objects.get(name="Kuje General Hospital")
    rule = rulemaking.save(rulemaking.Proposal("facility", "Kuje GH", facility=kuje), by=alice)
    h = "facility_name,first_name,last_name,sex,dob,phone\n"
    deliver("patients-2026-11-21.csv", h + "Kuje GH,New,One,F,1990-01-01,07021000009\n")
    night()
    deliver("patients-2026-11-22.csv", h + "Kuje GH,New,One,F,1990-01-01,07021000008\n")
    night()
    assert rulemaking.take_back(rule, why="x", by=alice) >= 1


def test_a_refused_row_that_became_a_row_stands_against_its_revert(alice):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    deliver("patients-2026-11-20.csv", PATIENTS)
    deliver("triage_visits-a-2026-11-20.csv", HEADER + "\nKuje General Hospital,Musa,Bello,2,Pain,,,\n")
    night()
    one = last_batch("triage_visits")
    deliver("x/triage_visits-b-2026-11-20.csv", HEADER + "\nKuje General Hospital,Musaa,Bello,2,Pain,,,\n")
    night()
    r = RejectedRow.objects.get()
    stewards.correct(RejectedRow.objects.all(), {"patient_first_name": "Musa"}, by=alice)
    stewards.replay(RejectedRow.objects.all(), by=alice)
    r.refresh_from_db()
    assert r.state == "replayed"
    with pytest.raises(reverting.Obstructed):
        reverting.revert(one, reason="x", by=alice)


def test_a_rule_follows_its_facility_through_two_merges(alice):
    deliver("facilities-2026-11-20.csv", FACILITIES)
    night()
    kuje = Facility.objects.get(name="Kuje General Hospital")
    ikeja = Facility.objects.get(name="Ikeja Clinic")
    kano = Facility.objects.get(state="KANO")
    rulemaking.save(rulemaking.Proposal("facility", "Dala HP", facility=kano), by=alice)
    merging.merge_facilities(ikeja, kano, by=alice)
    merging.merge_facilities(kuje, ikeja, by=alice)
    deliver(
        "patients-2026-11-21.csv", "facility_name,first_name,last_name,sex,dob,phone\nDala HP,New,One,F,1990-01-01,\n"
    )
    night()
    assert Patient.objects.filter(first_name="New", facility=kuje).exists()
