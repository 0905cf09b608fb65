"""/api/…/{id}/passport and /api/batches/{id}/lines/{line}: where a row comes from, and what became of a line.

For stewards, of their scope. They hold what stood in a file, so that each reading is a line of the audit.
"""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from clinical import access
from clinical.api import parameters
from clinical.api.resource import id_of
from clinical.audit import reads
from clinical.history import Change
from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from ingestion import fates, passport
from ingestion.fates import Fate, LineFate
from ingestion.models import IngestBatch
from ingestion.passport import Passport

Body = serializers.Serializer[Any]


class DeliveryBody(Body):
    batch_id = serializers.IntegerField(help_text="of the file")
    replay_batch_id = serializers.IntegerField(allow_null=True, help_text="where a refused row of it was replayed")
    line = serializers.IntegerField(help_text="on which the record starts; the header's is counted")
    object_key = serializers.CharField()
    version_id = serializers.CharField(allow_null=True)
    etag = serializers.CharField()
    last_modified = serializers.DateTimeField()
    business_date = serializers.DateField()
    sha256 = serializers.CharField(allow_null=True)
    bytes_are_at = serializers.CharField(help_text="the key under which the file is kept now")


class CellBody(Body):
    column = serializers.CharField(allow_blank=True)
    raw = serializers.JSONField(allow_null=True, help_text="as delivered")
    corrected = serializers.CharField(allow_null=True, help_text="what a steward put instead")
    stored = serializers.JSONField(allow_null=True)


class RuleBody(Body):
    rule_id = serializers.IntegerField()
    version = serializers.IntegerField()
    about = serializers.CharField()
    text = serializers.CharField()
    meaning = serializers.CharField()
    reach = serializers.CharField()
    decided_by = serializers.CharField(allow_null=True)
    decided_at = serializers.DateTimeField()
    why = serializers.CharField(allow_blank=True)


class ColumnBody(Body):
    name = serializers.CharField()
    was = serializers.JSONField(allow_null=True)
    became = serializers.JSONField(allow_null=True)


class ChangeBody(Body):
    at = serializers.DateTimeField()
    action = serializers.CharField()
    who = serializers.CharField()
    event_id = serializers.IntegerField(allow_null=True, help_text="of /api/audit-events")
    batch_id = serializers.IntegerField(allow_null=True)
    is_undone = serializers.BooleanField()
    columns = ColumnBody(many=True)


class LaterBody(Body):
    batch_id = serializers.IntegerField()
    object_key = serializers.CharField()
    business_date = serializers.DateField()
    changed = serializers.ListField(child=serializers.CharField(), help_text="empty: it only contained the row")


class MergeBody(Body):
    merge_id = serializers.IntegerField()
    survivor_id = serializers.IntegerField()
    merged_id = serializers.IntegerField()
    merged_by = serializers.CharField(allow_null=True)
    merged_at = serializers.DateTimeField()
    undone_by = serializers.CharField(allow_null=True)
    undone_at = serializers.DateTimeField(allow_null=True)


class PassportBody(Body):
    table = serializers.CharField()
    id = serializers.IntegerField()
    delivery = DeliveryBody(allow_null=True)
    cells = CellBody(many=True)
    why_no_cells = serializers.CharField(allow_blank=True)
    rejected_row_id = serializers.IntegerField(allow_null=True)
    corrections = ChangeBody(many=True)
    rules = RuleBody(many=True)
    later_deliveries = LaterBody(many=True)
    changes = ChangeBody(many=True)
    merges = MergeBody(many=True)


class LineBody(Body):
    batch_id = serializers.IntegerField(help_text="of the file")
    line = serializers.IntegerField(help_text="on which the record starts")
    fate = serializers.ChoiceField(Fate.values)
    meaning = serializers.CharField()
    cells = serializers.DictField(allow_null=True, child=serializers.JSONField(), help_text="as delivered")
    table = serializers.CharField(allow_null=True)
    row_id = serializers.IntegerField(allow_null=True, help_text="of the table: what it became, changed or met")
    rejected_row_id = serializers.IntegerField(allow_null=True)
    other_line = serializers.IntegerField(allow_null=True, help_text="the one that counts instead of it")


class Private(GenericViewSet[Any]):
    """What holds the cells of a file: for stewards."""

    resource = "passports"
    filter_backends = ()
    pagination_class = None
    http_method_names = [method for method in GenericViewSet.http_method_names if method != "options"]

    def scope(self, request: Request) -> access.Scope:
        return request.user.access.scope(access.READ, self.resource)  # type: ignore[union-attr]  # nobody else comes here


ID = OpenApiParameter("id", {"type": "integer", "minimum": 1}, OpenApiParameter.PATH)
LINE = OpenApiParameter("line", {"type": "integer", "minimum": 1}, OpenApiParameter.PATH)


class RowPassport(Private):
    model: ClassVar[Any]
    needs: ClassVar[dict[str, str]] = {"passport": access.READ}

    @extend_schema(parameters=[ID], responses=PassportBody)
    @action(detail=True)
    def passport(self, request: Request, pk: str) -> Response:
        """Which file, version and line the row comes from, by which rules and corrections, and all that came after."""
        parameters.read(request.GET, ("format",))
        table, number = self.model._meta.db_table, id_of(pk)
        if not self.model.objects.inside(self.scope(request)).filter(pk=number).exists():
            raise NotFound
        found = passport.of_row(table, number)
        if found is None:
            raise NotFound
        reads.seen(table, "passport", object_id=number, patient_ids=reads.patients_of([found.row]), rows=1)
        return Response(PassportBody(_told(found)).data)


class FacilityPassport(RowPassport):
    model = Facility


class PatientPassport(RowPassport):
    model = Patient


class MedicalRecordPassport(RowPassport):
    model = MedicalRecord


class TriageVisitPassport(RowPassport):
    model = TriageVisit


class BatchLine(Private):
    needs: ClassVar[dict[str, str]] = {"line": access.READ}

    @extend_schema(parameters=[ID, LINE], responses=LineBody)
    @action(detail=True, url_path=r"lines/(?P<line>[^/.]+)")
    def line(self, request: Request, pk: str, line: str) -> Response:
        """What became of any line of a file, loaded or not."""
        parameters.read(request.GET, ("format",))
        scope = self.scope(request)
        batch = IngestBatch.objects.inside(scope).select_related("parent").filter(pk=id_of(pk)).first()
        if batch is None:
            raise NotFound
        told = fates.of_line(batch, id_of(line))
        if not passport.may_see(told, scope):
            raise NotFound
        passport.note_line(told)
        return Response(LineBody(_line(told)).data)


# --- In the words of the answer

OF_RULE = ("version", "about", "text", "meaning", "reach", "decided_at", "why")


def _told(found: Passport) -> dict[str, Any]:
    return {
        "table": found.table,
        "id": found.row.pk,
        "delivery": _delivery(found),
        "cells": [cell._asdict() for cell in found.cells],
        "why_no_cells": found.why_no_cells,
        "rejected_row_id": found.refused.pk if found.refused else None,
        "corrections": [*map(_change, found.corrections)],
        "rules": [
            {name: getattr(rule, name) for name in OF_RULE} | {"rule_id": rule.pk, "decided_by": _name(rule.decided_by)}
            for rule in found.rules
        ],
        "later_deliveries": [
            {
                "batch_id": later.batch.pk,
                "object_key": later.batch.object_key,
                "business_date": later.batch.business_date,
                "changed": later.columns,
            }
            for later in found.later
        ],
        "changes": [*map(_change, found.changes)],
        "merges": [
            {
                "merge_id": merge.pk,
                "survivor_id": merge.survivor_id,
                "merged_id": merge.merged_id,
                "merged_by": _name(merge.event.actor),
                "merged_at": merge.event.at,
                "undone_by": _name(merge.undone_by),
                "undone_at": merge.undone_at,
            }
            for merge in found.merges
        ],
    }


def _delivery(found: Passport) -> dict[str, Any] | None:
    file, loaded_by = found.file, found.loaded_by
    if file is None or loaded_by is None:
        return None
    same = ("object_key", "version_id", "etag", "last_modified", "business_date", "sha256")
    return {name: getattr(file, name) for name in same} | {
        "batch_id": file.pk,
        "replay_batch_id": loaded_by.pk if loaded_by.parent_id else None,
        "line": found.row.line,
        "bytes_are_at": found.bytes_are_at,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "at": change.at,
        "action": change.action,
        "who": change.who,
        "event_id": change.event.pk if change.event else None,
        "batch_id": change.batch_id,
        "is_undone": change.is_undone,
        "columns": [column._asdict() for column in change.columns],
    }


def _line(told: LineFate) -> dict[str, Any]:
    return {
        "batch_id": told.batch.pk,
        "line": told.line,
        "fate": told.fate,
        "meaning": told.meaning,
        "cells": told.raw,
        "table": told.batch.dataset,
        "row_id": told.row_id,
        "rejected_row_id": told.refused.pk if told.refused else None,
        "other_line": told.other_line,
    }


def _name(user: Any) -> str | None:
    return str(user) if user else None
