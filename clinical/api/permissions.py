"""The API's one permission: what a view is about (`resource`) and what it does, looked up in clinical/access.py."""

from typing import TYPE_CHECKING, Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from clinical import access

if TYPE_CHECKING:  # it reads the settings that name this module
    from rest_framework.views import APIView

ACTIONS = {
    "list": access.READ,
    "retrieve": access.READ,
    "search": access.READ,
    "create": access.CREATE,
    "update": access.UPDATE,
    "partial_update": access.UPDATE,
    "destroy": access.DELETE,
}


def action_of(view: Any) -> str:
    """What the user must be allowed to do; for an action that is not in the table the view's own `needs` says it."""
    name = view.action or "list"
    if name == "metadata":  # an OPTIONS request, which is refused for its method
        return access.READ
    return str(ACTIONS[name] if name in ACTIONS else view.needs[name])


class Allowed(BasePermission):
    """A view without a `resource` lets nobody in."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        resource = getattr(view, "resource", None)
        user = request.user
        return bool(resource and user and user.is_authenticated and user.access.may(action_of(view), resource))
