"""What every list of the API has in common: who may ask, and how the answer is cut into pages."""

from typing import TYPE_CHECKING

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # it reads the settings that name this module
    from rest_framework.views import APIView


class StaffOnly(BasePermission):
    """People who may enter the stewards' desk."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return bool(request.user and request.user.is_active and request.user.is_staff)


class PagePagination(PageNumberPagination):
    """`page` from 1, `per_page` from 1 to 1000; anything else is refused rather than bent."""

    page_size = 50
    max_page_size = 1000
    page_size_query_param = "per_page"

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("per_page") or str(self.page_size)
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= self.max_page_size):
            raise ValidationError({"per_page": f"A whole number from 1 to {self.max_page_size}."})
        return int(text)
