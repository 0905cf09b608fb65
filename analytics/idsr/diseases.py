"""Which diseases are reported, how soon, and how people write them: the table diseases.csv.

Its `verified` says by what a line was checked. The classes of lines with `no` are from memory: have them confirmed
by the national guideline's third edition before anything is decided by them.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("diseases.csv")
REPORTED = ("immediate", "weekly")


@dataclass(frozen=True)
class Disease:
    code: str
    name: str
    reported: str
    synonyms: tuple[str, ...]
    verified: str


@cache
def all_of_them() -> dict[str, Disease]:
    with TABLE.open(newline="") as file:
        lines = [*csv.DictReader(file)]
    return {
        line["code"]: Disease(
            line["code"], line["name"], line["reported"], tuple(line["synonyms"].split(";")), line["verified"]
        )
        for line in lines
    }
