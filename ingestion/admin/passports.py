"""Where a row comes from, on its page; and what became of a line, on the page of its batch."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from clinical import access, stories
from clinical.audit import reads
from ingestion import fates, passport
from ingestion.admin.desk import link, person
from ingestion.datasets import Dataset
from ingestion.fates import Fate, LineFate
from ingestion.reverting import MODELS

LARGEST_LINE = 2**31 - 1
COLOURS = {Fate.INSERTED: "success", Fate.UPDATED: "success", Fate.UNCHANGED: "info", Fate.REFUSED: "danger"}


def tell_origin(request: HttpRequest, row: Any) -> SafeString:
    """The passport of a clinical row, for stewards; nothing for others."""
    table = row._meta.db_table
    may_see = table in Dataset.values and person(request).access.may(access.READ, "passports")
    found = passport.of_row(table, row.pk) if may_see else None
    if found is None:
        return SafeString("")
    reads.seen(table, "passport", object_id=row.pk, patient_ids=reads.patients_of([row]), rows=1)
    return render_to_string("ingestion/passport.html", {"passport": found, "row": row}, request)


stories.TELLERS.append(tell_origin)


class LineForm(forms.Form):
    line = forms.IntegerField(min_value=1, max_value=LARGEST_LINE)


class Asked(ModelAdmin):
    """A desk that answers what became of a line."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.line_view)
        return [path("<path:object_id>/line/", view, name="ingestion_ingestbatch_line"), *super().get_urls()]

    def line_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user = person(request)
        scope = user.access.scope(access.READ, "passports")
        batch = self.get_object(request, object_id)
        form = LineForm(request.GET)
        if batch is None or scope.is_empty:
            raise Http404
        if not form.is_valid():
            return HttpResponse("Give the number of a line; the header is line 1.")
        told = fates.of_line(batch, form.cleaned_data["line"])
        is_seen = passport.may_see(told, scope)
        if is_seen:
            passport.note_line(told)
        context = {"told": told, "row": _row(told), "colour": COLOURS.get(told.fate, "warning"), "is_seen": is_seen}
        return HttpResponse(render_to_string("ingestion/line.html", context, request))


def _row(told: LineFate) -> SafeString:
    """A link to what it became, changed or met."""
    if told.row_id is None:
        return SafeString("")
    model = MODELS[told.batch.kind_of_rows]
    return link(f"clinical_{model._meta.model_name}", told.row_id, f"{model._meta.verbose_name} {told.row_id}")
