"""From the entries of a bundle to lines of the datasets, all of one facility, each with its entry."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from clinical import access
from clinical.models import Facility, Patient, User
from ingestion.datasets import Dataset
from ingestion.fhir import encounters, identity, references
from ingestion.fhir.bundles import Entry
from ingestion.fhir.encounters import Event
from ingestion.fhir.issues import Issue, element_of
from ingestion.fhir.people import Person, Reference, person, reference
from ingestion.fhir.references import NotOne

RESOURCES = {Dataset.PATIENTS: "patients", Dataset.MEDICAL_RECORDS: "records", Dataset.TRIAGE_VISITS: "visits"}
CONTEXTS = {"Condition": "encounter", "Observation": "encounter", "MedicationStatement": "context"}


@dataclass(frozen=True)
class Line:
    """One row: its cells by column, its entry, and which other entry says a column."""

    entry: Entry
    cells: dict[str, str]
    origins: dict[str, str] = field(default_factory=dict)


@dataclass
class Composed:
    facility: Facility
    lines: dict[Dataset, list[Line]]
    events: list[Event]
    stored: dict[int, Patient]  # by entry: who was found instead of being made


class Composer:
    """Goes through the bundle once; `found` collects what is wrong with it."""

    def __init__(self, entries: Iterable[Entry], user: User, found: list[Issue]) -> None:
        self.entries, self.user, self.found = [*entries], user, found
        self.people: dict[int, Person] = {}
        self.events: dict[int, Event] = {}
        self.by_urn = {entry.full_url: entry for entry in self.entries if entry.full_url}
        self.stored: dict[int, Patient] = {}  # by entry
        self.subjects: dict[int, Person | Patient] = {}  # of events, by entry
        self.facility: Facility | None = None

    def compose(self) -> Composed | None:
        """None where something is wrong."""
        self._read()
        self._find_facility()
        self._find_people()
        self._attach()
        for entry in self.entries:
            entry.whole.close()
        if self.facility:
            self._judge_rights(self.facility)
        if self.facility is None or any(issue.severity == "error" for issue in self.found):
            return None
        return Composed(self.facility, self._lines(self.facility), [*self.events.values()], self.stored)

    def _read(self) -> None:
        for entry in self.entries:
            if entry.kind == "Patient":
                self.people[entry.number] = person(entry)
            elif entry.kind == "Encounter" and (event := encounters.event(entry)):
                self.events[entry.number] = event

    def refuse(self, reason: str, at: str, says: str = "") -> None:
        self.found.append(Issue(reason, at, says))

    # --- Where

    def _find_facility(self) -> None:
        """Of what is said anywhere in the bundle; else of the first stored patient who is referred to."""
        said = [one.facility for one in self.people.values() if one.facility]
        said += [place for one in self.events.values() for place in one.facilities]
        for whom in [*said, *(one.also for one in said if one.also)]:
            try:
                self._at(references.facility(whom, self.user), whom.at)
            except NotOne as error:
                self.refuse(error.reason, whom.at)
        numbered = [(one.entry, one.numbered_at) for one in self.people.values()]
        numbered += [(one.entry, one.numbered_at) for one in self.events.values()]
        for entry, facilities in numbered:
            if self.facility and facilities - {str(self.facility.pk)}:
                self.refuse("OTHER_FACILITY", f"{entry.at}.resource.identifier")

    def _at(self, place: Facility, at: str) -> None:
        if self.facility is None:
            self.facility = place
        elif place.pk != self.facility.pk:
            self.refuse("OTHER_FACILITY", at)

    # --- Who

    def _find_people(self) -> None:
        for one in self.people.values():
            if one.stored_as and (whom := self._stored(one.stored_as)):
                self._judge_identity(one, whom)
            if one.if_none_exist:
                try:
                    self._keep(one, references.patient(one.if_none_exist, self.user, self.facility))
                except NotOne as error:
                    if error.reason == "PATIENT_AMBIGUOUS":
                        self.refuse(error.reason, one.if_none_exist.at)
        for event in self.events.values():
            if event.subject and (subject := self._who(event.subject)):
                self.subjects[event.entry.number] = subject
        if self.facility is None and not self.found:
            self.refuse(
                "REQUIRED_MISSING", "Bundle", "Say of which facility it is: managingOrganization or serviceProvider."
            )

    def _keep(self, one: Person, whom: Patient) -> None:
        """Nothing of the entry is stored: so it may say nothing else than what is known."""
        self.stored[one.entry.number] = whom
        self._at(whom.facility, f"{one.entry.at}.resource")
        self._judge_identity(one, whom)
        if identity.is_numbered_otherwise(one.cells, whom):
            self.refuse(
                identity.CONFLICT, element_of(Dataset.PATIENTS, "IDENTITY_CONFLICT:patient_number", one.entry.at)
            )
        for column in identity.unsaid(one.cells, whom):
            at = element_of(Dataset.PATIENTS, f"KEPT_OUT:{column}", one.entry.at)
            self.found.append(Issue("KEPT_OUT", at, "The patient is stored already, and stays.", "information"))

    def _judge_identity(self, one: Person, whom: Patient) -> None:
        for reason in identity.conflicts(one.cells, whom):
            self.refuse(reason, element_of(Dataset.PATIENTS, reason, one.entry.at))
        if one.stored_as and one.stored_as.id != str(whom.pk) and self._stored(one.stored_as) != whom:
            self.refuse(identity.CONFLICT, one.stored_as.at)

    def _who(self, whom: Reference) -> Person | Patient | None:
        found = self._of_bundle(whom) if whom.urn else self._stored(whom)
        if found and not self._is_meant(found, whom):
            self.refuse(identity.CONFLICT, whom.at, "What else is said of whom it refers to is said of somebody else.")
        return found

    def _of_bundle(self, whom: Reference) -> Person | Patient | None:
        entry = self.by_urn.get(whom.urn)
        if entry is None or entry.number not in self.people:
            self.refuse("REFERENCE_UNKNOWN", whom.at)
            return None
        return self.stored.get(entry.number) or self.people[entry.number]

    def _stored(self, whom: Reference) -> Patient | None:
        try:
            found = references.patient(whom, self.user, self.facility)
        except NotOne as error:
            self.refuse(error.reason, whom.at)
            return None
        self._at(found.facility, whom.at)
        return found

    def _is_meant(self, found: Person | Patient, whom: Reference) -> bool:
        """That the identifier and the display beside a reference are those of whom it refers to."""
        if isinstance(found, Patient):
            is_same = whom.also is None or self._stored(whom.also) == found
            return is_same and (not whom.display or identity.is_displayed(whom.display, found))
        names = (found.cells["first_name"], found.cells["last_name"])
        is_same = whom.also is None or found.bears(whom.also)
        return is_same and (not whom.display or identity.is_named(whom.display, *names))

    # --- What belongs to an encounter

    def _attach(self) -> None:
        for entry in self.entries:
            if entry.kind in CONTEXTS and (event := self._event_of(entry)):
                encounters.attach(entry, event)
            elif entry.kind in CONTEXTS:
                entry.resource.leave()
        for event in self.events.values():
            encounters.finish(event)
            self._judge_diagnoses(event)

    def _event_of(self, entry: Entry) -> Event | None:
        name = CONTEXTS[entry.kind]
        whose = reference(entry.resource, name, "Encounter")
        whom = reference(entry.resource, "subject", "Patient")
        if whose is None or whom is None:
            self.refuse("REQUIRED_MISSING", f"{entry.at}.resource.{'subject' if whose else name}")
            return None
        self._refuse_also(whose)
        of = self.by_urn.get(whose.urn)
        event = self.events.get(of.number) if of else None
        if event is None:
            if of is None or of.kind != "Encounter":
                self.refuse("REFERENCE_UNKNOWN", whose.at, "It goes with an Encounter of the same bundle.")
            return None
        subject, other = self._who(whom), self.subjects.get(event.entry.number)
        if subject and other and subject is not other and not _is_same(subject, other):
            self.refuse("REFERENCE_UNKNOWN", whom.at, "Another patient than that of its encounter.")
        return event

    def _refuse_also(self, whom: Reference) -> None:
        if whom.also:
            self.refuse("NOT_CARRIED", whom.also.at, "Within a bundle one refers by urn:uuid: alone.")

    def _judge_diagnoses(self, event: Event) -> None:
        own = {entry.full_url for entry, _ in event.conditions}
        for one in event.diagnoses:
            self._refuse_also(one)
            if not one.urn or one.urn not in own:
                self.refuse("REFERENCE_UNKNOWN", one.at, "Must be a Condition of this encounter, in this bundle.")

    # --- Who may, and the lines

    def _judge_rights(self, at: Facility) -> None:
        """What the caller may not write at all is forbidden; elsewhere there is no such facility for the caller."""
        for dataset, entry in self._used():
            resource = RESOURCES[dataset]
            for action in (access.CREATE, access.UPDATE):
                scope = self.user.access.scope(action, resource)
                if scope.is_empty:
                    self.refuse("FORBIDDEN", entry.at, f"You may not write {resource}.")
                    break
                if not Facility.objects.inside(scope).filter(pk=at.pk).exists():
                    self.refuse("FACILITY_NOT_FOUND", entry.at)
                    break

    def _used(self) -> list[tuple[Dataset, Entry]]:
        """The first entry of each dataset."""
        found: dict[Dataset, Entry] = {}
        for one in self.people.values():
            found.setdefault(Dataset.PATIENTS, one.entry)
        for event in self.events.values():
            found.setdefault(event.dataset, event.entry)
        return [*found.items()]

    def _lines(self, at: Facility) -> dict[Dataset, list[Line]]:
        place = {"facility_name": at.name, "facility_state": at.state, "facility_lga": at.lga or ""}
        found: dict[Dataset, list[Line]] = {}
        for one in self.people.values():
            if one.entry.number not in self.stored:
                found.setdefault(Dataset.PATIENTS, []).append(Line(one.entry, place | one.cells))
        for event in self.events.values():
            cells = place | _named(self.subjects[event.entry.number]) | event.cells
            found.setdefault(event.dataset, []).append(Line(event.entry, cells, event.origins))
        return {dataset: found[dataset] for dataset in Dataset if dataset in found}  # parents first


def _is_same(one: Person | Patient, other: Person | Patient) -> bool:
    return isinstance(one, Patient) and isinstance(other, Patient) and one.pk == other.pk


def _named(whom: Person | Patient) -> dict[str, str]:
    if isinstance(whom, Patient):
        cells = {"first_name": whom.first_name, "last_name": whom.last_name, "phone": whom.phone or ""}
        cells["dob"] = whom.dob.isoformat()
    else:
        cells = whom.cells
    return {f"patient_{name}": cells[name] for name in ("first_name", "last_name", "dob", "phone")}
