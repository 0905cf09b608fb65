"""In which form an answer goes out: JSON unless something else is asked for."""

from typing import Any

import orjson
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request

from clinical.api import exports, parameters


class JSON(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else exports.json_of(data)


class People(BrowsableAPIRenderer):
    """Pages to click through, with JSON that can be read."""

    def get_context(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Without what would bear inline styles: colours for code, and a menu of actions that take a POST alone."""
        return super().get_context(*args, **options) | {"code_style": "", "extra_actions": None}

    def get_content(self, renderer: Any, data: Any, accepted_media_type: Any, renderer_context: Any) -> str:
        return "" if data is None else exports.json_of(data, exports.OPTIONS | orjson.OPT_INDENT_2).decode()


class CSV(JSON):
    """Only lists have it, which stream it themselves; a refusal comes as JSON all the same."""

    media_type = "text/csv"
    format = "csv"


class NDJSON(JSON):
    media_type = "application/x-ndjson"
    format = "ndjson"


class Negotiation(DefaultContentNegotiation):
    """`format` names a form or is refused; without it the header `Accept` decides."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        wanted = request.GET.get("format")
        if wanted:
            for renderer in renderers:
                if renderer.format == wanted:
                    return renderer, renderer.media_type
            known = ", ".join(renderer.format for renderer in renderers)
            raise parameters.refused("format", "unknown_format", f"Must be one of {known}.")
        accepted = request.META.get("HTTP_ACCEPT", "*/*")
        if accepted in ("*/*", "application/json"):
            return renderers[0], renderers[0].media_type
        try:
            return super().select_renderer(request, renderers, None)
        except NotAcceptable as error:
            error.available_renderers = None
            raise


class OneForm(BaseContentNegotiation):
    """What has one form gives it, whatever is accepted."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type
