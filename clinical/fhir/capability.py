"""/fhir/metadata: the CapabilityStatement, made of the registry that also answers."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from clinical.api import parameters
from clinical.fhir import query
from clinical.fhir.codes import VERSION, Resource, filled
from clinical.fhir.refusals import MEDIA_TYPE
from clinical.fhir.registry import Kind, Operation, registry
from clinical.fhir.views import Door

OF_DATE = "2026-11-26"  # of this statement's wording; what it lists follows the registry
SAYS = "Facilities, patients, medical records and triage visits of Nigerian health facilities, read and searched."
SECURITY = (
    "Every request but this one bears a token: of a person's log-in, with a second factor where one is owed, or of a "
    "program. It tells what lies in the caller's scope, and masks what the caller's role may not see."
)
PERSONAL = " Of a person: ask for it by POST to _search, which no log of addresses keeps."


class Metadata(Door):
    permission_classes = ()
    resource = "metadata"

    def get(self, request: Request) -> Response:
        parameters.read(request.GET, (*query.NEUTRAL, "mode"))
        return Response(statement(self.base))


def statement(base: str) -> Resource:
    system = [_operation(one) for one in registry.operations if not one.of]
    rest: Resource = {"mode": "server", "documentation": SAYS}
    rest["security"] = filled(service=registry.security, description=SECURITY)
    rest["resource"] = [_resource(kind) for kind in registry.values()]
    rest |= filled(interaction=[{"code": code} for code in registry.interactions], operation=system)
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": OF_DATE,
        "publisher": "Medilink",
        "kind": "instance",
        **filled(instantiates=registry.instantiates),
        "software": {"name": "Medilink"},
        "implementation": {"description": "Medilink", "url": base},
        "fhirVersion": VERSION,
        "format": ["json", MEDIA_TYPE],
        "rest": [rest],
    }


def _resource(kind: Kind) -> Resource:
    return filled(
        type=kind.name,
        interaction=[{"code": code} for code in ("read", "search-type", *kind.interactions)],
        versioning="no-version",
        readHistory=False,
        conditionalRead="full-support",
        searchInclude=[f"{kind.name}:{name}" for name in kind.includes],
        searchRevInclude=query.revincludes_of(kind),
        searchParam=[
            *({"name": name, "type": of} for name, of in query.COMMON.items()),
            *({"name": one.name, "type": one.of, "documentation": _says(kind, one)} for one in kind.parameters),
        ],
        operation=[_operation(one) for one in registry.operations if one.of == kind.name],
    )


def _says(kind: Kind, one: Any) -> str:
    is_masked = any(one.name in part.masked_searches for part in kind.parts)
    return str(one.says) + (PERSONAL if is_masked else "")


def _operation(one: Operation) -> Resource:
    return {"name": one.name, "definition": one.definition}
