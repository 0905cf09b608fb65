"""The request that is being answered, set by the site and empty outside of one: for the audit and the log."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")
client_address: ContextVar[str] = ContextVar("client_address", default="")


@dataclass
class Asked:
    """From where something is asked and what for, and what the audit has heard of it so far."""

    address: str = ""
    purpose: str = ""
    route: str = ""
    caller: Callable[[], Any] = lambda: None  # the user, who is known only once the request has got that far
    read: Any = None  # of clinical/audit/reads.py: what the answer tells
    has_deed: bool = False  # noted in the deed's own transaction
    is_noted: bool = False  # a refusal that has its line already


asked: ContextVar[Asked | None] = ContextVar("asked", default=None)
