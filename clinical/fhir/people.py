"""Patient: one person as one facility knows them."""

from clinical.fhir import asked
from clinical.fhir.codes import ESTIMATED, HL7, MASKED, Resource, Row, coding, concept, identifier, reference, resource
from clinical.fhir.registry import Kind, Parameter, Part
from clinical.models import Patient

GENDERS = {"M": "male", "F": "female", "Other": "other", "Unknown": "unknown"}
MRN = concept(coding(HL7 + "v2-0203", "MR", "Medical record number"))
NUMBERED = "patient-number"  # by the facility


def patient(row: Row, _known: object = None) -> list[Resource]:
    told = _clearly(row) if row["is_clear"] else _masked(row)
    found = resource(
        "Patient",
        str(row["id"]),
        row["last_updated"],
        active=row["merged_into_id"] is None,
        gender=GENDERS[row["sex"]],
        managingOrganization=reference("Organization", row["facility_id"]),
        **told,
    )
    if row["merged_into_id"]:
        found["link"] = [{"other": reference("Patient", row["merged_into_id"]), "type": "replaced-by"}]
    return [found]


def _clearly(row: Row) -> Resource:
    numbers = [identifier("patient", row["id"], MRN)]
    if row["patient_number"]:
        numbers.append(identifier(f"facility:{row['facility_id']}:{NUMBERED}", row["patient_number"], MRN))
    return {
        "identifier": numbers,
        "name": [
            {
                "text": f"{row['first_name']} {row['last_name']}",
                "family": row["last_name"],
                "given": [row["first_name"]],
            }
        ],
        "telecom": [{"system": "phone", "value": row["phone"]}] if row["phone"] else [],
        "birthDate": row["dob"].isoformat(),
        "_birthDate": ESTIMATED if row["dob_is_estimated"] else {},
    }


def _masked(row: Row) -> Resource:
    """Names, phone and the facility's number are there or not: it is not told which."""
    return {
        "identifier": [identifier("patient", row["id"], MRN)],
        "name": [MASKED],
        "telecom": [MASKED],
        "birthDate": f"{row['dob'].year:04}",
    }


PEOPLE = Part(
    model=Patient,
    resource="patients",
    columns=(
        *("id", "facility_id", "first_name", "last_name", "sex", "dob", "phone", "patient_number"),
        *("dob_is_estimated", "merged_into_id"),
    ),
    make=patient,
    shows_merged=True,
    searches={
        "active": asked.truth("merged_into__isnull"),
        "gender": asked.words("sex", {code: sex for sex, code in GENDERS.items()}),
        "organization": asked.rows("facility_id", "Organization"),
        "address-state": asked.state("facility__state"),
        "identifier": asked.identified("patient", "patient_number", NUMBERED),
        "birthdate": asked.days("dob"),
        "name": asked.names("first_name", "last_name"),
        "family": asked.names("last_name"),
        "given": asked.names("first_name"),
        "phone": asked.phone("phone"),
    },
    masked_searches=frozenset({"birthdate", "identifier", "name", "family", "given", "phone"}),
)
KIND = Kind(
    name="Patient",
    parts=(PEOPLE,),
    parameters=(
        Parameter("active", "token", "False for one who was merged into another."),
        Parameter("identifier", "token", "Our id, or the number that the facility has given."),
        Parameter("name", "string", "The beginning of a first or last name."),
        Parameter("family", "string", "The beginning of the last name."),
        Parameter("given", "string", "The beginning of the first name."),
        Parameter("birthdate", "date", "The date of birth."),
        Parameter("gender", "token", "male, female, other or unknown."),
        Parameter("phone", "token", "The whole phone number."),
        Parameter("address-state", "string", "The state of the facility: its name or its code."),
        Parameter("organization", "reference", "The facility that knows the patient.", ("Organization",)),
    ),
    includes={"organization": lambda found: [found["managingOrganization"]["reference"]]},
)
