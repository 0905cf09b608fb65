"""The refused rows' way out and back at the desk: a file of what the list shows, and one that comes back, corrected.

What an upload would do is shown before it is done; between the two the typed cells travel signed, in the page itself.
"""

import io
import zipfile
from typing import Any

from django import forms
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminFileFieldWidget

from clinical.api import exports
from clinical.audit import reads
from ingestion import outages, queue, reader, sources, stewards
from ingestion.admin.desk import Desk, Why, person
from ingestion.corrections import lists, returned
from ingestion.corrections.suggestions import cells_of
from ingestion.models import RejectedRow
from ingestion.objects import lagos_day
from ingestion.refusals import FileRefused

MOST_ROWS = 50_000  # in one download; the morning's files have no limit
MOST_EDITS = 5_000  # in one upload: they have to fit into a form
SHOWN = 50
SECONDS = 3_600  # from the preview to the decision
LIST = "admin:ingestion_rejectedrow_changelist"


class UploadForm(forms.Form):
    file = forms.FileField(
        label="Corrected file",
        widget=UnfoldAdminFileFieldWidget(),
        help_text="As it was downloaded or found in the bucket, with its tokens, saved as CSV (in Excel: CSV UTF-8).",
    )


class CorrectionFiles(Desk):
    """What the list of refused rows has for files."""

    list_before_template = "ingestion/correction_files.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("corrections/download", view(self.download), name="ingestion_corrections_download"),
            path("corrections/upload", view(self.upload), name="ingestion_corrections_upload"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        extra = {"may_decide": self.has_decide_permission(request)} | (extra_context or {})
        return super().changelist_view(request, extra)

    def download(self, request: HttpRequest) -> HttpResponse:
        """The open rows of the list as it is filtered: one file, or a ZIP of several."""
        self._check(request)
        rows = self.get_changelist_instance(request).get_queryset(request).filter(state=RejectedRow.State.OPEN)
        ids = [*rows.order_by().values_list("pk", flat=True)[: MOST_ROWS + 1]]
        if len(ids) > MOST_ROWS:
            self.tell(request, None, [f"More than {MOST_ROWS:,} rows: filter the list, or take the bucket's files."])
            return _back(request)
        with exports.only_one(person(request).pk):
            found = [*lists.files(RejectedRow.objects.filter(pk__in=ids), lagos_day(timezone.now()))]
        if not found:
            self.tell(request, None, ["There is no open row in this list."])
            return _back(request)
        reads.seen("rejected_rows", "export", rows=len(ids), ids=ids)
        return _attached(found)

    def upload(self, request: HttpRequest) -> HttpResponse:
        self._check(request)
        if "edits" in request.POST:
            return self._apply(request)
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                return self._page(request, form, self._preview(request, form.cleaned_data["file"]))
            except FileRefused as refused:
                why = Why(refused.reason)
                form.add_error("file", f"{why.reason}: {why.meaning} {why.action}")
        return self._page(request, form)

    def _check(self, request: HttpRequest) -> None:
        if not self.has_decide_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, form: UploadForm, more: dict[str, Any] | None = None) -> HttpResponse:
        context = self.admin_site.each_context(request) | {"title": "A corrected file", "opts": self.opts, "form": form}
        return TemplateResponse(request, "ingestion/correction_upload.html", context | (more or {}))

    def _preview(self, request: HttpRequest, file: UploadedFile) -> dict[str, Any]:
        """What the file would do in the steward's scope."""
        headers = sources.Headers(file.size, None)
        is_gzip = str(file.name).lower().endswith(".gz")
        with reader.fetch(file, headers, is_gzip=is_gzip, max_bytes=returned.MOST_BYTES) as fetched:
            compared = returned.compare(fetched, RejectedRow.objects.decidable_by(person(request)))
        edits = compared.edits
        shown = {row.pk: row for row in RejectedRow.objects.filter(pk__in=[*edits][:SHOWN])}
        reads.seen("rejected_rows", "read", rows=len(shown), ids=[*shown])
        changes = [
            {"row": row, "column": column, "now": cells_of(row).get(column, ""), "typed": typed}
            for pk, row in shown.items()
            for column, typed in edits[pk].items()
        ]
        return {
            "said": returned.sentences(compared.told()),
            "unknown_columns": compared.unknown_columns,
            "changes": changes,
            "more": len(edits) - len(shown),
            "too_many": MOST_EDITS if len(edits) > MOST_EDITS else 0,
            "edits": signing.dumps(edits, salt=_salt(request), compress=True) if 0 < len(edits) <= MOST_EDITS else "",
        }

    def _apply(self, request: HttpRequest) -> HttpResponse:
        try:
            edits = signing.loads(request.POST["edits"], salt=_salt(request), max_age=SECONDS)
        except signing.BadSignature:
            self.tell(request, None, ["The preview is too old: choose the file again."])
            return HttpResponseRedirect(reverse("admin:ingestion_corrections_upload"))
        typed = {int(pk): cells for pk, cells in edits.items()}
        visible = RejectedRow.objects.decidable_by(person(request)).filter(pk__in=typed).values_list("pk", flat=True)
        typed = {pk: typed[pk] for pk in visible}
        try:
            told, _replays = returned.apply(typed, by=person(request))
        except OperationalError as error:
            if outages.is_lost(error):
                raise
            ids = stewards.correct_each(typed, by=person(request))
            queue.send("replay_rows", ids, person(request).pk)
            self.tell(request, "A load is at work on the same facilities; the rows will be tried when it is done.")
            return _back(request)
        self.tell(request, f"{told['landed']} landed, {told['still_refused']} are still refused.")
        return _back(request)


def _salt(request: HttpRequest) -> str:
    """What one steward has seen, another one cannot send."""
    return f"ingestion.corrections.upload {person(request).pk}"


def _back(request: HttpRequest) -> HttpResponse:
    query = request.GET.urlencode()
    return HttpResponseRedirect(reverse(LIST) + (f"?{query}" if query else ""))


def _attached(found: list[lists.CorrectionFile]) -> HttpResponse:
    if len(found) == 1:
        name, kind, body = found[0].name, "text/csv; charset=utf-8", found[0].body
    else:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in found:
                archive.writestr(f"{file.folder}/{file.name}", file.body)
        name, kind, body = f"corrections-{lagos_day(timezone.now())}.zip", "application/zip", out.getvalue()
    return HttpResponse(body, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
