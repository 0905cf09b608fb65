"""Rows about somebody who was erased: left out, so that no file brings the person back, nor keeps their cells.

As of any row that a person has deleted, they are unchanged, and told as DELETED_BY_STEWARD. Whoever is registered anew
by a person is a patient like any other.
"""

from typing import Any

from django.db import connection
from django.db.models import F

from clinical import keyed
from clinical.models import ErasedIdentity, PatientName
from ingestion import staging
from ingestion.load import places
from ingestion.load.context import Load

NAMES = ("first_name_key", "last_name_key")


def leave_out(load: Load) -> None:
    """After the rows' places are known, before anything is looked up or kept of them."""
    known = [*ErasedIdentity.objects.values_list("facility_id", "name_key", "identity_key")]
    if not known or load.is_replay:  # which are a steward's word on this very row
        return
    names = {(facility_id, name) for facility_id, name, _ in known}
    identities = {(facility_id, identity) for facility_id, _, identity in known}
    gone, in_doubt = set(), set()
    for line, place, home, *person in _rows_at(load, {facility_id for facility_id, *_ in known}):
        name, identity = hashes_of(load.hashes, *person)
        if (place, identity) in identities or (identity is None and (place, name) in names):
            # A name alone may mean somebody else who bears it: then a person has to say.
            if not _is_living(home, *person):
                gone.add(line)
            elif identity is None:
                in_doubt.add(line)
    if gone:
        _drop(load, [*gone])
    if in_doubt and load.dataset.is_event:
        load.stop(load.rows.filter(line__in=in_doubt), "PATIENT_AMBIGUOUS")


def hashes_of(hashes: keyed.Hashes, first: str, last: str, dob: Any) -> tuple[Any, Any]:
    """Of the names, and, where there is one, of names and date of birth."""
    names = f"{first}\x1f{last}"
    return hashes.of(names), hashes.of(f"{names}\x1f{dob}") if dob else None


def _rows_at(load: Load, facility_ids: set[int]) -> list[tuple[Any, ...]]:
    """(line, facility by whose name it came, facility, names, date of birth) of the rows at these facilities."""
    born = "patient_dob" if load.dataset.is_event else "dob"
    rows = load.rows.annotate(at=places.facility_of_row(), former=F("place__arrived_as_id"))
    return [
        row
        for place in ("at", "former")
        for row in rows.filter(**{f"{place}__in": facility_ids}).values_list("line", place, "at", *NAMES, born)
    ]


def _is_living(facility_id: int, first: str, last: str, dob: Any) -> bool:
    same = PatientName.objects.filter(facility_id=facility_id, first_name_key=first, last_name_key=last)
    return (same.filter(dob=dob) if dob else same).exists()


def _drop(load: Load, lines: list[int]) -> None:
    """Out of the stage: what is neither inserted nor refused nor collapsed counts as unchanged."""
    for staged in (load.rows, staging.Stopped.objects.all()):
        staged.filter(line__in=lines)._raw_delete(connection.alias)
    load.warn("DELETED_BY_STEWARD", len(lines))
