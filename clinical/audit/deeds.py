"""Who does what: one line for each deed, in its transaction, and the rows' changes tied to it by triggers (0006)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from clinical import requests
from clinical.access import Role
from clinical.models import AuditEvent, MedicalRecord, Revision, TriageVisit, User

LONGEST = "10min"
UNDOING = "0"  # in place of a batch's id: triggers take what is put back neither for a person's edit nor for a load's
SUPERUSER = "superuser"
# What a role reads and writes for, where the caller does not say; the first of them that one holds.
PURPOSES = {
    Role.CLINICIAN: AuditEvent.Purpose.TREATMENT,
    Role.CLERK: AuditEvent.Purpose.TREATMENT,
    Role.STEWARD: AuditEvent.Purpose.OPERATIONS,
    Role.SERVICE: AuditEvent.Purpose.OPERATIONS,
    Role.ANALYST: AuditEvent.Purpose.RESEARCH,
    Role.AUDITOR: AuditEvent.Purpose.AUDIT,
}
EVENTS = {model._meta.db_table: model for model in (MedicalRecord, TriageVisit)}

ERASE = """
UPDATE revisions SET
    was = CASE WHEN was IS NOT NULL THEN jsonb_build_object('erased', digest_of_content(was, salt)) END,
    became = CASE WHEN became IS NOT NULL THEN jsonb_build_object('erased', digest_of_content(became, salt)) END,
    salt = NULL
WHERE salt IS NOT NULL AND id IN ({chosen})
"""


def note(
    by: User | None,
    action: str,
    table: str,
    object_id: int | None = None,
    *,
    outcome: str = AuditEvent.Outcome.OK,
    patient_ids: Sequence[int] | None = None,
    batch_id: int | None = None,
    rows: int | None = None,
    **details: Any,
) -> AuditEvent:
    """A line of the audit. `details` name columns and reasons, never a person's values."""
    asked = requests.asked.get() or requests.Asked()
    asked.has_deed = True
    if patient_ids is None and object_id is not None:
        patient_ids = patients_at(table, object_id, details)
    return AuditEvent.objects.create(
        actor=by,
        roles=roles_of(by),
        action=action,
        outcome=outcome,
        purpose=purpose_of(by, asked.purpose),
        table=table,
        object_id=object_id,
        patient_ids=patient_ids and sorted(set(patient_ids)),
        batch_id=object_id if batch_id is None and table == "ingest_batches" else batch_id,
        rows=rows,
        route=asked.route,
        request_id=requests.request_id.get(),
        address=asked.address,
        details=details | ({"rows": rows} if rows is not None else {}),
    )


def note_file(
    table: str, command: str, *, rows: int, patient_ids: Sequence[int] | None = None, **details: Any
) -> AuditEvent:
    """Rows that a command wrote into a file. Who sat at the machine is not known here; what it was is."""
    return note(None, "export", table, rows=rows, patient_ids=patient_ids, command=command, **details)


def patients_at(
    table: str, object_id: int | None, details: Mapping[str, Any] = MappingProxyType({})
) -> list[int] | None:
    """Of whom the row is that has this id."""
    if table == "patients" and object_id is not None:
        return [object_id, *(details[name] for name in ("merged_id", "other_id") if name in details)]
    if table in EVENTS and object_id is not None:
        return [*EVENTS[table]._base_manager.filter(pk=object_id).values_list("patient_id", flat=True)]
    return None


def roles_of(user: User | None) -> list[str]:
    if user is None or user.pk is None:
        return []
    return [SUPERUSER] if user.is_superuser else sorted(user.access.roles)


def purpose_of(user: User | None, said: str = "") -> str:
    """What the caller has said, or what the caller's role is for."""
    if said or user is None or user.pk is None:
        return said
    return next((purpose for role, purpose in PURPOSES.items() if role in user.access.roles), "")


@contextmanager
def acting(
    by: User | None, action: str, table: str, object_id: int | None = None, **details: Any
) -> Iterator[AuditEvent]:
    """A transaction in which every change of a row is tied to this line of the audit."""
    with transaction.atomic():
        event = note(by, action, table, object_id, **details)
        with under(event):
            yield event


@contextmanager
def under(event: AuditEvent | None) -> Iterator[None]:
    """Inside a transaction: what is changed is part of this deed."""
    before = set_local("medilink.event", str(event.pk) if event else "")
    yield
    set_local("medilink.event", before)


@contextmanager
def putting_back() -> Iterator[None]:
    """What is written inside is as it was before: no person has set it, and no identity is left behind."""
    before = set_local("medilink.batch", UNDOING)
    yield
    set_local("medilink.batch", before)


@contextmanager
def unhurried() -> Iterator[None]:
    """Inside a transaction: what moves hundreds of thousands of rows may take longer than a page usually does."""
    before = set_local("statement_timeout", LONGEST)
    yield
    set_local("statement_timeout", before)


def erase(revisions: "QuerySet[Revision]") -> int:
    """What these changes say of a person goes for good, and of each its digest stays, so that the seals hold (0010).

    By the owner alone; returns of how many there was something left to erase.
    """
    sql, params = revisions.order_by().values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(ERASE.format(chosen=sql), params)
        return int(cursor.rowcount)


def set_local(name: str, value: str) -> str:
    """Until the end of the transaction, or of the savepoint that is rolled back; returns what it was."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting(%s, true), '')", [name])
        before: str = cursor.fetchone()[0]
        cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
    return before
