"""Patient/{id}/$everything: all that is told of one patient, with the facility, page by page."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Q
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings

from clinical.api import parameters
from clinical.fhir import asked, bundles, query, search
from clinical.fhir.query import Narrow
from clinical.fhir.refusals import MEDIA_TYPE
from clinical.fhir.registry import Part, registry
from clinical.fhir.search import Source
from clinical.fhir.views import OfPatient

LEFT_OUT = ("AuditEvent",)  # who read it is not of the patient
OF_FACILITY = ("Organization", "Location")
KNOWN = ("_since", "_type", "start", "end", "_count", "_cursor", *query.NEUTRAL)
Body: Any = api_settings.DEFAULT_PARSER_CLASSES[0]


class Parameters(Body):
    media_type = MEDIA_TYPE


class Everything(OfPatient):
    parser_classes = (Parameters, Body)

    def get(self, request: Request, pk: str) -> Response:
        return self.answer(pk, parameters.read(request.GET, KNOWN))

    def post(self, request: Request, pk: str) -> Response:
        """The same, asked with a Parameters resource."""
        return self.answer(pk, parameters.read(request.GET, KNOWN) | dict(_given(request.data)))

    def answer(self, pk: str, given: dict[str, str]) -> Response:
        what, place = f"Patient/{pk}/$everything", None
        if cursor := given.get("_cursor"):
            used, place = query.unsealed(what, cursor, self.user.pk)
            given = dict(used)
        row = self.one(pk)
        count = parameters.whole_number("_count", given.get("_count", str(query.PER_PAGE)), 1, 10**6)
        found = [*self._sources(row["id"], row["facility_id"], given)]
        page, place = search.page(found, min(count, query.MOST_PER_PAGE), "", place)
        self.tell(page, "everything", object_id=row["id"])
        pairs = [*given.items()]
        links = [("self", bundles.url(self.base, what, pairs))]
        if place is not None:
            sealed = query.sealed(what, pairs, place, self.user.pk)
            links.append(("next", bundles.url(self.base, what, [("_cursor", sealed)])))
        return Response(bundles.searchset(self.base, links, page))

    def _sources(self, patient_id: int, facility_id: int, given: dict[str, str]) -> Iterator[Source]:
        narrows = [_narrow("_lastUpdated", "ge", given["_since"])] if "_since" in given else []
        for name, kind in registry.items():
            about = _about(name, patient_id, facility_id)
            if about is None or name not in _types(given.get("_type", "")):
                continue
            for part in kind.parts_for(self.user):
                found = search.source_of(part, [*narrows, about], self.user)
                yield Source(part, found.rows.filter(_within(part, given)), found.matches)


def _about(name: str, patient_id: int, facility_id: int) -> Narrow | None:
    if name in OF_FACILITY:
        return query.ids([str(facility_id)])
    if name == "Patient":
        return query.ids([str(patient_id)])
    is_of_patients = "patient" in registry[name].by_name and name not in LEFT_OUT
    return Narrow.to(registry["Patient"], "patient", [str(patient_id)]) if is_of_patients else None


def _types(text: str) -> set[str]:
    """All where none is named."""
    wanted = {one for one in text.split(",") if one}
    if wanted - {*registry}:
        raise parameters.refused("_type", "invalid", f"Must be some of {', '.join(registry)}.")
    return wanted or {*registry}


def _within(part: Part, given: dict[str, str]) -> Q:
    """Of what happened at some time: from `start` to `end`. All else is told in any case."""
    found = Q()
    for name, prefix in (("start", "ge"), ("end", "le")):
        if part.when and name in given:
            found &= asked.moments(part.when)(_narrow(name, prefix, given[name]).values)
    return found


def _narrow(name: str, prefix: str, text: str) -> Narrow:
    return Narrow(name, (asked.span(name, f"{prefix}{text}"),))


def _given(body: Any) -> Iterator[tuple[str, str]]:
    """Of a Parameters resource: the values of whatever type they are."""
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise ParseError("The body must be a Parameters resource.")
    for one in body.get("parameter") or ():
        values = [value for key, value in one.items() if key.startswith("value")] if isinstance(one, dict) else []
        if len(values) != 1 or not isinstance(values[0], str | int) or one.get("name") not in KNOWN:
            raise ParseError(f"A parameter has one value, and is one of {', '.join(KNOWN)}.")
        yield one["name"], str(values[0])
