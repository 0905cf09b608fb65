"""/api/batches: one object version each, runs that are asked for, and a steward's answers."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django_filters import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from clinical import access, audit
from clinical.api import filters, parameters
from clinical.api.idempotency import once
from clinical.api.lists import Order
from clinical.api.refusals import AlreadyRunning, NotPossible
from clinical.api.resource import Readable, id_of
from clinical.api.resource import Row as Answer
from clinical.api.writing import Strict, judged
from ingestion import objects, runs, stewards
from ingestion.api import bodies
from ingestion.api.filters import REASON, HasReason, as_written
from ingestion.datasets import Dataset
from ingestion.models import IngestBatch, IngestRun, Kind, Status
from ingestion.queue import send


class BatchFilter(FilterSet):
    run_id = filters.identifier("run_id")
    dataset = filters.one_of("dataset", Dataset.values)
    status = filters.one_of("status", Status.values)
    kind = filters.one_of("kind", Kind.values)
    source = filters.Parameter(filters.TEXT, as_written, filters.equal("source"))
    reason = filters.Parameter(REASON, as_written, HasReason)
    business_date = filters.Parameter(filters.DAY, parameters.day, filters.equal("business_date"))


class BatchViewSet(Readable):
    """What was delivered: one object version, or one replay of refused rows, with its counts and reasons."""

    looks_up_scope = True
    resource = "deliveries"
    model = IngestBatch
    serializer_class = bodies.Batch
    columns = bodies.BATCH
    orders = {name: Order(name) for name in ("id", "business_date", "discovered_at")}
    filterset_class = BatchFilter
    tells_changes = False
    needs = {"release": access.UPDATE, "discard": access.UPDATE, "retry": access.UPDATE, "run": access.READ}

    @classmethod
    def existing(cls) -> "QuerySet[Any]":
        return IngestBatch.objects.all()

    def inside(self, rows: Any, scope: access.Scope) -> Any:
        return rows.inside(scope)

    def etag(self, row: Answer) -> str:
        return f'"{row["id"]:x}-{row["status"]}-{row["attempts"]}"'

    @extend_schema(request=bodies.RunBody, responses={202: bodies.Queued})
    @once
    def create(self, request: Request) -> Response:
        """Queues a run over what is due in the input, below a prefix of it, or of these keys."""
        asked = judged(request, bodies.RunBody)
        prefix, keys = asked.get("prefix", ""), asked.get("keys", [])
        if any(not text.startswith(settings.S3_INPUT_PREFIX) for text in filter(None, (prefix, *keys))):
            name = "keys" if (keys and prefix.startswith(settings.S3_INPUT_PREFIX)) or not prefix else "prefix"
            raise parameters.refused(name, "invalid", f"Must begin with {settings.S3_INPUT_PREFIX}")
        if runs.is_at_work(prefix):
            raise AlreadyRunning
        run = runs.request(Kind.MANUAL, prefix=prefix, keys=keys, is_dry=asked["dry_run"], requested_by=self.user)
        audit.note(self.user, "run", "ingest_runs", run.pk)
        send("ingest", run.pk)
        return Response({"run_id": run.pk, "status": run.status}, 202)

    @extend_schema(responses=bodies.RunState)
    @action(detail=False, url_path=r"runs/(?P<run_id>[^/]+)", filter_backends=[], pagination_class=None)
    def run(self, request: Request, run_id: str) -> Response:
        """How a run is doing; of a dry run also what it found."""
        parameters.read(request.GET, ("format",))
        run = IngestRun.objects.filter(pk=id_of(run_id)).first()
        if run is None or not self._may_see(run):
            raise NotFound
        return Response(
            {
                "run_id": run.pk,
                "kind": run.kind,
                "status": run.status,
                "dry_run": run.is_dry,
                "created_at": run.created_at,
                "started_at": run.started_at,
                "finished_at": run.finished_at,
                "error": run.error,
                "batches": self._told_of(run),
            }
        )

    def _told_of(self, run: IngestRun) -> list[dict[str, Any]]:
        """Of a dry run, which leaves no batches: what it says of files in folders of the caller's states."""
        scope = self.user.access.scope(access.READ, self.resource)
        if scope.is_national:
            return list(run.report)
        folders = ((objects.folder_of(told["key"], settings.S3_INPUT_PREFIX), told) for told in run.report)
        return [told for folder, told in folders if objects.folder_state(folder) in scope.states]

    def _may_see(self, run: IngestRun) -> bool:
        return self.user.access.scope(access.READ, self.resource).is_national or run.requested_by_id == self.user.pk

    @extend_schema(request=bodies.ReleaseBody, responses={200: bodies.Batch})
    @action(detail=True, methods=["post"])
    @once
    def release(self, request: Request, pk: str) -> Response:
        """Loads a held batch: as it is, as new events, or as the same events again."""
        body = judged(request, bodies.ReleaseBody)
        return self._decide(
            pk,
            lambda batch: stewards.release(batch, release_as=body["as"], by=self.user, remember=body["remember"]),
        )

    @extend_schema(request=bodies.ReasonBody, responses={200: bodies.Batch})
    @action(detail=True, methods=["post"])
    @once
    def discard(self, request: Request, pk: str) -> Response:
        """Loads nothing of a batch that is held, rejected or failed."""
        body = judged(request, bodies.ReasonBody)
        return self._decide(pk, lambda batch: stewards.discard(batch, reason=body["reason"], by=self.user))

    @extend_schema(request=None, responses={200: bodies.Batch})
    @action(detail=True, methods=["post"])
    @once
    def retry(self, request: Request, pk: str) -> Response:
        """Tries a rejected or failed batch again, from its kept bytes."""
        judged(request, Strict)
        return self._decide(pk, lambda batch: stewards.retry(batch, by=self.user))

    def _decide(self, pk: str, decide: Any) -> Response:
        number = id_of(pk)
        batch = IngestBatch.objects.decidable_by(self.user).filter(pk=number).first()
        if batch is None:
            raise NotFound
        try:
            decide(batch)
        except stewards.NotPossible as error:
            raise NotPossible(str(error)) from error
        run = runs.request(Kind.REPLAY, requested_by=self.user)
        IngestBatch.objects.filter(pk=number, status=Status.DISCOVERED).update(run=run)
        send("ingest", run.pk)
        return self.answer(number)
