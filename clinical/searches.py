"""What is typed into a search box stays out of addresses, and so out of histories, logs and what other sites are told.

It is posted, kept in the user's session, and named in the address by a random word that means nothing to anybody else.
"""

import secrets
from typing import Any

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.views import ChangeList

FIND = "find"
KEPT = "finds"  # in the session
MOST = 20  # the oldest goes


class FoundList(ChangeList):
    """A changelist whose search is looked up."""

    is_posted = True  # for admin/search_form.html

    def get_filters_params(self, params: Any = None) -> Any:
        return {name: value for name, value in super().get_filters_params(params).items() if name != FIND}

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> "QuerySet[Any]":
        self.query = request.session.get(KEPT, {}).get(request.GET.get(FIND), "")
        return super().get_queryset(request, exclude_parameters)


class Searched:
    """What an admin with a search box is mixed with."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FoundList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if SEARCH_VAR in request.POST and "action" not in request.POST:
            return HttpResponseRedirect(_address(request, _kept(request, request.POST[SEARCH_VAR].strip())))
        if SEARCH_VAR in request.GET:
            messages.warning(request, "A search does not stand in an address: type it into the box.")
            return HttpResponseRedirect(_address(request, ""))
        find = request.GET.get(FIND)
        if find and find not in request.session.get(KEPT, {}):
            messages.warning(request, "That search is over; type it again.")
            return HttpResponseRedirect(_address(request, ""))
        return super().changelist_view(request, extra_context)  # type: ignore[misc]  # of the admin


def _kept(request: HttpRequest, text: str) -> str:
    if not text:
        return ""
    name = secrets.token_urlsafe(9)
    known = [*request.session.get(KEPT, {}).items()]
    request.session[KEPT] = dict([*known[1 - MOST :], (name, text)])
    return name


def _address(request: HttpRequest, find: str) -> str:
    """The list as it is filtered, from its first page."""
    query = request.GET.copy()
    for name in (SEARCH_VAR, FIND, PAGE_VAR):
        query.pop(name, None)
    if find:
        query[FIND] = find
    return f"{request.path}?{query.urlencode()}" if query else request.path
