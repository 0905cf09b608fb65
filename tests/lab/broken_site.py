"""The site, whose list of patients breaks as the header X-Fault says."""

from typing import Any

from medilink.wsgi import application  # first: it reads the settings

# isort: split
from clinical.api.patients import PatientViewSet
from tests.lab.broken import FAULTS

__all__ = ["application"]
whole = PatientViewSet.list


def breaking(view: PatientViewSet, request: Any, *args: Any, **options: Any) -> Any:
    if fault := request.headers.get("X-Fault"):
        FAULTS[fault]()
    return whole(view, request, *args, **options)


PatientViewSet.list = breaking
