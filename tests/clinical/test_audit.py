import pytest

from tests.callers import Caller
from tests.rows import facility

pytestmark = pytest.mark.django_db


def test_an_auditor_finds_who_did_what_to_which_row():
    steward, auditor = Caller(("steward",)), Caller(("auditor",))
    clinics = [facility() for _ in range(2)]
    for clinic in clinics:
        steward.send("patch", f"/api/facilities/{clinic.pk}", {"type": "Hospital"})
    steward.send("delete", f"/api/facilities/{clinics[0].pk}")
    events = auditor.rows("/api/audit-events")
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
        ({"object_id": clinics[0].pk}, 2),
        ({"at_before": "2001-01-01"}, 0),
    ):
        assert len(auditor.rows("/api/audit-events", query)) == found


def test_the_audit_takes_as_many_queries_however_long(django_assert_num_queries):
    steward, auditor = Caller(("steward",)), Caller(("auditor",))
    for _ in range(5):
        steward.send("delete", f"/api/facilities/{facility().pk}")
    with django_assert_num_queries(4):
        assert len(auditor.rows("/api/audit-events")) == 5


@pytest.mark.parametrize("role", ["steward", "clinician", "clerk", "analyst", "service"])
def test_nobody_else_reads_the_audit(role):
    assert Caller((role,)).get("/api/audit-events").status_code == 403


def test_an_auditor_of_a_state_sees_no_events_of_others():
    Caller(("steward",)).send("delete", f"/api/facilities/{facility().pk}")
    assert Caller(("auditor", {"state": "KANO"})).rows("/api/audit-events") == []
