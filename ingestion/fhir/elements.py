"""An object of a resource, of which every element has to be taken: what nobody takes is refused by name, never dropped.

Pure. An element of the wrong shape is an issue and counts as absent.
"""

import re
from decimal import Decimal
from typing import Any

from ingestion.fhir.issues import Issue

NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,40}")
SURROGATE = re.compile("[\ud800-\udfff]")


class Element:
    """`at` is its FHIRPath; `found` collects the issues of the whole bundle."""

    def __init__(self, value: Any, at: str, found: list[Issue]) -> None:
        self.at, self._found = at, found
        self._children: list[Element] = []
        self._left: dict[str, Any] = {}
        if isinstance(value, dict) and value:
            self._left = dict(value)
        else:
            self.refuse("STRUCTURE")

    def refuse(self, reason: str, name: str = "", says: str = "", severity: str = "error") -> None:
        self._found.append(Issue(reason, f"{self.at}.{name}" if name else self.at, says, severity))

    def has(self, name: str) -> bool:
        return name in self._left

    def text(self, name: str) -> str:
        """Empty where there is none."""
        value = self._left.pop(name, None)
        if value is None:
            return ""
        if not isinstance(value, str) or not value.strip():
            self.refuse("STRUCTURE", name)
            return ""
        if not value.isascii() and SURROGATE.search(value):
            self.refuse("STRUCTURE", name, "Half of a pair of surrogates is no character.")
            return ""
        return value

    def code(self, name: str, *allowed: str) -> str:
        """One of those that lose nothing by not being kept, or that are kept."""
        value = self.text(name)
        if value and value not in allowed:
            self.refuse("NOT_CARRIED", name, f"Only {', '.join(allowed)} can be taken here.")
            return ""
        return value

    def texts(self, name: str) -> list[str]:
        values = self._left.pop(name, None)
        if values is None:
            return []
        if not isinstance(values, list):
            self.refuse("STRUCTURE", name)
            return []
        inner = Element({str(n): value for n, value in enumerate(values)} or None, f"{self.at}.{name}", self._found)
        return [text for n in range(len(values)) if (text := inner.text(str(n)))]

    def number(self, name: str) -> Decimal | None:
        value = self._left.pop(name, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            self.refuse("STRUCTURE", name)
            return None
        return Decimal(value)

    def truth(self, name: str) -> bool | None:
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, bool):
            self.refuse("STRUCTURE", name)
            return None
        return value

    def one(self, name: str) -> "Element | None":
        if name not in self._left:
            return None
        return self._child(self._left.pop(name), name)

    def many(self, name: str) -> "list[Element]":
        values = self._left.pop(name, None)
        if values is None:
            return []
        if not isinstance(values, list) or not values:
            self.refuse("STRUCTURE", name)
            return []
        return [self._child(value, f"{name}[{n}]") for n, value in enumerate(values)]

    def only(self, name: str) -> "Element | None":
        """Of a list that may hold one thing, as far as we can store it."""
        found = self.many(name)
        for more in found[1:]:
            more.refuse("NOT_CARRIED", says="There is room for one only.")
            more.leave()
        return found[0] if found else None

    def _child(self, value: Any, name: str) -> "Element":
        child = Element(value, f"{self.at}.{name}", self._found)
        self._children.append(child)
        return child

    def leave(self, *names: str) -> None:
        """These say nothing that would have to be kept; without names: nothing more is said of what is left."""
        for name in names or [*self._left]:
            self._left.pop(name, None)

    def close(self) -> None:
        """Refuses what nobody has taken, here and below."""
        for name in sorted(map(str, self._left)):
            self.refuse("NOT_CARRIED", name if NAME.fullmatch(name) else "")
        for child in self._children:
            child.close()
