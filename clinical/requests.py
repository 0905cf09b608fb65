"""The request that is being answered: set by the site, empty outside of one. For the audit and the log."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
client_address: ContextVar[str] = ContextVar("client_address", default="")
