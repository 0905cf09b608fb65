"""What a stored bundle is answered with: where each of its entries is now, in their order."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from clinical.fhir.codes import instant
from clinical.fhir.encounters import RECORD, VISIT
from ingestion.datasets import Dataset
from ingestion.fhir import observations
from ingestion.fhir.bundles import Entry
from ingestion.fhir.composing import Composed
from ingestion.fhir.encounters import Event
from ingestion.fhir.issues import Issue, outcome
from ingestion.fhir.loading import Landed

OF_TEXTS = {"chief_complaint": "complaint"}


def answer(
    entries: Sequence[Entry], bundle: Composed, landed: Mapping[Dataset, Landed], found: Sequence[Issue]
) -> dict[str, Any]:
    """`found`: what was not kept, though nothing was wrong with it."""
    told: dict[int, dict[str, Any]] = {
        number: _one("Patient", str(whom.pk), whom.updated_at, is_new=False) for number, whom in bundle.stored.items()
    }
    people = landed.get(Dataset.PATIENTS, Landed())
    for number, pk in people.ids.items():
        told[number] = _one("Patient", str(pk), people.changed_at[pk], is_new=pk in people.new)
    for event in bundle.events:
        told |= _of_event(event, landed[event.dataset])
    warned: dict[int, list[Issue]] = {}
    for part in landed.values():
        for number, issues in part.warnings.items():
            warned.setdefault(number, []).extend(issues)
    for issue in found:
        for entry in entries:
            if issue.at == entry.at or issue.at.startswith(f"{entry.at}."):
                warned.setdefault(entry.number, []).append(issue)
    for number, issues in warned.items():
        told[number]["outcome"] = outcome(issues)
    return {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [{"response": told[entry.number]} for entry in entries],
    }


def _of_event(event: Event, landed: Landed) -> dict[int, dict[str, Any]]:
    """The encounter, and all that its row holds."""
    pk = landed.ids[event.entry.number]
    of, at, is_new = f"{VISIT if event.is_visit else RECORD}{pk}", landed.changed_at[pk], pk in landed.new
    told = {event.entry.number: _one("Encounter", of, at, is_new=is_new)}
    for number, (entry, _) in enumerate(event.conditions, 1):
        told[entry.number] = _one("Condition", f"{of}-{number}" if event.is_visit else of, at, is_new=is_new)
    for entry, _ in event.medications:
        told[entry.number] = _one("MedicationStatement", of, at, is_new=is_new)
    for entry, _ in event.levels:
        told[entry.number] = _one("Observation", f"{of}-acuity", at, is_new=is_new)
    for column, (entry, _) in event.texts.items():
        told[entry.number] = _one("Observation", f"{of}-{OF_TEXTS.get(column, column)}", at, is_new=is_new)
    for entry, sign in event.signs:
        form = observations.FORMS.get(sign.code)  # of words alone there is no resource until they are read
        kind, name = ("Observation", f"{of}-{form.name}") if form else ("Encounter", of)
        told[entry.number] = _one(kind, name, at, is_new=is_new)
    return told


def _one(kind: str, of: str, at: datetime, *, is_new: bool) -> dict[str, Any]:
    return {
        "status": "201 Created" if is_new else "200 OK",
        "location": f"{kind}/{of}",
        "etag": f'W/"{int(at.timestamp() * 1_000_000):x}"',
        "lastModified": instant(at),
    }
