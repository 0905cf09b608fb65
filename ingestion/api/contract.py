"""/api/docs/contract and /api/contract/…: what the app's makers need to know, for people and for programs."""

from django.http import HttpResponse
from django.shortcuts import render
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from clinical.api.browsing import Page
from clinical.api.rendering import OneForm
from ingestion.contract import package
from ingestion.contract.columns import fields
from ingestion.datasets import Dataset

CONTENT_TYPES = {"json": "application/json; charset=utf-8", "csv": "text/csv; charset=utf-8"}


@extend_schema(exclude=True)
class ContractPage(Page):
    permission_classes = (IsAuthenticated,)
    content_negotiation_class = OneForm

    def get(self, request: Request) -> HttpResponse:
        number, digest = package.version()
        told = {
            "version": number,
            "digest": digest,
            "datasets": [(dataset.value, package.TITLES[dataset], fields(dataset)) for dataset in Dataset],
            "errors": package.errors(),
            "improvements": package.improvements(),
        }
        return render(request._request, "ingestion/contract.html", told)


@extend_schema(exclude=True)
class ContractFile(APIView):
    permission_classes = (IsAuthenticated,)
    content_negotiation_class = OneForm

    def get(self, request: Request, name: str) -> HttpResponse:
        text = package.documents().get(name)
        if text is None:
            raise NotFound
        response = HttpResponse(text, content_type=CONTENT_TYPES[name.rpartition(".")[2]])
        response["ETag"] = f'"{package.digest()[:32]}"'
        return response
