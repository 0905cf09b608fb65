"""Which counts a reader is shown. The one place of the dashboard that decides it."""

from collections.abc import Sequence

SMALL = 7  # and less, but not none
HIDDEN = "<8"

Count = int | None  # None: hidden


def shown(count: int, *, is_clear: bool) -> Count:
    return count if is_clear or not 0 < count <= SMALL else None


def table(counts: Sequence[Sequence[int]], *, is_clear: bool) -> list[list[Count]]:
    """Where one cell alone is hidden it could be told from the sum: then the next smallest is hidden too."""
    found = [[shown(count, is_clear=is_clear) for count in line] for line in counts]
    hidden = sum(cell is None for line in found for cell in line)
    others = [(cell, y, x) for y, line in enumerate(found) for x, cell in enumerate(line) if cell]
    if hidden == 1 and others:
        _, y, x = min(others)
        found[y][x] = None
    return found
