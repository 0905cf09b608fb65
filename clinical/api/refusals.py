"""What the API refuses beyond DRF's own exceptions, each with its status and code. None repeats what was sent."""

from rest_framework.exceptions import APIException


class Conflict(APIException):
    """The state of the data does not allow it; the code says what stands against it."""

    status_code = 409
    default_code = "conflict"


class Duplicate(Conflict):
    default_detail = "The identity exists already."
    default_code = "duplicate"


class Protected(Conflict):
    default_detail = "Others refer to it; delete or move them first."
    default_code = "protected"


class InProgress(Conflict):
    default_detail = "The first request with this Idempotency-Key is still at work; ask again in a moment."
    default_code = "in_progress"


class AlreadyRunning(Conflict):
    default_detail = "Another run is at work; this one has nothing to do."
    default_code = "already_running"


class NotPossible(Conflict):
    """The object's state does not allow it; the detail says what does."""

    default_code = "not_possible"


class StalePrecondition(APIException):
    status_code = 412
    default_detail = "The object has changed since; get it anew and decide again."
    default_code = "precondition_failed"


class TooLarge(APIException):
    status_code = 413
    default_detail = "The body is larger than 1 MiB."
    default_code = "too_large"


class Unprocessable(APIException):
    status_code = 422
    default_detail = "This Idempotency-Key was used with another body."
    default_code = "idempotency_key_reused"


class Unavailable(APIException):
    """Try again later."""

    status_code = 503
    default_detail = "Not available at the moment; try again shortly."
    default_code = "service_unavailable"
    wait = 5  # seconds, for the header Retry-After
