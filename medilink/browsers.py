"""Middleware for browsers that costs programs nothing: a bearer's request of the API has no session and no messages."""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest


def _is_program(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/") and request.META.get("HTTP_AUTHORIZATION", "")[:7].lower() == "bearer "


class Sessions(SessionMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if _is_program(request) else super().__call__(request)


class Users(AuthenticationMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        if _is_program(request):
            request.user = AnonymousUser()  # until medilink/api/authentication.py has looked at the token
        else:
            super().process_request(request)


class Messages(MessageMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if _is_program(request) else super().__call__(request)
