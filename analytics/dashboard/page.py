"""/dashboard and the CSV of each of its figures: for everybody with a right to analytics, within their scope."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.dashboard import selection
from analytics.dashboard.figures import conditions, facilities, patients, places, trends
from analytics.dashboard.figures.figure import Figure
from analytics.dashboard.selection import Reach
from analytics.dashboard.trusted import Trusting
from analytics.models import FacilityDimension
from analytics.wording import NOTHING, pct
from clinical import replica
from clinical.api.browsing import Page, is_browser
from clinical.api.exports import EXCEL, as_csv
from clinical.audit import reads
from clinical.geography import in_words
from ingestion.models import IngestRun

WORDS = {401: "Please log in.", 403: "Your role has no part in this.", 404: "There is no such facility for you."}


@extend_schema(exclude=True)
class View(Page):
    resource = "analytics"
    action = "list"

    def handle_exception(self, exc: Exception) -> Any:
        """In words, for people."""
        response: Any = super().handle_exception(exc)
        if not is_browser(self.request) or response.status_code >= 500:
            return response
        errors = [(error["attr"], error["detail"]) for error in response.data["errors"]]
        told = {"status": response.status_code, "words": WORDS.get(response.status_code, ""), "errors": errors}
        page = render(self.request._request, "analytics/dashboard/refused.html", told, status=response.status_code)
        for name in ("Retry-After", "WWW-Authenticate"):
            if name in response:
                page[name] = response[name]
        return page

    def reach(self, request: Request) -> Reach:
        chosen = selection.read(request.GET)
        found = selection.reach(request.user, chosen)  # type: ignore[arg-type]  # past the permission
        reads.seen("dashboard", "read", **reads.query_of({name: request.GET[name] for name in request.GET}))
        return found


class Dashboard(View):
    @replica.readable
    def get(self, request: Request) -> HttpResponse:
        reach = self.reach(request)
        states, trusting = _states(reach), Trusting(reach)
        told: dict[str, Any] = {"reach": reach, "selection": reach.selection, "states": states}
        if not states or not trusting.states:
            told |= {"is_filled": bool(trusting.states)}
            return render(request._request, "analytics/dashboard/nothing.html", told)
        figures = everything(reach)
        for figure in figures.values():
            figure.trust = trusting.trust_of(figure.relations)
        told |= {
            "figures": figures,
            "heads": headline(figures, trusting, months=bool(reach.selection.condition)),
            "query": reach.selection.link(),
            "warnings": _warnings(trusting),
            "last_night": IngestRun.objects.nightly().first(),
            "marts": [state for _, state in sorted(trusting.states.items())],
        }
        return render(request._request, "analytics/dashboard/page.html", told)


class FigureCSV(View):
    """The table of one figure, as it stands on the page; of the facilities all."""

    @replica.readable
    def get(self, request: Request, chart: str) -> HttpResponse | Response:
        reach = self.reach(request)
        if chart not in ONE:
            raise NotFound
        figure = ONE[chart](reach)
        trust = Trusting(reach).trust_of(figure.relations)
        text = as_csv([column.label for column in figure.columns], figure.rows)
        response = HttpResponse(EXCEL + text, content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="medilink-{chart}.csv"'
        if trust.as_of:
            response["X-As-Of"] = trust.as_of.isoformat()
        response["X-Stale"] = str(trust.is_stale).lower()
        response["X-Excluded-Rows"] = str(trust.lacking["excluded_rows"])
        return response


# --- The figures


def everything(reach: Reach) -> dict[str, Figure]:
    frequent, severe = conditions.conditions(reach)
    groups = patients.groups(reach)
    found = [
        trends.trends(reach),
        places.places(reach),
        frequent,
        severe,
        patients.pyramid(reach, groups),
        facilities.categories(reach),
        patients.completeness(reach, groups),
        facilities.facilities(reach),
    ]
    return {figure.name: figure for figure in found}


ONE = {
    "visits": trends.trends,
    "places": places.places,
    "conditions": lambda reach: conditions.conditions(reach)[0],
    "severity": lambda reach: conditions.conditions(reach)[1],
    "patients": lambda reach: patients.pyramid(reach, patients.groups(reach)),
    "categories": facilities.categories,
    "completeness": lambda reach: patients.completeness(reach, patients.groups(reach)),
    "facilities": lambda reach: facilities.facilities(reach, is_whole=True),
}


def headline(figures: dict[str, Figure], trusting: Trusting, *, months: bool) -> list[dict[str, str]]:
    """The four numbers that one looks for first; a condition is counted by whole months."""
    visits = figures["visits"]
    total, critical = sum(row[1] for row in visits.rows), sum(row[-2] for row in visits.rows)
    known = figures["completeness"].rows
    people = known[1][2] if known else 0
    return [
        {
            "name": "Visits",
            "told": NOTHING if visits.is_withheld else f"{total:,}",
            "more": "in these months" if months else "in the chosen days",
        },
        {
            "name": "Critical",
            "told": f"{pct(critical, total)} %" if total else NOTHING,
            "more": "of them, level 1 or 2",
        },
        {"name": "Patients", "told": f"{people:,}", "more": "known to the facilities"},
        {
            "name": "Reporting",
            "told": f"{trusting.reporting['reported']:,} of {trusting.reporting['facilities']:,}",
            "more": "facilities, in the last 30 days",
        },
    ]


def _states(reach: Reach) -> list[tuple[str, str]]:
    """What one may choose from: those with facilities in the scope."""
    whole = Reach(reach.user, selection.Selection(reach.selection.date_from, reach.selection.date_to), reach.scope)
    states = FacilityDimension.objects.filter(whole.facilities).order_by("state").values_list("state", flat=True)
    return [(state, in_words(state)) for state in states.distinct()]


def _warnings(trusting: Trusting) -> list[str]:
    """In words, above the figures."""
    failed = sorted(state.mart for state in trusting.states.values() if state.has_failed)
    if failed:
        return [f"The last refresh of {', '.join(failed)} failed. What is shown is older, and right for its time."]
    stale = [state for state in trusting.states.values() if state.is_stale]
    if stale:
        return [
            "Newer data has been loaded. These figures are from before it; they are refreshed by themselves shortly."
        ]
    return []
