"""Group: the patients whom one facility knows. It is there to be exported by, and lists nobody."""

from clinical.fhir import asked
from clinical.fhir.codes import Resource, Row, identifier, reference, resource
from clinical.fhir.registry import Kind, Parameter, Part
from clinical.models import Facility

FACILITY = "facility-"


def group(row: Row, _known: object) -> list[Resource]:
    of = f"{FACILITY}{row['id']}"
    return [
        resource(
            "Group",
            of,
            row["last_updated"],
            identifier=[identifier("group", of)],
            active=True,
            type="person",
            actual=True,
            name=f"Patients of {row['name']}",
            managingEntity=reference("Organization", row["id"]),
        )
    ]


KIND = Kind(
    name="Group",
    parts=(
        Part(
            model=Facility,
            resource="facilities",
            columns=("id", "name"),
            make=group,
            prefix=FACILITY,
            searches={
                "identifier": asked.own_number("group", FACILITY),
                "managing-entity": asked.rows("pk", "Organization"),
            },
        ),
    ),
    parameters=(
        Parameter("identifier", "token", "Our number."),
        Parameter("managing-entity", "reference", "The facility.", ("Organization",)),
    ),
    includes={"managing-entity": lambda found: [found["managingEntity"]["reference"]]},
)
