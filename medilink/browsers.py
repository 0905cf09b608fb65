"""Middleware for browsers that costs programs nothing: a bearer's request of the API has no session and no messages."""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware, get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from clinical import row_security


def _is_program(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/") and request.META.get("HTTP_AUTHORIZATION", "")[:7].lower() == "bearer "


class Sessions(SessionMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if _is_program(request) else super().__call__(request)


class Users(AuthenticationMiddleware):
    """Also for whom the request's statements stand: nobody, until it is known who asks."""

    def process_request(self, request: HttpRequest) -> None:
        row_security.stand_for(None)
        if _is_program(request):
            request.user = AnonymousUser()  # until medilink/api/authentication.py has looked at the token
        else:
            request.user = SimpleLazyObject(lambda: _user_of(request))  # type: ignore[assignment]  # as Django's own


def _user_of(request: HttpRequest) -> Any:
    user = get_user(request)
    row_security.stand_for(user.pk)
    return user


class Messages(MessageMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if _is_program(request) else super().__call__(request)
