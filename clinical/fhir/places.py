"""Organization and Location: a health facility as somebody who acts, and as a place."""

from functools import cache

from clinical import geography
from clinical.fhir import asked
from clinical.fhir.codes import OURS, Resource, Row, coding, concept, identifier, reference, resource
from clinical.fhir.registry import Kind, Parameter, Part
from clinical.models import Facility

STATES = "https://fhir-ig.digitalhealth.gov.ng/CodeSystem/nigeria-states"
LGAS = f"{OURS}lga"  # of our own list: the national one spells some of its codes in ways that cannot be relied on
CODE, OWNERSHIP, LEVEL = (f"{OURS}extension:{name}" for name in ("code", "ownership", "level"))


@cache
def lga_code(state: str, lga: str) -> str | None:
    """Only of one of the 774; a name that is none of them stays text."""
    if lga not in geography.LGAS[state]:
        return None
    words = "-".join("".join(char if char.isalnum() else " " for char in lga.replace("'", "")).lower().split())
    return f"{geography.HEALTH_CODES[state].lower()}-{words}"


def _coded(system: str, code: str, display: str) -> Resource:
    return {"extension": [{"url": CODE, "valueCoding": coding(system, code, display)}]}


@cache
def address(state: str, lga: str) -> Resource:
    """The state by its code, as the national profile has it; for people, the text."""
    name, code = geography.in_words(state), geography.HEALTH_CODES[state]
    found: Resource = {"text": f"{lga}, {name}, Nigeria" if lga else f"{name}, Nigeria", "state": code, "country": "NG"}
    found["_state"] = _coded(STATES, code, name)
    if lga:
        found["district"] = lga
        if local := lga_code(state, lga):
            found["_district"] = _coded(LGAS, local, lga)
    return found


def _numbers(row: Row) -> list[Resource]:
    return [
        identifier("facility", row["id"]),
        *([identifier("hfr", row["hfr_code"])] if row["hfr_code"] else []),
    ]


def organization(row: Row, _known: object) -> list[Resource]:
    told = [
        {"url": url, "valueString": row[column]}
        for url, column in ((OWNERSHIP, "ownership"), (LEVEL, "level"))
        if row[column]
    ]
    return [
        resource(
            "Organization",
            str(row["id"]),
            row["last_updated"],
            extension=told,
            identifier=_numbers(row),
            active=row["merged_into_id"] is None,
            type=[concept(text=row["type"])] if row["type"] else [],
            name=row["name"],
            address=[address(row["state"], row["lga_name"])],
        )
    ]


def location(row: Row, _known: object) -> list[Resource]:
    at = {"longitude": float(row["lon"]), "latitude": float(row["lat"])} if row["lat"] is not None else {}
    return [
        resource(
            "Location",
            str(row["id"]),
            row["last_updated"],
            identifier=_numbers(row),
            status="active" if row["merged_into_id"] is None else "inactive",
            name=row["name"],
            mode="instance",
            type=[concept(text=row["type"])] if row["type"] else [],
            address=address(row["state"], row["lga_name"]),
            position=at,
            managingOrganization=reference("Organization", row["id"]),
        )
    ]


COLUMNS = ("id", "name", "state", "lga_name", "type", "hfr_code", "merged_into_id")
SEARCHES = {
    "name": asked.names("name"),
    "identifier": asked.facility_number("hfr_code"),
    "address-state": asked.state("state"),
    "address": asked.any_text(asked.state("state"), asked.same("lga_name")),
}
PARAMETERS = (
    Parameter("name", "string", "The beginning of the name."),
    Parameter("identifier", "token", "Our id, or the code in the health facility registry."),
    Parameter("address-state", "string", "The state: its name or its code."),
    Parameter("address", "string", "The beginning of the LGA's or the state's name."),
)
ORGANIZATION = Kind(
    name="Organization",
    parts=(
        Part(
            model=Facility,
            resource="facilities",
            columns=(*COLUMNS, "ownership", "level"),
            make=organization,
            shows_merged=True,
            searches=SEARCHES | {"active": asked.truth("merged_into__isnull"), "type": asked.written("type")},
        ),
    ),
    parameters=(
        *PARAMETERS,
        Parameter("active", "token", "False for one that was merged into another."),
        Parameter("type", "token", "As it was written."),
    ),
)
LOCATION = Kind(
    name="Location",
    parts=(
        Part(
            model=Facility,
            resource="facilities",
            columns=(*COLUMNS, "lat", "lon"),
            make=location,
            shows_merged=True,
            searches=SEARCHES
            | {
                "status": asked.truth("merged_into__isnull", "active", "inactive"),
                "type": asked.written("type"),
                "organization": asked.rows("pk", "Organization"),
            },
        ),
    ),
    parameters=(
        *PARAMETERS,
        Parameter("status", "token", "Active, or inactive for one that was merged into another."),
        Parameter("type", "token", "As it was written."),
        Parameter("organization", "reference", "The facility as an organization.", ("Organization",)),
    ),
    includes={"organization": lambda found: [found["managingOrganization"]["reference"]]},
)
