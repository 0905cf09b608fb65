"""/metrics: how the house is doing, in Prometheus' text format. Counts and codes only.

One answer tells of the whole house, whichever process gives it: what the database and the broker say now, and what all
processes have counted (medilink/monitoring).
"""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from clinical.access import READ
from medilink.monitoring import parts
from medilink.monitoring.counts import counts
from medilink.monitoring.families import written


class MayMeasure(BasePermission):
    """Who looks after all deliveries: the figures are of the whole country."""

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        return bool(user and user.is_authenticated and user.access.scope(READ, "deliveries").is_national)


@extend_schema(exclude=True)
class Metrics(APIView):
    permission_classes = (MayMeasure,)

    def get(self, request: Request) -> HttpResponse:
        counts.flush()
        text = written(parts.collected(), parts.counted())
        return HttpResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")
