"""Conditions that only deliveries have."""

from typing import Any

from django.db.models import BooleanField, Func, Value

REASON = {"type": "string", "description": "CODE, or CODE:column."}


def as_written(_name: str, text: str) -> str:
    return text


class HasReason(Func):
    """Refused for `CODE:column`, or for a bare CODE whatever the column."""

    template = (
        "EXISTS (SELECT FROM unnest(reasons) AS reason WHERE %(expressions)s IN (reason, split_part(reason, ':', 1)))"
    )
    output_field = BooleanField()
    conditional = True

    def __init__(self, reason: Any) -> None:
        super().__init__(reason if hasattr(reason, "resolve_expression") else Value(reason))
