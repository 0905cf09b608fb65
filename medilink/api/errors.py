"""Every refusal in one shape: `{"type", "errors": [{"code", "detail", "attr"}]}` with an X-Request-ID.

What is not foreseen becomes a plain 500 whose log line names the class of the error and the request, never its text:
that may hold a patient's data.
"""

import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_standardized_errors.handler import ExceptionHandler
from psycopg2.errors import UniqueViolation
from rest_framework.exceptions import APIException, ParseError
from rest_framework.response import Response
from rest_framework.views import set_rollback

from clinical.api.refusals import Conflict, Duplicate, Protected, TooLarge, Unavailable
from clinical.fhir import refusals
from medilink.logs import of_error
from medilink.requests import request_id

logger = logging.getLogger(__name__)


class Refusals(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        exc = super().convert_known_exceptions(exc)
        if isinstance(exc, OperationalError | InterfaceError) or type(exc) is DatabaseError:
            return Unavailable()  # away, too slow, or locked for too long
        if isinstance(exc, ProtectedError):
            return Protected()
        if isinstance(exc, IntegrityError):
            return Duplicate() if isinstance(exc.__cause__, UniqueViolation) else Conflict()
        if isinstance(exc, RequestDataTooBig):
            return TooLarge()
        if isinstance(exc, SuspiciousOperation | DataError | UnicodeError):
            return ParseError()
        return exc

    def should_not_handle(self, exc: Exception) -> bool:
        return False

    def convert_unhandled_exceptions(self, exc: Exception) -> APIException:
        return exc if isinstance(exc, APIException) else APIException(_in_words())

    def report_exception(self, exc: APIException, response: Response) -> None:
        if response.status_code >= 500 and not isinstance(exc, Unavailable):
            places = ", ".join(of_error(self.exc)["at"])
            logger.error("%s in request %s, at %s", type(self.exc).__name__, request_id(), places)


def refuse(exc: Exception, context: Any) -> Response | None:
    """settings.REST_FRAMEWORK's EXCEPTION_HANDLER."""
    set_rollback()
    return Refusals(exc, context).run()


def _answer(request: HttpRequest, status: int, code: str, detail: str) -> JsonResponse:
    if request.path.startswith("/fhir"):
        outcome = refusals.outcome(refusals.issue(status, code, detail))
        return JsonResponse(outcome, status=status, content_type=refusals.MEDIA_TYPE)
    kind = "server_error" if status >= 500 else "client_error"
    return JsonResponse({"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}, status=status)


def _is_for_people(request: HttpRequest) -> bool:
    return "text/html" in request.META.get("HTTP_ACCEPT", "") and not request.path.startswith(("/api/", "/fhir"))


def refused(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    """Of a middleware: in words for people, in the one shape for programs."""
    return (
        HttpResponse(f"<h1>{detail}</h1>", status=status)
        if _is_for_people(request)
        else _answer(request, status, code, detail)
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return _answer(request, 413, "too_large", "The body is larger than 1 MiB.")
    return _answer(request, 400, "bad_request", "The request cannot be understood.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_people(request):
        return HttpResponse("<h1>There is no such page.</h1>", status=404)
    return _answer(request, 404, "not_found", "Not found.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, "permission_denied", "You do not have permission to perform this action.")


def unavailable(request: HttpRequest) -> HttpResponse:
    if _is_for_people(request):
        return HttpResponse("<h1>Not available now; try again shortly.</h1>", status=503)
    return _answer(request, 503, "unavailable", "Not available now; try again shortly.")


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_for_people(request):
        return HttpResponse(f"<h1>Something went wrong</h1><p>{_in_words()}</p>", status=500)
    return _answer(request, 500, "error", _in_words())


def _in_words() -> str:
    return f"Something went wrong on our side; whoever runs the site finds it by this number: {request_id()}."
