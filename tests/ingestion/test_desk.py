"""The pages on which stewards act: causes, rules, taking a batch back."""

import pytest
from django.urls import reverse

from clinical.models import AuditEvent, Facility, User
from ingestion import queue
from ingestion.admin import rules
from ingestion.models import Cause, RejectedRow, Rule
from tests import scenes
from tests.deliveries import deliver, deliver_all, last_batch, night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kuje")]
PATIENTS = "facility_name,first_name,last_name,sex,dob,phone\n"
CAUSES = "admin:ingestion_cause_list"


def deliver_causes():
    deliver_all()
    rows = "".join(f"Kuje Gen. Hospital,Zainab,Umar{n},F,1990-01-01,\n" for n in range(3))
    deliver("patients-more-2026-11-20.csv", PATIENTS + rows + "Kuje General Hospital,A,B,woman,1990-01-01,\n")
    night()


@pytest.fixture(scope="module")
def kept_causes(django_db_setup, django_db_blocker):
    with scenes.delivered(django_db_blocker, deliver_causes) as bucket:
        yield bucket


@pytest.fixture
def kuje(kept_causes, bucket):
    scenes.copied(kept_causes, bucket)
    return Facility.objects.get(name="Kuje General Hospital")


def misspelt():
    """A row of the cause that has three (one statement stores the rows, so ids do not tell their order)."""
    return RejectedRow.objects.filter(reasons=["FACILITY_NOT_FOUND"], dataset="patients").earliest("id")


def first_cause():
    return reverse("admin:ingestion_cause", args=[f"{misspelt().pk}.0"])


def text(client, address, query=None):
    answer = client.get(address, query or {})
    assert answer.status_code == 200
    return answer.content.decode()


def told(answer):
    return [str(message) for message in answer.context["messages"]]


def test_causes_are_listed_with_what_a_decision_frees(desk, kuje):
    page = text(desk, reverse(CAUSES))
    assert page.index("Kuje Gen. Hospital") < page.index("woman")
    assert "The row names a facility" in page or "FACILITY_NOT_FOUND" in page


def test_no_persons_name_stands_in_an_address(desk, kuje):
    deliver(
        "triage_visits-x-2026-11-20.csv",
        "facility_name,patient_first_name,patient_last_name,triage_level,"
        "chief_complaint,vital_signs,conditions,recommendations\nIkeja Clinic,Secret,Person,3,,,,\n",
    )
    night()
    page = text(desk, reverse(CAUSES))
    assert "Secret Person" in page
    assert not any("ecret" in part.split('"')[0] for part in page.split('href="')[1:])


def test_a_cause_offers_facilities_of_a_like_name_and_the_rule_says_what_it_would_do(desk, kuje):
    page = text(desk, first_cause())
    assert f"facility={kuje.pk}" in page
    address = reverse("admin:ingestion_rule_add") + f"?about=facility&text=Kuje Gen. Hospital&facility={kuje.pk}"
    data = {"text": "Kuje Gen. Hospital", "facility": kuje.pk, "look": "yes"}
    answer = desk.post(address, data)
    assert (answer.context["preview"].waiting, answer.context["preview"].freed) == (3, 3)
    assert not Rule.objects.exists()
    answer = desk.post(address, data | {"save": "yes"}, follow=True)
    assert told(answer) == ["The rule is in force, and 3 rows have landed by it."]
    assert kuje.patients.count() == 5


def test_many_waiting_rows_are_tried_by_a_worker(desk, kuje, monkeypatch):
    sent = []
    monkeypatch.setattr(queue, "send", lambda *words: sent.append(words))
    monkeypatch.setattr(rules, "AT_ONCE", 2)
    data = {"text": "Kuje Gen. Hospital", "facility": kuje.pk, "save": "yes"}
    desk.post(reverse("admin:ingestion_rule_add") + "?about=facility", data)
    assert [words[0] for words in sent] == ["apply_rule"]


@pytest.mark.parametrize("about", Rule.About.values)
def test_the_form_asks_for_what_the_rule_is_about(desk, kuje, about):
    page = text(desk, reverse("admin:ingestion_rule_add"), {"about": about})
    assert ('name="facility"' in page) == (about == "facility")
    assert ('name="state"' in page) == (about != "state")


def test_a_rule_is_changed_ended_and_taken_back_from_its_page(desk, kuje, alice):
    desk.post(reverse("admin:ingestion_rule_add") + "?about=sex", {"text": "woman", "value": "F", "save": "yes"})
    old = Rule.objects.get()
    address = reverse("admin:ingestion_rule_add") + f"?replaces={old.pk}"
    desk.post(address, {"text": "woman", "value": "F", "state": "FCT", "save": "yes"})
    new = Rule.objects.get(ended_at=None)
    assert (new.version, new.state, new.decided_by) == (2, "FCT", alice)
    desk.post(reverse("admin:ingestion_rule_end", args=[new.pk]), {"reason": "Over."})
    desk.post(reverse("admin:ingestion_rule_take_back", args=[old.pk]), {"reason": "Wrong."})
    assert "taken back" in text(desk, reverse("admin:ingestion_rule_change", args=[old.pk]))
    assert [row.state for row in RejectedRow.objects.all() if row.raw.get("sex") == "woman"] == ["open"]
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"rule", "end", "take_back"} <= actions


def test_a_cause_is_taken_on_commented_corrected_and_dismissed(desk, kuje, alice):
    address = first_cause()
    desk.post(address, {"what": "take"})
    desk.post(address, {"what": "comment", "text": "Asked the hospital."})
    cause = Cause.objects.get()
    assert (cause.assigned_to, cause.comments.get().text) == (alice, "Asked the hospital.")
    assert "Asked the hospital." in text(desk, address)
    answer = desk.post(address, {"what": "correct", "column": "facility_name", "cell": "Ikeja Clinic"}, follow=True)
    assert "3 landed, 0 are still refused." in told(answer)
    row = RejectedRow.objects.get(state="open")
    address = reverse("admin:ingestion_cause", args=[f"{row.pk}.0"])
    answer = desk.post(address, {"what": "dismiss", "reason": "Test data."}, follow=True)
    assert "1 dismissed." in told(answer)


def test_all_rows_of_a_cause_can_be_chosen_in_the_list(desk, kuje):
    row = misspelt()
    page = desk.get(reverse("admin:ingestion_rejectedrow_changelist"), {"cause": f"{row.pk}.0"})
    assert page.context["cl"].result_count == 3
    for nonsense in ("x", f"{row.pk}.9", "999999999999999999999.0"):
        page = desk.get(reverse("admin:ingestion_rejectedrow_changelist"), {"cause": nonsense})
        assert page.context["cl"].result_count == 0


def test_what_is_out_of_scope_is_not_there(client, kuje):
    kano = User.objects.create_user("kano", is_staff=True)
    kano.memberships.create(role="steward", state="KANO")
    client.force_login(kano)
    assert "Kuje" not in text(client, reverse(CAUSES))
    assert client.get(first_cause()).status_code == 404


# --- Taking a batch back


def test_a_batch_is_taken_back_after_a_look_at_what_that_does(desk, kuje, alice):
    batch = last_batch("triage_visits")
    address = reverse("admin:ingestion_batch_revert", args=[batch.pk])
    assert address in text(desk, reverse("admin:ingestion_ingestbatch_change", args=[batch.pk]))
    assert "rows that it brought go" in text(desk, address)
    answer = desk.post(address, {"reason": "A wrong export."}, follow=True)
    assert told(answer) == ["Taken back: 2 rows are gone, 0 are as before."]
    batch.refresh_from_db()
    assert (batch.reverted_by, batch.reverted_why) == (alice, "A wrong export.")
    assert desk.get(address, follow=True).redirect_chain


def test_what_stands_against_it_is_listed(desk, kuje):
    first = last_batch("facilities")
    page = text(desk, reverse("admin:ingestion_batch_revert", args=[first.pk]))
    assert "has 2 patients of other files" in page
    assert 'name="reason"' not in page
