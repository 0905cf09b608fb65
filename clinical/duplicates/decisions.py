"""What a steward answers to a pair, and taking the answer back. Each is one transaction with its line of the audit."""

from collections.abc import Mapping
from typing import Any

from django.contrib.postgres.functions import TransactionNow
from django.db import transaction
from django.db.models import Q

from clinical import audit, merging, row_security
from clinical.duplicates.scoring import VERSION
from clinical.merging import NotPossible
from clinical.models import DuplicatePair, Facility, Patient, Table, User

State = DuplicatePair.State
MERGERS: dict[str, Any] = {Table.PATIENTS: merging.merge_patients, Table.FACILITIES: merging.merge_facilities}
MODELS: dict[str, Any] = {Table.PATIENTS: Patient, Table.FACILITIES: Facility}


BY_HAND = {"field": "by hand", "agreement": "chosen by a steward", "weight": 0}


@row_security.lifted()
def propose(one: Any, other: Any) -> DuplicatePair:
    """The pair of two rows that a steward has chosen, whether or not a search has found it."""
    low, high = sorted((one, other), key=lambda row: row.pk)
    if isinstance(one, Patient):
        table, places = Table.PATIENTS, (low.facility_id, high.facility_id)
        if one.facility_id != other.facility_id:
            raise NotPossible("They are patients of two facilities; only those of one facility can be merged.")
    else:
        table, places = Table.FACILITIES, (low.pk, high.pk)
    known = {"facility_id": places[0], "other_facility_id": places[1], "score": 0, "version": VERSION}
    pair, _ = DuplicatePair.objects.get_or_create(
        table=table, low_id=low.pk, high_id=high.pk, defaults=known | {"evidence": [BY_HAND]}
    )
    return pair


@row_security.lifted()
@transaction.atomic
def merge(pair: DuplicatePair, *, survivor_id: int, keep: Mapping[str, Any], by: User) -> None:
    """They are one: the other becomes a name of the survivor. Raises NotPossible, with the reason in words."""
    pair = _locked(pair, State.OPEN)
    (other_id,) = {pair.low_id, pair.high_id} - {survivor_id}
    rows = MODELS[pair.table].objects.in_bulk([survivor_id, other_id])
    done = MERGERS[pair.table](rows[survivor_id], rows[other_id], by=by, keep=keep)
    _decide(pair, State.SAME, by, merge=done)
    # Questions about a row that is none any more; the next search asks them of the survivor.
    others = DuplicatePair.objects.waiting().filter(table=pair.table)
    others.filter(Q(low_id=other_id) | Q(high_id=other_id)).delete()


@row_security.lifted()
@transaction.atomic
def call_different(pair: DuplicatePair, *, by: User, why: str = "") -> None:
    """They are two, and are never asked about again."""
    pair = _locked(pair, State.OPEN)
    audit.note(by, "call_different", pair.table, pair.low_id, other_id=pair.high_id)
    _decide(pair, State.DIFFERENT, by, why=why)


@row_security.lifted()
@transaction.atomic
def take_back(pair: DuplicatePair, *, by: User) -> None:
    """The pair is open again, and unmerged where it had been merged. Raises NotPossible where that cannot be."""
    pair = _locked(pair, State.SAME, State.DIFFERENT)
    if pair.merge and not pair.merge.undone_at:
        merging.unmerge(pair.merge, by=by)
    audit.note(by, "reopen_pair", pair.table, pair.low_id, other_id=pair.high_id)
    columns = {"decided_by": None, "decided_at": None, "merge": None, "why": ""}
    DuplicatePair.objects.filter(pk=pair.pk).update(state=State.OPEN, **columns)


def _locked(pair: DuplicatePair, *states: str) -> DuplicatePair:
    found = DuplicatePair.objects.select_for_update(of=("self",)).select_related("merge").filter(pk=pair.pk).first()
    if found is None or found.state not in states:
        raise NotPossible("Somebody else has decided this pair meanwhile.")
    return found


def _decide(pair: DuplicatePair, state: str, by: User, **columns: Any) -> None:
    DuplicatePair.objects.filter(pk=pair.pk).update(state=state, decided_by=by, decided_at=TransactionNow(), **columns)
