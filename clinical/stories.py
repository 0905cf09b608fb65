"""What the page of a row tells beside its columns: all that has happened to it, with a way back, and where it is from.

Where a row is from, other apps know: they add themselves to `TELLERS`.
"""

import re
from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from unfold.admin import ModelAdmin

from clinical import actions, history, row_security
from clinical.actions import NotPossible
from clinical.models import AuditEvent, User

# Each makes HTML of a row, for whoever may read it; asked for after the page, which must not wait for a file.
TELLERS: list[Callable[[HttpRequest, Any], SafeString]] = []

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*\+00:00$")  # as triggers write it

# Told by who did it, or nothing that a person reads.
BOOKKEEPING = {"delivered", "overridden", "deleted_by_id", "settled_by_id", "settled_at", "fingerprint_version"}


class Storied(ModelAdmin):
    """The desk of a table whose changes are recorded."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("<path:object_id>/origin/", view(self.origin_view), name=f"{name}_origin"),
            path("<path:object_id>/undo/<int:event_id>/", view(self.undo_view), name=f"{name}_undo"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        extra: dict[str, Any] = {}
        if row is not None:
            page = f"admin:{self.opts.app_label}_{self.opts.model_name}_origin"
            changes = history.of_row(self.opts.db_table, row.pk)
            extra = {
                "changes": [(change, _shown(change)) for change in changes],
                "may_undo": self._may_undo(request),
                "origin": reverse(page, args=[row.pk]) if TELLERS else "",
            }
        return super().change_view(request, object_id, form_url, extra | (extra_context or {}))

    def origin_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._row(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return HttpResponse("".join(tell(request, row) for tell in TELLERS))

    def undo_view(self, request: HttpRequest, object_id: str, event_id: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self._row(request, object_id)
        if not self._may_undo(request):
            raise PermissionDenied
        told = {"revisions__table": self.opts.db_table, "revisions__object_id": row.pk}
        with row_security.lifted():  # only auditors read the audit, but these lines are told on the row's page
            event = AuditEvent.objects.filter(pk=event_id, **told).first()
        if event is None:
            raise Http404
        try:
            self.check_undo(request, event)
            actions.undo_deed(event, by=cast(User, request.user))
        except NotPossible as error:
            self.message_user(request, str(error), messages.ERROR)
        except IntegrityError:
            self.message_user(request, "Another row has taken since what it would become again.", messages.ERROR)
        else:
            self.message_user(request, "Undone: every column is as it was before.", messages.SUCCESS)
        return HttpResponseRedirect(
            reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])
        )

    def check_undo(self, request: HttpRequest, event: AuditEvent) -> None:
        """Raises NotPossible where the deed was done to rows, too, of which this steward knows nothing."""
        with row_security.lifted():  # to know of them, as far as their number goes
            done_to = [*event.revisions.filter(table=self.opts.db_table).values_list("object_id", flat=True).distinct()]
        if self.get_queryset(request).filter(pk__in=done_to).count() < len(done_to):
            raise NotPossible("It was done to rows out of your scope, too; a steward of those has to undo it.")

    def _row(self, request: HttpRequest, object_id: str) -> Any:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        return row

    def _may_undo(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")


def _shown(change: history.Change) -> list[tuple[str, str, str]]:
    """(column, before, after) in words."""
    return [
        (column.name.removesuffix("_id").replace("_", " "), _said(column.was), _said(column.became))
        for column in change.columns
        if column.name not in BOOKKEEPING
    ]


def _said(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    at = parse_datetime(value) if isinstance(value, str) and INSTANT.match(value) else None
    return date_format(localtime(at), "DATETIME_FORMAT") if at else str(value)
