"""POST /fhir: a transaction Bundle, stored whole or not at all."""

import logging
from typing import IO, Any

from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from clinical import access
from clinical.api import parameters
from clinical.api.idempotency import once
from clinical.api.refusals import TooLarge, Unavailable
from clinical.audit import reads
from clinical.fhir import query, refusals
from clinical.fhir.views import Unknown
from ingestion.fhir import answers, bundles, loading
from ingestion.fhir.composing import Composer
from ingestion.fhir.issues import BundleRefused, Issue
from ingestion.models import IngestBatch
from ingestion.sources import S3Object, StorageError

logger = logging.getLogger(__name__)


class FhirBody(BaseParser):
    """The bytes as they came: what they say is read where a refusal can say which entry it is about."""

    media_type = refusals.MEDIA_TYPE

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.read(bundles.MOST_BYTES + 1)
        if len(body) > bundles.MOST_BYTES:
            raise TooLarge(f"A bundle has at most {bundles.MOST_BYTES // 1024**2} MiB.")
        return body.decode("latin-1")  # any bytes, as a text that can be compared and turned back


class PlainBody(FhirBody):
    media_type = "application/json"


class MayWrite(BasePermission):
    """Whoever may write rows of some table; what is in a bundle is judged by what it is."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        tables = ("patients", "records", "visits")
        return bool(user and user.is_authenticated and any(user.access.may(access.CREATE, one) for one in tables))


class Transaction(Unknown):
    """Of this address only a POST means something."""

    parser_classes = (FhirBody, PlainBody)
    model = IngestBatch

    def get_permissions(self) -> list[Any]:
        return [MayWrite()] if self.request.method == "POST" else []

    def post(self, request: Request, **_: Any) -> Response:
        parameters.read(request.GET, query.NEUTRAL)
        try:
            with loading.archive() as written:
                response = self._store(request, written)
        except BundleRefused as refused:
            return Response(refusals.outcome(*(issue.told() for issue in refused.issues)), refused.status)
        except StorageError as error:
            logger.warning("A bundle was not taken, since it cannot be kept: %s", type(error).__name__)
            raise Unavailable from None
        if "Idempotent-Replay" in response:  # the deed was noted with the first answer, this reading of it was not
            reads.seen("idempotency_keys", "read", patient_ids=answers.patients_of(response.data))
        return response

    @once
    def _store(self, request: Request, written: list[S3Object]) -> Response:
        said: Any = request.data
        body = said.encode("latin-1") if isinstance(said, str) else b""  # nothing was sent
        found: list[Issue] = []
        entries = bundles.entries(bundles.read(body), found)
        composed = Composer(entries, self.user, found).compose()
        if composed is None:
            errors = [issue for issue in dict.fromkeys(found) if issue.severity == "error"]
            raise BundleRefused(errors, 403 if any(issue.reason == "FORBIDDEN" for issue in errors) else 422)
        landed = loading.store(composed, body, self.user, written)
        return Response(answers.answer(entries, composed, landed, found, self.user))
