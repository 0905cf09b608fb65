"""A patient's rights on the desk, for stewards of where the patient is: what manage.py patient does, on one page.

To erase takes two persons here as there; the second one's word is carried out by a worker, as the owner of the tables.
"""

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from analytics.tasks import refresh_marts
from clinical import access, audit, row_security, stories, subjects
from clinical.api.exports import EXCEL, as_csv
from clinical.audit import reads
from clinical.merging import NotPossible
from clinical.models import Erasure, Patient, User, Why
from ingestion import dossier
from medilink import tasks


class WhyForm(forms.Form):
    why = forms.ChoiceField(label="Why", choices=Why.choices, widget=UnfoldAdminSelectWidget())


class EraseForm(WhyForm):
    """Who erases has to have looked at whom."""

    def __init__(self, patient: Patient, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.patient = patient

    sure = forms.IntegerField(label="The patient's id, to be sure", min_value=1, widget=UnfoldAdminIntegerFieldWidget())

    def clean_sure(self) -> int:
        if self.cleaned_data["sure"] != self.patient.pk:
            raise forms.ValidationError("This is not the id of this patient.")
        return self.patient.pk


class ConfirmForm(EraseForm):
    why = None  # type: ignore[assignment]  # who has asked has said it


def rights(request: HttpRequest, object_id: int) -> HttpResponse:
    by = cast(User, request.user)
    patient = Patient.objects.visible_to(by, access.DELETE).select_related("facility").filter(pk=object_id).first()
    if patient is None:
        raise Http404
    asked = Erasure.objects.select_related("asked_by", "confirmed_by").filter(patient=patient).first()
    said = request.POST if request.method == "POST" else None
    deed = said.get("deed", "") if said else ""
    context = {
        "title": "The patient's rights",
        "patient": patient,
        "asked": asked,
        "is_asker": asked is not None and asked.asked_by_id == by.pk,
        "who_saw": _who_saw(request, patient),
        "restrict_form": WhyForm(said if deed in ("restrict", "unrestrict") else None),
        "erase_form": EraseForm(patient, said if deed == "erase" else None),
        "confirm_form": ConfirmForm(patient, said if deed == "confirm" else None),
    }
    answer = DEEDS[deed](request, by, patient, context) if deed in DEEDS else None
    if answer:
        return answer
    reads.seen("patients", "read", object_id=patient.pk, patient_ids=[patient.pk], rows=1)
    return render(request, "medilink/patient_rights.html", admin.site.each_context(request) | context)


def _who_saw(request: HttpRequest, patient: Patient) -> str:
    may_ask = request.user.has_perm("clinical.view_auditevent")
    return f"{reverse('admin:clinical_auditevent_who_saw')}?patient={patient.pk}" if may_ask else ""


# --- What is done; None shows the page again, with what is wrong in its form

Context = dict[str, Any]


def _restrict(request: HttpRequest, by: User, patient: Patient, context: Context) -> HttpResponse | None:
    form, lift = context["restrict_form"], request.POST["deed"] == "unrestrict"
    if not form.is_valid():
        return None
    deed, done = (
        (subjects.unrestrict, "The restriction is lifted.")
        if lift
        else (subjects.restrict, "Restricted: only stewards see the patient, on the desk.")
    )
    return _done(request, patient, done, lambda: deed(patient.pk, why=form.cleaned_data["why"], by=by), refresh_marts)


def _ask(request: HttpRequest, by: User, patient: Patient, context: Context) -> HttpResponse | None:
    form = context["erase_form"]
    if not form.is_valid():
        return None
    said = "Asked for. Nothing is erased before another steward confirms it here."
    return _done(request, patient, said, lambda: subjects.ask_to_erase(patient.pk, why=form.cleaned_data["why"], by=by))


def _confirm(request: HttpRequest, by: User, patient: Patient, context: Context) -> HttpResponse | None:
    if context["asked"] is None or not context["confirm_form"].is_valid():
        return None
    said = "Confirmed; a worker erases the patient now, and the night's purge where none is at work."
    return _done(
        request, patient, said, lambda: subjects.confirm_erasure(context["asked"], by=by), tasks.erase_confirmed
    )


def _withdraw(request: HttpRequest, by: User, patient: Patient, context: Context) -> HttpResponse | None:
    asked = context["asked"]
    if asked is None:
        return None
    return _done(request, patient, "Withdrawn.", lambda: subjects.withdraw_erasure(asked, by=by))


def _done(request: HttpRequest, patient: Patient, said: str, do: Callable[[], Any], then: Any = None) -> HttpResponse:
    try:
        do()
    except NotPossible as error:
        messages.error(request, str(error))
    else:
        messages.success(request, said)
        if then:
            _queue(then)
    return HttpResponseRedirect(reverse("patient_rights", args=[patient.pk]))


def _queue(task: Any) -> None:
    """A broker that is away is no reason to fail: the night does it."""

    def send() -> None:
        with suppress(task.OperationalError):
            task.delay()

    transaction.on_commit(send)


def _export(request: HttpRequest, by: User, patient: Patient, context: Context) -> HttpResponse:
    """Everything about the person, wherever it is held; who saw them only for who may read the audit."""
    with row_security.lifted(), transaction.atomic(), audit.unhurried():
        told = dossier.export(patient.pk, by=by)
    if not context["who_saw"]:
        told["seen_by"] = None
        told["keys"] = told["keys"] | {"seen_by": "For auditors: manage.py patient accesses."}
    plain = json.loads(json.dumps(told, cls=DjangoJSONEncoder))
    name = f"patient-{patient.pk}"
    if request.POST["deed"] == "export":
        text = json.dumps(plain, ensure_ascii=False, indent=1)
        return _file(text.encode(), "application/json", f"{name}.json")
    return _file(_zipped(plain), "application/zip", f"{name}.zip")


def _file(content: bytes, kind: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return HttpResponse(content, content_type=kind, headers=headers)


def _zipped(told: dict[str, Any]) -> bytes:
    """The document, a spreadsheet for each of its lists, and a page to read."""
    packed = io.BytesIO()
    tables = [(name, told["keys"].get(name, ""), rows) for name, rows in told.items() if isinstance(rows, list)]
    shown = [(name, about, _columns(rows), _cells(rows)) for name, about, rows in tables]
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("patient.json", json.dumps(told, ensure_ascii=False, indent=1))
        for name, _, columns, rows in shown:
            file.writestr(f"{name}.csv", EXCEL + as_csv(columns, rows))
        file.writestr("index.html", render_to_string("medilink/patient_dossier.html", {"told": told, "tables": shown}))
    return packed.getvalue()


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return [*dict.fromkeys(name for row in rows for name in row)]


def _cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    return [[_text(row.get(name)) for name in _columns(rows)] for row in rows]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


DEEDS = {
    "restrict": _restrict,
    "unrestrict": _restrict,
    "erase": _ask,
    "confirm": _confirm,
    "withdraw": _withdraw,
    "export": _export,
    "export-zip": _export,
}


def tell_rights(request: HttpRequest, row: Any) -> SafeString:
    """On the patient's page: the way here, for whoever may go it."""
    user = cast(User, request.user)
    if not isinstance(row, Patient) or not Patient.objects.visible_to(user, access.DELETE).filter(pk=row.pk).exists():
        return SafeString("")
    return render_to_string("medilink/rights_card.html", {"patient": row}, request)


stories.TELLERS.append(tell_rights)
