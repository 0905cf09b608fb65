"""The stewards' pages on probable duplicates: what they show to whom, deciding, and taking a decision back."""

import json
from datetime import date

import pytest
from django.core.management import call_command
from django.urls import reverse

from clinical import merging
from clinical.duplicates import decisions, search
from clinical.models import AuditEvent, DuplicatePair, Patient, Table
from tests import rows
from tests.callers import Caller

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
LIST = "/admin/clinical/duplicatepair/"


@pytest.fixture
def two():
    """One woman, registered twice, and what is known of her on each side."""
    at = rows.facility(name="Ajeromi Clinic", state="LAGOS")
    known = {"last_name": "Okafor", "dob": date(1985, 3, 17)}
    one = rows.patient(at, first_name="Ngozi", phone="+2348031234567", sex="F", **known)
    other = rows.patient(at, first_name="Ngosi", phone="+2348031234567", sex="Unknown", patient_number="P7", **known)
    rows.visit(one, DAY)
    rows.visit(other, DAY)
    rows.record(other, DAY)
    return one, other


@pytest.fixture
def pair(two):
    search.search(Table.PATIENTS)
    return DuplicatePair.objects.get()


def page(pair):
    return reverse("admin:clinical_duplicatepair_change", args=[pair.pk])


MERGE = {"merge": "yes", "survivor": "left", "sex": "left", "patient_number": "right"}


def steward(**scope):
    caller = Caller(("steward", scope) if scope else ("steward",))
    caller.user.is_staff = True
    caller.user.save()
    return caller


def test_the_list_shows_both_names_the_place_and_why(desk, pair):
    text = desk.get(LIST).content.decode()
    for said in ("Ngozi Okafor", "Ngosi Okafor", "Ajeromi Clinic", "first name: a slip apart"):
        assert said in text


def test_the_list_takes_as_many_queries_for_thirty_pairs_as_for_one(desk, pair, django_assert_max_num_queries):
    for number in range(30):
        at = rows.facility(name=f"Clinic number {number}")
        for first in ("Amina", "Aminat"):
            rows.patient(at, first_name=first, last_name="Bello", dob=DAY)
    search.search(Table.PATIENTS)
    assert DuplicatePair.objects.count() == 31
    with django_assert_max_num_queries(14):
        assert desk.get(LIST).content.decode().count("pair-names") == 31


def test_the_page_shows_both_sides_and_the_weights(desk, pair):
    text = desk.get(page(pair)).content.decode()
    for said in ("Ngozi", "Ngosi", "P7", "20 Nov 2026", "Same: merge", "Different patients", "Skip", "<rect"):
        assert said in text


def test_a_merge_keeps_what_was_chosen_from_each_side(desk, pair, two):
    one, other = two
    assert desk.post(page(pair), MERGE).status_code == 302
    one.refresh_from_db()
    other.refresh_from_db()
    pair.refresh_from_db()
    assert (one.sex, one.patient_number, one.triagevisits.count()) == ("F", "P7", 2)
    assert other.merged_into == one
    assert (pair.state, pair.merge.survivor_id) == ("same", one.pk)


def test_the_right_side_may_survive(desk, pair, two):
    desk.post(page(pair), MERGE | {"survivor": "right"})
    assert Patient.objects.present().get() == two[1]


def test_a_merge_is_undone_from_the_page_of_the_pair(desk, pair, two):
    desk.post(page(pair), MERGE)
    assert "Undo the merge" in desk.get(page(pair)).content.decode()
    desk.post(page(pair), {"take_back": "yes"})
    pair.refresh_from_db()
    assert (pair.state, pair.merge, pair.decided_by) == ("open", None, None)
    assert {row.triagevisits.count() for row in Patient.objects.present()} == {1}


def test_a_pair_that_is_called_different_is_remembered_and_can_be_taken_back(desk, pair, alice):
    desk.post(page(pair), {"different": "yes", "why": "Two cards were shown"})
    search.search(Table.PATIENTS, is_full=True)
    pair.refresh_from_db()
    assert (pair.state, pair.decided_by, pair.why) == ("different", alice, "Two cards were shown")
    assert AuditEvent.objects.filter(action="call_different", object_id=pair.low_id).exists()
    desk.post(page(pair), {"take_back": "yes"})
    pair.refresh_from_db()
    assert pair.state == "open"


def test_history_shows_what_was_decided_and_the_list_only_what_waits(desk, pair):
    desk.post(page(pair), MERGE)
    assert "Ngosi Okafor" not in desk.get(LIST).content.decode()
    assert "Ngosi Okafor" in desk.get(LIST, {"state": "same"}).content.decode()


def test_deciding_twice_is_told_and_changes_nothing(desk, pair, two, alice):
    decisions.call_different(pair, by=alice)
    answer = desk.post(page(pair), MERGE, follow=True)
    assert "Somebody else has decided" in answer.content.decode()
    assert Patient.objects.present().count() == 2


def test_a_merge_that_cannot_be_is_told_in_words(desk, pair, two):
    Patient.objects.filter(pk=two[1].pk).update(deleted_at=rows.lagos(DAY))
    answer = desk.post(page(pair), MERGE, follow=True)
    assert "is deleted" in answer.content.decode()
    pair.refresh_from_db()
    assert pair.state == "open"


def test_a_merge_without_an_answer_for_each_field_shows_the_page_again(desk, pair):
    assert desk.post(page(pair), {"merge": "yes"}).status_code == 200
    assert Patient.objects.present().count() == 2


def test_questions_about_a_merged_row_are_gone(desk, pair, two, alice):
    third = rows.patient(two[0].facility, first_name="Ngozy", last_name="Okafor", dob=two[0].dob, sex="F")
    search.search(Table.PATIENTS)
    assert DuplicatePair.objects.waiting().count() == 3
    decisions.merge(pair, survivor_id=two[0].pk, keep={}, by=alice)
    assert [(one.low_id, one.high_id) for one in DuplicatePair.objects.waiting()] == [(two[0].pk, third.pk)]


def test_an_unmerge_that_cannot_be_leaves_the_decision(pair, two, alice):
    decisions.merge(pair, survivor_id=two[0].pk, keep={}, by=alice)
    third = rows.patient(two[0].facility, first_name="Ngozika", last_name="Okafor")
    merging.merge_patients(third, Patient.objects.get(pk=two[0].pk), by=alice)
    with pytest.raises(merging.NotPossible):
        decisions.take_back(pair, by=alice)
    pair.refresh_from_db()
    assert pair.state == "same"


def test_facilities_are_merged_with_their_patients(desk, alice):
    known = {"state": "LAGOS", "lga": "Ikeja", "lga_name": "Ikeja", "lat": "6.6", "lon": "3.35"}
    one = rows.facility(name="Ikeja General Hospital", ownership="Public", **known)
    other = rows.facility(name="Gen. Hosp. Ikeja", ownership="Private", **known | {"lat": "6.6001"})
    rows.patient(other)
    search.search(Table.FACILITIES)
    pair = DuplicatePair.objects.get()
    desk.get(page(pair))
    desk.post(page(pair), {"merge": "yes", "survivor": "left", "ownership": "right", "lat": "right", "type": "left"})
    one.refresh_from_db()
    assert (one.ownership, str(one.lat), one.patients.count()) == ("Private", "6.6001000", 1)


def test_what_is_out_of_scope_is_not_there(pair):
    elsewhere, here = steward(state="KANO"), steward(state="LAGOS")
    assert "Ngosi" not in elsewhere.client.get(LIST).content.decode()
    assert elsewhere.client.get(page(pair), follow=True).redirect_chain
    assert "Ngosi" in here.client.get(LIST).content.decode()
    assert here.client.get(page(pair)).status_code == 200


def test_who_may_only_read_the_other_state_has_nothing_to_decide_there(pair):
    caller = Caller(("steward", {"state": "KANO"}), ("analyst", {}))
    assert not DuplicatePair.objects.visible_to(caller.user).exists()


def test_a_pair_of_facilities_needs_both_in_scope(db):
    known = {"state": "LAGOS", "type": "Clinic", "lat": "6.6", "lon": "3.35"}
    rows.facility(name="Hope Clinic", lga="Ikeja", lga_name="Ikeja", **known)
    rows.facility(name="HOPE Clinic.", lga="Agege", lga_name="Agege", **known)
    search.search(Table.FACILITIES)
    assert DuplicatePair.objects.count() == 1
    assert not DuplicatePair.objects.visible_to(steward(state="LAGOS", lga="Ikeja").user).exists()
    assert DuplicatePair.objects.visible_to(steward(state="LAGOS").user).exists()


def test_the_badge_counts_what_waits(desk, pair):
    text = desk.get("/admin/clinical/duplicatesearch/").content.decode()
    assert "Probable duplicates" in text


def test_the_command_tells_each_table_as_a_line(two, capsys):
    call_command("find_duplicates", "--json")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["table"], line["found"]) for line in told] == [("patients", 1), ("facilities", 0)]
    call_command("find_duplicates", "--all")
    assert "2 rows in all" in capsys.readouterr().out


def test_two_rows_of_the_list_are_compared_by_hand_and_merged(desk, two):
    chosen = {"action": "compare", "_selected_action": [row.pk for row in two]}
    answer = desk.post(reverse("admin:clinical_patient_changelist"), chosen)
    pair = DuplicatePair.objects.get()
    assert answer.url == page(pair)
    assert "chosen by a steward" in desk.get(answer.url).content.decode()
    desk.post(answer.url, MERGE)
    assert Patient.objects.filter(merged_into__isnull=False).count() == 1


def test_one_row_alone_or_of_two_facilities_is_not_compared(desk, two):
    for chosen in ([two[0].pk], [two[0].pk, rows.patient().pk]):
        desk.post(reverse("admin:clinical_patient_changelist"), {"action": "compare", "_selected_action": chosen})
    assert not DuplicatePair.objects.exists()
