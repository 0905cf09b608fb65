"""The map that is delivered with Medilink: diagnoses.csv and medications.csv, of every version there ever was.

Lines are only added: one that no longer holds gets the version `until` which it held, and what replaces it is a line of
the next version. versions.csv has a digest of each version, so that no line changes unnoticed.
"""

import csv
import hashlib
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from clinical.terms.words import key

HERE = Path(__file__).parent
ICD10 = "http://hl7.org/fhir/sid/icd-10"
MEDICINES = "urn:medilink:medicines"  # our own: generic names, since the ATC index may not be copied into products


class Kind(StrEnum):
    DIAGNOSIS = "diagnosis"
    MEDICATION = "medication"


class Coding(NamedTuple):
    system: str
    code: str
    display: str


SYSTEMS = {Kind.DIAGNOSIS: ICD10, Kind.MEDICATION: MEDICINES}
FILES = {Kind.DIAGNOSIS: "diagnoses.csv", Kind.MEDICATION: "medications.csv"}


class Ambiguous(Exception):
    """Two concepts of one version have the same spelling."""


@cache
def versions() -> dict[int, str]:
    """Each version with its digest."""
    with (HERE / "versions.csv").open(newline="") as file:
        return {int(line["version"]): line["digest"] for line in csv.DictReader(file)}


def newest() -> int:
    return max(versions())


@cache
def spellings(kind: Kind, version: int) -> dict[str, Coding]:
    """Key to concept."""
    found: dict[str, Coding] = {}
    for coding, words in _lines(kind, version):
        for word in words:
            if found.setdefault(key(word), coding).code != coding.code:
                raise Ambiguous(f"{word}: {found[key(word)].code} and {coding.code}")
    return found


@cache
def concepts(kind: Kind, version: int) -> dict[str, tuple[Coding, tuple[str, ...]]]:
    """Code to concept and its spellings."""
    return {coding.code: (coding, words) for coding, words in _lines(kind, version)}


def _lines(kind: Kind, version: int) -> Iterator[tuple[Coding, tuple[str, ...]]]:
    with (HERE / FILES[kind]).open(newline="") as file:
        for line in csv.DictReader(file):
            if int(line["since"]) <= version <= int(line["until"] or version):
                words = [line["display"], *(word for word in line["spellings"].split(" | ") if word)]
                yield Coding(SYSTEMS[kind], line["code"], line["display"]), tuple(dict.fromkeys(words))


def digest(version: int) -> str:
    """Of all that a version says."""
    told = [
        "\t".join((kind, word, *coding)) for kind in Kind for word, coding in sorted(spellings(kind, version).items())
    ]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
