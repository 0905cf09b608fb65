"""/api/analytics/reports: the nightly reports of the nation and of whole states; each as JSON, HTML or PDF."""

from typing import Any

from django.db.models import Q
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django_filters import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api.mart import whole_states
from analytics.nightly_reports import NightlyReport
from clinical import access
from clinical.api import filters, parameters
from clinical.api.facilities import as_stored
from clinical.api.lists import Order
from clinical.api.rendering import JSON
from clinical.api.resource import Readable, Row
from clinical.audit import reads


class HTML(JSON):
    media_type = "text/html"
    format = "html"


class PDF(JSON):
    media_type = "application/pdf"
    format = "pdf"


class ReportFilter(FilterSet):
    state = filters.Parameter(filters.TEXT, as_stored, filters.equal("state"))
    date_from, date_to = filters.days("night")


class ReportBody(serializers.ModelSerializer[NightlyReport]):
    class Meta:
        model = NightlyReport
        fields = ("id", "night", "state", "as_of", "made_at", "sent_at", "digest", "facts")


class ReportViewSet(Readable):
    """The report of each night, of the nation (state is empty) and of each state. Small numbers are hidden for all."""

    resource = "analytics"
    model = NightlyReport
    serializer_class = ReportBody
    columns = ReportBody.Meta.fields
    orders = {name: Order(name, keys=("id",)) for name in ("id", "night")}
    filterset_class = ReportFilter
    tells_changes = False

    def etag(self, row: Row) -> str:
        """A report changes in nothing but when it was sent."""
        return f'"{row["digest"][:16]}-{bool(row["sent_at"]):d}"'

    @classmethod
    def existing(cls) -> Any:
        return NightlyReport.objects.all()

    def places(self, scope: access.Scope) -> Q:
        return scope.of_states()

    def get_renderers(self) -> list[Any]:
        renderers = super().get_renderers()
        return [JSON(), PDF(), HTML()] if "pk" in self.kwargs else renderers

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if isinstance(getattr(self.request, "accepted_renderer", None), HTML | PDF):
            self.request.accepted_renderer, self.request.accepted_media_type = JSON(), JSON.media_type
        return response

    def list(self, request: Request) -> Response | StreamingHttpResponse:
        whole_states(self.user.access)
        return super().list(request)

    @extend_schema(
        parameters=[OpenApiParameter("format", enum=["json", "html", "pdf"])],
        responses={
            (200, "application/json"): ReportBody,
            (200, "text/html"): OpenApiTypes.STR,
            (200, "application/pdf"): OpenApiTypes.BINARY,
        },
    )
    def retrieve(self, request: Request, pk: str) -> Any:
        whole_states(self.user.access)
        kind = request.accepted_renderer.format
        if kind == "json":
            return super().retrieve(request, pk)
        parameters.read(request.GET, ("format",))
        row = self.find(pk)
        reads.seen("nightly_reports", "export", object_id=row["id"], rows=1, format=kind)
        return answer(request._request, NightlyReport.objects.get(pk=row["id"]), kind)


def answer(request: Any, report: NightlyReport, kind: str) -> HttpResponseBase:
    """The file; its page bears the nonce of this answer, without which a browser leaves out the style."""
    if kind == "pdf":
        response = HttpResponse(bytes(report.pdf), content_type="application/pdf")
        response["Content-Disposition"] = f'attachment; filename="{report.file_name}"'
        return response
    styled = report.html.replace("<style>", f'<style nonce="{request.csp_nonce}">', 1)
    return HttpResponse(styled, content_type="text/html; charset=utf-8")
