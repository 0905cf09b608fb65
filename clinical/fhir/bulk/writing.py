"""The files of an export, one after the other, out of one snapshot of the database.

Whoever goes on where another worker has died has a newer snapshot. A part that would come out of it just the same is
kept, which its digest tells without making a resource; any other is made anew. So all parts are of the last snapshot.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from clinical import terms
from clinical.api.exports import OPTIONS, json_of
from clinical.fhir import refusals
from clinical.fhir.bulk import files, gone
from clinical.fhir.bulk.claims import Claim
from clinical.fhir.bulk.selection import Line, Selection
from clinical.fhir.codes import Resource
from clinical.models import FhirExportPart

ROWS = 50_000  # of a part
BATCH = 1_000
VERSION = ("pk", "last_updated", "is_clear")  # of what a row says; and how much of it the caller sees
NEWLINE = b"\n"


@dataclass
class Digest:
    """Over the rows that a part is made of, and the map that gives their words codes."""

    made: Any = field(default_factory=lambda: hashlib.sha256(terms.current().version.encode()))
    rows: int = 0

    def take(self, pk: int, last_updated: Any, is_clear: bool) -> None:
        self.made.update(f"{pk} {last_updated.isoformat()} {is_clear}\n".encode())
        self.rows += 1


def write(selection: Selection, claim: Claim) -> None:
    """All parts that are not there yet, or no longer right."""
    known = {
        (one.of, one.type, one.table, one.after_id): one
        for one in FhirExportPart.objects.filter(export=selection.export).defer("patient_ids")
    }
    kept: set[int] = set()
    for line in selection.lines():
        _write_line(selection, line, claim, known, kept)
    if selection.export.since:
        _write_gone(selection, claim, kept, known)
    if selection.export.ignored:
        _write_ignored(selection, claim, kept, known)
    claim.drop([one.pk for one in known.values() if one.pk not in kept])


Known = dict[tuple[str, str, int, int], FhirExportPart]


def _write_line(selection: Selection, line: Line, claim: Claim, known: Known, kept: set[int]) -> None:
    rows = selection.rows(line.part)
    after = 0
    while True:
        found = known.get((FhirExportPart.Of.OUTPUT, line.type, line.number, after))
        if found:
            claim.renew()
            kept.add(found.pk)  # whatever it becomes, it is one of the parts
            if _digest_of(rows, after, found.upto_id) == bytes(found.digest):
                after = found.upto_id
                continue
        upto = _write_part(rows, line, claim, after, found.upto_id if found else None)
        if upto is None:
            if found:
                kept.discard(found.pk)
                after = found.upto_id
                continue
            return
        after = upto


def _digest_of(rows: "QuerySet[Any]", after: int, upto: int) -> bytes:
    digest = Digest()
    for version in rows.filter(pk__gt=after, pk__lte=upto).values_list(*VERSION).iterator(chunk_size=10_000):
        digest.take(*version)
    return bytes(digest.made.digest())


def _write_part(rows: "QuerySet[Any]", line: Line, claim: Claim, after: int, upto: int | None) -> int | None:
    """The last row's id, or `upto` where it was given; None where there is nothing to write."""
    digest, people, count = Digest(), set[int](), 0
    last = after
    with files.writing() as file:
        for found in _batches(rows, after, upto):
            claim.renew()
            made = [*zip(found, line.part.made(found), strict=True)]
            for row, _ in made:
                digest.take(row["pk"], row["last_updated"], row["is_clear"])
            resources = [one for _, ones in made for one in ones]
            file.write(_lines(resources))
            count += len(resources)
            if line.part.patient:
                people |= {row[line.part.patient] for row in found}
            last = found[-1]["pk"]
            if upto is None and digest.rows >= ROWS:
                break
        if not digest.rows:
            return None
        name = f"{claim.export}/{claim.attempt}/{line.type}-{line.number}-{after}.ndjson.gz"
        claim.add(
            of=FhirExportPart.Of.OUTPUT,
            type=line.type,
            table=line.number,
            after=after,
            upto=upto or last,
            digest=digest.made.digest(),
            file=name,
            size=file.put(name),
            resources=count,
            patients=sorted(people),
        )
    return upto or last


def _batches(rows: "QuerySet[Any]", after: int, upto: int | None) -> Iterator[list[Any]]:
    if upto is not None:
        rows = rows.filter(pk__lte=upto)
    while found := [*rows.filter(pk__gt=after)[:BATCH]]:
        yield found
        after = found[-1]["pk"]


def _lines(resources: list[Resource]) -> bytes:
    return b"".join(json_of(one, OPTIONS) + NEWLINE for one in resources)


# --- What is gone, and what was not understood


def _write_gone(selection: Selection, claim: Claim, kept: set[int], known: Known) -> None:
    _write_small(claim, FhirExportPart.Of.DELETED, "Bundle", gone.bundles(selection), kept, known)


def _write_ignored(selection: Selection, claim: Claim, kept: set[int], known: Known) -> None:
    told = (refusals.outcome(_issue(name)) for name in selection.export.ignored)
    _write_small(claim, FhirExportPart.Of.ERROR, "OperationOutcome", told, kept, known)


def _issue(name: str) -> Resource:
    return refusals.issue(400, "unknown_parameter", f"{name} was ignored, as you have said.", severity="warning")


def _write_small(
    claim: Claim, of: str, type_of: str, resources: Iterator[Resource], kept: set[int], known: Known
) -> None:
    """One file; written anew by each attempt."""
    count, digest = 0, hashlib.sha256()
    with files.writing() as file:
        for resource in resources:
            claim.renew()
            line = _lines([resource])
            digest.update(line)
            file.write(line)
            count += 1
        if not count:
            return
        name = f"{claim.export}/{claim.attempt}/{type_of}.ndjson.gz"
        claim.add(
            of=of,
            type=type_of,
            table=0,
            after=0,
            upto=0,
            digest=digest.digest(),
            file=name,
            size=file.put(name),
            resources=count,
            patients=[],
        )
    found = known.get((of, type_of, 0, 0))
    if found:
        kept.add(found.pk)
