"""The OpenAPI description, made from the views themselves: how lists are cut, what may be refused, who may ask.

What drf-spectacular finds out by itself stays with it: bodies, filters, paths.
"""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema as Spectacular
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent
from drf_spectacular.utils import OpenApiParameter

from clinical.api import lists
from clinical.api.filters import MOMENT, NOTHING
from clinical.api.resource import Listing
from clinical.api.writing import Resource

Schema = dict[str, Any]

REFUSALS = {
    "400": "Not understood or not valid; each error names the field or parameter.",
    "401": "No credentials, or none that are valid.",
    "403": "Your role does not allow it.",
    "404": "There is none, or it is out of your scope.",
    "406": "No such form of answer.",
    "409": "The state of the data does not allow it: `duplicate`, `protected`, `in_progress`.",
    "412": "The object has changed since the ETag in If-Match.",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is not application/json.",
    "422": "The Idempotency-Key was used with another body.",
    "429": "Too many requests; wait for the seconds in Retry-After.",
    "503": "The database is away or the query took too long; try again.",
}
ALWAYS = {"400", "401", "403", "404", "406", "429", "503"}
WITH_BODY = ALWAYS | {"409", "413", "415"}
REFUSAL: Schema = {
    "type": "object",
    "required": ["type", "errors"],
    "properties": {
        "type": {"type": "string", "enum": ["validation_error", "client_error", "server_error"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "detail", "attr"],
                "properties": {
                    "code": {"type": "string", "example": "does_not_exist"},
                    "detail": {"type": "string", "example": "There is none with this id."},
                    "attr": {"type": "string", "nullable": True, "example": "facility_id"},
                },
            },
        },
    },
}
REQUEST_ID: Schema = {
    "description": "To be named when asking about this request.",
    "schema": {"type": "string", "maxLength": 36},
}


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "medilink.api.authentication.Bearer"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A JWT from /api/auth/token, or a program's token from `manage.py issue_token`.",
        }


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "medilink.api.authentication.BrowserSession"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "The browser's session."}


def _parameter(name: str, schema: Schema, description: str, location: Any = "query") -> OpenApiParameter:
    return OpenApiParameter(name, schema, location, description=description)


PER_PAGE = {"type": "integer", "minimum": 1, "maximum": lists.MOST_PER_PAGE, "default": lists.PER_PAGE}
PAGING = [
    _parameter("page", {"type": "integer", "minimum": 1}, "From 1; down to an offset of 100,000, then `cursor`."),
    _parameter("per_page", PER_PAGE, "Rows in a page."),
    _parameter("cursor", {"type": "string"}, "Empty at the start of a walk through all rows, then as `next` has it."),
]
SINCE = _parameter(
    "changed_since", MOMENT, "Rows written or deleted at or after it; ask again from `next_changed_since`."
)
KEY = _parameter(
    "Idempotency-Key",
    {"type": "string", "maxLength": 255, "pattern": "^[!-~]+$"},
    "The same request again within a day gets the first answer.",
    "header",
)
IF_MATCH = _parameter("If-Match", {"type": "string"}, "The ETag of what is to be changed.", "header")
IF_NONE_MATCH = _parameter("If-None-Match", {"type": "string"}, "The ETag of what is known already.", "header")


DOES = {
    "list": "Those in your scope, in pages.",
    "retrieve": "One of them.",
    "create": "Adds one; a file's row with the same identity will be the same one.",
    "update": "Replaces what may be changed; what is left out becomes empty.",
    "partial_update": "Changes what is named.",
    "destroy": "Marks it as deleted: it is absent from now on, and files cannot bring it back.",
}


class AutoSchema(Spectacular):
    """Adds what all of our views have in common."""

    def get_tags(self) -> list[str]:
        """The part of the address that says what it is about."""
        return [self.path.strip("/").split("/")[1]]

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular has it
        action = getattr(self.view, "action", None)
        if isinstance(self.view, Listing) and action in DOES:
            return f"{type(self.view).__doc__} {DOES[action]}"
        return str(super().get_description())

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Schema | None:
        operation = super().get_operation(path, path_regex, path_prefix, method, registry)
        if operation is None:
            return None
        if isinstance(self.view, Listing):
            self._describe(operation, registry)
        self._add_refusals(operation, registry)
        for response in operation["responses"].values():
            response.setdefault("headers", {})["X-Request-ID"] = REQUEST_ID
        return operation

    def get_override_parameters(self) -> list[Any]:
        action = getattr(self.view, "action", None)
        if not isinstance(self.view, Listing):
            return []
        if action == "list":
            return self._list_parameters()
        if action == "retrieve":
            return [IF_NONE_MATCH]
        if isinstance(self.view, Resource) and action in ("update", "partial_update", "destroy"):
            return [IF_MATCH]
        return [KEY] if self.method == "POST" and action != "search" else []

    def _list_parameters(self) -> list[Any]:
        view: Any = self.view
        texts = [text for name in view.orders for text in (name, f"-{name}")]
        forms = [renderer.format for renderer in view.get_renderers() if renderer.format != "api"]  # for people
        return [
            *(one for one in PAGING if one.name in view.list_parameters()),
            _parameter("ordering", {"type": "string", "enum": texts}, "`-` reverses; the id breaks ties."),
            *([SINCE] if view.tells_changes else []),
            *(_parameter(name, *told) for name, told in getattr(view, "parameters", {}).items()),
            _parameter("format", {"type": "string", "enum": forms}, "csv and ndjson stream all rows."),
        ]

    def _describe(self, operation: Schema, registry: ComponentRegistry) -> None:
        view: Any = self.view
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json")
            if not status.startswith("2") or content is None:
                continue
            self._loosen_masked(view, content["schema"], registry)
            if view.action == "list":
                content["schema"] = _envelope(view, content["schema"].get("items", {}))
                response["content"] |= {form: {"schema": {"type": "string"}} for form in _files(view)}
            elif view.action in ("retrieve", "create", "update", "partial_update"):
                tag = {"description": "For If-Match and If-None-Match.", "schema": {"type": "string"}}
                response.setdefault("headers", {})["ETag"] = tag
        if view.action == "retrieve":
            operation["responses"]["304"] = {"description": "As the ETag in If-None-Match says."}

    def _loosen_masked(self, view: Any, schema: Schema, registry: ComponentRegistry) -> None:
        """What is masked for some roles may be null in an answer."""
        reference = schema.get("items", schema).get("$ref", "")
        for component in registry._components.values():
            if reference.endswith(f"/{component.name}") and not component.name.endswith("Request"):
                for name, field in component.schema["properties"].items():
                    if name in view.masked and "$ref" not in field:
                        field["nullable"] = True
                for name in view.instead:
                    component.schema["properties"][name] = {"type": "integer"}

    def _add_refusals(self, operation: Schema, registry: ComponentRegistry) -> None:
        component = ResolvedComponent("Refusal", ResolvedComponent.SCHEMA, schema=REFUSAL, object="Refusal")
        registry.register_on_missing(component)
        statuses = WITH_BODY if "requestBody" in operation else ALWAYS
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        statuses = statuses | ({"412", "409"} if "If-Match" in names else set())
        statuses = statuses | ({"422", "409"} if "Idempotency-Key" in names else set())
        for status in sorted(statuses - operation["responses"].keys()):
            operation["responses"][status] = {
                "description": REFUSALS[status],
                "content": {"application/json": {"schema": component.ref}},
            }


def _files(view: Any) -> list[str]:
    return [renderer.media_type for renderer in view.get_renderers() if renderer.format in ("csv", "ndjson", "parquet")]


def _envelope(view: Any, row: Schema) -> Schema:
    link = {"type": "string", "nullable": True, "format": "uri"}
    properties: Schema = {
        "count": {"type": "integer", "description": "Exact up to 100,000; a walk has none."},
        "count_is_estimate": {"type": "boolean", "description": "There only where it is true."},
        "next": link,
        "previous": link,
        "results": {"type": "array", "items": row},
    }
    if view.tells_changes:
        gone = {"type": "object", "required": ["id", "deleted_at"], "properties": {"id": {"type": "integer"}}}
        gone["properties"]["deleted_at"] = {"type": "string", "format": "date-time"}  # type: ignore[index]
        properties["results"]["items"] = {"anyOf": [row, gone]}
        properties["next_changed_since"] = {"type": "string", "format": "date-time"}
    properties |= getattr(view, "envelope", {})
    return {"type": "object", "required": ["next", "previous", "results"], "properties": properties}


def _or_nothing(schema: Schema) -> Schema:
    """An empty value counts as absent."""
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], ""]}
    return {"anyOf": [schema, NOTHING]} if schema.get("type") == "integer" else schema


def finish(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """Paths in their shorter form; and since an unknown field is refused, the description of a body allows none."""
    result["paths"] = {path.rstrip("/"): operations for path, operations in result["paths"].items()}
    for operations in result["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    parameter["schema"] = _or_nothing(parameter["schema"])
    for name, schema in result["components"]["schemas"].items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema["additionalProperties"] = False
    return result
