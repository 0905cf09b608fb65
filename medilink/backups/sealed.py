"""A file of sealed chunks. Each one's place, and which one is the last, is part of what is proven: a file that was cut,
changed or put together anew is not opened.

Begins with MAGIC, the id of the key and a salt; from key and salt comes a key of this file alone, so that the nonces
can count. (The construction is known as STREAM.)
"""

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from clinical import sealing

MAGIC = b"MEDILINK BACKUP 1\n"
SALT, TAG = 32, 16
CHUNK = 1 << 20


class NotABackup(Exception):
    """The file cannot be opened, and why; nothing of it is to be trusted."""


def seal(plain: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of any size, as the bytes of a sealed file."""
    key_id, salt = sealing.current_key_id(), os.urandom(SALT)
    header = MAGIC + sealing.header_of(key_id) + salt
    cipher = _cipher(settings.DATA_KEYS[key_id], salt)
    yield header
    number, waiting = 0, bytearray()
    for block in plain:
        waiting += block
        while len(waiting) > CHUNK:  # the last chunk is sealed as such, so one always waits
            yield cipher.encrypt(_nonce(number, is_last=False), bytes(waiting[:CHUNK]), header)
            del waiting[:CHUNK]
            number += 1
    yield cipher.encrypt(_nonce(number, is_last=True), bytes(waiting), header)


def unseal(file: BinaryIO) -> Iterator[bytes]:
    """The plain blocks, each proven before it is given. Raises NotABackup, where the file was cut at its end."""
    header, key_id, salt = _header(file)
    key = settings.DATA_KEYS.get(key_id)
    if key is None:
        raise NotABackup(f"The backup is sealed with the key {key_id!r}, which DATA_KEYS does not have.")
    cipher, number = _cipher(key, salt), 0
    chunk = _exactly(file, CHUNK + TAG)
    while True:
        following = _exactly(file, CHUNK + TAG)
        try:
            yield cipher.decrypt(_nonce(number, is_last=not following), chunk, header)
        except InvalidTag:
            raise NotABackup(f"The backup is damaged, cut or changed at its {number + 1}. MiB.") from None
        if not following:
            return
        chunk, number = following, number + 1


def _header(file: BinaryIO) -> tuple[bytes, str, bytes]:
    if _exactly(file, len(MAGIC)) != MAGIC:
        raise NotABackup("This is no backup of Medilink's.")
    length = _exactly(file, 1)
    key_id = _exactly(file, length[0] if length else 0)
    salt = _exactly(file, SALT)
    return MAGIC + length + key_id + salt, key_id.decode("ascii", "replace"), salt


def _exactly(file: BinaryIO, size: int) -> bytes:
    """That many bytes, or what is left: a pipe or a socket gives as many as it has."""
    parts, missing = [], size
    while missing and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"medilink backup").derive(key))


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
