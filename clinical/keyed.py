"""Keyed hashes: what sealed values are compared and grouped by. Who has the database but no key learns which are equal.

Their key is the same for ever, so that a change of DATA_KEYS leaves them as they are; the database keeps it sealed.
"""

import hashlib
import secrets
from typing import Any
from uuid import UUID

from django.db import transaction

from clinical import sealing
from clinical.models import IndexKey


class Hashes:
    """128 bits of SHA-256 over key and text. Cut in half, a hash cannot be gone on with to that of a longer text."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._begun = hashlib.sha256(key)

    def of(self, text: str) -> UUID | None:
        """None of an empty text: it says nothing that could be compared."""
        return UUID(bytes=self._digest(text)) if text else None

    def hex_of(self, text: str) -> str:
        return self._digest(text).hex() if text else ""

    def _digest(self, text: str) -> bytes:
        begun = self._begun.copy()
        begun.update(text.encode())
        return begun.digest()[:16]


def hashes() -> Hashes:
    row = IndexKey.objects.get()
    return Hashes(sealing.field_of(IndexKey, "key").unseal_in(row) or b"")


@transaction.atomic
def make_key(apps: Any = None, **_: Any) -> None:
    """The one key, where there is none yet: called after every migration, to whichever state it has led."""
    if apps and IndexKey._meta.model_name not in apps.all_models[IndexKey._meta.app_label]:
        return
    row = IndexKey()
    sealing.field_of(IndexKey, "key").seal_in(row, secrets.token_bytes(32))
    IndexKey.objects.bulk_create([row], ignore_conflicts=True)
