"""What is limited before a view is asked: the size of bodies, how often people at the desk and unknown callers come.

What the API's users may ask is counted by medilink/api/throttling.py, with the same counters.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.exceptions import Throttled

from ingestion.corrections import returned
from ingestion.fhir import bundles
from medilink.api.errors import refused
from medilink.api.throttling import asked_too_often

MOST_BYTES = 1024 * 1024
UPLOADS = {
    "/admin/ingestion/rejectedrow/corrections/upload": returned.MOST_BYTES + MOST_BYTES,
    **dict.fromkeys(("/fhir", "/fhir/"), bundles.MOST_BYTES),
}
PROBES = ("/health", "/livez", "/readyz")


class Limits:
    """Middleware; behind the one that knows the user. A body is read no further than its announced length."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > UPLOADS.get(request.path_info, MOST_BYTES):
            return refused(request, 413, "too_large", "The body is larger than 1 MiB.")
        wait = self._wait(request)
        if wait:
            return too_many(request, wait)
        response = self.get_response(request)
        if response.status_code == 401 and request.META.get("HTTP_AUTHORIZATION"):
            wait = asked_too_often(None)
            if wait:
                return too_many(request, wait)
        return response

    def _wait(self, request: HttpRequest) -> float:
        if request.path_info.startswith(PROBES) or request.META.get("HTTP_AUTHORIZATION"):
            return 0
        if not request.user.is_authenticated:
            return asked_too_often(None)
        return 0 if request.path_info.startswith(("/api/", "/fhir")) else asked_too_often(request.user.pk)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """What the desk may not show any more of; the API answers for itself."""
        return too_many(request, getattr(exception, "wait", 0)) if isinstance(exception, Throttled) else None


def too_many(request: HttpRequest, wait: float) -> HttpResponse:
    answer = refused(request, 429, "throttled", f"Too many requests; ask again in {wait:.0f} seconds.")
    answer["Retry-After"] = str(max(1, round(wait)))
    return answer
