"""What somebody who exported before has to drop: Bundles of DELETE requests, as the IG's `deleted` has them.

Deleted, restricted and erased rows, those that a revert has removed, and what a row no longer says, such as a diagnosis
that was taken out of it. Dropping what one never had does no harm.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from django.db.models import QuerySet

from clinical import access
from clinical.api import tombstones
from clinical.fhir.bulk.selection import STATES, Line, Selection
from clinical.fhir.codes import Resource, instant
from clinical.fhir.registry import Part
from clinical.models import Facility, Revision
from clinical.models.rows import Kept

ENTRIES = 1_000  # of a bundle
BATCH = 2_000


def bundles(selection: Selection) -> Iterator[Resource]:
    addresses = chain.from_iterable(_of_line(selection, line) for line in selection.lines())
    number = 0
    while entries := [*islice(addresses, ENTRIES)]:
        number += 1
        yield {
            "resourceType": "Bundle",
            "id": f"deleted-{number}",
            "meta": {"lastUpdated": instant(selection.until)},
            "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": one}} for one in entries],
        }


def _of_line(selection: Selection, line: Line) -> Iterator[str]:
    if not issubclass(line.part.model, Kept):
        return
    for of in chain(_changed(selection, line.part), _removed(selection, line.part)):
        yield f"{line.type}/{of}"


def _changed(selection: Selection, part: Part) -> Iterator[str]:
    """Of rows that are still there, and were before: what they no longer make."""
    since = selection.since
    scope = selection.user.access.scope(access.READ, part.resource)
    rows = part.model.objects.inside(scope).filter(selection.narrow(part), created_at__lte=since)
    rows = rows.annotate(last_updated=part.last_updated).filter(
        last_updated__gt=since, last_updated__lte=selection.until
    )
    if not part.has_many:
        standing = part.queryset(selection.user).values("pk")
        for pk in _walk(rows.exclude(pk__in=standing)):
            yield from _ids(part, pk, 1)
        return
    for pks in _batched(_walk(rows)):
        made = part.queryset(selection.user).filter(pk__in=pks)
        standing_ids = {one["id"] for ones in part.made(made) for one in ones}
        before = _listed_before(part, pks)
        for pk in pks:
            yield from (of for of in _ids(part, pk, before.get(pk, 0)) if of not in standing_ids)


def _walk(rows: "QuerySet[Any]") -> Iterator[int]:
    after = 0
    while found := [*rows.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:BATCH]]:
        yield from found
        after = found[-1]


def _batched(pks: Iterator[int]) -> Iterator[list[int]]:
    while found := [*islice(pks, BATCH)]:
        yield found


def _listed_before(part: Part, pks: list[int]) -> dict[int, int]:
    """How long the rows' lists have ever been: which of their versions somebody holds is not known."""
    longest = {row["pk"]: _longest(row) for row in part.model.objects.filter(pk__in=pks).values("pk", *part.columns)}
    revisions = Revision.objects.filter(table=part.model._meta.db_table, object_id__in=pks, was__isnull=False)
    for pk, was in revisions.values_list("object_id", "was"):
        longest[pk] = max(longest.get(pk, 0), _longest(was or {}))
    return longest


def _longest(row: dict[str, Any]) -> int:
    return max((len(value) for value in row.values() if isinstance(value, list)), default=0)


def _removed(selection: Selection, part: Part) -> Iterator[str]:
    """Of rows that are gone from their table."""
    since, user = selection.since, selection.user
    scope = user.access.scope(access.READ, part.resource)
    for removals in tombstones.since(part.model, since, scope, {}):
        if removals.model is not Revision:
            continue  # a restricted row is still there
        gone = removals.filter(at__gt=since, at__lte=selection.until).order_by("id")
        rows = gone.values_list("object_id", "was").iterator(chunk_size=BATCH)
        meant = (pk for pk, was in rows if _is_meant(selection, part, pk, was))
        for pks in _batched(meant):
            before = _listed_before(part, pks) if part.has_many else {}
            for pk in pks:
                yield from _ids(part, pk, before.get(pk, 1))


def _is_meant(selection: Selection, part: Part, pk: int, was: dict[str, Any]) -> bool:
    """Whether the level of the export would have had it."""
    people, group = selection.export.patient_ids, selection.export.group
    if people is not None and (pk if part.patient == "id" else was.get("patient_id")) not in people:
        return False
    if not group:
        return True
    facility = was.get("facility_id") or 0
    kind, _, of = group.partition("-")
    if kind == "facility":
        return str(facility) == of
    return Facility.objects.filter(pk=facility, state=STATES[of]).exists()


def _ids(part: Part, pk: int, most: int) -> Iterable[str]:
    """Of the resources that a row may have made; of many the first so many."""
    if not part.has_many:
        return [f"{part.prefix}{pk}{part.suffix}"]
    if part.names:
        return [f"{part.prefix}{pk}-{name}" for name in part.names]
    return [f"{part.prefix}{pk}-{number}" for number in range(1, most + 1)]
