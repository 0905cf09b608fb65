"""The addresses under /fhir, made of the registry."""

from collections.abc import Callable, Sequence
from typing import Any

from django.urls import URLPattern, path

from clinical.fhir.capability import Metadata
from clinical.fhir.everything import Everything
from clinical.fhir.registry import Kind, Operation, registry
from clinical.fhir.views import OfKind, PostedSearch, Read, Search, Unknown

EVERYTHING = Operation("everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything", "Patient")


def routes(more: Sequence[URLPattern] = ()) -> list[URLPattern]:
    """`more` are operations and interactions of others; what is none of all these is refused in FHIR's way."""
    registry.operations.append(EVERYTHING)
    found = [path("fhir/metadata", Metadata.as_view(), name="fhir-metadata"), *more]
    found.append(
        path("fhir/Patient/<str:pk>/$everything", _view(Everything, registry["Patient"]), name="fhir-everything")
    )
    for kind in registry.values():
        found += [
            path(f"fhir/{kind.name}", _view(Search, kind), name=f"fhir-{kind.name}"),
            path(f"fhir/{kind.name}/_search", _view(PostedSearch, kind), name=f"fhir-{kind.name}-search"),
            path(f"fhir/{kind.name}/<str:pk>", _view(Read, kind), name=f"fhir-{kind.name}-read"),
        ]
    return [*found, path("fhir", Unknown.as_view()), path("fhir/<path:rest>", Unknown.as_view(), name="fhir-unknown")]


def _view(door: type[OfKind], kind: Kind) -> Callable[..., Any]:
    known = {"kind": kind, "model": kind.model, "resource": kind.parts[0].resource}
    view: Any = type(f"{kind.name}{door.__name__}", (door,), known)
    return view.as_view()
