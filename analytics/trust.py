"""How far an answer of the analytics can be trusted: what it is made of, and what it lacks. The one place that says so.

What changes with the tables is asked each time, of few lines. What changes with the marts alone is remembered in this
process for as long as the marts are the same.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

from django.db.models import Count, DateField, Func, Max, Q, QuerySet

from analytics import marts
from analytics.models import FacilityDimension, SuppressedConditionAnalysis
from analytics.relations import RELATIONS
from analytics.wording import json_pct
from clinical.access import READ, Access, Scope
from clinical.api import statements
from clinical.models import Facility
from clinical.replica import connection
from ingestion.models import IngestBatch
from ingestion.models.batches import folders_in

Trust = dict[str, Any]
RESOURCE = "analytics"
DAYS = 30
A_YEAR_AGO = Func(template="staging.lagos_today() - 365", output_field=DateField())
REMEMBERED = 500
KINDS = ("refused", "waiting", "held")
DATASETS = {relation.name: relation.reads for relation in RELATIONS}


@dataclass(frozen=True)
class Selection:
    """What an answer is about: a scope, and in it one state or one facility, or all."""

    scope: Scope
    state: str | None = None
    facility_id: int | None = None

    @property
    def is_national(self) -> bool:
        return self.scope.is_national and self.state is None and self.facility_id is None

    @property
    def states(self) -> list[str]:
        """Those that it holds whole."""
        if self.facility_id is not None:
            return []
        if self.state is not None:
            return [self.state] if self.scope.has_state(self.state) else []
        return sorted(self.scope.states)

    def facilities(self) -> "QuerySet[Facility]":
        found = Facility.objects.inside(self.scope)
        found = found.filter(state=self.state) if self.state is not None else found
        return found.filter(pk=self.facility_id) if self.facility_id is not None else found


def of(
    relations: Sequence[str], access: Access, state: str | None = None, facility_id: int | None = None
) -> tuple[datetime | None, bool, Trust]:
    """(as_of, stale, trust) of an answer made of these relations, in what the user may see of the analytics.

    The as_of is None, and the trust empty, where one of them was never filled. In the trust:

    - `batches`: files and replays that had brought rows to the selection by the marts' last refresh. A state's are
      those of its folders and those with events of its facilities; a facility's, those with events of it.
    - `excluded_rows`: rows that were delivered for the selection and are in no table, of the datasets that the answer
      is made of: refused (also in part for want of a parent), waiting for a parent alone, or in a file that is held.
      `unplaced` may belong to it: neither row nor folder says where they are from; of the nation they are counted.
      `unread_files` could not be read at all: nobody knows their rows.
    - `reporting`: facilities with an event in the last 30 days, of those with one in the last year; not deleted ones.
    - `suppressed_cells`: lines of the selection whose small numbers are hidden from this user.
    """
    known = marts.states()
    as_of, is_stale = marts.freshness(*relations, known=known)
    if as_of is None:
        return None, True, {}
    selection = Selection(access.scope(READ, RESOURCE), state, facility_id)
    datasets = sorted(frozenset().union(*(DATASETS[name] for name in relations)))
    dim = known.get("dim_facilities")
    is_clear = access.sees_all_clear(RESOURCE)
    # A view is of now, and so are the batches below it: of this minute is near enough.
    is_view = not any(name in known for name in relations)
    of_when = as_of.replace(second=0, microsecond=0) if is_view else as_of
    key = (tuple(relations), selection, is_clear, of_when, dim and dim.as_of)
    lasting = _remembered(key, lambda: _lasting(relations, selection, datasets, as_of, is_clear=is_clear))
    return as_of, is_stale, {"batches": lasting["batches"]} | excluded(selection, datasets) | lasting


def _lasting(
    relations: Sequence[str], selection: Selection, datasets: Sequence[str], as_of: datetime, *, is_clear: bool
) -> Trust:
    return {
        "batches": _batches(selection, datasets, as_of),
        "reporting": reporting(selection),
        "suppressed_cells": 0 if is_clear or "condition_analysis" not in relations else _suppressed(selection),
    }


# --- Remembered for as long as the marts are the same

_known: "OrderedDict[Hashable, Trust]" = OrderedDict()
_lock = Lock()


def _remembered(key: Hashable, find: Any) -> Trust:
    """A transaction may see what no other does, and what it sees may never be: nothing is remembered of it."""
    if connection.in_atomic_block:
        return dict(find())
    key = (connection.settings_dict["NAME"], key)
    found = _known.get(key)
    if found is None:
        found = find()
        with _lock:
            _known[key] = found
            if len(_known) > REMEMBERED:
                _known.popitem(last=False)
    return found


# --- What is lacking

COUNTED = """
SELECT kind, {unplaced}, sum(rows)::bigint FROM excluded_rows WHERE dataset = ANY (%s) AND {where} GROUP BY kind
"""
NOWHERE = "NOT is_total AND facility_id IS NULL AND state IS NULL"


def excluded(selection: Selection, datasets: Sequence[str]) -> Trust:
    """Exactly as the tables are at this moment."""
    places = ["is_total"] if selection.is_national else []
    params: list[list[Any]] = [[]] if places else []
    if not selection.is_national:
        for place, values in _places(selection):
            places.append(place)
            params.append(values)
    parts = [COUNTED.format(unplaced="false", where=where) for where in places]
    values = [value for some in params for value in ([*datasets], *some)]
    maybe = NOWHERE
    if selection.facility_id is not None:
        maybe = (
            "NOT is_total AND facility_id IS NULL"
            " AND (state IS NULL OR state = (SELECT f.state FROM facilities f WHERE f.id = %s))"
        )
    parts.append(COUNTED.format(unplaced="true", where=maybe))
    values += [[*datasets], *([selection.facility_id] if selection.facility_id is not None else [])]
    return _told(statements.fetch(" UNION ALL ".join(parts), values), selection)


def _told(rows: Sequence[Any], selection: Selection) -> Trust:
    found = dict.fromkeys((*KINDS, "unread"), 0)
    unplaced = unread_unplaced = 0
    for kind, is_unplaced, count in rows:
        if not is_unplaced:
            found[kind] += count
        elif kind == "unread":
            unread_unplaced += count
        else:
            unplaced += count
    unread = found.pop("unread") + (0 if selection.is_national else unread_unplaced)
    return {"excluded_rows": sum(found.values()), "excluded": found | {"unplaced": unplaced, "unread_files": unread}}


# A facility, and those that were merged into it: rows that were delivered for them keep their names.
WITH_MERGED = """
(WITH RECURSIVE one AS (
    SELECT %s::bigint AS id UNION SELECT f.id FROM facilities f JOIN one ON f.merged_into_id = one.id
) SELECT id FROM one)
"""


def _places(selection: Selection) -> list[tuple[str, list[Any]]]:
    """Conditions on the lines, none of which meets another's: of facilities, and of states alone."""
    scope = selection.scope
    found: list[tuple[str, list[Any]]] = []
    if selection.facility_id is not None and scope.is_national and selection.state is None:
        found.append((f"facility_id IN {WITH_MERGED}", [selection.facility_id]))
    else:
        where, values = _of_facilities(selection)
        found.append((f"facility_id IN (SELECT f.id FROM facilities f WHERE {where})", values))  # noqa: S608  # ours
    if selection.states:
        found.append(("NOT is_total AND facility_id IS NULL AND state = ANY (%s)", [selection.states]))
    return found


def _of_facilities(selection: Selection) -> tuple[str, list[Any]]:
    scope = selection.scope
    all_of: list[str] = []
    values: list[Any] = []
    if not scope.is_national:
        any_of = []
        if scope.states:
            any_of.append("f.state = ANY (%s)")
            values.append(sorted(scope.states))
        if scope.facilities:
            any_of.append("f.id = ANY (%s)")
            values.append(sorted(scope.facilities))
        for state, key in sorted(scope.lgas):
            any_of.append("f.state = %s AND f.lga_key = %s")
            values += [state, key]
        all_of.append(f"({' OR '.join(any_of) or 'false'})")
    if selection.state is not None:
        all_of.append("f.state = %s")
        values.append(selection.state)
    if selection.facility_id is not None:
        all_of.append(f"f.id IN {WITH_MERGED}")
        values.append(selection.facility_id)
    return " AND ".join(all_of), values


# --- What it is made of


def _batches(selection: Selection, datasets: Sequence[str], as_of: datetime) -> Trust:
    batches = IngestBatch.objects.loaded().filter(dataset__in=datasets, rows_read__gt=0, finished_at__lte=as_of)
    if not selection.is_national:
        ids = [*selection.facilities().order_by().values_list("pk", flat=True)]
        places = Q(share__facilities__overlap=ids)
        batches = batches.filter(places | Q(folder__in=folders_in(selection.states)) if selection.states else places)
    return batches.aggregate(count=Count("pk"), last_id=Max("pk"), last_loaded_at=Max("finished_at"))


def reporting(selection: Selection) -> Trust:
    """By the last event of each facility, whatever day it was delivered on."""
    facilities = FacilityDimension.objects.filter(last_activity_date__gte=A_YEAR_AGO)
    if not selection.scope.is_national:
        facilities = facilities.filter(facility_id__in=Facility.objects.inside(selection.scope).values("pk"))
    if selection.state is not None:
        facilities = facilities.filter(state=selection.state)
    if selection.facility_id is not None:
        facilities = facilities.filter(facility_id=selection.facility_id)
    found = facilities.aggregate(facilities=Count("pk"), reported=Count("pk", filter=Q(is_active_last_30_days=True)))
    return found | {"rate_pct": json_pct(found["reported"], found["facilities"]), "days": DAYS}


def _suppressed(selection: Selection) -> int:
    lines = SuppressedConditionAnalysis.objects.filter(selection.scope.of_states(), suppressed=True)
    if selection.state is not None:
        lines = lines.filter(state=selection.state)
    return lines.count()
