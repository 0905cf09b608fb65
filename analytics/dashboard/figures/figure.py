"""What every figure has; the templates draw it, the CSV is its table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from analytics import metrics
from analytics.dashboard.cells import UNDER
from analytics.wording import NOTHING

WHOLE_MONTHS = "Conditions are counted by month; these are the whole months that the dates touch."


@dataclass(frozen=True)
class Column:
    """`metric` of the catalogue, for its label and meaning; what has none says what the lines are of, or counts."""

    label: str
    metric: str = ""
    places: int = 0
    is_count: bool = False

    @property
    def is_number(self) -> bool:
        return self.is_count or (bool(self.metric) and metrics.metric(self.metric).unit != "category")

    @property
    def meaning(self) -> str:
        return metrics.metric(self.metric).meaning if self.metric else ""

    def told(self, value: Any) -> str:
        if value is None:
            return NOTHING
        if isinstance(value, int | float | Decimal):
            return f"{value:,.{self.places}f}"
        return str(value)


def measured(metric: str, places: int = 0, label: str = "") -> Column:
    return Column(label or metrics.metric(metric).label, metric, places)


class Hidden:
    """In the place of a count that the reader is not shown."""

    def __str__(self) -> str:
        return UNDER


HIDE = Hidden()


def or_hidden(count: int | None) -> Any:
    return HIDE if count is None else count


@dataclass
class Figure:
    """`says` is its sentence; `drawing` is what its template draws, empty where there is nothing to draw."""

    name: str
    title: str
    says: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    relations: tuple[str, ...]
    drawing: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    template: str = ""
    trust: Any = None
    is_withheld: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.drawing

    @property
    def body(self) -> SafeString:
        """The lines of its table; a template would take ten times as long for a thousand cells."""
        kinds = ['<td class="number">{}</td>' if column.is_number else "<td>{}</td>" for column in self.columns[1:]]
        line = f'<tr><th scope="row">{{}}</th>{"".join(kinds)}</tr>'
        told = ([column.told(cell) for column, cell in zip(self.columns, row, strict=True)] for row in self.rows)
        return format_html_join("", line, told)


def withheld(name: str, title: str, columns: Sequence[Column]) -> Figure:
    """For who has no clinical role: the numbers of smaller places, taken from those of a state, would tell the rest."""
    says = "Your role is told this of whole states only: of less, differences would tell of single patients."
    return Figure(name, title, says, columns, [], (), is_withheld=True)


def ceiling(largest: float) -> float:
    """The end of an axis: the next of 1, 2, 2.5, 5 and 10, of its magnitude; 4 at least, so that it parts evenly."""
    if largest <= 4:
        return 4
    magnitude = 10 ** (len(str(int(largest))) - 1)
    return next(step * magnitude for step in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if step * magnitude >= largest)


def axis(largest: float) -> tuple[float, list[str]]:
    """The end of an axis, and what stands at it from its top to its foot."""
    end = ceiling(largest)
    return end, [f"{end * part / 4:,.0f}" if end >= 4 else "" for part in (4, 3, 2, 1, 0)]
