"""Before the doctor can look: the settings, which may refuse to be read, and servers, which it never starts.

What is not configured is taken from a demo that runs, or left out.
"""

import os
from dataclasses import dataclass

import django
from django.core.exceptions import ImproperlyConfigured

from medilink import embedded
from medilink.doctor.findings import hide


@dataclass
class State:
    """`refusal`: why nothing else starts with these settings. `unconfigured`: servers that are nowhere.

    `is_probing`: may try whether the bucket can be written.
    """

    refusal: str = ""
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
    try:
        django.setup()
    except Exception as error:  # the edge of the settings: whatever stops them is what the doctor has to tell
        state.refusal = _told(error)
        os.environ["MEDILINK_EMBEDDED"] = "true"
        os.environ.setdefault("HTTPS_ONLY", "true")
        try:
            django.setup()
        except Exception:  # no more than one reason at a time can be had
            state.is_readable = False
    return state


def _told(error: Exception) -> str:
    """Only our own words: another error may quote a part of an address with its password."""
    if isinstance(error, ImproperlyConfigured):
        return hide(str(error))
    return f"A variable cannot be read ({type(error).__name__}): a number, an address or a list is not written as one."
