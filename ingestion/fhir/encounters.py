"""An Encounter with what belongs to it (Conditions, Observations, MedicationStatements) as a row of an event. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from clinical.fhir.codes import HL7, OURS
from clinical.fhir.conditions import CATEGORIES, VERIFICATIONS
from clinical.fhir.encounters import CLASSES, OF_LEVEL, RECORD, VISIT
from ingestion.datasets import Dataset
from ingestion.fhir import observations
from ingestion.fhir.bundles import Entry
from ingestion.fhir.elements import Element
from ingestion.fhir.observations import PANEL, Sign
from ingestion.fhir.people import FACILITIES, Reference, numbers, reference

LANGUAGE = f"{OURS}extension:language"  # in which a visit was held
DATASETS = {"AMB": Dataset.MEDICAL_RECORDS, "EMER": Dataset.TRIAGE_VISITS}
# An encounter that took place, or is taking place; how far it is, is not stored.
STATUSES = ("finished", "in-progress", "triaged", "arrived", "unknown")
SEPARATORS = ";|"
CLINICAL = HL7 + "condition-clinical"
ONE = "[^,;|+/&]+"  # diagnosis: of several nobody can say which is in doubt
DOUBT = re.compile(rf"(?:\?|(?:suspected|probable|possible)\s){ONE}|{ONE}\?", re.IGNORECASE)
IN_WORDS = f"send all vital signs in words: {observations.PANEL} with valueString."


@dataclass
class Event:
    """An Encounter entry on its way to a row; `carried` are the entries that its row holds, in their order."""

    entry: Entry
    dataset: Dataset
    cells: dict[str, str]
    subject: Reference | None
    facilities: list[Reference]
    numbered_at: set[str]
    priority: str = ""
    origins: dict[str, str] = field(default_factory=dict)  # column -> the entry that says it
    conditions: list[tuple[Entry, str]] = field(default_factory=list)
    medications: list[tuple[Entry, str]] = field(default_factory=list)
    levels: list[tuple[Entry, str]] = field(default_factory=list)
    signs: list[tuple[Entry, Sign]] = field(default_factory=list)
    texts: dict[str, tuple[Entry, str]] = field(default_factory=dict)  # by column
    diagnoses: list[Reference] = field(default_factory=list)

    @property
    def is_visit(self) -> bool:
        return self.dataset == Dataset.TRIAGE_VISITS


def event(entry: Entry) -> Event | None:
    resource = entry.resource
    if kind := resource.one("class"):
        kind.leave("display")
        if kind.text("system") != CLASSES:
            kind.refuse("NOT_CARRIED", "system")
    dataset = DATASETS.get(kind.code("code", *DATASETS)) if kind else None
    if dataset is None:
        resource.refuse("REQUIRED_MISSING", "class", "AMB for a record, EMER for a triage visit.")
        resource.leave()
        return None
    if not resource.code("status", *STATUSES):
        resource.refuse("REQUIRED_MISSING", "status")
    is_visit = dataset == Dataset.TRIAGE_VISITS
    number, numbered_at, _ = numbers(resource, f"{VISIT if is_visit else RECORD}number", "encounter")
    instant, key = ("visited_at", "visit_id") if is_visit else ("recorded_at", "record_id")
    cells = {key: number, instant: _start(resource)}
    if is_visit:
        cells |= {"chief_complaint": _concept(resource, "reasonCode"), "provider": _provider(resource)}
        cells["language"] = _language(resource)
    else:
        cells["record_type"] = _concept(resource, "type")
    subject = reference(resource, "subject", "Patient")
    if subject is None:
        resource.refuse("REQUIRED_MISSING", "subject")
    facilities = [reference(resource, "serviceProvider", *FACILITIES)]
    for place in resource.many("location"):
        facilities.append(reference(place, "location", *FACILITIES))
    found = Event(entry, dataset, cells, subject, [*filter(None, facilities)], numbered_at)
    found.priority = _priority(resource) if is_visit else ""
    found.diagnoses = [one for each in resource.many("diagnosis") if (one := reference(each, "condition", "Condition"))]
    return found


def _start(resource: Element) -> str:
    """A bundle has no day of its own, as a file has: an event says when it was."""
    period = resource.one("period")
    start = period.text("start") if period else ""
    if not start:
        resource.refuse("REQUIRED_MISSING", "period.start")
    return start


def _concept(resource: Element, name: str) -> str:
    concept = resource.only(name)
    return words_of(concept) if concept else ""


def words_of(concept: Element) -> str:
    """The words of a concept; or of its one code, where it has none of its own."""
    text, codings = concept.text("text"), concept.many("coding")
    displays = [display for one in codings if (display := one.text("display"))]
    for one in codings:
        one.leave("system", "code", "version", "userSelected")
    if not text and len(displays) != 1:
        concept.refuse("REQUIRED_MISSING", "text", "What is stored are words; a code alone has none.")
        return ""
    if codings:
        says = "The words are stored; which code they have is told by the map of terms."
        concept.refuse("KEPT_OUT", "coding", says, severity="information")
    return text or displays[0]


def _provider(resource: Element) -> str:
    participant = resource.only("participant")
    individual = participant.one("individual") if participant else None
    return individual.text("display") if individual else ""


def _priority(resource: Element) -> str:
    concept = resource.one("priority")
    chosen = concept.only("coding") if concept else None
    if concept is None or chosen is None:
        if concept:
            concept.refuse("NOT_CARRIED", says="An urgency in words has no place; the triage level says it.")
            concept.leave()
        return ""
    concept.leave("text")
    chosen.leave("display")
    return f"{chosen.text('system')}|{chosen.text('code')}"


def _language(resource: Element) -> str:
    found = ""
    for one in resource.many("extension"):
        if one.text("url") != LANGUAGE or found:
            one.refuse("NOT_CARRIED", "url")
            one.leave()
        else:
            found = one.text("valueString")
    return found


def _refuse_separators(element: Element, said: str, column: str) -> None:
    if any(sign in said for sign in SEPARATORS):
        element.refuse(f"TYPE_INVALID:{column}", says="An item of a list cannot hold ; or |.")


# --- What belongs to it


def attach(entry: Entry, event: Event) -> None:
    """Puts a Condition, Observation or MedicationStatement to its encounter."""
    for one in entry.resource.many("identifier"):  # ours, of what was read here; each is given anew
        if not one.text("system").startswith(OURS):
            one.refuse("NOT_CARRIED")
        one.leave()
    {"Condition": _condition, "Observation": _observation, "MedicationStatement": _medication}[entry.kind](entry, event)


def _condition(entry: Entry, event: Event) -> None:
    resource = entry.resource
    if clinical := resource.one("clinicalStatus"):
        _one_of(clinical, CLINICAL, "active")
    for category in resource.many("category"):
        _one_of(category, CATEGORIES, "encounter-diagnosis")
    verification = resource.one("verificationStatus")
    _same_time(resource, "recordedDate", event)
    concept = resource.one("code")
    if concept is None:
        resource.refuse("REQUIRED_MISSING", "code")
        return
    said = words_of(concept)
    if verification:
        _one_of(verification, VERIFICATIONS, _said_in(said))
    if event.is_visit:
        _refuse_separators(concept, said, "conditions")
    event.conditions.append((entry, said))


def _one_of(concept: Element, system: str, *allowed: str) -> None:
    """What is there must say exactly this: a status in words or of another system may take the diagnosis back."""
    codings = concept.many("coding")
    if not codings:
        concept.refuse("NOT_CARRIED", says=f"Must be {' or '.join(allowed)} of {system}.")
    for one in codings:
        one.leave("version", "userSelected")
        if one.text("system") != system or one.text("code") not in allowed:
            one.refuse("NOT_CARRIED", "code", f"Only {' or '.join(allowed)} of {system} can be taken here.")
    for element, name in ((concept, "text"), *((one, "display") for one in codings)):
        shown = element.text(name).strip().lower()
        if shown and "-".join(shown.split()) not in allowed:
            element.refuse("NOT_CARRIED", name, "It must say what the code says.")


def _said_in(text: str) -> str:
    """How sure a diagnosis is can be kept in its words alone."""
    return "provisional" if DOUBT.fullmatch(text.strip()) else "confirmed"


def _medication(entry: Entry, event: Event) -> None:
    resource = entry.resource
    if event.is_visit:
        resource.refuse("NOT_CARRIED", says="A triage visit has no medications; send them with a record.")
        resource.leave()
        return
    resource.code("status", "active", "completed", "unknown")
    _same_time(resource, "effectiveDateTime", event)
    _same_time(resource, "dateAsserted", event)
    concept = resource.one("medicationCodeableConcept")
    if concept is None:
        resource.refuse("REQUIRED_MISSING", "medicationCodeableConcept")
        return
    event.medications.append((entry, words_of(concept)))


def _observation(entry: Entry, event: Event) -> None:
    resource = entry.resource
    if resource.code("status", "final") == "":
        resource.refuse("REQUIRED_MISSING", "status")
    for category in resource.many("category"):
        category.leave()  # it follows from the code
    _same_time(resource, "effectiveDateTime", event)
    code = observations.code_of(resource)
    column = observations.TEXTS[event.dataset].get(code)
    if column:
        _text(entry, event, column)
    elif code and not event.is_visit:
        resource.refuse("NOT_CARRIED", "code", "Of a record only treatment and notes can be stored.")
        resource.leave()
    elif code == observations.LEVEL:
        event.levels.append((entry, observations.level(resource)))
    elif code and (sign := observations.sign(resource, code)):
        event.signs.append((entry, sign))


def _text(entry: Entry, event: Event, column: str) -> None:
    said = entry.resource.text("valueString")
    if not said:
        entry.resource.refuse("REQUIRED_MISSING", "valueString")
    if column in event.texts or event.cells.get(column, said) not in ("", said):
        entry.resource.refuse("NOT_CARRIED", says="Something else was said of it already.")
    event.texts[column] = (entry, said)


def _same_time(resource: Element, name: str, event: Event) -> None:
    """There is one instant for all of an encounter."""
    said = resource.text(name)
    if said and said not in (event.cells.get("visited_at"), event.cells.get("recorded_at")):
        resource.refuse("NOT_CARRIED", name, "Must be the start of the encounter: it has one instant.")


def finish(event: Event) -> None:
    """The cells that its parts make together."""
    event.origins = {column: entries[0][0].at for column, entries in _parts(event).items() if entries}
    event.origins |= {column: entry.at for column, (entry, _) in event.texts.items()}
    event.cells |= {column: said for column, (_, said) in event.texts.items()}
    if not event.is_visit:
        event.cells["diagnosis"] = "; ".join(said for _, said in event.conditions)
        event.cells["medications"] = "; ".join(said for _, said in event.medications)
        return
    event.cells["conditions"] = "; ".join(said for _, said in event.conditions)
    _level(event)
    codes = [sign.code for _, sign in event.signs]
    if len({*codes}) < len(codes) or (PANEL in codes and len(codes) > 1):
        last = event.signs[-1][0].resource
        last.refuse("NOT_CARRIED", says="A visit has each vital sign once, or all of them in words.")
        return
    signs = [sign for _, sign in event.signs]
    event.cells["vital_signs"] = observations.words(signs)
    for entry, sign in event.signs:
        if not observations.are_read_back([sign]):
            entry.resource.refuse("NOT_CARRIED", says=f"In words it would not be read as what it is; {IN_WORDS}")


def _level(event: Event) -> None:
    resource = event.entry.resource
    if len(event.levels) != 1:
        resource.refuse("REQUIRED_MISSING:triage_level", says="A triage visit has one Observation of its level.")
        return
    level = event.cells["triage_level"] = event.levels[0][1]
    if event.priority and level in "12345" and event.priority != "|".join(OF_LEVEL[int(level)]):
        resource.refuse("NOT_CARRIED", "priority", "It says another urgency than the triage level.")


def _parts(event: Event) -> dict[str, Sequence[tuple[Entry, object]]]:
    if event.is_visit:
        return {"conditions": event.conditions, "triage_level": event.levels, "vital_signs": event.signs}
    return {"diagnosis": event.conditions, "medications": event.medications}
