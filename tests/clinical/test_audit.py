import pytest
from django.test import Client

from clinical import audit
from clinical.models import Membership, User
from tests import rows
from tests.callers import Caller
from tests.rows import facility

pytestmark = pytest.mark.django_db


def test_an_auditor_finds_who_did_what_to_which_row():
    steward, auditor = Caller(("steward",)), Caller(("auditor",))
    clinics = [facility() for _ in range(2)]
    for clinic in clinics:
        steward.send("patch", f"/api/facilities/{clinic.pk}", {"type": "Hospital"})
    steward.send("delete", f"/api/facilities/{clinics[0].pk}")
    events = auditor.rows("/api/audit-events", {"table": "facilities"})
    assert [(event["action"], event["object_id"]) for event in events] == [
        ("update", clinics[0].pk),
        ("update", clinics[1].pk),
        ("delete", clinics[0].pk),
    ]
    assert events[0]["actor"] == steward.user.username
    assert events[0]["request_id"]
    for query, found in (
        ({"action": "delete"}, 1),
        ({"actor": steward.user.username, "table": "facilities"}, 3),
        ({"object_id": clinics[0].pk, "table": "facilities"}, 2),
        ({"at_before": "2001-01-01"}, 0),
    ):
        assert len(auditor.rows("/api/audit-events", query)) == found


def test_the_audit_takes_as_many_queries_however_long(django_assert_num_queries):
    steward, auditor = Caller(("steward",)), Caller(("auditor",))
    for _ in range(5):
        steward.send("delete", f"/api/facilities/{facility().pk}")
    with django_assert_num_queries(5):  # the last one notes that the audit was read
        assert len(auditor.rows("/api/audit-events", {"action": "delete"})) == 5


@pytest.mark.parametrize("role", ["steward", "clinician", "clerk", "analyst", "service"])
def test_nobody_else_reads_the_audit(role):
    assert Caller((role,)).get("/api/audit-events").status_code == 403


def test_an_auditor_of_a_state_is_told_that_the_audit_is_of_the_whole_country():
    auditor = Caller(("auditor", {"state": "KANO"}))
    for path in ("/api/audit-events", "/api/audit-events/1"):
        refused = auditor.get(path)
        assert refused.status_code == 403
        assert "whole country" in refused.json()["errors"][0]["detail"]


# --- At the desk


def page_of(user):
    client = Client()
    client.force_login(user)
    return client.get("/admin/clinical/auditevent/")


def staff(name, **scope):
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(user=user, **scope)
    return user


def test_superusers_and_national_auditors_read_who_did_what(alice):
    assert page_of(alice).status_code == 200
    assert page_of(staff("auditor", role="auditor")).status_code == 200
    for n, scope in enumerate(({"role": "auditor", "state": "KANO"}, {"role": "steward"})):
        assert page_of(staff(f"other-{n}", **scope)).status_code == 403


def test_a_line_names_who_and_what_and_links_to_the_row(desk, alice):
    patient = rows.patient()
    audit.note(alice, "update", "patients", patient.pk, fields=["phone", "sex"])
    audit.note(None, "purge", "idempotency_keys", rows=7)
    text = desk.get("/admin/clinical/auditevent/").content.decode()
    assert f'href="/admin/clinical/patient/{patient.pk}/change/">patient {patient.pk}</a>' in text
    assert "fields: phone, sex" in text
    assert "the system" in text
    listed = desk.get("/admin/clinical/auditevent/", {"action": "purge"}).context["cl"].result_list
    assert [line.details for line in listed] == [{"rows": 7}]
