"""A patient erased: nothing that stays says who they were, and no file that delivers them again brings them back.

Rows stay, empty and marked as deleted, so that lines of batches and of the audit still lead somewhere and whoever syncs
is told that they are gone. Names, texts, sources' ids and the history's contents go; keyed hashes of the names stay
(ingestion/load/erased.py). The archive and the backups still hold what was delivered: `objects` names the former.
"""

import json
from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

from django.contrib.postgres.functions import RandomUUID, TransactionNow
from django.db import OperationalError, transaction
from django.db.models import Q, Value
from django.db.models.functions import Trunc

from clinical import audit, keyed, locks, sealing
from clinical.merging import NotPossible
from clinical.models import (
    DuplicatePair,
    ErasedIdentity,
    Erasure,
    IdempotencyKey,
    MedicalRecord,
    Patient,
    PatientAlias,
    Revision,
    Table,
    TriageVisit,
    User,
)
from clinical.values import LAGOS
from ingestion import dossier
from ingestion.dossier import Held
from ingestion.load.erased import hashes_of
from ingestion.models import RejectedRow

NOTHING = dict.fromkeys(MedicalRecord.CONTENT)
WHY = "The patient was erased."
STILL_HELD = (
    "The objects listed still hold what was delivered of the person, with all others of their files: the archive is"
    " yours to keep or to let go of. Backups hold them, sealed, until their retention is over."
)


class Erased(NamedTuple):
    """How much of what; and the objects that the application owns and that still hold the person."""

    patient_id: int
    counts: dict[str, int]
    objects: list[dict[str, Any]]


def erase(erasure: Erasure) -> Erased:
    """Once it is confirmed; by the owner of the tables alone. Done already, it only tells what still holds them."""
    if erasure.confirmed_by is None:
        raise NotPossible("Another person has to confirm it first.")
    found = dossier.held(erasure.patient_id)
    objects = [*dossier.deliveries(found)]
    if erasure.done_at:
        return Erased(found.patient.pk, {}, objects)
    with transaction.atomic():
        _keep_loads_out(found)
        found = dossier.held(erasure.patient_id)  # with what a load has brought meanwhile
        whom = {"patient_ids": found.ids, "why": erasure.why, "asked_by": erasure.asked_by_id}
        by = erasure.confirmed_by
        with audit.acting(by, "erase", "patients", found.patient.pk, **whom), audit.unhurried(), audit.putting_back():
            counts = _erase(found, by)
            Erasure.objects.filter(pk=erasure.pk).update(done_at=TransactionNow())
    return Erased(found.patient.pk, counts, objects)


def _keep_loads_out(found: Held) -> None:
    try:
        with locks.impatient():
            locks.keep_loads_out(sorted({one.facility_id for one in found.identities}))
    except OperationalError:
        raise NotPossible("A load is at work on these facilities; try again in a minute.") from None
    [*Patient.objects.select_for_update(of=("self",)).filter(pk__in=found.ids).order_by("pk")]


def _erase(found: Held, by: User) -> dict[str, int]:
    revisions = [*found.revisions().values_list("pk", flat=True)]
    counts = {
        "identities": _remember(found),
        "aliases": PatientAlias.objects.filter(patient__in=found.ids).delete()[0],
        "patients": _empty_patients(found.ids, by),
        "medical_records": _empty_events(MedicalRecord, found.ids, by, record_id=None, data=NOTHING),
        "triage_visits": _empty_events(
            TriageVisit,
            found.ids,
            by,
            **dict.fromkeys(("visit_id", "chief_complaint", "vital_signs", "language", "provider")),
            conditions=[],
            recommendations=[],
        ),
        "refused_rows": _empty_refused(found.refused, by),
        "answers": _forget_answers(found.ids),
        "duplicate_pairs": _forget_pairs(found.ids),
    }
    # With what this very deed has replaced, which the triggers have kept by now.
    theirs = Revision.objects.filter(Q(pk__in=revisions) | Q(pk__in=found.revisions().values("pk")))
    return counts | {"changes": audit.erase(theirs)}


def _remember(found: Held) -> int:
    hashes = keyed.hashes()
    keys = {(one.facility_id, *hashes_of(hashes, *one[1:])) for one in found.identities}
    rows = [
        ErasedIdentity(patient_id=found.patient.pk, facility_id=place, name_key=names, identity_key=identity)
        for place, names, identity in sorted(keys)
    ]
    return len(ErasedIdentity.objects.bulk_create(rows))


def _empty_patients(ids: list[int], by: User) -> int:
    rows = Patient.objects.filter(pk__in=ids)
    rows.filter(deleted_at=None).update(deleted_at=TransactionNow(), deleted_by=by)
    for pk, born in rows.values_list("pk", "dob"):
        Patient.objects.filter(pk=pk).update(
            first_name="Erased",
            last_name=f"Patient {pk}",
            dob=date(born.year, 1, 1),
            dob_is_estimated=True,
            sex=Patient.Sex.UNKNOWN,
            phone=None,
            patient_number=None,
            delivered={},
            overridden={},
            erased_at=TransactionNow(),
            restricted_at=None,
        )
    return len(ids)


def _empty_events(model: Any, ids: list[int], by: User, **emptied: Any) -> int:
    """Kind, urgency and day stay: nothing of what was said. The fingerprint was one of the content."""
    instant = "recorded_at" if model is MedicalRecord else "visited_at"
    rows = model.objects.filter(patient__in=ids)
    rows.filter(deleted_at=None).update(deleted_at=TransactionNow(), deleted_by=by)
    return int(
        rows.update(
            **emptied,
            **{instant: Trunc(instant, "day", tzinfo=LAGOS)},
            time_is_estimated=True,
            fingerprint=RandomUUID(),
            arrived_as=None,
            restricted_at=None,
        )
    )


def _empty_refused(rows: Iterable[RejectedRow], by: User) -> int:
    """Their cells go; the keyed hash of all of them stays, by which the same row is known when it comes again."""
    refused = RejectedRow.objects.filter(pk__in=[row.pk for row in rows])
    still_open = refused.filter(state=RejectedRow.State.OPEN)
    still_open.update(
        state=RejectedRow.State.DISMISSED, settled_at=TransactionNow(), settled_by=by, settled_why=Value(WHY)
    )
    keys = dict.fromkeys(("raw_sealed", "corrections_sealed", "facility_key", "first_name_key", "last_name_key"))
    return refused.update(**keys, cell_keys={})


def _forget_answers(ids: list[int]) -> int:
    """Of requests sent with an Idempotency-Key in the last day: those whose answer is about this person."""
    body = sealing.field_of(IdempotencyKey, "body")
    gone = [row.pk for row in IdempotencyKey.objects.iterator() if _is_about(body.unseal_in(row), ids)]
    return IdempotencyKey.objects.filter(pk__in=gone).delete()[0]


def _is_about(body: bytes | None, ids: list[int]) -> bool:
    """An answer that is no JSON object is no row of the API."""
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        return False
    if not isinstance(said, dict):
        return False
    return said.get("patient_id") in ids or ("first_name" in said and said.get("id") in ids)


def _forget_pairs(ids: list[int]) -> int:
    pairs = DuplicatePair.objects.filter(table=Table.PATIENTS)
    return pairs.filter(Q(low_id__in=ids) | Q(high_id__in=ids)).delete()[0]
