"""What people do to clinical rows beyond editing one: mark them as deleted, take the mark away.

Nothing here removes a row: its identity stays taken, so that the source's next delivery does not bring it back.
"""

from typing import Any, cast

from django.contrib.postgres.functions import TransactionNow
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, QuerySet

from clinical import audit, row_security, undo
from clinical.models import AuditEvent, Facility, MedicalRecord, Patient, TriageVisit, User

# Who refers to a row, and by which column: what is referred to cannot be deleted, what it refers to must be there.
CHILDREN: dict[type[Model], list[tuple[type[Any], str]]] = {
    Facility: [(Patient, "facility")],
    Patient: [(MedicalRecord, "patient"), (TriageVisit, "patient")],
}
PARENTS: dict[type[Model], list[str]] = {
    Patient: ["facility"],
    MedicalRecord: ["patient", "facility"],
    TriageVisit: ["patient", "facility"],
}


@row_security.lifted()
def mark_deleted(rows: "QuerySet[Any]", *, by: User) -> int:
    """Marks the rows that nothing undeleted refers to; returns how many."""
    rows = rows.filter(deleted_at=None)
    for child, column in CHILDREN.get(rows.model, []):
        rows = rows.exclude(Exists(child.objects.filter(**{column: OuterRef("pk")}, deleted_at=None)))
    return _written("delete", rows, by, deleted_at=TransactionNow(), deleted_by=by)


@row_security.lifted()
def restore(rows: "QuerySet[Any]", *, by: User) -> int:
    """Takes the mark from the rows whose own patient and facility are not deleted; returns how many.

    Not from a merged row: undoing the merge does that, and gives it back what was its own. Never of an erased patient.
    """
    rows = rows.filter(deleted_at__isnull=False)
    for parent in PARENTS.get(rows.model, []):
        rows = rows.filter(**{f"{parent}__deleted_at": None})
    if hasattr(rows.model, "merged_into"):
        rows = rows.filter(merged_into=None)
    if rows.model is Patient:
        rows = rows.filter(erased_at=None)
    return _written("restore", rows, by, deleted_at=None, deleted_by=None)


@row_security.lifted()
def settle_differences(rows: "QuerySet[Any]", *, by: User) -> int:
    """A person has seen where the source has overruled a person, and leaves it so; returns how many rows."""
    return _written("settle", rows.exclude(overridden={}), by, overridden={})


UNDOABLE = ("update", "delete", "restore", "settle", "correct", "dismiss")


class NotPossible(Exception):
    """What stands there now does not allow it; the message says why, and names no person."""


@row_security.lifted()
def undo_deed(event: AuditEvent, *, by: User) -> None:
    """Puts back what one deed changed. Raises NotPossible where it is none that can be undone so, or where one of its
    columns was changed again since."""
    if event.action not in UNDOABLE:
        raise NotPossible(f"“{event.action}” is not undone here.")
    with audit.acting(by, "undo", event.table, event.object_id, deed=event.pk), audit.putting_back():
        revisions = event.revisions.all()
        if later := undo.changed_since(revisions):
            raise NotPossible(f"{len(later)} of its rows were changed again since; undo that first.")
        undo.put_back(revisions)
        _refuse_unfit(event.table, [*revisions.values_list("object_id", flat=True)])


def _refuse_unfit(table: str, ids: list[int]) -> None:
    """What has been put back must fit what is there now: no one's events under a deleted patient, and the like."""
    model = next((model for model in PARENTS | CHILDREN if model._meta.db_table == table), None)
    if model is None:
        return
    rows = cast(Any, model).objects.filter(pk__in=ids)
    if hasattr(model, "merged_into") and rows.filter(merged_into__isnull=False).exists():
        raise NotPossible("One of its rows has been merged since; undo that first.")
    for child, column in CHILDREN.get(model, []):
        gone = rows.filter(deleted_at__isnull=False).values("pk")
        if child.objects.filter(**{f"{column}__in": gone}, deleted_at=None).exists():
            raise NotPossible("Others refer to a row that would be deleted again.")
    for parent in PARENTS.get(model, []):
        if rows.filter(**{f"{parent}__deleted_at__isnull": False}, deleted_at=None).exists():
            raise NotPossible("The patient or facility of one of its rows is deleted; restore that first.")


def _patients(model: type[Model], ids: list[int]) -> list[int]:
    """Of whom these rows are."""
    if model is Patient:
        return ids
    events = model in (MedicalRecord, TriageVisit)
    return [*model._base_manager.filter(pk__in=ids).values_list("patient_id", flat=True)] if events else []


def _written(action: str, rows: "QuerySet[Any]", by: User, **columns: Any) -> int:
    """The update with its line of the audit, which names the row where it is one."""
    table = rows.model._meta.db_table
    with transaction.atomic():
        ids = [*rows.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True)]
        if ids:
            only = {"object_id": ids[0]} if len(ids) == 1 else {"rows": len(ids)}
            with audit.acting(by, action, table, **only, patient_ids=_patients(rows.model, ids)):
                rows.model.objects.filter(pk__in=ids).update(**columns)
    return len(ids)
