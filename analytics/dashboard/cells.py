"""Which counts a reader of the dashboard is shown: by the rules of analytics/disclosure, as a page needs them."""

from collections.abc import Sequence

from analytics import disclosure
from analytics.disclosure import SMALL, UNDER

__all__ = ["SMALL", "UNDER", "Count", "parts", "shown", "table"]
Count = int | None  # None: hidden


def shown(count: int, *, is_clear: bool) -> Count:
    """A number that is no part of a whole."""
    return count if is_clear else disclosure.shown(count).count


def parts(counts: Sequence[int], *, is_clear: bool) -> list[Count]:
    """The parts of a whole that the page tells."""
    return [*counts] if is_clear else [cell.count for cell in disclosure.row(counts)[0]]


def table(counts: Sequence[Sequence[int]], *, is_clear: bool) -> tuple[list[list[Count]], list[Count]]:
    """Cells, and the totals of their columns."""
    if is_clear:
        return [[*line] for line in counts], [sum(column) for column in zip(*counts, strict=True)]
    cells, _, columns, _ = disclosure.table(counts)
    return [[cell.count for cell in line] for line in cells], [cell.count for cell in columns]
