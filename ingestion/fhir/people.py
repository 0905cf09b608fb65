"""Patient resources as rows of patients; and references, as they are written. Pure."""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from clinical.fhir.codes import OURS
from clinical.fhir.people import GENDERS, NUMBERED
from ingestion.fhir.bundles import URN, Entry
from ingestion.fhir.elements import Element

SEXES = {code: sex for sex, code in GENDERS.items()}
OWN = re.compile(r"(?P<kind>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.-]{1,64})")
CONDITIONAL = re.compile(r"(?P<kind>[A-Z][A-Za-z]+)\?identifier=(?P<token>[^&]{1,300})")
FACILITIES = ("Organization", "Location")
NUMBER = re.compile(rf"{OURS}facility:(?P<facility>[0-9]{{1,18}}):(?P<what>[a-z-]+)")


@dataclass(frozen=True)
class Reference:
    """To an entry of the bundle (`urn`), to a resource of ours (`id`), or to whoever bears an identifier.

    `also` is the identifier beside an id or a urn; with `display` it says again who is meant, and must agree.
    """

    kind: str
    at: str
    urn: str = ""
    id: str = ""
    system: str = ""
    value: str = ""
    display: str = ""
    also: "Reference | None" = None


@dataclass
class Person:
    """A Patient entry on its way to a row."""

    entry: Entry
    cells: dict[str, str]
    facility: Reference | None
    if_none_exist: Reference | None = None
    numbered_at: set[str] = field(default_factory=set)  # facilities that its identifiers name
    stored_as: Reference | None = None  # by our own id, where it bears one

    def bears(self, named: Reference) -> bool:
        """That it is of this identifier."""
        if named.system == f"{OURS}patient":
            return bool(self.stored_as and self.stored_as.id == named.value)
        numbered = NUMBER.fullmatch(named.system)
        at = numbered["facility"] if numbered and numbered["what"] == NUMBERED else ""
        is_of_system = not named.system or (bool(at) and self.numbered_at <= {at})
        return is_of_system and self.cells["patient_number"] == named.value


def person(entry: Entry) -> Person:
    resource = entry.resource
    number, numbered_at, own = numbers(resource, NUMBERED, "patient")
    if resource.truth("active") is False:
        resource.refuse("NOT_CARRIED", "active", "Whoever is delivered is active.")
    cells = {
        **_names(resource),
        "sex": SEXES.get(resource.code("gender", *SEXES), ""),
        "dob": resource.text("birthDate"),
        "phone": _phone(resource),
        "patient_number": number,
    }
    facility = reference(resource, "managingOrganization", *FACILITIES)
    stored_as = Reference("Patient", f"{resource.at}.identifier", id=own) if own else None
    return Person(entry, cells, facility, _if_none_exist(entry), numbered_at, stored_as)


def _names(resource: Element) -> dict[str, str]:
    name = resource.only("name")
    if name is None:
        return {"first_name": "", "last_name": ""}
    name.code("use", "official", "usual")
    found = {"first_name": " ".join(name.texts("given")), "last_name": name.text("family")}
    whole = name.text("text").split()
    if whole and whole != " ".join(found.values()).split():
        name.refuse("NOT_CARRIED", "text", "It says another name than given and family.")
    return found


def _phone(resource: Element) -> str:
    phone = resource.only("telecom")
    if phone is None:
        return ""
    phone.code("system", "phone", "sms")
    phone.leave("use", "rank")
    return phone.text("value")


def numbers(resource: Element, what: str, own: str) -> tuple[str, set[str], str]:
    """The facility's number, the facilities that the systems of identifiers name, and our own id."""
    found, facilities, known = "", set(), ""
    for one in resource.many("identifier"):
        system, value = one.text("system"), one.text("value")
        one.leave("type", "use")
        named = NUMBER.fullmatch(system)
        if not value:
            one.refuse("REQUIRED_MISSING", "value")
        elif system == f"{OURS}{own}":
            if known not in ("", value):
                one.refuse("NOT_CARRIED", says="There is one id of ours only.")
            known = value
        elif system and not (named and named["what"] == what):
            one.refuse("NOT_CARRIED", "system", f"Only {OURS}facility:ID:{what}, or none, can be stored.")
        elif found:
            one.refuse("NOT_CARRIED", says="There is room for one number only.")
        else:
            found = value
            facilities |= {named["facility"]} if named else set()
    return found, facilities, known


def _if_none_exist(entry: Entry) -> Reference | None:
    if not entry.if_none_exist:
        return None
    at = f"{entry.at}.request.ifNoneExist"
    written = f"Patient?{entry.if_none_exist.removeprefix('?').removeprefix('Patient?')}"
    found = written_as(written, at)
    if found is None or not found.value:
        entry.resource.refuse("NOT_SUPPORTED", says="ifNoneExist asks for identifier=system|value alone.")
    return found


def reference(element: Element, name: str, *kinds: str) -> Reference | None:
    """None where there is none, or one that cannot be followed."""
    one = element.one(name)
    if one is None:
        return None
    text, identified = one.text("reference"), one.one("identifier")
    named, display = one.code("type", *kinds), one.text("display")
    also = _identified(identified, named or kinds[0]) if identified else None
    found = written_as(text, one.at) if text else also and replace(also, at=one.at)
    if found is None or (found.kind and found.kind not in kinds):
        one.refuse("REFERENCE_UNKNOWN", says=f"Must refer to {' or '.join(kinds)}, by id, urn:uuid: or identifier.")
        return None
    return replace(found, display=display, also=also if text else None)


def _identified(identifier: Element, kind: str) -> Reference | None:
    system, value = identifier.text("system"), identifier.text("value")
    identifier.leave("type", "use")
    if not value:
        identifier.refuse("REQUIRED_MISSING", "value")
        return None
    return Reference(kind, identifier.at, system=system, value=value)


def written_as(text: str, at: str) -> Reference | None:
    if URN.fullmatch(text):
        return Reference("", at, urn=text)
    if found := OWN.fullmatch(text):
        return Reference(found["kind"], at, id=found["id"])
    if found := CONDITIONAL.fullmatch(text):
        system, _, value = unquote(found["token"]).rpartition("|")
        return Reference(found["kind"], at, system=system, value=value)
    return None
