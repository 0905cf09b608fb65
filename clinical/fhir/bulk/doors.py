"""The doors of bulk export: kick-off at three levels, what has become of it, and its files."""

from typing import Any, ClassVar

from django.db import IntegrityError, connection, transaction
from django.db.models import Q, Sum
from django.db.models.functions import Now
from django.http import StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import http_date
from rest_framework.exceptions import NotFound, PermissionDenied, Throttled
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from clinical import audit
from clinical.api.rendering import OneForm
from clinical.audit.reads import Parts, Read
from clinical.fhir import everything, refusals
from clinical.fhir.bulk import asking, callers, files, jobs, selection
from clinical.fhir.codes import Resource, instant
from clinical.fhir.registry import Operation, registry
from clinical.fhir.views import Door
from clinical.models import FhirExport, FhirExportPart

Level, Status = FhirExport.Level, FhirExport.Status
GUIDE = "http://hl7.org/fhir/uv/bulkdata"
NDJSON = "application/fhir+ndjson"
COME_AGAIN = 5  # seconds, for who asks how far it is
TOO_FAST = "1 second"
COME_LATER = 60  # seconds, for who has another one running
NOTED = 2_000  # patients of one line of the audit
POLL = f"""
UPDATE fhir_exports SET polled_at = clock_timestamp()
WHERE id = %s AND (polled_at IS NULL OR polled_at < clock_timestamp() - interval '{TOO_FAST}')
"""  # noqa: S608  # our own words


class KickOff(Door):
    """Asks for an export. One of a user runs at a time, which the database promises."""

    permission_classes = (IsAuthenticated,)
    parser_classes = (everything.Parameters, everything.Body)
    resource = "fhir_exports"
    level: ClassVar[str] = Level.SYSTEM

    def get(self, request: Request, pk: str = "") -> Response:
        return self._begin(self._query(request), pk, is_posted=False)

    def post(self, request: Request, pk: str = "") -> Response:
        return self._begin([*self._query(request), *asking.of_body(request.data)], pk, is_posted=True)

    def _query(self, request: Request) -> asking.Pairs:
        return [(name, text) for name, texts in request.GET.lists() for text in texts]

    def _begin(self, pairs: asking.Pairs, group: str, *, is_posted: bool) -> Response:
        if not selection.types(self.user, self.level):
            raise PermissionDenied
        if group and not selection.has_group(self.user, group):
            raise NotFound
        asked = asking.read(pairs, self.user, self.level, self.base, is_lenient=self.is_lenient(), is_posted=is_posted)
        export = self._made(asked, group)
        where = self.request.build_absolute_uri(reverse("fhir-export", args=[export.pk]))
        told = refusals.issue(202, "accepted", "The export has been accepted.", severity="information")
        return Response(refusals.outcome(told), status=202, headers={"Content-Location": where})

    def _made(self, asked: asking.Asked, group: str) -> FhirExport:
        try:
            with transaction.atomic():
                export = FhirExport.objects.create(
                    user=self.user,
                    token_id=self.user.via_token,
                    client_id=self.user.via_client,
                    level=self.level,
                    group=group,
                    types=asked.types,
                    patient_ids=asked.patient_ids,
                    since=asked.since,
                    until=asked.until,
                    ignored=asked.ignored,
                    request=self.request.build_absolute_uri(),
                )
                told: dict[str, Any] = {"level": self.level, "types": asked.types}
                told |= {"group": group} if group else {}
                audit.note(
                    self.user, "ask for export", "fhir_exports", export.pk, patient_ids=asked.patient_ids, **told
                )
                jobs.send(export.pk)
        except IntegrityError as error:
            raise Throttled(COME_LATER, "Another export of yours is still running.") from error
        return export


class KickOffPatients(KickOff):
    level = Level.PATIENT


class KickOffGroup(KickOff):
    level = Level.GROUP


class OfExport(Door):
    """One export, for who has asked for it, by the same key."""

    permission_classes = (IsAuthenticated,)
    content_negotiation_class = OneForm  # type: ignore[assignment]  # a file has its own form
    resource = "fhir_exports"
    model = FhirExport

    def export(self, pk: int) -> FhirExport:
        mine = FhirExport.objects.filter(user=self.user, token=self.user.via_token, client=self.user.via_client)
        found = mine.exclude(status=Status.CANCELLED).filter(Q(expires_at=None) | Q(expires_at__gt=Now())).filter(pk=pk)
        export = found.first()
        if export is None or (export.status == Status.DONE and not callers.is_still_theirs(export)):
            raise NotFound("There is no such export, or no longer.")
        return export


class Fate(OfExport):
    def get(self, request: Request, pk: int) -> Response:
        export = self.export(pk)
        if export.status == Status.DONE:
            return Response(
                self._manifest(export),
                content_type="application/json",
                headers={"Expires": http_date(export.expires_at.timestamp())},  # type: ignore[union-attr]  # it is done
            )
        if export.status == Status.FAILED:
            told = "The export could not be made; ask for it anew."
            return Response(refusals.outcome(refusals.issue(500, "failed", told)), status=500)
        with connection.cursor() as cursor:
            cursor.execute(POLL, [pk])
            if not cursor.rowcount:
                raise Throttled(COME_AGAIN, "Asked too often.")
        progress = {"X-Progress": _progress(export), "Retry-After": str(COME_AGAIN)}
        return Response(status=202, headers=progress)

    def delete(self, request: Request, pk: int) -> Response:
        """Also one that is done: then its files go with the next purge, and are given to nobody before."""
        export = self.export(pk)
        with transaction.atomic():
            audit.note(self.user, "cancel export", "fhir_exports", export.pk)
            FhirExport.objects.filter(pk=pk).update(
                status=Status.CANCELLED, lease_until=None, finished_at=Now(), expires_at=Now()
            )
        told = refusals.issue(202, "cancelled", "The export is cancelled.", severity="information")
        return Response(refusals.outcome(told), status=202)

    def _manifest(self, export: FhirExport) -> Resource:
        said: Resource = {
            "transactionTime": instant(export.transaction_at),  # type: ignore[arg-type]  # it is done
            "request": export.request,
            "requiresAccessToken": True,
            "output": [],
            "deleted": [],
            "error": [],
        }
        parts = export.parts.order_by("type", "table", "after_id").values_list("of", "type", "pk", "resources")
        for of, type_of, part, count in parts:
            if count:
                url = self.request.build_absolute_uri(reverse("fhir-export-file", args=[export.pk, part]))
                said[of].append({"type": type_of, "url": url, "count": count})
        return said


def _progress(export: FhirExport) -> str:
    if export.status == Status.QUEUED:
        return "waiting"
    found = export.parts.aggregate(resources=Sum("resources"))
    return f"{found['resources'] or 0} resources so far"


class FileOf(OfExport):
    def get(self, request: Request, pk: int, part: int) -> Any:
        export = self.export(pk)
        found = FhirExportPart.objects.filter(export=export, pk=part).first()
        if export.status != Status.DONE or found is None:
            raise NotFound("There is no such file.")
        is_packed = "gzip" in request.META.get("HTTP_ACCEPT_ENCODING", "")
        try:
            blocks = files.read(found.file, packed=is_packed)
        except files.NotThere as error:
            raise NotFound("The file is gone; ask for an export anew.") from error
        _note(export, found)
        response = StreamingHttpResponse(blocks, content_type=NDJSON)
        response["Vary"] = "Accept-Encoding"
        if is_packed:
            response["Content-Encoding"] = "gzip"
        return response


def _note(export: FhirExport, part: FhirExportPart) -> None:
    """Of whom the file tells, before anything of it is sent."""
    read = Read("fhir_exports", "export", export.pk, rows=part.resources, details={"type": part.type, "of": part.of})
    parts = Parts(read, patient_at=0)
    parts.open(by_itself=not connection.in_atomic_block)
    try:
        for first in range(0, len(part.patient_ids), NOTED):
            parts.sent([(pk,) for pk in part.patient_ids[first : first + NOTED]])
    finally:
        parts.close()


def routes() -> list[URLPattern]:
    """Known to the CapabilityStatement, too."""
    registry.instantiates.append(f"{GUIDE}/CapabilityStatement/bulk-data")
    for name, of in (("export", ""), ("patient-export", "Patient"), ("group-export", "Group")):
        registry.operations.append(Operation("export", f"{GUIDE}/OperationDefinition/{name}", of))
    return [
        path("fhir/$export", KickOff.as_view(), name="fhir-kick-off"),
        path("fhir/Patient/$export", KickOffPatients.as_view(), name="fhir-kick-off-patients"),
        path("fhir/Group/<str:pk>/$export", KickOffGroup.as_view(), name="fhir-kick-off-group"),
        path("fhir/exports/<int:pk>", Fate.as_view(), name="fhir-export"),
        path("fhir/exports/<int:pk>/<int:part>", FileOf.as_view(), name="fhir-export-file"),
    ]
