"""Conditions that only deliveries have."""

from typing import Any

from django.db.models import BooleanField, F, Func, Value

REASON = {"type": "string", "description": "CODE, or CODE:column."}


def as_written(_name: str, text: str) -> str:
    return text


class HasReason(Func):
    """Refused for `CODE:column`, or for a bare CODE whatever the column."""

    template = (
        "EXISTS (SELECT FROM unnest(%(reasons)s) AS reason WHERE %(reason)s IN (reason, split_part(reason, ':', 1)))"
    )
    output_field = BooleanField()
    conditional = True

    def __init__(self, reason: Any) -> None:
        super().__init__(F("reasons"), reason if hasattr(reason, "resolve_expression") else Value(reason))

    def as_sql(  # type: ignore[override]  # its template has two places
        self, compiler: Any, connection: Any, **_: Any
    ) -> tuple[str, Any]:
        """The column with its table: a batch, which a row's scope may join, has reasons too."""
        parts = [compiler.compile(part) for part in self.get_source_expressions()]
        sql = self.template % {"reasons": parts[0][0], "reason": parts[1][0]}
        return sql, [*parts[0][1], *parts[1][1]]
