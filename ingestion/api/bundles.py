"""POST /fhir: a transaction Bundle, stored whole or not at all."""

import logging
from typing import IO, Any, cast

from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from clinical.api import exports, parameters
from clinical.api.idempotency import once
from clinical.api.refusals import TooLarge, Unavailable
from clinical.models import User
from ingestion.fhir import answers, bundles, loading
from ingestion.fhir.composing import Composer
from ingestion.fhir.issues import BundleRefused, Issue, outcome
from ingestion.models import IngestBatch
from ingestion.sources import StorageError

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/fhir+json"


class FHIRBody(BaseParser):
    """The bytes as they came: what they say is read where a refusal can say which entry it is about."""

    media_type = MEDIA_TYPE

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.read(bundles.MOST_BYTES + 1)
        if len(body) > bundles.MOST_BYTES:
            raise TooLarge
        return body.decode("latin-1")  # any bytes, as a text that can be compared and turned back


class JSONBody(FHIRBody):
    media_type = "application/json"


class FHIR(BaseRenderer):
    media_type = MEDIA_TYPE
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return exports.json_of(data)


class Transaction(ViewSet):
    """Whoever may write visits may send bundles; what is in them is judged by what it is."""

    resource = "visits"
    model = IngestBatch
    parser_classes = (FHIRBody, JSONBody)
    renderer_classes = (FHIR,)

    def create(self, request: Request) -> Response:
        try:
            return self._create(request)
        except BundleRefused as refused:
            return Response(outcome(refused.issues), refused.status)
        except StorageError as error:
            logger.warning("A bundle was not taken, since it cannot be kept: %s", type(error).__name__)
            raise Unavailable from None

    @once
    def _create(self, request: Request) -> Response:
        parameters.read(request.GET, ("_format",))
        user, said = cast(User, request.user), request.data
        body = said.encode("latin-1") if isinstance(said, str) else b""  # nothing was sent
        found: list[Issue] = []
        entries = bundles.entries(bundles.read(body), found)
        composed = Composer(entries, user, found).compose()
        if composed is None:
            raise BundleRefused(errors_first(found), 403 if is_forbidden(found) else 422)
        landed = loading.store(composed, body, user)
        return Response(answers.answer(entries, composed, landed, found))


def errors_first(found: list[Issue]) -> list[Issue]:
    return [issue for issue in dict.fromkeys(found) if issue.severity == "error"]


def is_forbidden(found: list[Issue]) -> bool:
    return any(issue.reason == "FORBIDDEN" for issue in found)
