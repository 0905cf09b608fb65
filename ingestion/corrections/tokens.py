"""The token by which a row of a returned file finds its refused row. Letters only: no spreadsheet takes it for a value.

It holds the row's id and says which corrections stood in the file; a seal binds both to the row's own cells. So it
cannot be guessed, a typing error voids it, and it means nothing in a database where another row has the id.
"""

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

from ingestion.models import RejectedRow

LETTERS = "bcdfghjkmnpqrstvwxyz"  # no vowels, so no words; no l
PREFIX = "row"
VERSION, SEAL = 4, 12
FORM = re.compile(rf"{PREFIX}[{LETTERS}]{{{VERSION + SEAL + 1},40}}", re.IGNORECASE)


@dataclass(frozen=True)
class Token:
    row_id: int
    version: str
    seal: str

    def is_of(self, row: RejectedRow) -> bool:
        secrets = [settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS)]
        return any(hmac.compare_digest(self.seal, _seal(row, self.version, secret)) for secret in secrets)


def token_of(row: RejectedRow) -> str:
    version = version_of(row.corrections)
    return PREFIX + _letters(row.pk) + version + _seal(row, version, settings.SECRET_KEY)


def parse(cell: str) -> Token | None:
    """What the cell says, still unproven. Case and what stands around the letters do not matter."""
    found = FORM.search(cell)
    if found is None:
        return None
    letters = found[0].lower().removeprefix(PREFIX)
    row_id = 0
    for letter in letters[: -VERSION - SEAL]:
        row_id = row_id * len(LETTERS) + LETTERS.index(letter)
    return Token(row_id, letters[-VERSION - SEAL : -SEAL], letters[-SEAL:]) if row_id < 2**63 else None


def version_of(corrections: dict[str, Any]) -> str:
    """Tells corrections from one another: what had been put in place of cells when the file was written."""
    text = json.dumps(corrections, sort_keys=True, ensure_ascii=False)
    return _hashed(hashlib.sha256(text.encode()).digest(), VERSION)


def _seal(row: RejectedRow, version: str, secret: str) -> str:
    text = f"{row.pk} {row.dataset} {row.raw_hash} {version}"
    return _hashed(salted_hmac("ingestion.corrections", text, secret=secret, algorithm="sha256").digest(), SEAL)


def _hashed(digest: bytes, length: int) -> str:
    number = int.from_bytes(digest, "big") % len(LETTERS) ** length
    return _letters(number).rjust(length, LETTERS[0])


def _letters(number: int) -> str:
    letters = ""
    while number or not letters:
        number, digit = divmod(number, len(LETTERS))
        letters = LETTERS[digit] + letters
    return letters
