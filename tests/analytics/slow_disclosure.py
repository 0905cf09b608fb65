"""Which lines, totals and shares of condition_analysis analysts may see, by slow loops over the lines.

Lines are (condition, state, age group, sex, month) with their count; `visits` the visits of each (state, month).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from itertools import product

Line = tuple[str, str, str, str, date]
Counts = dict[Line, int]
UNBOUNDED = 1_000_000


@dataclass(frozen=True)
class Block:
    """The hidden lines of a condition and month: how many, and the room that their sum leaves them."""

    lines: int
    up: int
    down: int

    @property
    def is_loose(self) -> bool:
        return self.lines >= 2 and self.up >= 1 and self.down >= 1


@dataclass(frozen=True)
class Hidden:
    lines: set[Line]
    conditions: set[str]
    months: set[date]


def hidden(counts: Counts, visits: dict[tuple[str, date], int]) -> Hidden:
    members: dict[tuple[str, date], list[Line]] = defaultdict(list)
    for line in counts:
        members[line[0], line[4]].append(line)
    lines: set[Line] = set()
    blocks = {}
    for key, block in members.items():
        cut = _cut(block, counts)
        cut |= _tight(block, cut, counts, visits)
        lines |= cut
        if cut:
            blocks[key] = _block(block, cut, counts)
    return Hidden(lines, *_margins(blocks, counts))


def _cut(block: list[Line], counts: Counts) -> set[Line]:
    block = sorted(block, key=lambda line: (counts[line], *map(str.encode, line[1:4])))
    sizes = [counts[line] for line in block]
    small = sum(size <= 7 for size in sizes)
    if not small:
        return set()
    for taken in range(small, len(block)):
        total = sum(sizes[:taken])
        if taken == small and taken >= 2 and taken < total < 7 * taken:
            return set(block[:taken])
        if taken > small and taken * sizes[taken] - total >= 6:
            return set(block[:taken])
    return set(block)


def _tight(block: list[Line], cut: set[Line], counts: Counts, visits: dict[tuple[str, date], int]) -> set[Line]:
    """Lines of a state whose visits, less the shown ones, are as many as its hidden lines."""
    found = set()
    for state in {line[1] for line in block}:
        of_state = {line for line in block if line[1] == state}
        shown, withheld = of_state - cut, of_state & cut
        room = visits[state, block[0][4]] - sum(counts[line] for line in shown) - len(withheld)
        if shown and withheld and room <= 0:
            found |= shown
    return found


def _block(block: list[Line], cut: set[Line], counts: Counts) -> Block:
    total = sum(counts[line] for line in cut)
    shown = [counts[line] for line in block if line not in cut]
    if all(counts[line] <= 7 for line in cut):
        down = 7 * len(cut) - total
    else:
        down = len(cut) * min(shown) - total if shown else UNBOUNDED
    return Block(len(cut), total - len(cut), down)


def _is_poor(blocks: Iterable[Block]) -> bool:
    blocks = [*blocks]
    return sum(block.up for block in blocks) < 6 or sum(block.down for block in blocks) < 6


def _margins(blocks: dict[tuple[str, date], Block], counts: Counts) -> tuple[set[str], set[date]]:
    conditions, months = {key[0] for key in blocks}, {key[1] for key in blocks}

    def loose(condition: str, month: date) -> bool:
        return (condition, month) in blocks and blocks[condition, month].is_loose

    bare = {
        (condition, month)
        for (condition, month), block in blocks.items()
        if not block.is_loose
        and not any(
            loose(condition, other) and loose(another, month) and loose(another, other)
            for another, other in product(conditions - {condition}, months - {month})
        )
    }
    poor_months = {month for _, month in bare} | _poor(months, 1, blocks)
    richest: Callable[[date], tuple[int, date]] = lambda month: (sum(loose(c, month) for c in conditions), month)  # noqa: E731
    rich = [month for month in months - poor_months if richest(month)[0]]
    hidden_months = poor_months | ({max(rich, key=richest)} if poor_months and rich else set())
    poor = {c for c, month in bare if not any(loose(c, other) for other in hidden_months - {month})}
    poor |= _poor(conditions, 0, blocks)
    totals: dict[str, int] = defaultdict(int)
    for line, count in counts.items():
        totals[line[0]] += count
    others = sorted(conditions - poor, key=lambda condition: (totals[condition], condition.encode()))
    return poor | {*others[: 1 if poor else 0]}, hidden_months


def _poor(names: set, at: int, blocks: dict[tuple[str, date], Block]) -> set:
    return {name for name in names if _is_poor(block for key, block in blocks.items() if key[at] == name)}
