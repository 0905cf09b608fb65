"""Posting, changing and deleting rows: judged, inside the caller's scope, in one transaction with the audit's line."""

from typing import Any, ClassVar, cast

import orjson
from django.db import IntegrityError, transaction
from django.db.models import Model
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from clinical import access, actions, audit
from clinical.api import exports, idempotency, parameters
from clinical.api.fields import Id
from clinical.api.refusals import Duplicate, NotPossible, Protected, StalePrecondition
from clinical.api.resource import Readable, Row, etag_of, id_of, tags_in
from clinical.audit import reads
from clinical.models import User


class Strict(serializers.Serializer[Any]):
    """A body in which an unknown field is refused."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            refuse_unknown(self, data)
        return super().to_internal_value(data)


def judged(request: Request, body_class: type[Strict]) -> Row:
    """What a request says that is not about one of our tables; its query says nothing."""
    parameters.read(request.GET, ("format",))
    body = body_class(data=request.data)
    body.is_valid(raise_exception=True)
    found: Row = body.validated_data
    return found


class Body(Strict):
    """What is posted and answered. A read-only field that says something new is refused."""

    id = Id(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    @property
    def stored(self) -> Row | None:
        """The row that is to be changed, as it is answered."""
        return cast("Row | None", self.context.get("stored"))

    @property
    def user(self) -> User:
        return cast(User, self.context["request"].user)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            self._refuse_changes(data)
        return super().to_internal_value(data)

    def fixed_fields(self) -> set[str]:
        """Those that nobody may set, or not any more."""
        return {name for name, field in self.fields.items() if field.read_only}

    def _refuse_changes(self, data: Row) -> None:
        stored = orjson.loads(exports.json_of(self.stored or {}))
        for name in self.fixed_fields() & data.keys():
            if name not in stored or stored[name] != data[name]:
                raise parameters.refused(name, "read_only", "Cannot be set.")

    @property
    def pk(self) -> int | None:
        return self.stored["id"] if self.stored else None

    def after(self, attrs: Row, name: str) -> Any:
        """The value that the row will have."""
        return attrs[name] if name in attrs else getattr(self.context.get("row"), name, None)

    def defaults(self) -> Row:
        """What a whole body says by leaving fields out."""
        return {name: None for name, field in self.fields.items() if not field.read_only and not field.required}

    def find(self, model: Any, pk: int, name: str) -> Any:
        """The row that stands for the one referred to, inside the scope of what is being done; elsewhere none."""
        action = access.UPDATE if self.stored else access.CREATE
        scope = self.user.access.scope(action, self.context["view"].resource)
        row = model.objects.inside(scope).filter(pk=pk).first()
        while row and row.merged_into_id:  # the survivor, too, must be in the scope
            row = model.objects.inside(scope).filter(pk=row.merged_into_id).first()
        found = row
        if found is None or found.deleted_at or getattr(found, "restricted_at", None):
            raise parameters.refused(name, "does_not_exist", "There is none with this id.")
        return found


def refuse_unknown(serializer: serializers.Serializer[Any], data: Row) -> None:
    unknown = sorted(map(str, data.keys() - serializer.fields.keys()))
    if unknown:
        # The name may hold anything, so it is told only where it looks like a name.
        name = unknown[0] if unknown[0].isidentifier() and len(unknown[0]) < 60 else "non_field_errors"
        raise parameters.refused(name, "unknown_field", "There is no such field.")


class Resource(Readable):
    """A list whose rows can be written. `model` is the queryset's; the serializer gives the columns to be stored."""

    identities: ClassVar[frozenset[str]]  # the constraints whose violation is a duplicate
    table: ClassVar[str]

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        return self.serializer_class(
            *args,  # type: ignore[misc]  # every resource has one
            context=self.get_serializer_context() | kwargs.pop("context", {}),
            **kwargs,
        )

    @idempotency.once
    def create(self, request: Request) -> Response:
        parameters.read(request.GET, ("format",))
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        row = self._saved(self.model(**body.validated_data), None)
        self._refuse_of_merged(row)
        whom = reads.patients_of([row])
        audit.note(self.user, "create", self.table, row.pk, patient_ids=whom, fields=sorted(body.initial_data))
        answer = self.find(row.pk)
        location = request.build_absolute_uri(f"{request.path.rstrip('/')}/{row.pk}")
        return Response(answer, 201, headers={"ETag": etag_of(answer), "Location": location})

    def update(self, request: Request, pk: str, is_partial: bool = False) -> Response:
        parameters.read(request.GET, ("format",))
        with transaction.atomic():
            row, stored = self._locked(pk, access.UPDATE)
            body = self.get_serializer(data=request.data, partial=is_partial, context={"stored": stored, "row": row})
            body.is_valid(raise_exception=True)
            changed = [name for name, value in body.validated_data.items() if getattr(row, name) != value]
            for name in changed:
                setattr(row, name, body.validated_data[name])
            if changed:
                whom = reads.patients_of([row])
                with audit.acting(self.user, "update", self.table, row.pk, patient_ids=whom, fields=changed):
                    self._saved(row, changed)
            return self.answer(row.pk)

    def partial_update(self, request: Request, pk: str) -> Response:
        return self.update(request, pk, is_partial=True)

    def destroy(self, request: Request, pk: str) -> Response:
        parameters.read(request.GET, ("format",))
        with transaction.atomic():
            row, _ = self._locked(pk, access.DELETE)
            if not actions.mark_deleted(self.model.objects.filter(pk=row.pk), by=self.user):
                raise Protected
        return Response(status=204)

    def _locked(self, pk: str, action: str) -> tuple[Any, Row]:
        """The row, kept from other writers, and as it is answered; where the caller may do this."""
        number = id_of(pk)
        rows = self.model.objects.present().inside(self.user.access.scope(action, self.resource))
        row = rows.select_for_update(of=("self",)).filter(pk=number).first()
        if row is None:
            raise NotFound
        stored = self.find(number)
        expected = tags_in(self.request, "HTTP_IF_MATCH")
        if expected and "*" not in expected and etag_of(stored) not in expected:
            raise StalePrecondition
        return row, stored

    def _refuse_of_merged(self, row: Any) -> None:
        """The foreign key has waited for whoever was merging its patient or facility at this very moment."""
        for name in ("patient", "facility"):
            parent = self.model._meta.get_field(name).related_model if hasattr(row, f"{name}_id") else None
            if parent and parent.objects.filter(pk=getattr(row, f"{name}_id"), merged_into__isnull=False).exists():
                raise NotPossible(f"The {name} has just been merged into another one; send it again.")

    def _saved(self, row: Any, changed: list[str] | None) -> Model:
        try:
            with transaction.atomic():
                row.save(update_fields=changed, force_insert=changed is None)
        except IntegrityError as error:
            if getattr(error.__cause__, "diag", None) and error.__cause__.diag.constraint_name in self.identities:  # type: ignore[union-attr]  # psycopg2's
                raise Duplicate from None
            raise
        return cast(Model, row)
