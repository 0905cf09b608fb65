"""A pair laid out for a steward: both sides field by field, what hangs on each, and the evidence in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import Count, Max, Min
from django.utils.formats import date_format
from unfold.widgets import UnfoldAdminRadioSelectWidget

from clinical.duplicates.decisions import MODELS
from clinical.models import DuplicatePair, Facility, MedicalRecord, Patient, Table, TriageVisit

# (label, columns, may a steward choose): identity stays the survivor's, the other's becomes a name of it.
FIELDS: dict[str, tuple[tuple[str, tuple[str, ...], bool], ...]] = {
    Table.PATIENTS: (
        ("First name", ("first_name",), False),
        ("Last name", ("last_name",), False),
        ("Date of birth", ("dob", "dob_is_estimated"), False),
        ("Sex", ("sex",), True),
        ("Phone", ("phone",), True),
        ("Patient number", ("patient_number",), True),
    ),
    Table.FACILITIES: (
        ("Name", ("name",), False),
        ("State", ("state",), False),
        ("LGA", ("lga",), False),
        ("Type", ("type",), True),
        ("Ownership", ("ownership",), True),
        ("Level", ("level",), True),
        ("HFR code", ("hfr_code",), True),
        ("Coordinates", ("lat", "lon"), True),
    ),
}
NOTHING = (None, "", Patient.Sex.UNKNOWN)
LEFT, RIGHT = "left", "right"


def rows_of(pairs: Iterable[DuplicatePair]) -> dict[tuple[str, int], Any]:
    """The rows of these pairs by table and id; two queries at most."""
    pairs = [*pairs]
    found: dict[tuple[str, int], Any] = {}
    for table, model in MODELS.items():
        ids = {pk for pair in pairs if pair.table == table for pk in (pair.low_id, pair.high_id)}
        found |= {(table, pk): row for pk, row in (model.objects.in_bulk(ids) if ids else {}).items()}
    return found


@dataclass(frozen=True)
class Side:
    row: Any
    events: list[tuple[str, str]]
    aliases: list[str]

    @property
    def origin(self) -> str:
        return f"batch {self.row.batch_id}, line {self.row.line}" if self.row.batch_id else "by a person"


@dataclass(frozen=True)
class Line:
    """One field of both sides."""

    label: str
    values: tuple[str, str]
    is_same: bool
    name: str = ""  # of the choice, where there is something to choose


def sides(pair: DuplicatePair) -> tuple[Side, Side]:
    rows = rows_of([pair])
    one, other = (rows[pair.table, pk] for pk in (pair.low_id, pair.high_id))
    return _side(pair.table, one), _side(pair.table, other)


def _side(table: str, row: Any) -> Side:
    whose = "patient" if table == Table.PATIENTS else "facility"
    events = [_told(name, model, "event_on", {whose: row}) for name, model in _EVENTS]
    if table == Table.FACILITIES:
        count = Patient.objects.present().filter(facility=row).count()
        events.insert(0, ("Patients", f"{count:,}"))
    return Side(row, events, [str(alias) for alias in row.aliases.all()[:20]])


_EVENTS: tuple[tuple[str, Any], ...] = (("Triage visits", TriageVisit), ("Medical records", MedicalRecord))


def _told(name: str, model: Any, day: str, whose: dict[str, Any]) -> tuple[str, str]:
    events = model.objects.present().filter(**whose)
    found = events.aggregate(count=Count("pk"), first=Min(day), last=Max(day))
    if not found["count"]:
        return name, "none"
    first, last = (date_format(found[key], "j M Y") for key in ("first", "last"))
    return name, f"{found['count']:,} ({first if first == last else f'{first} to {last}'})"


def lines(pair: DuplicatePair, one: Any, other: Any) -> list[Line]:
    found = []
    for label, columns, may_choose in FIELDS[pair.table]:
        values = _shown(one, columns), _shown(other, columns)
        is_same = values[0] == values[1]
        found.append(Line(label, values, is_same, columns[0] if may_choose and not is_same else ""))
    return found


def _shown(row: Any, columns: tuple[str, ...]) -> str:
    first, *more = (getattr(row, column) for column in columns)
    if columns[0] == "dob":
        return date_format(first, "j F Y") + (" (estimated)" if more[0] else "")
    if columns[0] == "lat":
        return "" if first is None else f"{first:f}, {more[0]:f}"
    return "" if first is None else str(first)


class MergeForm(forms.Form):
    """Which side survives, and whose value is kept where they differ."""

    def __init__(self, pair: DuplicatePair, one: Side, other: Side, posted: Any = None) -> None:
        super().__init__(posted)
        self.pair, self.rows = pair, {LEFT: one.row, RIGHT: other.row}
        survivor = LEFT
        sides_of = [(LEFT, f"The left one ({one.row.pk})"), (RIGHT, f"The right one ({other.row.pk})")]
        self.fields["survivor"] = _choice("Survivor", sides_of, survivor)
        for line in lines(pair, one.row, other.row):
            if line.name:
                filled = LEFT if getattr(one.row, line.name) not in NOTHING else RIGHT
                said = [(side, value or "nothing") for side, value in zip((LEFT, RIGHT), line.values, strict=True)]
                self.fields[line.name] = _choice(line.label, said, filled)

    @property
    def survivor_id(self) -> int:
        return int(self.rows[self.cleaned_data["survivor"]].pk)

    @property
    def keep(self) -> dict[str, Any]:
        """The columns as chosen; both coordinates come from one side."""
        chosen = {name: self.rows[side] for name, side in self.cleaned_data.items() if name != "survivor"}
        columns = {columns[0]: columns for _, columns, _ in FIELDS[self.pair.table]}
        return {column: getattr(row, column) for name, row in chosen.items() for column in columns[name]}


def _choice(label: str, choices: list[tuple[str, str]], initial: str) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, initial=initial, widget=UnfoldAdminRadioSelectWidget())


def names(pair: DuplicatePair, rows: dict[tuple[str, int], Any]) -> list[str]:
    """How each side is called; a facility with its LGA."""
    found = [rows[pair.table, pk] for pk in (pair.low_id, pair.high_id)]
    return [", ".join(filter(None, (row.name, row.lga))) if isinstance(row, Facility) else str(row) for row in found]
