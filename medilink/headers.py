"""What every answer tells a browser: run and load nothing but ours, show us in no frame, keep no copy."""

import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.utils.functional import SimpleLazyObject

# Inline scripts and styles are run nowhere; the desk's colours, which are made of the settings, bear the nonce.
# Images are also such as style sheets and Swagger hold in themselves.
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'{nonce}; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
NOT_ASKED_FOR = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"


def guarded(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware; what a view or a static file has said of its caching stands."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        used: list[str] = []

        def nonce() -> str:
            used.append(secrets.token_urlsafe(16))
            return used[0]

        request.csp_nonce = SimpleLazyObject(nonce)  # type: ignore[attr-defined]  # for templates
        response = get_response(request)
        headers = response.headers
        if headers.get("Content-Type", "").startswith("text/html"):
            headers["Content-Security-Policy"] = PAGE.format(nonce=f" 'nonce-{used[0]}'" if used else "")
        else:
            headers["Content-Security-Policy"] = NO_PAGE
        headers["Permissions-Policy"] = NOT_ASKED_FOR
        headers.setdefault("Cache-Control", "no-store")
        return response

    return answer
