import threading
from datetime import UTC, datetime
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from clinical.models import Facility, Membership, Patient, User
from ingestion import queue
from ingestion.load.context import LOCKS_DATASET
from ingestion.models import IngestRun, RejectedRow, Sighting, Source
from tests.ingestion import factories

pytestmark = pytest.mark.django_db
SCRIPT = "<script>alert('x')</script>"
AT = datetime(2026, 11, 22, 2, tzinfo=UTC)


@pytest.fixture
def facility():
    return Facility.objects.create(name="Ajeromi General Hospital", state="LAGOS", lga="Ajeromi-Ifelodun")


def loaded(**kwargs):
    counts = {"rows_read": 9, "inserted": 4, "updated": 1, "unchanged": 2, "collapsed": 1, "rejected": 1}
    return factories.batch(status="archived", started_at=AT, finished_at=AT, attempts=1, **counts | kwargs)


def refused(batch=None, **kwargs):
    raw = {"facility_name": "Ajeromi General Hospital", "first_name": "Adaeze", "last_name": "Okafor", "sex": "F"}
    values = {"raw": raw | {"dob": "01/05/1990", "phone": ""}, "reasons": ["DATE_AMBIGUOUS:dob"]}
    values |= {"dataset": "patients", "source": "*/patients.csv", "line": 14, "ordinal": next(factories.NUMBERS)}
    return RejectedRow.objects.create(batch=batch or loaded(), **values | kwargs)


def page(model, name="changelist", *args):
    return reverse(f"admin:ingestion_{model}_{name}", args=args)


def text(desk, address, query=None):
    response = desk.get(address, query or {})
    assert response.status_code == 200
    return response.content.decode()


def decide(desk, rows, action, **answer):
    """The action of the list on these rows, with its questions answered."""
    data = {"action": action, "_selected_action": [row.pk for row in rows], "index": "0", "select_across": "0"}
    response = desk.post(page(rows[0]._meta.model_name), data | answer, follow=True)
    for row in rows:
        row.refresh_from_db()
    return response.content.decode()


def test_each_list_and_one_page_open_for_a_superuser(desk, facility):
    batch = loaded(run=IngestRun.objects.create(kind="manual"))
    pages = {
        "ingestbatch": batch,
        "ingestrun": batch.run,
        "rejectedrow": refused(batch),
        "auditlog": batch,
        "sighting": Sighting.objects.create(batch=batch, columns=3, ids=[1, 2]),
        "source": Source.objects.create(source="kano/triage_visits-*.csv", delivers="append"),
    }
    for model, row in pages.items():
        assert "Stewards' desk" in unescape(text(desk, page(model)))
        assert str(row.pk) in text(desk, page(model, "change", row.pk))


def test_the_schedule_opens_under_the_same_look(desk):
    crontab = CrontabSchedule.objects.create(hour="2", minute="0", timezone="UTC")
    PeriodicTask.objects.create(name="a night", task="ingestion.tasks.nightly", crontab=crontab)
    interval = IntervalSchedule.objects.create(every=5, period="minutes")
    for row in (PeriodicTask.objects.get(name="a night"), crontab, interval):
        name = f"admin:django_celery_beat_{row._meta.model_name}"
        text(desk, reverse(f"{name}_changelist"))
        assert "unfold" in text(desk, reverse(f"{name}_change", args=[row.pk]))


def test_the_front_page_counts_what_waits_for_a_steward(desk):
    batch = factories.batch(status="held", reasons=["ROW_ERROR_RATIO"])
    refused(batch)
    groups = desk.get(reverse("admin:index")).context["sidebar_navigation"]
    badges = {entry["title"]: entry.get("badge") for entry in groups[0]["items"]}
    assert badges["Batches"] == "1"
    assert badges["Refused rows"] == "1"


def test_the_navigation_names_only_what_its_reader_may_see(client):
    client.force_login(User.objects.create_user("carol", password="not-a-secret-of-anybody", is_staff=True))
    groups = client.get(reverse("admin:index")).context["sidebar_navigation"]
    assert not any(group["items"] for group in groups)


@pytest.mark.parametrize("model", ["ingestbatch", "rejectedrow", "ingestrun", "sighting"])
def test_a_list_takes_as_many_queries_for_thirty_rows_as_for_one(desk, alice, django_assert_max_num_queries, model):
    for number in range(30):
        batch = loaded(run=IngestRun.objects.create(kind="manual", requested_by=alice), dataset="patients")
        refused(batch, line=number)
        Sighting.objects.create(batch=batch, columns=3, ids=[1, 2])
    with django_assert_max_num_queries(10):  # the last one notes who has seen it
        assert desk.get(page(model)).status_code == 200


@pytest.mark.parametrize("model", ["ingestbatch", "rejectedrow", "ingestrun"])
def test_what_was_delivered_can_be_neither_added_nor_deleted(desk, model):
    row = refused()
    rows = {"ingestbatch": row.batch, "rejectedrow": row, "ingestrun": IngestRun.objects.create(kind="manual")}
    assert desk.get(page(model, "add")).status_code == 403
    assert desk.post(page(model, "delete", rows[model].pk), {"post": "yes"}).status_code == 403


# --- Batches


def test_the_list_of_batches_tells_counts_and_reasons_in_words(desk):
    loaded()
    factories.batch(status="held", reasons=["ROW_ERROR_RATIO"])
    shown = text(desk, page("ingestbatch"))
    assert "More than a tenth of the rows would be refused" in shown
    assert '<span class="desk-count">9</span>' in shown


def test_batches_are_found_by_the_code_of_a_reason(desk):
    factories.batch(status="rejected", reasons=["HEADER_MISSING_COLUMN:lga"])
    factories.batch(status="rejected", reasons=["HEADER_MISSING"])
    changelist = desk.get(page("ingestbatch"), {"reason": "HEADER_MISSING"}).context["cl"]
    assert [batch.reasons for batch in changelist.result_list] == [["HEADER_MISSING"]]


def test_the_page_of_a_batch_tells_what_happened(desk):
    first = loaded()
    batch = loaded(parent=first, duplicate_of=first, warnings={"PHONE_INVALID:phone": 3}, blank=2)
    refused(batch)
    shown = text(desk, page("ingestbatch", "change", batch.pk))
    assert "replay of batch" in shown
    assert "1 refused row first seen in this file" in shown
    assert "PHONE_INVALID · phone" in shown
    assert "2 blank lines skipped" in shown


def test_the_evidence_of_a_hold_is_told_in_words(desk):
    first = loaded()
    same = factories.batch(
        status="held",
        reasons=["SAME_CONTENT_NEW_DATE"],
        evidence={"same_content_as_batch": first.pk, "of": "2026-11-21"},
    )
    evidence = {"rows_read": 90, "refused_for_own_content": 30, "reasons": {"ENUM:sex": 30}, "first_lines": [2, 5]}
    ratio = factories.batch(status="held", reasons=["ROW_ERROR_RATIO"], evidence=evidence | {"overlap_pct": 0.0})
    assert "delivered for 2026-11-21" in text(desk, page("ingestbatch", "change", same.pk))
    shown = text(desk, page("ingestbatch", "change", ratio.pk))
    assert "Of 90 rows, 30 would be refused" in shown
    assert "First lines: 2, 5" in shown


def test_a_release_asks_how_and_carries_the_answer_out(desk, alice):
    batch = factories.batch(status="held", reasons=["OVERLAP_SUSPECT"], dataset="triage_visits", source="kano/visits")
    assert "as a snapshot" in decide(desk, [batch], "release")
    assert batch.status == "held"
    decide(desk, [batch], "release", decided="yes", release_as="snapshot", remember="on")
    assert (batch.status, batch.release_as, batch.settled_by) == ("discovered", "snapshot", alice)
    assert Source.objects.get().delivers == "snapshot"


def test_a_hold_of_patients_cannot_be_released_as_events(desk):
    batch = factories.batch(status="held", reasons=["ROW_ERROR_RATIO"], dataset="patients")
    form = desk.get(page("ingestbatch", "change", batch.pk)).context["release_form"]
    assert [answer for answer, _ in form.fields["release_as"].choices] == ["loaded"]
    assert "they are no events" in decide(desk, [batch], "release", decided="yes", release_as="snapshot")
    assert batch.status == "held"


def test_a_decision_taken_on_the_page_of_a_batch_leads_back_to_it(desk):
    batch = factories.batch(status="failed", reasons=["ATTEMPTS_EXHAUSTED"])
    data = {"action": "retry", "_selected_action": [batch.pk], "index": "0", "select_across": "0", "from_page": "yes"}
    response = desk.post(page("ingestbatch"), data)
    assert response.url == page("ingestbatch", "change", batch.pk)
    batch.refresh_from_db()
    assert batch.status == "discovered"


def test_a_discard_asks_why(desk):
    batch = factories.batch(status="rejected", reasons=["EMPTY_FILE"])
    assert "Kept with the decision" in decide(desk, [batch], "discard", decided="yes", reason=" ")
    assert batch.status == "rejected"
    decide(desk, [batch], "discard", decided="yes", reason="The sender delivers anew.")
    assert (batch.status, batch.settled_why) == ("discarded", "The sender delivers anew.")


def test_what_the_state_does_not_allow_is_told_and_the_others_go_on(desk):
    done, failed = loaded(), factories.batch(status="failed")
    shown = decide(desk, [done, failed], "retry")
    assert "only rejected and failed batches can be retried" in shown
    assert (done.status, failed.status) == ("archived", "discovered")


def test_a_steward_without_the_right_to_change_cannot_decide(client):
    reader = User.objects.create_user("carol", password="not-a-secret-of-anybody", is_staff=True)
    reader.user_permissions.add(*permissions("view_ingestbatch", "view_rejectedrow"))
    Membership.objects.create(user=reader, role="auditor")
    client.force_login(reader)
    batch = factories.batch(status="failed")
    row = refused(batch)
    decide(client, [batch], "retry")
    assert batch.status == "failed"
    assert "Save and replay" not in text(client, page("rejectedrow", "change", row.pk))
    assert client.post(page("rejectedrow", "change", row.pk), {"cell-dob": "1990-05-01"}).status_code == 403


def permissions(*names):
    return Permission.objects.filter(codename__in=names)


# --- Refused rows


def test_the_page_of_a_refused_row_shows_its_cells_and_what_to_do(desk):
    row = refused()
    shown = text(desk, page("rejectedrow", "change", row.pk))
    assert "01/05/1990" in shown
    assert "DATE_AMBIGUOUS · dob" in shown
    assert "Write it as YYYY-MM-DD and replay" in shown
    cells = {cell["column"]: cell for cell in desk.get(page("rejectedrow", "change", row.pk)).context["cells"]}
    assert [column for column, cell in cells.items() if cell["is_suspect"]] == ["dob"]


def test_cells_and_headers_are_escaped_wherever_they_are_shown(desk):
    raw = {"first_name": SCRIPT, SCRIPT: SCRIPT, "": [SCRIPT, "</textarea>" + SCRIPT]}
    batch = loaded(object_key=f"medical_records/input/{SCRIPT}.csv", reasons=[f"HEADER_DUPLICATE_COLUMN:{SCRIPT}"])
    row = refused(batch, raw=raw, reasons=["FIELD_COUNT", f"LENGTH:{SCRIPT}"], corrections={"last_name": SCRIPT})
    addresses = [page(model) for model in ("ingestbatch", "rejectedrow")]
    addresses += [page("rejectedrow", "change", row.pk), page("ingestbatch", "change", batch.pk)]
    for address in addresses:
        shown = text(desk, address)
        assert "<script>alert(" not in shown
        assert "&lt;script&gt;alert(" in shown


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"reason": "DATE_AMBIGUOUS"}, 1),
        ({"reason": "LENGTH"}, 0),
        ({"reason": "no such code"}, 1),
        ({"state__exact": "dismissed"}, 0),
        ({"dataset__exact": "patients"}, 1),
    ],
)
def test_refused_rows_are_filtered(desk, query, found):
    refused()
    assert desk.get(page("rejectedrow"), query).context["cl"].result_count == found


def posted(row, desk, **typed):
    """The form as a browser sends it: with line ends of its own."""
    form = desk.get(page("rejectedrow", "change", row.pk)).context["cells"]
    shown = {cell["field"].html_name: str(cell["field"].value()).replace("\n", "\r\n") for cell in form}
    return shown | {f"cell-{column}": cell for column, cell in typed.items()}


def test_a_correction_is_saved_beside_the_raw_cells(desk, alice):
    row = refused()
    before = row.raw
    data = posted(row, desk, dob="1990-05-01")
    assert "Saved" in desk.post(page("rejectedrow", "change", row.pk), data, follow=True).content.decode()
    row.refresh_from_db()
    assert (row.raw, row.corrections, row.state) == (before, {"dob": "1990-05-01"}, "open")


def test_a_cell_of_several_lines_that_nobody_touched_is_no_correction(desk):
    row = refused(raw={"first_name": "\nAdaeze\nNgozi", "dob": "01/05/1990"})
    desk.post(page("rejectedrow", "change", row.pk), posted(row, desk))
    row.refresh_from_db()
    assert row.corrections == {}


def test_a_corrected_row_lands_and_is_linked_with_what_it_became(desk, facility):
    row = refused()
    data = posted(row, desk, dob="1990-05-01") | {"replay": "yes"}
    shown = desk.post(page("rejectedrow", "change", row.pk), data, follow=True).content.decode()
    patient = Patient.objects.get()
    assert "It has landed" in shown
    assert reverse("admin:clinical_patient_change", args=[patient.pk]) in shown
    row.refresh_from_db()
    assert (row.state, row.became_id) == ("replayed", patient.pk)


def test_a_row_that_is_still_wrong_says_why(desk, facility):
    row = refused()
    data = posted(row, desk, dob="30/02/1990") | {"replay": "yes"}
    shown = desk.post(page("rejectedrow", "change", row.pk), data, follow=True).content.decode()
    assert "Still refused" in shown
    row.refresh_from_db()
    assert row.state == "open"


def test_a_row_that_somebody_has_settled_meanwhile_is_left_alone(desk):
    row = refused()
    data = posted(row, desk, dob="1990-05-01")
    RejectedRow.objects.filter(pk=row.pk).update(state="dismissed", settled_at=AT)
    shown = desk.post(page("rejectedrow", "change", row.pk), data, follow=True).content.decode()
    assert "settled already" in shown


def test_the_facilities_and_patients_that_may_be_meant_are_offered(desk, facility):
    facility.refresh_from_db()
    person = Patient.objects.create(facility=facility, first_name="Ada", last_name="Okafor", dob="1990-05-01")
    person.refresh_from_db()
    row = refused(
        dataset="triage_visits",
        reasons=["FACILITY_AMBIGUOUS", "PATIENT_NOT_FOUND"],
        facility=facility,
        raw={"facility_name": facility.name.upper(), "patient_last_name": " okafor"},
    )
    context = desk.get(page("rejectedrow", "change", row.pk)).context
    assert [*context["facilities"]] == [facility]
    assert [*context["patients"]] == [person]


def test_dismissing_asks_why_and_keeps_the_answer(desk, alice):
    rows = [refused(), refused(line=15)]
    assert "so that they never load" in decide(desk, rows, "dismiss")
    decide(desk, rows, "dismiss", decided="yes", reason="Test rows of the sender.")
    assert {(row.state, row.settled_why, row.settled_by) for row in rows} == {
        ("dismissed", "Test rows of the sender.", alice)
    }


def test_one_correction_serves_many_rows(desk, facility):
    rows = [
        refused(line=line, raw={**refused_cells(), "first_name": name}) for line, name in ((14, "Ada"), (15, "Obi"))
    ]
    shown = decide(desk, rows, "correct", decided="yes", column="dob", cell="1990-05-01")
    assert "2 landed, 0 are still refused" in shown
    assert {row.state for row in rows} == {"replayed"}


def refused_cells():
    return {"facility_name": "Ajeromi General Hospital", "last_name": "Okafor", "sex": "F", "dob": "1/5/1990"}


def test_a_selection_is_replayed(desk, facility):
    row = refused(raw={**refused_cells(), "first_name": "Ada", "dob": "1990-05-01"}, reasons=["FACILITY_NOT_FOUND"])
    assert "1 landed" in decide(desk, [row], "replay")
    assert row.state == "replayed"


@pytest.mark.django_db(transaction=True)
def test_a_row_that_has_to_wait_for_a_load_is_tried_by_a_worker(client, monkeypatch):
    sent = []
    monkeypatch.setattr(queue, "send", lambda *words: sent.append(words))
    client.force_login(User.objects.create_superuser("alice", password="not-a-secret-of-anybody"))
    row = refused(reasons=["FACILITY_NOT_FOUND"])
    locked, over = threading.Event(), threading.Event()

    def load():
        """Another session, as that of a load that speaks of every facility."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, 0)", [LOCKS_DATASET + 1])
            locked.set()
            over.wait()
        connection.close()

    other = threading.Thread(target=load)
    other.start()
    locked.wait()
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '100ms'")
    try:
        said = unescape(decide(client, [row], "replay"))
    finally:
        over.set()
        other.join()
        connection.close()
    assert "tried when it is done" in said
    assert sent == [("replay_rows", [row.pk], User.objects.get().pk)]
    assert row.state == RejectedRow.State.OPEN


def test_a_run_says_what_it_is_at_work_on(desk):
    run = IngestRun.objects.create(kind="nightly", status="running", at_stage=1, at_day=AT.date())
    assert "patients of 2026-11-22" in text(desk, page("ingestrun", "change", run.pk))


def test_a_run_tells_of_its_files_and_why_it_broke_off(desk):
    run = IngestRun.objects.create(kind="manual", status="broken_off", keys=["in/a.csv"], error="The bucket was away.")
    archived = loaded(run=run)
    held = factories.batch(run=run, status="held", reasons=["OVERLAP_SUSPECT"])
    shown = text(desk, page("ingestrun", "change", run.pk))
    assert "It broke off: The bucket was away." in shown
    assert "Asked to load in/a.csv." in shown
    assert "OVERLAP_SUSPECT" in shown
    assert shown.index(page("ingestbatch", "change", held.pk)) < shown.index(page("ingestbatch", "change", archived.pk))


def test_a_run_tells_a_steward_of_a_state_of_that_states_files(client):
    steward = User.objects.create_user("kano", is_staff=True)
    Membership.objects.create(user=steward, role="steward", state="KANO")
    client.force_login(steward)
    run = IngestRun.objects.create(kind="nightly", status="done")
    mine, other = (loaded(run=run, folder=folder) for folder in ("kano", "lagos"))
    shown = text(client, page("ingestrun", "change", run.pk))
    assert mine.object_key.removeprefix("medical_records/input/") in shown
    assert other.object_key.removeprefix("medical_records/input/") not in shown
