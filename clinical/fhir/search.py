"""Which resources a search finds, page by page: a walk by keys, at one speed at any depth.

A place in the walk is [source, when it changed, row, told]: the row is the next one, of which so many resources were
told; or with none for `told`, the last one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from django.db.models import F, OrderBy, Q, QuerySet, Sum

from clinical.api import parameters
from clinical.fhir.codes import Resource, Row
from clinical.fhir.query import Narrow, Query, ids
from clinical.fhir.refusals import TooCostly
from clinical.fhir.registry import Kind, Matches, Part, registry
from clinical.models import User

ROUNDS, BATCH = 10, 500  # of rows of which perhaps none is meant: then a page may be short, or empty
MOST_COUNTED = 20_000
MOST_INCLUDED = 1_000
Place = list[Any]


class Told(NamedTuple):
    """A resource, and what it was made of."""

    part: Part
    row: Row
    resource: Resource


@dataclass(frozen=True)
class Source:
    """The rows of one part that may be meant, and which of their resources are."""

    part: Part
    rows: "QuerySet[Any]"
    matches: tuple[Matches, ...] = ()

    def met(self, resources: Sequence[Resource]) -> list[Resource]:
        return [one for one in resources if all(matches(one) for matches in self.matches)]


def sources(query: Query, user: User) -> list[Source]:
    return [source_of(part, query.narrows, user) for part in query.kind.parts_for(user)]


def source_of(part: Part, narrows: Sequence[Narrow], user: User) -> Source:
    """By a masked column only what the user sees clearly can be found."""
    masked = [one.name for one in narrows if one.name in part.masked_searches]
    if masked and user.access.clear_scope(part.resource).is_empty:
        raise parameters.refused(masked[0], "masked_field", "Is masked for your role.")
    rows = part.queryset(user, clearly=bool(masked))
    for one in narrows:
        rows = rows.filter(one.rows(part))
    return Source(part, rows, tuple(_matches(part, narrows)))


def _matches(part: Part, narrows: Iterable[Narrow]) -> Iterator[Matches]:
    for one in narrows:
        if one.name == "_id" and part.has_many:
            yield _is_one_of({value.code for value in one.values})
        elif one.name in part.matches:
            yield part.matches[one.name](one.values)


def _is_one_of(wanted: set[str]) -> Matches:
    return lambda found: found["id"] in wanted


# --- The walk


def page(found: Sequence[Source], count: int, sort: str, place: Place | None) -> tuple[list[Told], Place | None]:
    """So many resources at most, and the place of the next page."""
    told: list[Told] = []
    is_sure = not any(source.matches for source in found)
    for _ in range(ROUNDS):
        room = count - len(told)
        most = room + 1 if is_sure else BATCH
        rows = _by_change(found, sort, place, most) if sort else _in_turn(found, place, most)
        more, place = _cut(found, rows, room, place, is_last=len(rows) < most)
        told += more
        if place is None or len(told) >= count:
            break
    return told, place


Numbered = list[tuple[int, Row]]  # with the number of its source


def _cut(
    found: Sequence[Source], rows: Numbered, room: int, place: Place | None, *, is_last: bool
) -> tuple[list[Told], Place | None]:
    told: list[Told] = []
    skip, behind = (place[3] or 0) if place else 0, None
    for (number, row), made in zip(rows, _made(found, rows), strict=True):
        left, space = found[number].met(made)[skip:], room - len(told)
        told += [Told(found[number].part, row, one) for one in left[:space]]
        here = [number, row["last_updated"].isoformat(), row["pk"]]
        if len(left) > space:
            return told, [*here, skip + space]
        behind, skip = [*here, None], 0
    return told, None if is_last else behind


def _made(found: Sequence[Source], rows: Numbered) -> list[list[Resource]]:
    """Of each row, in their order; those of one source are made together."""
    made: dict[int, Iterator[list[Resource]]] = {
        number: iter(source.part.made(row for of, row in rows if of == number)) for number, source in enumerate(found)
    }
    return [next(made[number]) for number, _ in rows]


def _in_turn(found: Sequence[Source], place: Place | None, most: int) -> Numbered:
    """One source after the other, by the rows' ids."""
    rows: Numbered = []
    first = place[0] if place else 0
    for number, source in islice(enumerate(found), first, None):
        wanted = source.rows
        if place and number == first:
            wanted = wanted.filter(**{"pk__gt" if place[3] is None else "pk__gte": place[2]})
        rows += [(number, row) for row in wanted.order_by("pk")[: most - len(rows)]]
        if len(rows) >= most:
            break
    return rows


def _by_change(found: Sequence[Source], sort: str, place: Place | None, most: int) -> Numbered:
    """All sources together, by (when it changed, source, id), in one direction."""
    is_descending = sort.startswith("-")
    orders = [OrderBy(F(name), descending=is_descending) for name in ("last_updated", "pk")]
    walks: list[Numbered] = []
    for number, source in enumerate(found):
        rows = source.rows.filter(_behind(place, number, is_descending)) if place else source.rows
        walks.append([(number, row) for row in rows.order_by(*orders)[:most]])
    together = merge(*walks, key=lambda one: (one[1]["last_updated"], one[0], one[1]["pk"]), reverse=is_descending)
    return [*islice(together, most)]


def _behind(place: Place, number: int, is_descending: bool) -> Q:
    of, at, pk, told = place
    beyond = "lt" if is_descending else "gt"
    is_later = number < of if is_descending else number > of
    same = Q(last_updated=at)
    if number == of:
        same &= Q(**{f"pk__{beyond}{'' if told is None else 'e'}": pk})
    elif not is_later:
        same = Q(pk__in=[])
    return Q(**{f"last_updated__{beyond}e": at}) & (Q(**{f"last_updated__{beyond}": at}) | same)


# --- Counts


def total(found: Sequence[Source]) -> int:
    return sum(_count(source) for source in found)


def _count(source: Source) -> int:
    if not source.matches and not source.part.has_many:
        return source.rows.count()
    if not source.matches and source.part.size:
        return source.rows.values("pk").aggregate(all=Sum(source.part.size))["all"] or 0
    if source.rows.order_by()[: MOST_COUNTED + 1].count() > MOST_COUNTED:
        raise TooCostly
    return sum(len(source.met(made)) for _, made in source.part.stream(source.rows))


# --- What is told besides


def by_ids(kind: Kind, wanted: Iterable[str], user: User) -> list[Told]:
    found = [source_of(part, [ids([*wanted])], user) for part in kind.parts_for(user)]
    return [*_all(found)]


def _all(found: Sequence[Source]) -> Iterator[Told]:
    for source in found:
        rows = [*source.rows.order_by("pk")[: MOST_INCLUDED + 1]]
        for row, made in zip(rows, source.part.made(rows), strict=True):
            for one in source.met(made):
                yield Told(source.part, row, one)


def included(query: Query, page: Sequence[Told], user: User) -> list[Told]:
    """What the page refers to, each once, as far as the user may see it."""
    wanted: dict[str, dict[str, None]] = {}
    for _, name in query.includes:
        chosen = query.kind.includes.values() if name == "*" else [query.kind.includes[name]]
        for told in page:
            for refer in chosen:
                for one in refer(told.resource):
                    of, _, found = (one or "").partition("/")
                    wanted.setdefault(of, {})[found] = None
    kinds = [(registry[of], found) for of, found in wanted.items() if of in registry]
    return [told for kind, found in kinds for told in by_ids(kind, found, user)]


def revincluded(query: Query, page: Sequence[Told], user: User) -> tuple[list[Told], bool]:
    """What refers to the page, and whether that is all of it."""
    told: list[Told] = []
    here = [one.resource["id"] for one in page]
    for of, name in query.revincludes if here else ():
        narrow = Narrow.to(query.kind, name, here)
        parts = registry[of].parts_for(user)
        told += islice(_all([source_of(part, [narrow], user) for part in parts]), MOST_INCLUDED + 1 - len(told))
    return told[:MOST_INCLUDED], len(told) <= MOST_INCLUDED
