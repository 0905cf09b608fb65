"""What the doctor can find: each kind once, with what it means and what to do. RUNBOOK.md has a section for each."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import unquote, urlsplit

RUNBOOK = "RUNBOOK.md"
SECRET = (
    "OTEL_EXPORTER_OTLP_HEADERS",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "SENTRY_DSN",
    "DATA_KEYS",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "DHIS2_TOKEN",
)
SHORT = 6  # a shorter one would be found in half of all words
HIDDEN = "•••"


class Gravity(IntEnum):
    """The gravest first. Errors alone make the exit code 1."""

    ERROR = 0
    WARNING = 1
    NOTE = 2

    @property
    def word(self) -> str:
        return self.name.lower()


KINDS: dict[str, "Kind"] = {}


@dataclass(frozen=True)
class Kind:
    """`ends`: nothing else of its lane can be looked at."""

    code: str
    gravity: Gravity
    title: str
    means: str
    do: str
    command: str = ""
    ends: bool = False

    def __post_init__(self) -> None:
        assert KINDS.setdefault(self.code, self) is self, self.code

    def seen(self, what: str, *, command: str = "") -> "Finding":
        return Finding(self, hide(what), command or self.command)


@dataclass(frozen=True)
class Finding:
    kind: Kind
    seen: str
    command: str

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.kind.code}"

    def as_dict(self) -> dict[str, str]:
        kind = self.kind
        return {
            "code": kind.code,
            "gravity": kind.gravity.word,
            "title": kind.title,
            "seen": self.seen,
            "means": kind.means,
            "do": kind.do,
            "command": self.command,
            "runbook": self.runbook,
        }


def hide(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text without any secret of the environment: the last wall, where an error quotes what it was given."""
    for secret in sorted(_secrets(environment), key=len, reverse=True):
        if len(secret) >= SHORT:
            text = text.replace(secret, HIDDEN)
    return text


def _secrets(environment: Mapping[str, str]) -> set[str]:
    found = set()
    for name, value in environment.items():
        if name in SECRET or name.endswith("PASSWORD"):
            found |= {value, *value.split(",")}
        elif "://" in value and "@" in value:
            _, _, word = value.partition("://")[2].rpartition("@")[0].partition(":")
            found |= {word, unquote(word)}
    if hook := environment.get("ALERT_WEBHOOK_URL"):  # its path is what lets one in
        found.add(urlsplit(hook).path)
    return found


# --- Of looking itself

BROKE = Kind(
    "check-broke",
    Gravity.WARNING,
    "A check broke off",
    "Nothing is known of what it looks at.",
    "See the other findings first: it may be a consequence. Alone, it is a fault of the doctor's: report it.",
)
SLOW = Kind(
    "check-slow",
    Gravity.WARNING,
    "There was no time for everything",
    "A server is slow or silent, or the database is large.",
    "Look again without a time limit.",
    "manage.py doctor --thorough",
)
