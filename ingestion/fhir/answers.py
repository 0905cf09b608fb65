"""What a stored bundle is answered with: where each of its entries is now, in their order."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical.api import exports
from clinical.fhir import refusals, search
from clinical.fhir.codes import instant
from clinical.fhir.encounters import RECORD, VISIT
from clinical.fhir.registry import registry
from clinical.fhir.views import tag_of
from clinical.models import User
from ingestion.datasets import Dataset
from ingestion.fhir import observations
from ingestion.fhir.bundles import Entry
from ingestion.fhir.composing import Composed
from ingestion.fhir.encounters import Event
from ingestion.fhir.issues import Issue
from ingestion.fhir.loading import Landed

SHORT = {"chief_complaint": "complaint"}  # of a column, in an Observation's id
Place = tuple[str, str, bool]  # type, id, and whether it is new


def answer(
    entries: Sequence[Entry],
    bundle: Composed,
    landed: Mapping[Dataset, Landed],
    found: Sequence[Issue],
    user: User,
) -> dict[str, Any]:
    """`found`: what was not kept, though nothing was wrong with it."""
    places = _places(bundle, landed)
    known = _as_read({(kind, of) for kind, of, _ in places.values()}, user)
    warned = _warned(entries, landed, found)
    told = []
    for entry in entries:
        kind, of, is_new = places[entry.number]
        one: dict[str, Any] = {"status": "201 Created" if is_new else "200 OK", "location": f"{kind}/{of}"}
        one |= known.get((kind, of), {})
        if issues := warned.get(entry.number):
            one["outcome"] = refusals.outcome(*(issue.told() for issue in issues))
        told.append({"response": one})
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": told}


def patients_of(told: dict[str, Any]) -> list[int]:
    """Of an answer, those whom it names."""
    places = [one["response"]["location"].partition("/") for one in told["entry"]]
    return [int(of) for kind, _, of in places if kind == "Patient"]


def _places(bundle: Composed, landed: Mapping[Dataset, Landed]) -> dict[int, Place]:
    """By entry."""
    places: dict[int, Place] = {number: ("Patient", str(one.pk), False) for number, one in bundle.stored.items()}
    people = landed.get(Dataset.PATIENTS, Landed())
    places |= {number: ("Patient", str(pk), pk in people.new) for number, pk in people.ids.items()}
    for event in bundle.events:
        part = landed[event.dataset]
        pk = part.ids[event.entry.number]
        places |= _of_event(event, f"{VISIT if event.is_visit else RECORD}{pk}", is_new=pk in part.new)
    return places


def _of_event(event: Event, of: str, *, is_new: bool) -> dict[int, Place]:
    """The encounter, and all that its row holds."""
    places: dict[int, Place] = {event.entry.number: ("Encounter", of, is_new)}
    for number, (entry, _) in enumerate(event.conditions, 1):
        places[entry.number] = ("Condition", f"{of}-{number}" if event.is_visit else of, is_new)
    for entry, _ in event.medications:
        places[entry.number] = ("MedicationStatement", of, is_new)
    for entry, _ in event.levels:
        places[entry.number] = ("Observation", f"{of}-acuity", is_new)
    for column, (entry, _) in event.texts.items():
        places[entry.number] = ("Observation", f"{of}-{SHORT.get(column, column)}", is_new)
    for entry, sign in event.signs:
        form = observations.FORMS.get(sign.code)  # of words alone there is no resource until they are read
        places[entry.number] = ("Observation", f"{of}-{form.name}", is_new) if form else ("Encounter", of, is_new)
    return places


def _as_read(wanted: set[tuple[str, str]], user: User) -> dict[tuple[str, str], dict[str, str]]:
    """The version and instant that a read of each would answer with, where there is one already."""
    known = {}
    for kind in sorted({kind for kind, _ in wanted}):
        for one in search.by_ids(registry[kind], [of for name, of in sorted(wanted) if name == kind], user):
            headers = {"etag": tag_of(exports.json_of(one.resource)), "lastModified": instant(one.row["last_updated"])}
            known[kind, one.resource["id"]] = headers
    return known


def _warned(
    entries: Sequence[Entry], landed: Mapping[Dataset, Landed], found: Sequence[Issue]
) -> dict[int, list[Issue]]:
    warned: dict[int, list[Issue]] = {}
    for part in landed.values():
        for number, issues in part.warnings.items():
            warned.setdefault(number, []).extend(issues)
    for issue in found:
        for entry in entries:
            if issue.at.startswith(f"{entry.at}."):
                warned.setdefault(entry.number, []).append(issue)
    return warned
