"""Scopes of SMART, as `system/Patient.rs`: for which types of resource, and whether to read (r) or to search (s).

Pure. Of both versions of the words; what writes is not given, since nothing is written by it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

ANY = "*"
WRITTEN = re.compile(r"system/(\*|[A-Z][A-Za-z]{1,63})\.(c?r?u?d?s?|read|write|\*)")
OF_VERSION_1 = {"read": "rs", "*": "cruds", "write": "cud"}


class NotAScope(Exception):
    """The text is none that a backend service may have."""


@dataclass(frozen=True)
class Scopes:
    """Pairs of a type (or *) and a letter."""

    pairs: frozenset[tuple[str, str]]

    def allow(self, kind: str, letters: str = "") -> bool:
        """All of these letters for the type; without any, something of it."""
        allowed = {letter for of, letter in self.pairs if of in (ANY, kind)}
        return bool(allowed) and set(letters) <= allowed

    def within(self, wider: "Scopes") -> "Scopes":
        """What of these the wider ones allow."""
        common = {
            (of, letter) for of, letter in self.pairs if (of, letter) in wider.pairs or (ANY, letter) in wider.pairs
        }
        common |= {(of, letter) for of, letter in wider.pairs if (ANY, letter) in self.pairs}
        return Scopes(frozenset(common))

    def texts(self) -> list[str]:
        of_types: dict[str, str] = {}
        for of, letter in sorted(self.pairs):
            of_types[of] = of_types.get(of, "") + letter
        return [f"system/{of}.{letters}" for of, letters in of_types.items()]


def read(texts: Iterable[str]) -> Scopes:
    """Raises NotAScope. Letters that write are left out."""
    pairs = set()
    for text in texts:
        found = WRITTEN.fullmatch(text)
        if not found or not found[2]:
            raise NotAScope(text)
        letters = OF_VERSION_1.get(found[2], found[2])
        pairs |= {(found[1], letter) for letter in letters if letter in "rs"}
    return Scopes(frozenset(pairs))
