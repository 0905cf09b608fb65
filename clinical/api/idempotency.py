"""A POST that names an Idempotency-Key takes effect once: the same again gets the first answer.

The answer is stored in the transaction of what it tells of. A lock that ends with the transaction says that the first
is still at work, so that a worker that dies leaves nothing behind.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from clinical import sealing
from clinical.api import exports, parameters
from clinical.api.refusals import InProgress, Unprocessable
from clinical.audit import reads
from clinical.models import IdempotencyKey

KEPT = timedelta(hours=24)
KEY = re.compile(r"[!-~]{1,255}")
Handler = Callable[..., Response]


def once(handler: Handler) -> Handler:
    """Makes a handler of POST obey the header; it runs in a transaction, with or without one."""

    @wraps(handler)
    def handle(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.META.get("HTTP_IDEMPOTENCY_KEY")
        with transaction.atomic():
            if key is None:
                return handler(self, request, *args, **kwargs)
            if not KEY.fullmatch(key):
                raise parameters.refused("Idempotency-Key", "invalid", "Must be 1 to 255 visible ASCII characters.")
            return _first_or_again(request, key, lambda: handler(self, request, *args, **kwargs))

    return handle


def _first_or_again(request: Request, key: str, handle: Callable[[], Response]) -> Response:
    digest = hashlib.sha256(orjson.dumps(request.data, option=orjson.OPT_SORT_KEYS)).digest()
    place = {"user_id": request.user.pk, "route": request.path.rstrip("/"), "key": key}
    if not _lock(place):
        raise InProgress
    known = IdempotencyKey.objects.filter(**place, created_at__gt=timezone.now() - KEPT).first()
    if known is None:
        response = handle()
        _keep(place, digest, response)
        return response
    if bytes(known.body_digest) != digest:
        raise Unprocessable
    body = sealing.field_of(IdempotencyKey, "body").unseal_in(known)
    again = Response(orjson.loads(body) if body else None, known.status, headers=known.headers)
    _note_again(again.data)
    again["Idempotent-Replay"] = "true"
    return again


def _note_again(told: Any) -> None:
    """A stored answer may be of a person."""
    if isinstance(told, dict):
        whom = told.get("patient_id") or (told.get("id") if "first_name" in told else None)
        reads.seen("idempotency_keys", "read", object_id=told.get("id"), patient_ids=[whom])


def _lock(place: dict[str, Any]) -> bool:
    name = "\x1f".join(map(str, place.values()))
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        return bool(cursor.fetchone()[0])


def _keep(place: dict[str, Any], digest: bytes, response: Response) -> None:
    body = b"" if response.data is None else exports.json_of(response.data)
    headers = {name: response[name] for name in ("ETag", "Location") if name in response}
    answer = {
        "body_digest": digest,
        "status": response.status_code,
        "body": sealing.seal(body, sealing.field_of(IdempotencyKey, "body").place(place.values())),
        "headers": headers,
        "created_at": timezone.now(),
    }
    IdempotencyKey.objects.update_or_create(**place, defaults=answer)
