"""What stewards have said that a cell's text means, as far as it concerns one file. Pure: no database.

A cell's text is compared as Python lowers it with the rule's as PostgreSQL does. Where the two should ever differ, the
rule does not apply and the row is refused as without it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ruling:
    rule_id: int
    value: str
    state: str = ""  # only in rows of this state


@dataclass(frozen=True)
class Rulebook:
    """For each thing that rules are about, the rulings on a text (in lower case), the most particular first."""

    rulings: Mapping[str, Mapping[str, Sequence[Ruling]]] = field(default_factory=dict)
    folder_state: str = ""

    def __bool__(self) -> bool:
        return bool(self.rulings)

    def found(self, about: str, cells: Sequence[str], states: Sequence[str]) -> Iterator[tuple[int, Ruling]]:
        """The ruling on each cell that has one. `states`: of each row, empty where it names none."""
        known = self.rulings.get(about)
        if not known:
            return
        for index, cell in enumerate(cells):
            for ruling in known.get(key_of(cell), ()) if cell else ():
                if not ruling.state or ruling.state == (states[index] or self.folder_state):
                    yield index, ruling
                    break


def key_of(cell: str) -> str:
    """By Unicode's plain table of small letters, which is PostgreSQL's: Python alone knows these two better."""
    return " ".join(cell.split()).replace("\u0130", "i").replace("\u03a3", "\u03c3").lower()


NO_RULES = Rulebook()
