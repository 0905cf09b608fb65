"""Before the doctor can look: the settings, which may refuse to be read, and servers, which it never starts.

What is not configured is taken from a demo that runs, or left out.
"""

import os
import re
import traceback
from dataclasses import dataclass, field

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from medilink import embedded
from medilink.doctor.findings import hide

QUICK = 3  # seconds to connect to the database in


@dataclass
class State:
    """`refusals`: why nothing else starts with these settings. `unconfigured`: servers that are nowhere.

    `is_probing`: may try whether the bucket can be written.
    """

    refusals: list[str] = field(default_factory=list)
    unconfigured: tuple[str, ...] = ()
    is_readable: bool = True
    is_probing: bool = False


state = State()


def read_settings() -> State:
    """Sets Django up, leniently where the settings refuse to: then what else is wrong can be looked at all the same."""
    state.unconfigured = tuple(embedded.join())
    if len(state.unconfigured) == len(embedded.CONFIGURED):
        os.environ["MEDILINK_EMBEDDED"] = "true"
    if "postgres" in state.unconfigured:
        os.environ["DATABASE_URL"] = "postgres:///medilink"
    while (refusal := _refusal()) and state.is_readable:
        state.refusals.append(refusal)
        if "MEDILINK_EMBEDDED" not in os.environ:
            os.environ["MEDILINK_EMBEDDED"] = "true"
            os.environ.setdefault("HTTPS_ONLY", "true")
        else:  # there a key that is none is as good as the wrong one; what else is wrong would only be told again
            state.is_readable = "DATA_KEYS" in refusal and os.environ.pop("DATA_KEYS", None) is not None
    if state.is_readable:
        settings.DATABASES["default"]["OPTIONS"]["connect_timeout"] = QUICK
    return state


def _refusal() -> str:
    """Only in our own words: another error may quote a part of an address with its password."""
    try:
        django.setup()
    except ImproperlyConfigured as error:
        return hide(str(error))
    except Exception as error:  # the edge of the settings: whatever stops them is what the doctor has to tell
        return f"{_variable(error)} cannot be read ({type(error).__name__}): a number, an address or a list is not one."
    return ""


def _variable(error: Exception) -> str:
    """Whose value it is, by the line of the settings that asked for it; never the value."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        asked = re.search(r'env\.\w+\(\s*"([A-Z0-9_]+)"', frame.line or "")
        if asked and frame.name == "<module>":
            return asked[1]
    return "A variable"
