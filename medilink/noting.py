"""What is read and who is refused is noted before the answer leaves; an answer that cannot be noted does not leave.

One place for the site and the API: wherever rows become an answer, clinical/audit/reads.py is told, and here it is
written down. Pages of the desk are looked at here: what a list or a page of a row shows stands in its context.
"""

import json
import logging
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse

from clinical import requests
from clinical.audit import reads
from clinical.audit.reads import Outcome, Read
from clinical.models import AuditEvent
from clinical.requests import client_address
from medilink.api.errors import unavailable

logger = logging.getLogger(__name__)
PURPOSES = {*AuditEvent.Purpose.values}
DENIED = {401, 403, 404, 429}
FAILED = {409, 412, 422}
# What Django calls a page of one row, and what is done there.
OF_A_ROW = ("change", "history", "delete")


class Noted:
    """Middleware, outside of all that may refuse."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        purpose = request.META.get("HTTP_X_PURPOSE", "")
        asked = requests.Asked(
            address=client_address.get(),
            purpose=purpose if purpose in PURPOSES else "",
            caller=lambda: _caller(request),
        )
        token = requests.asked.set(asked)
        try:
            response = self.get_response(request)
            return _settled(request, response, asked) if request.resolver_match else response
        finally:
            requests.asked.reset(token)

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        """Deeds, too, say by which address they were done."""
        asked = requests.asked.get()
        if asked and request.resolver_match:
            asked.route = request.resolver_match.view_name


def _caller(request: HttpRequest) -> Any:
    user = getattr(request, "user", None)
    return user if user is not None and user.is_authenticated else None


def _settled(request: HttpRequest, response: HttpResponseBase, asked: requests.Asked) -> HttpResponseBase:
    status = response.status_code
    if status >= 400:
        outcome = Outcome.DENIED if status in DENIED else Outcome.FAILED if status in FAILED or status >= 500 else None
        if outcome and not asked.is_noted and (tried := _tried(request)):
            reads.refused(asked, tried, outcome, status)
        return response
    if asked.has_deed or asked.is_noted:
        return response
    read = asked.read or _page(request, response)
    if read is None:
        if status == 302 and (tried := _turned_away(request, response)):
            reads.refused(asked, tried, Outcome.DENIED, status)
        return response
    try:
        reads.write(asked, read)
    except DatabaseError as error:
        logger.error("An answer is held back, since it cannot be noted: %s", type(error).__name__)
        response.close()
        return unavailable(request)
    return response


# --- What was tried


def _tried(request: HttpRequest) -> Read | None:
    """What a refused request was about; nothing where the address is about nobody."""
    match: Any = request.resolver_match
    view = getattr(match.func, "cls", None)
    if view is not None:
        action = getattr(match.func, "actions", {}).get(str(request.method).lower()) or str(request.method).lower()
        model = getattr(view, "model", None)
        table = model._meta.db_table if model else getattr(view, "resource", "") or match.url_name or view.__name__
        return Read(table[:40], {"retrieve": "read"}.get(action, action), _number(match.kwargs.get("pk")))
    return _of_desk(request) if "admin" in match.app_names else None


def _of_desk(request: HttpRequest) -> Read | None:
    """`clinical_patient_change`: a model's page."""
    match: Any = request.resolver_match
    app, _, rest = (match.url_name or "").partition("_")
    name, _, page = rest.partition("_")
    try:
        table = apps.get_model(app, name)._meta.db_table
    except (LookupError, ValueError):
        table = match.url_name or ""
    return Read(table[:40], "list" if page == "changelist" else "read", _number(match.kwargs.get("object_id")))


def _number(text: Any) -> int | None:
    return (
        int(text) if isinstance(text, int) or (isinstance(text, str) and text.isdecimal() and len(text) < 19) else None
    )


def _turned_away(request: HttpRequest, response: HttpResponseBase) -> Read | None:
    """From a page of the desk: to the log-in, or, where there is no such row for this steward, to the first page."""
    match: Any = request.resolver_match
    if request.method != "GET" or "admin" not in match.app_names or match.url_name in ("login", "logout", "index"):
        return None
    where = response.headers.get("Location", "").partition("?")[0]
    is_row = (match.url_name or "").endswith(OF_A_ROW)
    return (
        _of_desk(request) if where == reverse("admin:login") or (is_row and where == reverse("admin:index")) else None
    )


# --- What a page of the desk shows


def _page(request: HttpRequest, response: HttpResponseBase) -> Read | None:
    match: Any = request.resolver_match
    if match.view_name == "admin:autocomplete" and response.status_code == 200:
        return _offered(request, response)
    context = response.context_data if isinstance(response, TemplateResponse) else None
    if not context:
        return None
    if "cl" in context:
        listed = context["cl"]
        rows = [*listed.result_list]
        query = reads.query_of({name: request.GET[name] for name in request.GET})
        return Read(
            listed.opts.db_table,
            "list",
            patient_ids=reads.patients_of(rows),
            rows=len(rows),
            details=query | _keys(listed.opts.db_table, rows),
        )
    row = context.get("original") or context.get("object")
    if row is None or not hasattr(row, "_meta"):
        return None
    return Read(row._meta.db_table, "read", _number(row.pk), patient_ids=reads.patients_of([row]), rows=1)


def _keys(table: str, rows: list[Any]) -> dict[str, Any]:
    """Refused rows hold names and know no patient: they are noted themselves."""
    return {"ids": [row.pk for row in rows]} if table == "rejected_rows" else {}


def _offered(request: HttpRequest, response: Any) -> Read | None:
    """By a field in which one types the beginning of a name."""
    found = [_number(one["id"]) for one in json.loads(response.content)["results"]]
    app, name, column = (request.GET.get(part, "") for part in ("app_label", "model_name", "field_name"))
    try:
        model: Any = apps.get_model(app, name)._meta.get_field(column).remote_field.model
    except (LookupError, ValueError, AttributeError):
        return None
    whom = [pk for pk in found if pk is not None] if model._meta.db_table == "patients" else []
    return Read(model._meta.db_table, "search", patient_ids=whom, rows=len(found))
