"""An attacker's arithmetic on tables with hidden numbers: which follow from the totals, and how closely the others do.

A two-way table is a network: rows and columns are its nodes, numbers its edges. A number that no cycle can change
follows from what is shown, whoever computes and however (Gusfield 1988); `followed` finds all of these.
"""

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

WHOLE = ("whole",)
ROUNDS = 20


@dataclass(frozen=True)
class Edge:
    """A hidden number between a row and a column, with the least and most that its reader takes it for."""

    row: Hashable
    column: Hashable
    number: int
    least: int = 1
    most: int = 10**9
    name: Hashable = None


def followed(hidden: Iterable[Edge], free_rows: set, free_columns: set, *, knows_whole: bool = False) -> set:
    """Names of the hidden numbers that totals and bounds give away; the totals of free rows and columns are unknown."""
    edges = [*hidden]
    ways = _ways(edges, free_rows, free_columns, knows_whole)
    found = set()
    for n, edge in enumerate(edges):
        row, column = ("row", edge.row), ("column", edge.column)
        grows = edge.number < edge.most and _leads(ways, column, row, n)
        shrinks = edge.number > edge.least and _leads(ways, row, column, n)
        if not grows and not shrinks:
            found.add(edge.name)
    return found


def _ways(edges: list[Edge], free_rows: set, free_columns: set, knows_whole: bool) -> dict:
    ways: dict = defaultdict(list)
    for n, edge in enumerate(edges):
        row, column = ("row", edge.row), ("column", edge.column)
        if edge.number < edge.most:
            ways[row].append((column, n))
        if edge.number > edge.least:
            ways[column].append((row, n))
    for kind, free in (("row", free_rows), ("column", free_columns)):
        for name in free:
            outside = (*WHOLE, kind) if knows_whole else WHOLE
            ways[kind, name].append((outside, None))
            ways[outside].append(((kind, name), None))
    return ways


def _leads(ways: dict, start: Hashable, end: Hashable, without: int) -> bool:
    seen, waiting = {start}, deque([start])
    while waiting:
        for node, by in ways[waiting.popleft()]:
            if by == without or node in seen:
                continue
            if node == end:
                return True
            seen.add(node)
            waiting.append(node)
    return False


def narrowed(bounds: dict[Hashable, tuple[int, int]], sums: Iterable[tuple[list[Hashable], int, int]]) -> dict:
    """Bounds after each sum (its members, the least and most of it) has been used until none tells more, or long."""
    bounds, sums = dict(bounds), [*sums]
    for _ in range(ROUNDS):
        changed = False
        for members, least_sum, most_sum in sums:
            least = sum(bounds[name][0] for name in members)
            most = sum(bounds[name][1] for name in members)
            for name in members:
                low, high = bounds[name]
                closer = max(low, least_sum - (most - high)), min(high, most_sum - (least - low))
                if closer != (low, high):
                    bounds[name], changed = closer, True
                    least, most = least + closer[0] - low, most + closer[1] - high
        if not changed:
            break
    return bounds
