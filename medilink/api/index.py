"""`/`: the way in for people, the index of routes for programs."""

from typing import Any

from django.http import HttpResponseRedirect
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from clinical import access
from clinical.api.browsing import Page, is_browser
from clinical.api.rendering import OneForm

ROUTES = (
    *("facilities", "patients", "medical-records", "triage-visits", "batches", "rejected-rows"),
    *("analytics/facility-stats", "analytics/facilities", "analytics/patients", "analytics/medical-records"),
    *("analytics/triage-visits", "analytics/patient-summary", "analytics/facility-performance"),
    *(
        "analytics/triage-trends",
        "analytics/condition-analysis",
        "analytics/condition-codes",
        "audit-events",
        "schema",
        "docs",
    ),
)


def home(user: Any) -> str:
    """The first page of a person: the desk, or else the dashboard of who has a right to it."""
    may_look = user.is_authenticated and not user.is_staff and user.access.may(access.READ, "analytics")
    return "dashboard" if may_look else "admin:index"


class Index(APIView):
    permission_classes = (IsAuthenticated,)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if is_browser(request):
            return HttpResponseRedirect(reverse(home(request.user)))
        return super().dispatch(request, *args, **kwargs)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response({route: request.build_absolute_uri(f"/api/{route}") for route in ROUTES})


@extend_schema(exclude=True)
class Description(SpectacularJSONAPIView):
    permission_classes = (IsAuthenticated,)
    content_negotiation_class = OneForm


@extend_schema(exclude=True)
class Docs(Page, SpectacularSwaggerSplitView):
    """For people: who is not logged in is sent to the log-in and comes back. No script stands in the page itself."""

    url_name = "schema"
    permission_classes = (IsAuthenticated,)
    content_negotiation_class = OneForm
