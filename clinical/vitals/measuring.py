"""How many phrases of the corpus are read exactly as a person has written down that they are to be read.

corpus.csv: a family, a phrase as people write it, the values it says (`name=value unit flag`), and what is left over.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clinical.vitals.parser import Reading, parse
from clinical.vitals.signs import NAMES, Sign

CORPUS = Path(__file__).with_name("corpus.csv")


@dataclass
class Family:
    phrases: int = 0
    failed: list[tuple[str, str, str]] = field(default_factory=list)  # the phrase, what was expected, what was read

    @property
    def share(self) -> float:
        return 1 - len(self.failed) / self.phrases


def phrases() -> Iterator[dict[str, str]]:
    with CORPUS.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def measure() -> dict[str, Family]:
    found: dict[str, Family] = {}
    for phrase in phrases():
        family = found.setdefault(phrase["family"], Family())
        family.phrases += 1
        expected, read = f"{phrase['expected']} | {phrase['leftover']}", in_words(parse(phrase["text"]))
        if expected != read:
            family.failed.append((phrase["text"], expected, read))
    return found


def in_words(reading: Reading) -> str:
    return f"{'; '.join(map(_sign_in_words, reading.signs))} | {reading.leftover or ''}"


def _sign_in_words(sign: Sign) -> str:
    said = sign.coded if sign.value is None else f"{sign.value.normalize():f} {sign.unit}"
    return f"{NAMES[sign.code]}={said}{f' {sign.flag.value}' if sign.flag else ''}"
