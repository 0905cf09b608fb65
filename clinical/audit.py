"""Who does what: one line for each deed, in its transaction, and the rows' changes tied to it by triggers (0006)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from clinical.models import AuditEvent, User
from clinical.requests import request_id

LONGEST = "10min"
UNDOING = "0"  # in place of a batch's id: triggers take what is put back neither for a person's edit nor for a load's


def note(by: User | None, action: str, table: str, object_id: int | None = None, **details: Any) -> AuditEvent:
    """A line of the audit. `details` name columns and reasons, never a person's values."""
    return AuditEvent.objects.create(
        actor=by,
        action=action,
        table=table,
        object_id=object_id,
        request_id=request_id.get(),
        details=details,
    )


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


def set_local(name: str, value: str) -> str:
    """Until the end of the transaction, or of the savepoint that is rolled back; returns what it was."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting(%s, true), '')", [name])
        before: str = cursor.fetchone()[0]
        cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
    return before
