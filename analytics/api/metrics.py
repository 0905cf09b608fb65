"""/api/docs/metrics: the metric catalogue in words, or as JSON for a program."""

from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from django.http import HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics import metrics


@extend_schema(exclude=True)
class MetricCatalogue(APIView):
    permission_classes = (IsAuthenticated,)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        is_browser = "text/html" in request.META.get("HTTP_ACCEPT", "")
        if is_browser and not request.user.is_authenticated:
            return HttpResponseRedirect(f"{reverse('admin:login')}?next={quote(request.get_full_path())}")
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: Request) -> Any:
        if request.accepted_renderer.format == "json":
            return Response([{"group": name, **asdict(one)} for name, found in metrics.GROUPS.items() for one in found])
        return render(request._request, "analytics/metrics.html", {"groups": [*metrics.GROUPS.items()]})
