"""Values that the database keeps only sealed: AES-256-GCM under keys that the database does not have (DATA_KEYS).

The first key of DATA_KEYS seals, every key opens. A sealed value begins with its key's id, so that a change of keys
finds what still waits, and is bound to its place: moved to another row or column it cannot be opened.
"""

import os
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps
from django.conf import settings
from django.db import models

NONCE_BYTES = 12


class SealingError(Exception):
    """A sealed value cannot be opened; the text names the key, never the value."""


def current_key_id() -> str:
    return str(next(iter(settings.DATA_KEYS)))


def seal(plain: bytes, place: str) -> bytes:
    """Length of the key's id, the id, nonce, ciphertext with tag. Nonces are random: good for 2**32 values a key."""
    key_id = current_key_id()
    header, nonce = header_of(key_id), os.urandom(NONCE_BYTES)
    return header + nonce + _cipher(settings.DATA_KEYS[key_id]).encrypt(nonce, plain, header + place.encode())


def unseal(sealed: bytes | memoryview, place: str) -> bytes:
    sealed = bytes(sealed)
    header, nonce, rest = _parts(sealed)
    key = settings.DATA_KEYS.get(key_id := key_id_of(sealed))
    if key is None:
        raise SealingError(f"A value is sealed with the key {key_id!r}, which DATA_KEYS does not have.")
    try:
        return _cipher(key).decrypt(nonce, rest, header + place.encode())
    except InvalidTag:
        raise SealingError(
            f"A value sealed with the key {key_id!r} is not what was sealed, or not in its place."
        ) from None


def header_of(key_id: str) -> bytes:
    """What every value sealed with this key begins with."""
    return bytes([len(key_id)]) + key_id.encode("ascii")


def key_id_of(sealed: bytes | memoryview) -> str:
    sealed = bytes(sealed)
    return _parts(sealed)[0][1:].decode("ascii", "replace")


def _parts(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    end = 1 + sealed[0] if sealed else 0
    if len(sealed) < end + NONCE_BYTES + 16:
        raise SealingError("A value is too short to be a sealed one.")
    return sealed[:end], sealed[end : end + NONCE_BYTES], sealed[end + NONCE_BYTES :]


@lru_cache(maxsize=16)
def _cipher(key: bytes) -> AESGCM:
    return AESGCM(key)


class SealedField(models.BinaryField):
    """Sealed bytes. `bound_to` are the columns of its row that its value is bound to: those that never change.

    The attribute holds what the database holds; `seal_in` and `unseal_in` go between it and the plain value.
    """

    def __init__(self, *args: Any, bound_to: Iterable[str] = (), **options: Any) -> None:
        self.bound_to = tuple(bound_to)
        super().__init__(*args, **options)

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        return name, path, args, options | {"bound_to": self.bound_to}

    def place(self, values: Iterable[Any]) -> str:
        """Where a value belongs, given what the columns of `bound_to` hold."""
        return ":".join(map(str, [self.model._meta.db_table, self.column, *values]))

    def seal_in(self, row: models.Model, plain: bytes | None) -> None:
        setattr(row, self.attname, None if plain is None else seal(plain, self._place_in(row)))

    def unseal_in(self, row: models.Model) -> bytes | None:
        sealed = getattr(row, self.attname)
        return None if sealed is None else unseal(sealed, self._place_in(row))

    def _place_in(self, row: models.Model) -> str:
        return self.place(getattr(row, name) for name in self.bound_to)


def sealed_fields() -> list[SealedField]:
    """Of all tables: what a change of keys has to go through."""
    fields = (field for model in apps.get_models() for field in model._meta.concrete_fields)
    return [field for field in fields if isinstance(field, SealedField)]
