"""What stewards have answered once for all about a source: how it delivers."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.postgres.functions import TransactionNow
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from clinical.changelists import Listed
from clinical.models import User
from ingestion.models import Source
from ingestion.models.answers import SourceQuerySet


class DecisionDesk(Listed, ModelAdmin):
    list_select_related: tuple[str, ...] = ("decided_by",)
    readonly_fields = ("decided_by", "decided_at")

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        obj.decided_by = request.user
        if change:  # rows that wait for a facility are tried again where an answer is newer than the last attempt
            obj.decided_at = TransactionNow()
        super().save_model(request, obj, form, change)


@admin.register(Source)
class SourceAdmin(DecisionDesk):
    list_display = ("source", "delivers", "decided_by", "decided_at")
    list_filter = ("delivers",)
    search_fields = ("source",)
    fields = ("source", "delivers", "decided_by", "decided_at")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Source]":
        rows = cast(SourceQuerySet, super().get_queryset(request))
        return rows.visible_to(cast(User, request.user))
