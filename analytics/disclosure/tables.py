"""Counts of people as a page or an export may show them: small ones hidden, and what would give them away.

Pure functions over counts. Who may see all of them, clinical/access.py says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SMALL = 7
UNDER = f"<{SMALL + 1}"  # what a page writes for a hidden number
WIDE = 6  # by so many may hidden numbers together be moved up, and down


@dataclass(frozen=True)
class Cell:
    """A number to show; None where it is withheld."""

    count: int | None

    @property
    def suppressed(self) -> bool:
        return self.count is None

    def __str__(self) -> str:
        return UNDER if self.count is None else f"{self.count:,}"


HIDDEN = Cell(None)


def shown(count: int) -> Cell:
    """A number that stands alone: no total, share or other part of its whole is told."""
    return HIDDEN if 0 < count <= SMALL else Cell(count)


def row(counts: Sequence[int]) -> tuple[list[Cell], Cell]:
    """Parts and their total. A zero is shown; hidden parts keep seven possible numbers each, or the total is hidden."""
    cells, _, _, whole = table([[count] for count in counts])
    return [cell for (cell,) in cells], whole


def table(counts: Sequence[Sequence[int]]) -> tuple[list[list[Cell]], list[Cell], list[Cell], Cell]:
    """Cells, totals of rows, totals of columns and the whole of a two-way table.

    In each row and column the smallest parts are hidden until the hidden ones are loose by the rule of this package;
    where that cannot be, the total of that row or column is withheld, and with a single one of its kind the next
    smallest. Totals of 1-7 are small numbers themselves.
    """
    height, width = len(counts), len(counts[0]) if counts else 0
    hidden = {(r, c) for r in range(height) for c in range(width) if 0 < counts[r][c] <= SMALL}
    lines = [[(r, c) for c in range(width)] for r in range(height)]
    columns = [[(r, c) for r in range(height)] for c in range(width)]
    number = {(r, c): counts[r][c] for r in range(height) for c in range(width)}
    while more := {cell for line in (*lines, *columns) if len(line) > 1 for cell in _more(line, hidden, number)}:
        hidden |= more
    row_totals = _totals(lines, hidden, number)
    column_totals = _totals(columns, hidden, number)
    whole = Cell(sum(number.values()))
    if not _is_wide([*number], hidden, number) or 0 < sum(number.values()) <= SMALL:
        whole = HIDDEN
    cells = [[HIDDEN if cell in hidden else Cell(number[cell]) for cell in line] for line in lines]
    return cells, row_totals, column_totals, whole


Place = tuple[int, int]


def _is_wide(line: Sequence[Place], hidden: set[Place], number: dict[Place, int]) -> bool:
    """Whether the line's total leaves each of its hidden cells at least seven possible numbers."""
    withheld = [number[cell] for cell in line if cell in hidden]
    if not withheld:
        return True
    up = sum(withheld) - len(withheld)
    most = max(SMALL, *withheld)
    return len(withheld) > 1 and up >= WIDE and len(withheld) * most - sum(withheld) >= WIDE


def _more(line: Sequence[Place], hidden: set[Place], number: dict[Place, int]) -> set[Place]:
    """The smallest cell that is still shown, where the hidden ones are not protected by each other."""
    if not any(cell in hidden for cell in line) or _is_wide(line, hidden, number):
        return set()
    rest = sorted((number[cell], cell) for cell in line if cell not in hidden and number[cell])
    return {rest[0][1]} if rest else set()


def _totals(lines: Sequence[Sequence[Place]], hidden: set[Place], number: dict[Place, int]) -> list[Cell]:
    sums = [sum(number[cell] for cell in line) for line in lines]
    withheld = {n for n, line in enumerate(lines) if 0 < sums[n] <= SMALL or not _is_wide(line, hidden, number)}
    rest = sorted((total, n) for n, total in enumerate(sums) if n not in withheld and total)
    if len(withheld) == 1 and rest:
        withheld.add(rest[0][1])  # one alone would follow from the whole and the others
    return [HIDDEN if n in withheld else Cell(total) for n, total in enumerate(sums)]
