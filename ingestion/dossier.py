"""Everything that is held about one patient: what the law lets them ask for, and what an erasure has to reach.

Merged rows are the same person. Refused rows know no patient; those count whose names, place and (where it can be read)
date of birth are theirs.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple, cast

from django.db.models import Model, Q
from django.utils import timezone

from clinical import audit, keyed, subjects, values
from clinical.audit import questions
from clinical.models import Facility, Merge, Patient, PatientAlias, Revision, User, VisitScore, VitalSign
from clinical.subjects import EVENTS, Identity
from ingestion import cells, objects
from ingestion.datasets import Dataset
from ingestion.models import IngestBatch, Kind, RejectedRow, Sighting

FORMAT = 1
HIDDEN = {"delivered", "overridden", "fingerprint", "fingerprint_version", "first_name_key", "last_name_key"}
DOB = {Dataset.PATIENTS: "dob", Dataset.MEDICAL_RECORDS: "patient_dob", Dataset.TRIAGE_VISITS: "patient_dob"}
SAID = {  # the sentences of the file itself: whoever opens it need not know us
    "patients": "The person as each facility knows, or knew, them; merged rows are the same person.",
    "aliases": "Earlier names, dates of birth and facilities, by which files still find the person.",
    "medical_records": "What was recorded of them.",
    "triage_visits": "Their visits.",
    "vital_signs": "What a program has read out of the visits' vital signs.",
    "visit_scores": "Scores that a program has made of them.",
    "changes": "What was changed in these rows: before, after, when, and by which deed or batch.",
    "refused_rows": "Rows of files that could not be loaded and bear the person's name.",
    "deliveries": "The files, and the lines in them, in which the person was delivered; `is_kept`: in the archive.",
    "merges": "When two rows were found to be this one person.",
    "seen_by": "Who was told of the person or changed something, when, in which role and what for.",
}


class Held(NamedTuple):
    """The rows that are about one person."""

    patient: Patient
    ids: list[int]
    identities: set[Identity]
    events: dict[str, list[int]]  # by table
    refused: list[RejectedRow]

    def revisions(self) -> Any:
        """All changes of these rows, and of names that they have no longer."""
        found = Q(table="patients", object_id__in=self.ids)
        for table, ids in self.events.items():
            found |= Q(table=table, object_id__in=ids)
        found |= Q(table="rejected_rows", object_id__in=[row.pk for row in self.refused])
        for doc in ("was", "became"):
            found |= Q(table="patient_aliases", **{f"{doc}__patient_id__in": self.ids})
        return Revision.objects.filter(found)


def held(pk: int) -> Held:
    """Raises NotPossible where there is no such patient."""
    patient = subjects.patient_of(pk)
    ids = subjects.whole(patient)
    identities = subjects.identities(ids)
    events = {
        model._meta.db_table: [*model.objects.filter(patient__in=ids).order_by("pk").values_list("pk", flat=True)]
        for model in EVENTS
    }
    return Held(patient, ids, identities, events, [*_refused(ids, identities, events)])


def export(pk: int, *, by: User | None) -> dict[str, Any]:
    """One document; sealed cells are opened. Noted as a read of this patient. Raises NotPossible."""
    found = held(pk)
    seen = questions.who_saw(found.patient.pk)  # before this export is itself a line of it
    audit.note(by, "export_patient", "patients", found.patient.pk, patient_ids=found.ids)
    return {
        "format": FORMAT,
        "exported_at": timezone.now(),
        "patient_id": found.patient.pk,
        "is_restricted": found.patient.restricted_at is not None,
        "is_erased": found.patient.erased_at is not None,
        "keys": SAID,
        "facilities": [*_facilities(found.identities)],
        "patients": [*map(_plain, Patient.objects.filter(pk__in=found.ids).order_by("pk"))],
        "aliases": [*map(_plain, PatientAlias.objects.filter(patient__in=found.ids).order_by("pk"))],
        **{
            model._meta.db_table: [*map(_plain, model.objects.filter(patient__in=found.ids).order_by("pk"))]
            for model in EVENTS
        },
        **{
            model._meta.db_table: [*map(_plain, model.objects.filter(visit__patient__in=found.ids).order_by("pk"))]
            for model in (VitalSign, VisitScore)
        },
        "changes": [_change(revision) for revision in found.revisions().order_by("pk").select_related("event__actor")],
        "refused_rows": [_refusal(row) for row in found.refused],
        "deliveries": [*deliveries(found)],
        "merges": [*_merges(found.ids)],
        "seen_by": [line._asdict() for line in seen],
    }


def deliveries(found: Held) -> Iterator[dict[str, Any]]:
    """The objects that the person's rows came in, and, where a line is known, on which."""
    lines: dict[int, set[int]] = {}
    tables: list[tuple[Any, list[int]]] = [(Patient, found.ids)]
    tables += [(model, found.events[model._meta.db_table]) for model in EVENTS]
    for model, ids in tables:
        for batch_id, line in model.objects.filter(pk__in=ids, batch_id__isnull=False).values_list("batch_id", "line"):
            lines.setdefault(batch_id, set()).add(line)
        # That a delivery contained a row again is kept without its line.
        seen = Sighting.objects.filter(batch__dataset=model._meta.db_table, ids__overlap=ids)
        for batch_id in seen.values_list("batch_id", flat=True):
            lines.setdefault(batch_id, set())
    for row in found.refused:
        lines.setdefault(row.batch_id, set()).add(row.line)
    for batch in IngestBatch.objects.filter(pk__in=lines).select_related("parent").order_by("pk"):
        file = batch.parent or batch
        yield {
            "batch_id": batch.pk,
            "dataset": batch.dataset,
            "source": file.source,
            "delivered_as": file.object_key,
            "bucket": file.bucket,
            "key": file.archive_key or file.held_key or file.object_key,
            "is_kept": bool(file.archive_key or file.held_key),
            "business_date": file.business_date,
            "lines": sorted(lines[batch.pk]),
        }
        if file.kind == Kind.BUNDLE:
            yield _bundle_of(file)


def _bundle_of(file: IngestBatch) -> dict[str, Any]:
    """The bundle as it came, which lies beside the files that were made of it."""
    key = objects.bundle_key(file.object_key.removesuffix(objects.file_name(file.object_key)))
    known = {"batch_id": file.pk, "dataset": None, "source": file.source, "delivered_as": key, "bucket": file.bucket}
    return known | {"key": key, "is_kept": True, "business_date": file.business_date, "lines": []}


def _refused(ids: list[int], identities: set[Identity], events: dict[str, list[int]]) -> Iterator[RejectedRow]:
    hashes = keyed.hashes()
    became = Q(dataset=Dataset.PATIENTS, became_id__in=ids)
    for table, pks in events.items():
        became |= Q(dataset=table, became_id__in=pks)
    names = {pk: cells.name_key(name) for pk, name in _names_of_facilities(identities)}
    born: dict[int, set[str]] = {}
    for one in identities:
        named = RejectedRow.objects.filter(
            first_name_key=hashes.of(one.first_name_key), last_name_key=hashes.of(one.last_name_key)
        )
        here = Q(facility=one.facility_id)
        if place := hashes.of(names.get(one.facility_id, "")):
            here |= Q(facility=None, facility_key=place)
        for pk in named.filter(here).values_list("pk", flat=True):
            born.setdefault(pk, set()).add(one.dob)
    for row in RejectedRow.objects.filter(became | Q(pk__in=born)).order_by("pk"):
        if row.pk not in born or row.became_id or not _is_of_another(row, born[row.pk]):
            yield row


def _is_of_another(row: RejectedRow, born: set[str]) -> bool:
    """That its cell, where it can be read, has another date of birth."""
    try:
        said, _ = values.dob(str(row.cells.get(DOB[Dataset(row.dataset)]) or ""), date.max)
    except values.Invalid:
        return False
    return said.isoformat() not in born


def _names_of_facilities(identities: set[Identity]) -> list[tuple[int, str]]:
    return [*Facility.objects.filter(pk__in={one.facility_id for one in identities}).values_list("pk", "name")]


def _facilities(identities: set[Identity]) -> Iterator[dict[str, Any]]:
    at = Facility.objects.filter(pk__in={one.facility_id for one in identities}).order_by("pk")
    yield from cast(Any, at.values("id", "name", "state", "lga"))


def _plain(row: Model) -> dict[str, Any]:
    """Column → value, without what only compares rows with one another."""
    return {
        field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if field.attname not in HIDDEN
    }


def _change(revision: Revision) -> dict[str, Any]:
    event = revision.event
    return {
        "at": revision.at,
        "table": revision.table,
        "row_id": revision.object_id,
        "before": _legible(revision.was),
        "after": _legible(revision.became),
        "batch_id": revision.batch_id,
        "action": event.action if event else None,
        "by": event.actor.username if event and event.actor else None,
    }


def _legible(doc: dict[str, Any] | None) -> dict[str, Any] | None:
    """Sealed columns of a refused row stand opened under `refused_rows`."""
    return doc and {
        name: value for name, value in doc.items() if name not in HIDDEN and not name.endswith(("_sealed", "_keys"))
    }


def _refusal(row: RejectedRow) -> dict[str, Any]:
    return {
        "id": row.pk,
        "dataset": row.dataset,
        "batch_id": row.batch_id,
        "line": row.line,
        "reasons": row.reasons,
        "cells": row.raw,
        "corrections": row.corrections,
        "state": row.state,
        "first_seen_at": row.first_seen_at,
        "last_seen_at": row.last_seen_at,
        "became_id": row.became_id,
    }


def _merges(ids: list[int]) -> Iterator[dict[str, Any]]:
    merges = Merge.objects.filter(Q(survivor_id__in=ids) | Q(merged_id__in=ids), table=Merge.Of.PATIENTS)
    for merge in merges.select_related("event__actor").order_by("pk"):
        yield {
            "at": merge.event.at,
            "by": merge.event.actor.username if merge.event.actor else None,
            "survivor_id": merge.survivor_id,
            "merged_id": merge.merged_id,
            "undone_at": merge.undone_at,
        }
