"""Nothing of the audit can be changed, and where somebody could after all, it is found out."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction

from clinical import audit
from clinical.audit import partitions, seals, verifying
from clinical.models import AuditEvent, AuditSeal, Patient, Revision
from tests import rows
from tests.sealing import seal_all

pytestmark = pytest.mark.django_db(transaction=True)


def run(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        return cursor.fetchall() if cursor.description else None


def as_the_machines_owner(sql, *params):
    with rows.past_all_triggers():
        run(sql, *params)


def wrong(head=""):
    return [str(one) for one in verifying.verify(head).wrong]


@pytest.fixture
def sealed():
    """Ten lines under two seals; the ids of the second five."""
    for _ in range(5):
        audit.note(None, "test", "patients", 1)
    seal_all()
    ids = [audit.note(None, "test", "patients", 1).pk for _ in range(5)]
    seal_all()
    return ids


def test_what_was_committed_is_sealed_once(sealed):
    assert sum(AuditSeal.objects.filter(table="audit_events").values_list("rows", flat=True)) == 10
    assert seals.seal() == 0
    assert wrong() == []


def test_the_changes_of_rows_are_sealed_too():
    someone = rows.patient()
    Patient.objects.update(first_name="Changed")
    seal_all()
    assert AuditSeal.objects.filter(table="revisions").exists()
    as_the_machines_owner("""UPDATE revisions SET was = '{"first_name": "Another"}' WHERE object_id = %s""", someone.pk)
    assert any("revisions" in one and "were changed" in one for one in wrong())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE audit_events SET actor_id = 7 WHERE id = %s", "lines were changed, among"),
        ("UPDATE audit_events SET patient_ids = NULL WHERE id = %s", "lines were changed, among"),
        ("DELETE FROM audit_events WHERE id = %s", "lines are missing: {[{id},"),
        (
            "INSERT INTO audit_events (action, \"table\", xid) SELECT 'x', 'y', xid FROM audit_events WHERE id = %s",
            "lines were put among sealed ones:",
        ),
        (
            "INSERT INTO audit_events (action, \"table\", xid) SELECT 'x', 'y', 2^60 + %s",
            "lines of transactions that have not been yet",
        ),
    ],
)
def test_what_is_changed_missing_or_put_in_is_found(sealed, damage, said):
    as_the_machines_owner(damage, sealed[2])
    found = wrong()
    assert len(found) == 1
    assert said.replace("{id}", str(sealed[2])) in found[0]


def test_a_seal_that_is_changed_or_missing_breaks_the_chain(sealed):
    head = seals.head()
    first = AuditSeal.objects.earliest("id").pk
    as_the_machines_owner("UPDATE audit_seals SET rows = rows + 1 WHERE id = %s", first)
    assert any("the seal itself was changed" in one for one in wrong())
    as_the_machines_owner("UPDATE audit_seals SET rows = rows - 1 WHERE id = %s", first)
    assert wrong(head) == []
    as_the_machines_owner("DELETE FROM audit_seals WHERE id = %s", first)
    assert any("does not follow the seal before it" in one for one in wrong())


def test_an_audit_that_is_sealed_anew_from_its_beginning_does_not_have_the_head_that_was_exported(sealed):
    head = seals.head()
    as_the_machines_owner("DELETE FROM audit_events WHERE id = %s", sealed[0])
    as_the_machines_owner("DELETE FROM audit_seals")
    seal_all()
    assert wrong() == []
    assert "the head that was exported is not in the chain" in wrong(head)[0]


def test_a_line_that_commits_late_is_sealed_later_and_not_taken_for_one_put_in():
    other = connections.create_connection("default")
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("INSERT INTO audit_events (action, \"table\") VALUES ('late', 'x') RETURNING id")
            (late,) = cursor.fetchone()
        early = audit.note(None, "early", "x").pk
        assert seals.seal() == 0  # the other one began before it
        other.commit()
        assert seal_all() == 2
        assert late < early
        assert wrong() == []
    finally:
        other.close()


def test_a_database_restored_into_another_cluster_goes_on_and_holds(sealed):
    """There transactions are counted from the beginning again, and other lines bear the numbers of sealed ones."""
    audit.note(None, "not sealed", "patients")
    run("SELECT pg_current_xact_id()")
    as_the_machines_owner("UPDATE audit_events SET xid = xid + 1000000000")
    as_the_machines_owner("DELETE FROM audit_seals")
    connection_xid = 10**9 + int(run("SELECT pg_current_xact_id()::text::bigint")[0][0])
    era = seals.Era(0, seals.NEVER, 0, 0, 1, False)
    with transaction.atomic():
        seals.read_alike()
        assert seals._keep("audit_events", era, connection_xid) == 11
    audit.note(None, "here", "patients")
    assert seal_all() == 1
    audit.note(None, "here again", "patients")
    assert seal_all() == 1
    assert wrong() == []
    as_the_machines_owner("DELETE FROM audit_events WHERE id = %s", sealed[0])
    assert len(wrong()) == 1


@pytest.mark.parametrize("table", ["audit_events", "audit_seals", "revisions"])
@pytest.mark.parametrize("sql", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
def test_its_owner_is_refused_too(sealed, table, sql):
    Patient.objects.filter(pk=rows.patient().pk).update(first_name="Changed")
    with pytest.raises(DatabaseError, match="only ever added to"):
        run(sql.format(table))


def test_a_partition_cannot_be_emptied_either():
    for name, _ in partitions.months():
        with pytest.raises(DatabaseError, match="only ever added to"):
            run(f"TRUNCATE {name}")


def test_what_a_change_says_of_a_person_can_be_erased_and_the_seals_hold():
    someone = rows.patient()
    Patient.objects.update(first_name="Changed")
    seal_all()
    assert audit.erase(Revision.objects.filter(table="patients", object_id=someone.pk)) == 1
    left = Revision.objects.get(table="patients", object_id=someone.pk)
    assert (left.was.keys(), left.salt) == ({"erased"}, None)
    assert wrong() == []


# --- Months


def test_lines_of_a_month_that_was_not_made_are_kept_and_move_over(sealed):
    long_ago = datetime(2021, 3, 31, 23, 30, tzinfo=UTC)
    line = AuditEvent.objects.create(at=long_ago, action="old", table="x")
    seal_all()
    assert partitions.make_ahead() == 1
    assert run("SELECT tableoid::regclass::text FROM audit_events WHERE id = %s", line.pk) == [
        ("audit_events_2021_03",)
    ]
    assert wrong() == []


def test_a_month_that_is_over_gets_the_index_by_which_patients_are_found(sealed):
    AuditEvent.objects.create(at=datetime(2021, 3, 31, tzinfo=UTC), action="old", table="x", patient_ids=[4, 5])
    partitions.make_ahead()
    assert partitions.index_closed() == ["audit_events_2021_03"]
    assert partitions.index_closed() == []
    assert AuditEvent.objects.get(patient_ids__contains=[5]).action == "old"


def test_a_month_older_than_six_years_is_dropped_and_that_is_a_line(sealed):
    today = datetime.now(UTC).date()
    old = datetime(today.year - 6, today.month, 1, tzinfo=UTC) - timedelta(days=3)
    AuditEvent.objects.create(at=old, action="old", table="x")
    partitions.make_ahead()
    seal_all()
    dropped = partitions.drop_expired()
    assert dropped == [f"audit_events_{old:%Y_%m}"]
    assert AuditEvent.objects.get(action="drop").details["rows"] == 1
    assert wrong() == []
    assert partitions.drop_expired() == []


# --- The command


def ended(*words):
    out = io.StringIO()
    try:
        call_command("audit", *words, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_command_seals_and_verifies(sealed):
    assert ended("seal")[0] == 0
    code, text = ended("verify", "--head", seals.head())
    assert (code, "nothing wrong" in text) == (0, True)
    as_the_machines_owner("DELETE FROM audit_events WHERE id = %s", sealed[0])
    code, text = ended("verify")
    assert code == 1
    assert f"lines are missing: {{[{sealed[0]},{sealed[1]})}}" in text
    assert ended("months")[0] == 0
