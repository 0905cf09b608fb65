"""/api/docs/metrics: the metric catalogue in words, or as JSON for a program."""

from dataclasses import asdict
from typing import Any

from django.shortcuts import render
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import metrics
from clinical.api.browsing import Page


@extend_schema(exclude=True)
class MetricCatalogue(Page):
    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Any:
        if request.accepted_renderer.format == "json":
            return Response([{"group": name, **asdict(one)} for name, found in metrics.GROUPS.items() for one in found])
        return render(request._request, "analytics/metrics.html", {"groups": [*metrics.GROUPS.items()]})
