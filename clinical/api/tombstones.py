"""Rows that are gone for who syncs by `changed_since`: from their table, as a revert leaves them, or by a restriction.

The revision that a trigger keeps of each has the row's last state, and so its place. A row that only bears the mark of
a deletion is still there, and the list itself tells of it. A restricted row is told like a deleted one, since who has a
copy has to do the same; when the restriction is lifted, the row is one that has changed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import BigIntegerField, BooleanField, F, Model, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from clinical import access
from clinical.api import statements
from clinical.api.lists import Order, Place
from clinical.models import Facility, RestrictedRow, Revision

# Indexes alone answer it; nearly always there is none, and the list goes its usual way.
ANY_SINCE = """
SELECT EXISTS (SELECT FROM revisions WHERE "table" = %s AND became IS NULL AND at >= %s), is_anybody_restricted(%s)
"""
# A tombstone is cut by these filters only. What others would have left out is an id that the consumer never had, which
# does no harm; and a row's last state is not what it was selected by before.
FILTERS = ("facility_id", "patient_id")
BY_CHANGE, BY_REMOVAL = Order("updated_at"), Order("at", keys=("object_id",))
NOTHING = Value(None, output_field=BooleanField())  # a bare NULL, which becomes what stands in its column


Gone = Sequence["QuerySet[Any]"]  # each with object_id and at


def since(model: type[Model], instant: datetime, scope: access.Scope, filters: Mapping[str, Any]) -> Gone:
    """What is gone since then in this scope; empty where nothing is anywhere."""
    table = model._meta.db_table
    ((is_any_removed, is_any_restricted),) = statements.fetch(ANY_SINCE, [table, instant, instant])
    chosen = {name: filters[name] for name in FILTERS if name in filters}
    gone: list[QuerySet[Any]] = []
    if is_any_removed:
        removals = _removals(model).filter(at__gte=instant, **{f"was__{name}": chosen[name] for name in chosen})
        gone.append(_inside(removals, model, scope))
    if is_any_restricted and model is not Facility:
        restricted = RestrictedRow.objects.filter(table=table, at__gte=instant, **chosen)
        at_place = {} if scope.is_national else {"facility_id__in": Facility.objects.inside(scope).values("pk")}
        gone.append(restricted.filter(**at_place))
    return gone


def _removals(model: type[Model]) -> "QuerySet[Revision]":
    """The last one of each row that has not come back under its id."""
    ends = Revision.objects.filter(became__isnull=True).order_by()
    here = model._base_manager.filter(pk=OuterRef("object_id")).order_by()
    again = ends.filter(table=OuterRef("table"), object_id=OuterRef("object_id"), pk__gt=OuterRef("pk"))
    # Not as NOT EXISTS: PostgreSQL would make a join of it, and do it whole before it cuts a page from it.
    is_gone = Coalesce(_no(here), _no(again), Value(True), output_field=BooleanField())
    return ends.filter(is_gone, table=model._meta.db_table)


def _no(found: "QuerySet[Any]") -> Subquery:
    """False where there is one, else null."""
    return Subquery(found.values_list(Value(False))[:1])


def _inside(removals: "QuerySet[Revision]", model: type[Model], scope: access.Scope) -> "QuerySet[Revision]":
    if scope.is_national:
        return removals
    if model is Facility:
        places = removals.alias(state=KT("was__state"), lga_key=KT("was__lga_key"))
        return places.filter(scope.of_places("state", "lga_key", "object_id"))
    standing = Facility.objects.inside(scope).values("pk")
    # Its facility may have gone after it.
    gone = _inside(_removals(Facility), Facility, scope).values("object_id")
    rows = removals.alias(at_facility=Cast(KT("was__facility_id"), BigIntegerField()))
    return rows.filter(Q(at_facility__in=standing) | Q(at_facility__in=gone))


def among(
    rows: "QuerySet[Any]", gone: Gone, columns: Iterable[str], place: Place | None = None, most: int | None = None
) -> "QuerySet[Any]":
    """All by (updated_at, id), in one walk: behind this place, and `most` of each at least.

    `columns` are those of `rows`; a tombstone has its id and its instant. Each is ordered and cut before they are put
    together, or PostgreSQL would sort all of them for each page.
    """
    rows = BY_CHANGE.applied(BY_CHANGE.after(rows, place) if place else rows)
    if not gone:
        return rows
    known = {"id": F("object_id"), "updated_at": F("at"), "deleted_at": F("at")}
    alike = [known.get(column, NOTHING) for column in columns]
    if place:
        behind = replace(place, column={"at": place.column["updated_at"]})
        gone = [BY_REMOVAL.after(one, behind) for one in gone]
    tombstones = [BY_REMOVAL.applied(one).values_list(*alike)[:most] for one in gone]
    return BY_CHANGE.applied(rows[:most].union(*tombstones, all=True))


def counted(rows: "QuerySet[Any]", gone: Gone) -> "Callable[[], QuerySet[Any]]":
    """What is counted for a page of all."""
    if not gone:
        return lambda: rows
    return lambda: rows.order_by().values("pk").union(*(one.values("object_id") for one in gone), all=True)
