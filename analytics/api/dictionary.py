"""/api/docs/dictionary: every relation and column that SQL users read, in words; from the comments in the database."""

from itertools import groupby
from typing import Any

from django.shortcuts import render
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import dictionary, marts
from clinical import replica
from clinical.api.browsing import Page

SCHEMAS = {
    "bi": "What Power BI, Tableau and spreadsheets read, as the role medilink_bi: nobody's name, no small cells.",
    "marts": "Answers, refreshed at night and soon after a change. The fct_ relations are always current.",
    "staging": "The rows themselves, cleaned up and renamed; always current.",
}


@extend_schema(exclude=True)
class Dictionary(Page):
    permission_classes = (IsAuthenticated,)

    @replica.readable
    def get(self, request: Request) -> Any:
        entries = dictionary.read()
        if request.accepted_renderer.format == "json":
            return Response([_as_dict(entry) for entry in entries])
        by_schema = {schema: [*found] for schema, found in groupby(entries, lambda entry: entry.schema)}
        schemas = [(name, about, by_schema.get(name, [])) for name, about in SCHEMAS.items()]
        context = {"schemas": schemas, "states": marts.states()}
        return render(request._request, "analytics/dictionary.html", context)


def _as_dict(entry: dictionary.Entry) -> dict[str, Any]:
    return {
        "schema": entry.schema,
        "name": entry.name,
        "kind": entry.kind,
        "comment": entry.comment,
        "columns": [column.__dict__ for column in entry.columns],
    }
