"""OperationOutcome: the one shape of every refusal under /fhir."""

from typing import Any

from rest_framework.exceptions import APIException

from clinical.fhir.codes import Resource

MEDIA_TYPE = "application/fhir+json"
# By our own code where that says more than the status.
BY_CODE = {"masked_field": "forbidden", "unknown_parameter": "not-supported", "too_costly": "too-costly"}
BY_STATUS = {
    202: "informational",
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    409: "conflict",
    410: "deleted",
    412: "conflict",
    413: "too-long",
    415: "not-supported",
    422: "processing",
    429: "throttled",
    503: "transient",
}


class Gone(APIException):
    """It was there, and its row has been deleted."""

    status_code = 410
    default_detail = "It has been deleted."
    default_code = "deleted"


class TooCostly(APIException):
    status_code = 422
    default_detail = "Too many rows would have to be looked at to count these; narrow the search, or leave the total."
    default_code = "too_costly"


def issue(status: int, code: str, detail: str, attr: str | None = None, severity: str = "error") -> Resource:
    found: Resource = {
        "severity": "fatal" if status >= 500 else severity,
        "code": BY_CODE.get(code) or BY_STATUS.get(status, "exception"),
        "details": {"text": detail},
        "diagnostics": code,
    }
    return found | ({"expression": [f"http.{attr}"]} if attr else {})


def outcome(*issues: Resource) -> Resource:
    return {"resourceType": "OperationOutcome", "issue": [*issues]}


def of_errors(status: int, errors: list[dict[str, Any]]) -> Resource:
    """Of the one shape that our API's refusals have."""
    return outcome(*(issue(status, one["code"], one["detail"], one["attr"]) for one in errors))
