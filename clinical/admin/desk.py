"""What the pages on clinical tables have in common: the steward's scope, the mark of a deletion."""

from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from clinical import access, actions, audit
from clinical.audit import reads
from clinical.changelists import Listed, at_facilities
from clinical.models import Facility, User
from clinical.stories import Storied

ORIGIN = ("id", "origin", "created_at", "updated_at", "deleted_at", "deleted_by")


class DeletedFilter(DropdownFilter):
    title = "deletion mark"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Not deleted"), ("yes", "Marked as deleted")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(deleted_at__isnull=self.value() == "no") if self.value() else queryset


class RestrictedFilter(DropdownFilter):
    title = "restriction"
    parameter_name = "restricted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Restricted: only stewards see it"), ("no", "Not restricted")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(restricted_at__isnull=self.value() == "no") if self.value() else queryset


class Desk(Listed, Storied):
    """A clinical table: the newest first, never emptied."""

    change_form_outer_after_template = "clinical/story.html"

    ordering = ("-id",)
    actions: tuple[str, ...] = ("mark_deleted", "restore")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """What is out of the steward's scope is not there."""
        rows = super().get_queryset(request)
        action = access.UPDATE if request.method == "POST" else access.READ
        user = cast(User, request.user)
        rows, scope = rows.unrestricted_for(user), user.access.scope(action, self.model.RESOURCE)
        if scope.is_national or self.model is Facility:
            return rows.inside(scope)
        return at_facilities(rows, Facility.objects.inside(scope))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Nobody can be moved to where the steward may not look."""
        if db_field.related_model is Facility:
            kwargs["queryset"] = Facility.objects.present().visible_to(cast(User, request.user))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        by, table = cast(User, request.user), self.opts.db_table
        if not change:
            super().save_model(request, obj, form, change)
            audit.note(by, "create", table, obj.pk, patient_ids=reads.patients_of([obj]), fields=form.changed_data)
            return
        whom = reads.patients_of([obj])
        with audit.acting(by, "update", table, obj.pk, patient_ids=whom, fields=form.changed_data):
            super().save_model(request, obj, form, change)

    @admin.display(description="first delivered")
    def origin(self, row: Any) -> str:
        return f"Batch {row.batch_id}, line {row.line}" if row.batch_id else "by a person"

    @display(description="deleted", label={"deleted": "danger", "erased": "danger", "restricted": "warning"})
    def is_deleted(self, row: Any) -> str:
        if getattr(row, "erased_at", None):
            return "erased"
        return "deleted" if row.deleted_at else "restricted" if getattr(row, "restricted_at", None) else ""

    @admin.action(description="Mark as deleted", permissions=["change"])
    def mark_deleted(self, request: HttpRequest, rows: "QuerySet[Any]") -> None:
        chosen = rows.filter(deleted_at=None).count()
        marked = actions.mark_deleted(rows, by=cast(User, request.user))
        self.message_user(request, f"{marked} marked as deleted; the files cannot bring them back.")
        if marked < chosen:
            others = (
                f"{chosen - marked} are still referred to: delete or move their patients, records and visits first."
            )
            self.message_user(request, others, messages.WARNING)

    @admin.action(description="Take the deletion mark away", permissions=["change"])
    def restore(self, request: HttpRequest, rows: "QuerySet[Any]") -> None:
        chosen = rows.filter(deleted_at__isnull=False).count()
        restored = actions.restore(rows, by=cast(User, request.user))
        self.message_user(request, f"{restored} restored.")
        if restored < chosen:
            others = f"{chosen - restored} belong to a deleted patient or facility: restore that one first."
            self.message_user(request, others, messages.WARNING)
