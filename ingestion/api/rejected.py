"""/api/rejected-rows: rows that could not be loaded, with their evidence; corrected, tried again or dismissed here."""

from typing import Any

from django.db.models import QuerySet
from django_filters import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from clinical import access, sealing
from clinical.api import filters, parameters
from clinical.api.idempotency import once
from clinical.api.lists import Order
from clinical.api.refusals import NotPossible
from clinical.api.resource import Readable, id_of
from clinical.api.resource import Row as Answer
from clinical.api.writing import judged
from ingestion import cells, stewards
from ingestion.api import bodies
from ingestion.api.filters import REASON, HasReason, as_written
from ingestion.datasets import Dataset
from ingestion.models import RejectedRow
from ingestion.queue import send

AT_ONCE = 10_000  # rows of one selection; their ids travel in one task


class RejectedFilter(FilterSet):
    dataset = filters.one_of("dataset", Dataset.values)
    status = filters.one_of("state", RejectedRow.State.values)
    reason = filters.Parameter(REASON, as_written, HasReason)
    batch_id = filters.identifier("batch_id")
    facility_id = filters.identifier("facility_id")


def _opened(name: str, row: Answer) -> dict[str, Any] | None:
    field = sealing.field_of(RejectedRow, name)
    sealed = row[name]
    place = field.place(row[column] for column in field.bound_to)
    return None if sealed is None else cells.loaded(sealing.unseal(sealed, place))


class RejectedRowViewSet(Readable):
    """Rows that could not be loaded, each with every reason and the cells as delivered."""

    looks_up_scope = True
    resource = "deliveries"
    model = RejectedRow
    serializer_class = bodies.Row
    columns = bodies.ROW
    masked = frozenset({"raw_sealed", "corrections_sealed"})
    orders = {name: Order(name) for name in ("id", "last_seen_at", "first_seen_at")}
    filterset_class = RejectedFilter
    tells_changes = False
    needs = dict.fromkeys(("replay", "dismiss", "replay_selection", "dismiss_selection"), access.UPDATE)

    @classmethod
    def existing(cls) -> "QuerySet[Any]":
        return RejectedRow.objects.all()

    def inside(self, rows: Any, scope: access.Scope) -> Any:
        return rows.inside(scope)

    def represent(self, *more: str) -> Any:
        told = super().represent(*more)

        def opened(values: Any) -> Answer:
            row = told(values)
            for name in self.masked:
                row[name] = _opened(name, row)
            if row["raw_sealed"] is not None and row["corrections_sealed"] is None:
                row["corrections_sealed"] = {}
            return {bodies.RENAMED.get(name, name): value for name, value in row.items()}

        return opened

    def _flat_columns(self) -> list[str]:
        """The cells differ from row to row, so a CSV file has none."""
        return [bodies.RENAMED.get(name, name) for name in self.columns if name not in self.masked]

    def etag(self, row: Answer) -> str:
        return f'"{row["id"]:x}-{row["status"]}-{row["times_seen"]}"'

    @extend_schema(request=bodies.CellsBody, responses={200: bodies.Row})
    @action(detail=True, methods=["post"])
    @once
    def replay(self, request: Request, pk: str) -> Response:
        """Tries the row again, with these cells in place of what was delivered."""
        body = judged(request, bodies.CellsBody)
        rows = self._one(pk)
        self._correct(rows, body)
        stewards.replay(rows, by=self.user)
        return self.answer(pk)

    @extend_schema(request=bodies.ReasonBody, responses={200: bodies.Row})
    @action(detail=True, methods=["post"])
    @once
    def dismiss(self, request: Request, pk: str) -> Response:
        """The row will not load, and stays dismissed when it is delivered again."""
        body = judged(request, bodies.ReasonBody)
        self._dismiss(self._one(pk), body["reason"])
        return self.answer(pk)

    @extend_schema(
        operation_id="rejected_rows_replay_selection", request=bodies.ReplaySelection, responses={202: bodies.Selected}
    )
    @action(detail=False, methods=["post"], url_path="replay", url_name="replay-selection")
    @once
    def replay_selection(self, request: Request) -> Response:
        """Tries all open rows again that the filter selects, corrected alike; a worker does it."""
        body = judged(request, bodies.ReplaySelection)
        rows, ids = self._selection(body["filter"])
        self._correct(rows, body)
        send("replay_rows", ids, self.user.pk)
        return Response({"rows": len(ids)}, 202)

    @extend_schema(
        operation_id="rejected_rows_dismiss_selection",
        request=bodies.DismissSelection,
        responses={202: bodies.Selected},
    )
    @action(detail=False, methods=["post"], url_path="dismiss", url_name="dismiss-selection")
    @once
    def dismiss_selection(self, request: Request) -> Response:
        """Dismisses all open rows that the filter selects."""
        body = judged(request, bodies.DismissSelection)
        rows, ids = self._selection(body["filter"])
        self._dismiss(rows, body["reason"])
        return Response({"rows": len(ids)}, 202)

    def _mine(self) -> "QuerySet[RejectedRow]":
        return RejectedRow.objects.inside(self.user.access.scope(access.UPDATE, self.resource))

    def _one(self, pk: str) -> "QuerySet[RejectedRow]":
        rows = self._mine().filter(pk=id_of(pk))
        row = rows.first()
        if row is None:
            raise NotFound
        if row.state != RejectedRow.State.OPEN:
            raise NotPossible(f"The row is {row.state}; only an open one can be decided about.")
        return RejectedRow.objects.filter(pk=row.pk)

    def _selection(self, wanted: dict[str, Any]) -> "tuple[QuerySet[RejectedRow], list[int]]":
        """The open rows of the filter, fixed now: what is refused later is not meant."""
        known = RejectedFilter.base_filters
        rows = self._mine().filter(state=RejectedRow.State.OPEN)
        for name, value in wanted.items():
            rows = rows.filter(known[name].condition(known[name].parse(name, str(value))))
        ids = [*rows.order_by("id").values_list("id", flat=True)[: AT_ONCE + 1]]
        if len(ids) > AT_ONCE:
            raise parameters.refused("filter", "too_many", f"Selects more than {AT_ONCE:,} rows; narrow it.")
        return RejectedRow.objects.filter(pk__in=ids), ids

    def _correct(self, rows: "QuerySet[RejectedRow]", body: dict[str, Any]) -> None:
        if body.get("cells"):
            try:
                stewards.correct(rows, body["cells"], by=self.user)
            except stewards.NotPossible as error:
                raise parameters.refused("cells", "unknown_field", str(error)) from error

    def _dismiss(self, rows: "QuerySet[RejectedRow]", reason: str) -> None:
        try:
            stewards.dismiss(rows, reason=reason, by=self.user)
        except stewards.NotPossible as error:
            raise parameters.refused("reason", "blank", str(error)) from error
