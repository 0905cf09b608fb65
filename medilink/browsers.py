"""Middleware for browsers that costs programs nothing: a bearer's request of the API has no session and no messages.

Somebody who has given a password, but still owes a second factor or a password of their own, is nobody yet: only the
pages of medilink/account.py know who it will be.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from django.contrib import auth
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject, cached_property

from clinical import factors, row_security, sessions
from clinical.models import Login, User

LOGIN = "login"  # in the session: the id of its log-in


@dataclass
class Visitor:
    """Who has given the right password, and what is still to be shown before they are let in."""

    user: User
    login: Login

    @cached_property
    def owes_factor(self) -> bool:
        return factors.is_owed(self.login)

    @property
    def is_let_in(self) -> bool:
        return not (self.owes_factor or self.user.must_change_password)


def visitor(request: HttpRequest) -> Visitor | None:
    """Of this browser; a session whose log-in is over is thrown away. Looked up once for each request."""
    if not hasattr(request, "visitor"):
        request.visitor = _visitor(request)  # type: ignore[attr-defined]  # for all who ask while it is answered
    return cast(Visitor | None, request.visitor)  # type: ignore[attr-defined]


def _visitor(request: HttpRequest) -> Visitor | None:
    """In one query, as Django itself asks for the user; a new password has ended the log-in, so no hash is compared."""
    if auth.SESSION_KEY not in request.session:
        return None
    login = sessions.browser(request.session.get(LOGIN, 0), int(request.session[auth.SESSION_KEY]))
    if login is None:
        request.session.flush()
        return None
    return Visitor(login.user, login)


@receiver(user_logged_in)
def begin(request: HttpRequest, user: User, **_: Any) -> None:
    """The log-in of a session that has just begun, or goes on after all of the user's were ended."""
    login = sessions.begin(user, Login.Kind.BROWSER, is_verified=False)
    request.session[LOGIN] = login.pk
    request.visitor = Visitor(user, login)  # type: ignore[attr-defined]


@receiver(user_logged_out)
def _end(request: HttpRequest, **_: Any) -> None:
    sessions.end(Login.objects.filter(pk=request.session.get(LOGIN, 0)))


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
            return
        request.user = SimpleLazyObject(partial(_user, request))  # type: ignore[assignment]  # as Django does it


def _user(request: HttpRequest) -> User | AnonymousUser:
    found = visitor(request)
    if found is None or not found.is_let_in:
        return AnonymousUser()
    row_security.stand_for(found.user.pk)
    return found.user


class Messages(MessageMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if _is_program(request) else super().__call__(request)
