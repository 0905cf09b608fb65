from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from medilink.api import PagePagination, StaffOnly


def page(query):
    request = Request(APIRequestFactory().get("/", query))
    return PagePagination().paginate_queryset(range(120), request)


def test_a_page_has_fifty_rows_when_nothing_is_said():
    assert page({}) == list(range(50))


def test_a_page_has_as_many_rows_as_asked_for():
    assert page({"page": "2", "per_page": "7"}) == list(range(7, 14))
    assert page({"per_page": "1000"}) == list(range(120))


@pytest.mark.parametrize("per_page", ["0", "1001", "-1", "many", "1.5", "\u0665", "1" * 5000])
def test_a_page_size_out_of_range_is_refused(per_page):
    with pytest.raises(ValidationError):
        page({"per_page": per_page})


def test_a_page_beyond_the_last_is_not_found():
    with pytest.raises(NotFound):
        page({"page": "4"})


@pytest.mark.parametrize(
    ("user", "may"),
    [
        (AnonymousUser(), False),
        (get_user_model()(is_staff=False), False),
        (get_user_model()(is_staff=True), True),
        (get_user_model()(is_staff=True, is_active=False), False),
    ],
)
def test_only_staff_may_ask(user, may):
    assert StaffOnly().has_permission(SimpleNamespace(user=user), None) is may
