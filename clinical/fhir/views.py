"""The doors of /fhir: read and search of each type, and what both have in common."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, ClassVar

from django.utils.http import http_date, parse_http_date_safe
from rest_framework.exceptions import NotAcceptable, NotFound, UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import FormParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from clinical import reading
from clinical.api import exports, parameters
from clinical.audit import reads
from clinical.fhir import bundles, query, refusals, search
from clinical.fhir.codes import Row
from clinical.fhir.query import Query
from clinical.fhir.registry import Kind
from clinical.fhir.search import Told
from clinical.models import User

FORMATS = ("json", "application/json", refusals.MEDIA_TYPE)
ACCEPTED = {"", "*/*", "application/*", "application/json", refusals.MEDIA_TYPE}
NOTED_TOO = ("audit_events",)


class FhirJSON(BaseRenderer):
    media_type = refusals.MEDIA_TYPE
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else data if isinstance(data, bytes) else exports.json_of(data)


class Negotiation(BaseContentNegotiation):
    """JSON, or nothing."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        wanted = request.GET.get("_format")
        accepted = [part.partition(";")[0].strip().lower() for part in request.META.get("HTTP_ACCEPT", "").split(",")]
        if wanted is not None and wanted.replace(" ", "+") not in FORMATS:
            raise NotAcceptable("Only JSON is given: application/fhir+json.")
        if wanted is None and not ACCEPTED & {*accepted}:
            raise NotAcceptable("Only JSON is given: application/fhir+json.")
        return renderers[0], renderers[0].media_type


class MayRead(BasePermission):
    """Whoever may have rows of one of the type's parts at least."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        door: Any = view
        is_known = bool(user and user.is_authenticated)
        return is_known and door.kind.is_in_scope(user, door.letters) and bool(door.kind.parts_for(user))


class Door(APIView):
    """What every address under /fhir has: one form, and an OperationOutcome for each refusal."""

    schema = None  # the CapabilityStatement describes it
    renderer_classes = (FhirJSON,)
    content_negotiation_class = Negotiation
    http_method_names = [method for method in APIView.http_method_names if method != "options"]

    @property
    def user(self) -> User:
        return self.request.user  # type: ignore[return-value]  # nobody else comes past the permission

    @property
    def base(self) -> str:
        return self.request.build_absolute_uri("/fhir")

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        data = response.data
        if isinstance(data, dict) and "errors" in data:
            response.data = refusals.of_errors(response.status_code, data["errors"])
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Also where nothing could be agreed on."""
        if not hasattr(request, "accepted_renderer"):
            request.accepted_renderer, request.accepted_media_type = FhirJSON(), FhirJSON.media_type
        return super().finalize_response(request, response, *args, **kwargs)

    def is_lenient(self) -> bool:
        return "handling=lenient" in self.request.META.get("HTTP_PREFER", "").replace(" ", "")

    def tell(self, told: Sequence[Told], action: str, **more: Any) -> None:
        """Counts and notes what goes out: one line, of whatever it is made of."""
        shown: dict[str, int] = {}
        for one in told:
            shown[one.part.resource] = shown.get(one.part.resource, 0) + 1
        for resource, rows in shown.items():
            reading.shown(self.user, resource, rows)
        people = [one.row[one.part.patient] for one in told if one.part.patient]
        models = [one.part.model for one in told] or [self.kind.model]
        noted = [model for model in models if reads.names_patients(model) or model._meta.db_table in NOTED_TOO]
        if noted:
            reads.seen(noted[0]._meta.db_table, action, patient_ids=people, rows=len(told), **more)

    kind: ClassVar[Kind]


class OfKind(Door):
    permission_classes = (MayRead,)
    letters: ClassVar[str] = "rs"  # of a SMART scope
    resource: ClassVar[str]
    model: ClassVar[Any]

    def absent(self, pk: str) -> Exception:
        """Of what lies in the caller's scope it is told that it was deleted."""
        is_gone = any(part.is_deleted(pk, self.user) for part in self.kind.parts_for(self.user))
        return refusals.Gone() if is_gone else NotFound()


class Searching(OfKind):
    letters = "s"

    def answer(self, pairs: query.Pairs) -> Response:
        asked = self._asked(pairs)
        found = search.sources(asked, self.user)
        total = search.total(found) if asked.has_total or asked.is_count_only else None
        if asked.is_count_only:
            self.tell([], "count", **reads.query_of(asked.names()))
            return Response(bundles.searchset(self.base, [("self", self._self(asked))], [], total=total))
        page, place = search.page(found, asked.count, asked.sort, asked.place)
        more = search.included(asked, page, self.user)
        referring, is_whole = search.revincluded(asked, page, self.user)
        self.tell([*page, *more, *referring], "list", **reads.query_of(asked.names()))
        links = [("self", self._self(asked))]
        if place is not None:
            links.append(("next", self._next(asked, place)))
        return Response(
            bundles.searchset(self.base, links, page, [*more, *referring], total=total, is_cut=not is_whole)
        )

    def _asked(self, pairs: query.Pairs) -> Query:
        cursor = dict(pairs).get("_cursor")
        if cursor is None:
            return query.read(self.kind, pairs, self.base, is_lenient=self.is_lenient())
        if others := [name for name, _ in pairs if name not in ("_cursor", *query.NEUTRAL)]:
            raise parameters.refused(others[0][:40], "invalid", "Not together with _cursor, which holds the search.")
        used, place = query.unsealed(self.kind.name, cursor, self.user.pk)
        asked = query.read(self.kind, used, self.base)
        asked.place = place
        return asked

    def _self(self, asked: Query) -> str:
        return bundles.url(self.base, self.kind.name, asked.used)

    def _next(self, asked: Query, place: search.Place) -> str:
        return bundles.url(
            self.base, self.kind.name, [("_cursor", query.sealed(self.kind.name, asked.used, place, self.user.pk))]
        )


class Search(Searching):
    def get(self, request: Request) -> Response:
        return self.answer([(name, text) for name, texts in request.GET.lists() for text in texts])


class PostedSearch(Searching):
    """The same, with a body that no log and no history of addresses keeps."""

    parser_classes = (FormParser,)

    def post(self, request: Request) -> Response:
        if request.content_type and not request.content_type.startswith(FormParser.media_type):
            raise UnsupportedMediaType(request.content_type)
        given: Any = (request.GET, request.data)
        return self.answer([(name, text) for one in given for name, texts in one.lists() for text in texts])


class Read(OfKind):
    letters = "r"

    def get(self, request: Request, pk: str) -> Response:
        parameters.read(request.GET, query.NEUTRAL)
        told = search.by_ids(self.kind, [pk], self.user)
        if not told:
            raise self.absent(pk)
        resource = told[0].resource
        self.tell(told, "read", object_id=told[0].row["pk"])
        body = exports.json_of(resource)
        headers = {"ETag": tag_of(body), "Last-Modified": http_date(told[0].row["last_updated"].timestamp())}
        if _is_known(request, headers["ETag"], int(told[0].row["last_updated"].timestamp())):
            return Response(status=304, headers=headers)
        return Response(body, headers=headers)


class OfPatient(OfKind):
    """What is asked of one patient."""

    def one(self, pk: str) -> Row:
        """The patient's row, or 404 and 410."""
        found = search.by_ids(self.kind, [pk], self.user)
        if not found:
            raise self.absent(pk)
        return found[0].row


def tag_of(body: bytes) -> str:
    """Of what this caller is shown: it changes with the map of codes too, and with a mask."""
    return f'W/"{blake2b(body, digest_size=12).hexdigest()}"'


def _is_known(request: Request, tag: str, changed: int) -> bool:
    """If-None-Match decides where it is given."""
    tags = request.META.get("HTTP_IF_NONE_MATCH")
    if tags is not None:
        return tags.strip() == "*" or tag.removeprefix("W/") in [
            one.strip().removeprefix("W/") for one in tags.split(",")
        ]
    since = parse_http_date_safe(request.META.get("HTTP_IF_MODIFIED_SINCE", ""))
    return since is not None and changed <= since


class Unknown(Door):
    """Any other address: there is no such type, interaction or operation."""

    permission_classes = (IsAuthenticated,)
    resource = "fhir"

    def get(self, request: Request, **_: Any) -> Response:
        raise NotFound("There is no such resource type, interaction or operation; see /fhir/metadata.")

    post = put = patch = delete = get
