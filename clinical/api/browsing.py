"""Pages of the API that people open in a browser, where programs may ask too."""

from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.views import APIView


def is_browser(request: HttpRequest | Request) -> bool:
    return "text/html" in request.META.get("HTTP_ACCEPT", "")


class Page(APIView):
    """Who is not logged in is sent to the log-in and comes back; a program gets its 401."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if is_browser(request) and not request.user.is_authenticated:
            return HttpResponseRedirect(f"{reverse('admin:login')}?next={quote(request.get_full_path())}")
        return super().dispatch(request, *args, **kwargs)
