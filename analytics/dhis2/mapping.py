"""Which of our figures is which of DHIS2's: a table that the ministry's own file can take the place of.

The uids of the file that comes with Medilink are invented; DHIS2_MAPPING names the one for a real instance.
"""

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from clinical.api.patients import AGES
from clinical.models import Patient

OURS = Path(__file__).with_name("mapping.csv")
UID = re.compile(r"[A-Za-z][A-Za-z0-9]{10}")
COLUMNS = ("data_set", "metric", "age_group", "sex", "data_element", "category_option_combo")
METRICS = ("visits", "critical_visits", "records")
CONDITION = "condition:"


class Cell(NamedTuple):
    """A number of ours, of one facility and month. `metric` of a condition is `condition:` and its name."""

    metric: str
    age_group: str
    sex: str


class Target(NamedTuple):
    data_element: str
    category_option_combo: str


@dataclass(frozen=True)
class Mapping:
    data_set: str
    targets: dict[Cell, Target]

    @property
    def conditions(self) -> list[str]:
        return [name.removeprefix(CONDITION) for name in self.metrics if name.startswith(CONDITION)]

    @property
    def metrics(self) -> list[str]:
        return [*dict.fromkeys(cell.metric for cell in self.targets)]


def current() -> Mapping:
    return read(Path(settings.DHIS2_MAPPING or OURS))


@lru_cache(maxsize=4)
def read(path: Path) -> Mapping:
    """Refuses a table in which a number would be lost or counted under another one."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [*csv.DictReader(file)]
    except OSError as error:
        raise ImproperlyConfigured("The file that DHIS2_MAPPING names cannot be read.") from error
    targets: dict[Cell, Target] = {}
    for number, line in enumerate(lines, 2):
        cell = Cell(*(line.get(name) or "" for name in COLUMNS[1:4]))
        target = Target(*(line.get(name) or "" for name in COLUMNS[4:]))
        if trouble := _trouble(line, cell, target, targets):
            raise ImproperlyConfigured(f"Line {number} of the DHIS2 mapping: {trouble}.")
        targets[cell] = target
    data_sets = {line["data_set"] for line in lines}
    if len(data_sets) != 1:
        raise ImproperlyConfigured("The DHIS2 mapping must be of one data set.")
    return Mapping(data_sets.pop(), targets)


def _trouble(line: dict[str, str], cell: Cell, target: Target, known: dict[Cell, Target]) -> str:
    if not all(UID.fullmatch(uid) for uid in (line.get("data_set") or "", *target)):
        return "a uid is a letter and ten letters or digits"
    if cell.metric not in METRICS and not cell.metric.startswith(CONDITION):
        return f"a metric is one of {', '.join(METRICS)} or {CONDITION} and a name"
    if cell.age_group not in AGES or cell.sex not in Patient.Sex.values:
        return "no such age group or sex"
    if cell in known:
        return "this figure was mapped before"
    return "two figures go to one cell of DHIS2" if target in known.values() else ""
