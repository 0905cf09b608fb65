"""Words without a code at the desk: ranked, decided, taken back, and applied backwards by version."""

from datetime import date

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction

from clinical import terms
from clinical.access import NATION, Scope
from clinical.models import AuditEvent, TermCount, TermDecision, TermText
from clinical.terms import counting, decisions, mapping, ranking, shipped
from clinical.terms.shipped import Coding, Kind
from tests import rows
from tests.callers import Caller

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
COLD = Coding(shipped.ICD10, "J00", "Acute nasopharyngitis [common cold]")


def said(*conditions, at=None, times=1, **record):
    whose = rows.patient(at)
    for _ in range(times):
        rows.visit(whose, DAY, conditions=[*conditions])
    if record:
        rows.record(whose, DAY, **record)
    return whose


def codes(*texts, version=None):
    return {text: [one.code for one in found] for text, found in terms.codings("diagnosis", texts, version).items()}


def decide(by, key="coldness", coding=COLD):
    return decisions.decide(Kind.DIAGNOSIS, key, key.title(), coding, by=by, reason="as they say here")


# --- The pass


def test_the_words_of_events_are_counted_by_facility_and_ranked():
    kano = rows.facility(state="KANO", lga="Dala", lga_name="Dala")
    said("Malaria", "Coldness", times=3)
    said("Coldness", at=kano, diagnosis="Body heat", medications="Agbo; Paracetamol")
    counting.bring_up()
    found = [(word.kind, word.key, word.times) for word in ranking.ranked(NATION)]
    assert found == [("diagnosis", "coldness", 4), ("diagnosis", "body heat", 1), ("medication", "agbo", 1)]
    assert [word.times for word in ranking.ranked(Scope(states=frozenset({"KANO"})), "diagnosis")] == [1, 1]
    measured = {one.kind: (one.mapped, one.unmapped) for one in ranking.coverage()}
    assert measured == {"diagnosis": (3, 5), "medication": (0, 1)}


def test_a_second_pass_changes_nothing_and_forgets_what_no_event_bears():
    whose = said("Malaria", "Coldness")
    assert counting.bring_up() == 2
    before = [*TermText.objects.values()]
    assert counting.bring_up() == 0
    assert [*TermText.objects.values()] == before
    type(whose.triagevisits.get()).objects.update(deleted_at=rows.lagos(DAY))
    counting.bring_up()
    assert (TermText.objects.count(), TermCount.objects.count()) == (0, 0)


def test_events_of_a_patient_whose_processing_is_restricted_are_not_counted():
    whose = said("Coldness")
    type(whose).objects.update(restricted_at=rows.lagos(DAY))
    counting.bring_up()
    assert ranking.ranked(NATION) == []


# --- Decisions and versions


def test_a_decision_is_applied_backwards_and_every_version_stays(alice):
    said("Coldness", "Coldness and malaria")
    counting.bring_up()
    before = terms.current().version
    first = decide(alice)
    after = terms.current().version
    assert (codes("Coldness"), codes("coldness/malaria")) == (
        {"Coldness": ["J00"]},
        {"coldness/malaria": ["J00", "B54"]},
    )
    assert {text.text: text.state for text in TermText.objects.all()} == {
        "Coldness": "mapped",
        "Coldness and malaria": "mapped",
    }
    decisions.take_back(first, by=alice, reason="it was wrong")
    assert codes("Coldness") == {"Coldness": []}
    assert ranking.ranked(NATION)[0].key == "coldness"
    assert codes("Coldness", version=before) == {"Coldness": []}
    assert codes("Coldness", version=after) == {"Coldness": ["J00"]}
    assert after == f"1.{first.pk}"


def test_the_same_rows_and_version_give_the_same_codes(alice):
    said("Coldness", "Malaria", "No typhoid")
    decide(alice)
    decide(alice, "Malaria".lower(), None)
    counting.bring_up()
    texts = TermText.objects.values_list("text", "codings", "state", "version").order_by("text")
    first = [*texts]
    TermText.objects.all().delete()
    mapping._made.cache_clear()
    counting.bring_up()
    assert [*texts] == first
    assert [(text, state) for text, _, state, _ in first] == [
        ("Coldness", "mapped"),
        ("Malaria", "mapped"),
        ("No typhoid", "qualified"),
    ]


def test_the_last_decision_that_stands_holds(alice):
    decide(alice)
    second = decide(alice, coding=None)
    assert codes("coldness") == {"coldness": []}
    decisions.take_back(second, by=alice, reason="no")
    assert codes("coldness") == {"coldness": ["J00"]}
    with pytest.raises(decisions.NotPossible, match="already"):
        decisions.take_back(second, by=alice, reason="no")


def test_only_a_national_steward_decides_and_says_why(alice):
    state, clinician = Caller(("steward", {"state": "KANO"})).user, Caller(("clinician",)).user
    for by in (state, clinician):
        with pytest.raises(decisions.NotPossible, match="national steward"):
            decide(by)
    decide(Caller(("steward",)).user)
    with pytest.raises(decisions.NotPossible, match="why"):
        decisions.decide(Kind.DIAGNOSIS, "x", "X", None, by=alice, reason=" ")


@pytest.mark.parametrize(("code", "display"), [("b54", "x"), ("B54.123", "x"), ("malaria", "x"), ("D86.9", "")])
def test_a_code_is_on_the_map_or_named_in_full(code, display):
    with pytest.raises(decisions.NotPossible):
        decisions.coding_of(Kind.DIAGNOSIS, code, display)


def test_a_decision_is_never_changed_nor_removed(alice):
    one = decide(alice)
    for change in (lambda: TermDecision.objects.update(reason="x"), one.delete):
        with pytest.raises(IntegrityError, match="only added to"), transaction.atomic():
            change()


def test_no_version_is_made_up():
    for version in ("2.0", "1", "1.999999", "x.y"):
        with pytest.raises(mapping.NoSuchVersion):
            terms.of_version(version)


# --- The desk


def page_of(text):
    return f"/admin/clinical/termtext/{TermText.objects.get(text=text).pk}/change/"


def test_a_steward_decides_at_the_desk_and_takes_it_back(desk):
    said("Coldness")
    counting.bring_up()
    assert "Coldness" in desk.get("/admin/clinical/termtext/").content.decode()
    address = page_of("Coldness")
    desk.post(address, {"decide": "J00", "reason": "as they say here"})
    assert codes("coldness") == {"coldness": ["J00"]}
    page = desk.get(address).content.decode()
    assert "J00" in page
    assert "as they say here" in page
    desk.post(address, {"take_back": TermDecision.objects.get().pk, "why": "no"})
    assert codes("coldness") == {"coldness": []}
    assert {*AuditEvent.objects.filter(table="term_decisions").values_list("action", flat=True)} == {
        "decide_term",
        "take_back_term",
    }


def test_a_code_of_ones_own_is_given_at_the_desk(desk):
    said("Sarcoid")
    counting.bring_up()
    desk.post(page_of("Sarcoid"), {"decide": "", "code": "D86.9", "display": "Sarcoidosis, unspecified", "reason": "x"})
    assert codes("sarcoid") == {"sarcoid": ["D86.9"]}
    desk.post(page_of("Sarcoid"), {"decide": "none", "reason": "no diagnosis"})
    assert codes("sarcoid") == {"sarcoid": []}


def test_a_steward_of_a_state_sees_the_words_of_the_state_and_decides_nothing(settings, django_user_model):
    settings.REQUIRE_TOTP = False
    said("Coldness", at=rows.facility(state="KANO", lga="Dala", lga_name="Dala"))
    said("Body heat")
    counting.bring_up()
    steward = Caller(("steward", {"state": "KANO"}))
    django_user_model.objects.filter(pk=steward.user.pk).update(is_staff=True)
    page = steward.get("/admin/clinical/termtext/").content.decode()
    assert "Coldness" in page
    assert "Body heat" not in page
    assert steward.get(page_of("Body heat")).status_code == 404
    assert "A national steward says" in steward.get(page_of("Coldness")).content.decode()
    assert steward.client.post(page_of("Coldness"), {"decide": "J00", "reason": "x"}).status_code == 403


# --- The command


def test_the_command_ranks_proposes_and_measures(capsys):
    said("Tonsilitis", "Malaria", diagnosis="No typhoid")
    call_command("terms", "unmapped")
    assert capsys.readouterr().out.split() == ["1", "diagnosis", "tonsilitis"]
    call_command("terms", "proposals", "--json", "--as-counted")
    assert "J03.9 Acute tonsillitis" in capsys.readouterr().out
    call_command("terms", "measure")
    assert "diagnosis: 33.3 % of 3 are understood, 1 are not, 1 are suspected" in capsys.readouterr().out


@pytest.mark.parametrize(("mapped", "unmapped", "pct"), [(99_999, 1, 99.9), (5, 0, 100.0), (0, 3, 0.0), (0, 0, None)])
def test_all_is_understood_only_where_all_of_it_is(mapped, unmapped, pct):
    assert ranking.Coverage("diagnosis", mapped, 0, unmapped).mapped_pct == pct
